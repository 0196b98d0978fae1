"""The tables of costs in infra/README.md are what infra/cost.py works out, and it works out what its words say."""

import importlib.util
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("cost", ROOT / "infra/cost.py")
cost = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cost)


class Cost(unittest.TestCase):
    def test_the_tables_of_the_readme_are_these(self):
        readme = (ROOT / "infra/README.md").read_text()
        shown = re.search(r"<!-- begin costs[^>]*-->\n(.*?)\n<!-- end costs -->", readme, re.DOTALL).group(1)
        self.assertEqual(shown, "\n".join(cost.tables()), "write it again: infra/cost.py")

    def test_quiet_shards_make_a_batch_an_event_and_busy_ones_one_a_window_or_full(self):
        day = 86_400
        self.assertAlmostEqual(cost.batches(10, day, 1, 5, 5_000), 10, delta=0.01)
        busy = cost.batches(100 * day, day, 1, 5, 5_000)
        self.assertAlmostEqual(busy / (day / 5), 1, delta=0.01)
        full = cost.batches(5_000 * day, day, 1, 5, 5_000)
        self.assertAlmostEqual(full, day, delta=1)

    def test_one_put_a_batch_goes_to_the_journal(self):
        of = cost.requests(1e6, cost.MONTH, 4, 10)
        self.assertEqual(of["journal"], of["batches"])
        self.assertEqual(of["runs"], 8_640)
        self.assertEqual(of["publish"], 8_640 * (3 * 10 + 2 + 1 + 4))

    def test_a_full_batch_fits_into_an_invocation_and_one_record_more_does_not(self):
        payload, full = cost.sample()
        envelope = 550  # what an event says about a record besides its data
        self.assertLessEqual(full * payload * 4 / 3, 6 * 1024**2)
        self.assertGreater((full + 1) * (payload * 4 / 3 + envelope + 10), 6 * 1024**2)

    def test_firehose_bills_small_records_as_five_kilobytes(self):
        without_objects = cost.firehose(1e9, 0, 0)
        payload, _ = cost.sample()
        self.assertAlmostEqual(without_objects, 1e9 * 5_120 / cost.GB * (0.029 + 0.018) + 1e9 * payload / cost.GB * 0.020, places=6)

    def test_what_is_watched_is_what_the_contract_has(self):
        self.assertAlmostEqual(cost.watching(), 21 * 0.30 + 14 * 0.10 + 3)


if __name__ == "__main__":
    unittest.main()
