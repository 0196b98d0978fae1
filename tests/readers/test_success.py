"""Partitions that are complete say so, and readers of the plain layout do not mind."""

import json

import duckdb
import pyarrow.dataset
import pytest

from conftest import ROOT, audit, run

LATE = ROOT / "events" / "kinesis-late.json"


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Twelve trips that a watermark has passed, and one of the year 2041."""
    lake = tmp_path_factory.mktemp("success")
    run(lake, source=LATE)
    audit(lake)
    return lake


def test_every_hour_that_is_over_has_a_mark_with_its_rows(lake):
    marks = {file.parent: json.loads(file.read_text()) for file in lake.glob("trip/**/_SUCCESS")}
    folders = {file.parent for file in lake.glob("trip/**/*.parquet")}
    assert {folder for folder in folders if folder not in marks} == set(lake.glob("trip/*/year=2041/*/*/*"))
    assert sum(mark["rows"] for mark in marks.values()) == 12
    assert all(f"trip/{mark['partition']}" == str(folder.relative_to(lake)) for folder, mark in marks.items())


def test_readers_skip_the_marks(lake):
    assert list(lake.glob("trip/**/_SUCCESS"))
    (rows,) = duckdb.execute(
        f"SELECT count(*) FROM read_parquet('{lake}/trip/**/*.parquet', hive_partitioning = true)"
    ).fetchone()
    assert rows == 13
    trips = pyarrow.dataset.dataset(lake / "trip", format="parquet", partitioning="hive")
    assert trips.count_rows() == 13
