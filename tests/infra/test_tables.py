"""The tables that Terraform and CDK declare: that there are some for each pipeline, and what they hold. That they are
those of the pipeline files is a test of `tripline ddl`, which writes them."""

import json
import pathlib
import unittest

ROOT = pathlib.Path(__file__).parents[2]


class Tables(unittest.TestCase):
    def test_each_pipeline_has_its_own(self):
        shipped = {file.stem for file in (ROOT / "infra/terraform/tables").glob("*.json")}
        self.assertEqual(shipped, {folder.parent.name for folder in ROOT.glob("pipelines/*/pipeline.toml")})

    def test_the_boroughs_are_all_there(self):
        tables = json.loads((ROOT / "infra/terraform/tables/taxi.json").read_text())
        levels = tables["trip"]["partitions"]
        self.assertEqual([level["name"] for level in levels], ["pickup_borough", "year", "month", "day", "hour"])
        boroughs = "__HIVE_DEFAULT_PARTITION__ bronx brooklyn ewr manhattan outside-nyc queens staten-island unknown"
        self.assertEqual(levels[0]["values"], boroughs.split())


if __name__ == "__main__":
    unittest.main()
