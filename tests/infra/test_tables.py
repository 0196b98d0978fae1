"""The tables that Terraform declares are those of the pipeline files and of the code."""

import importlib.util
import json
import pathlib
import re
import shutil
import tempfile
import unittest

ROOT = pathlib.Path(__file__).parents[2]


def tables_py():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "infra/tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Tables(unittest.TestCase):
    def test_those_shipped_are_those_of_the_pipelines(self):
        shipped = {file.stem for file in (ROOT / "infra/terraform/tables").glob("*.json")}
        self.assertEqual(shipped, {folder.parent.name for folder in ROOT.glob("pipelines/*/pipeline.toml")})
        for name in shipped:
            file = ROOT / f"infra/terraform/tables/{name}.json"
            written = tables_py().tables(ROOT / "pipelines" / name)
            self.assertEqual(
                json.loads(file.read_text()), written, f"write it again: infra/tables.py pipelines/{name} > {file}"
            )

    def test_dead_letters_have_the_columns_of_the_code(self):
        code = (ROOT / "crates/model/src/decode/dead_letter.rs").read_text()
        found = re.findall(r'\("(\w+)", (DataType::\w+|timestamp)(?:\(\))?, (?:true|false)\)', code)
        types = {"DataType::Utf8": "string", "DataType::Int32": "int", "DataType::Binary": "binary", "timestamp": "timestamp"}
        columns = [{"name": name, "type": types[kind]} for name, kind in found]
        self.assertGreater(len(columns), 10)
        self.assertEqual(tables_py().DEAD_LETTER["columns"], columns)

    def test_the_slugs_are_those_that_lie_in_a_lake(self):
        slug = tables_py().slug
        for text, expected in [("Staten Island", "staten-island"), ("São Paulo", "são-paulo"), ("  a -- b! ", "a-b"), ("…", "")]:
            self.assertEqual(slug(text), expected)

    def test_the_boroughs_are_all_there(self):
        levels = tables_py().tables(ROOT / "pipelines/taxi")["trip"]["partitions"]
        self.assertEqual([level["name"] for level in levels], ["pickup_borough", "year", "month", "day", "hour"])
        boroughs = "__HIVE_DEFAULT_PARTITION__ bronx brooklyn ewr manhattan outside-nyc queens staten-island unknown"
        self.assertEqual(levels[0]["values"], boroughs.split())

    def test_late_rows_have_a_table_where_they_are_diverted(self):
        text = (ROOT / "pipelines/taxi/pipeline.toml").read_text()
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            shutil.copytree(ROOT / "pipelines/taxi", folder, dirs_exist_ok=True)
            (folder / "pipeline.toml").write_text(text.replace('late = "append"', 'late = "divert"'))
            tables = tables_py().tables(folder)
        self.assertEqual(sorted(tables), ["dead_letter", "trip", "trip_late"])
        self.assertEqual(tables["trip_late"], tables["trip"])


if __name__ == "__main__":
    unittest.main()
