"""Files of two versions of a pipeline are one table to other readers."""

import duckdb
import pyarrow
import pyarrow.dataset
import pytest

from conftest import audit, run, tripline
from documents import DOCS, blocks, evaluate

FIRST = """\
id = "trips"
schema_version = 1
[tables.zones]
file = "zones.csv"
key = "id"
[events.trip]
id = ["trip_id"]
event_time = "at"
fields = [
  { name = "trip_id", type = "int64", required = true },
  { name = "at", type = "timestamp", required = true },
  { name = "seats", type = "int32", required = true },
  { name = "note", type = "string" },
]
partition = [{ name = "year", time = "year" }]
"""
SECOND = (
    FIRST.replace("schema_version = 1", "schema_version = 2")
    .replace('"int32", required = true', '"int64"')
    .replace('{ name = "note", type = "string" }', '{ name = "fee", type = "float64" }')
    .replace(
        "partition",
        'derived = [{ name = "zone", lookup = "zones", key = "seats", column = "name", default = "none" }]\npartition',
    )
)
# More than 32 bits hold.
WIDE = 1 << 40


def write(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "pipeline.toml").write_text(text)
    (folder / "zones.csv").write_text("id,name\n2,north\n")
    return folder


@pytest.fixture(scope="module", params=["first is read first", "second is read first"])
def lake(request, tmp_path_factory):
    """Ten trips of the first version, five of the second, in files of the same partition, whichever sorts first."""
    folder = tmp_path_factory.mktemp("schema")
    lake, source = folder / "lake", folder / "in.jsonl"
    line = '{{"type":"trip","trip_id":{},"at":"2019-03-01T00:00:00Z","seats":{},"note":"n","fee":1.5}}\n'
    source.write_text("".join(line.format(number, 2) for number in range(1, 11)))
    versions = [(FIRST, source)]
    more = folder / "more.jsonl"
    more.write_text("".join(line.format(number, WIDE) for number in range(11, 15)) + line.format(15, "null"))
    versions.append((SECOND, more))
    if request.param == "second is read first":
        versions.reverse()
    for text, file in versions:
        run(lake, pipeline=write(folder / "pipeline", text), source=file)
    audit(lake, pipeline=write(folder / "pipeline", SECOND))
    assert len(list(lake.glob("trip/**/*.parquet"))) == 2
    return lake


def checked(rows):
    """What every reader must see of a row: number, seats, note, fee, zone."""
    old = [(number, 2, "n", None, None) for number in range(1, 11)]
    new = [(number, WIDE, None, 1.5, "none") for number in range(11, 15)] + [(15, None, None, 1.5, "none")]
    assert sorted(rows) == old + new


def test_duckdb_reads_both_by_name(lake):
    files = f"read_parquet('{lake}/trip/**/*.parquet', hive_partitioning = true, union_by_name = true)"
    checked(duckdb.execute(f"SELECT trip_id, seats, note, fee, zone FROM {files}").fetchall())
    (total,) = duckdb.execute(f"SELECT sum(seats) FROM {files} WHERE seats > 2").fetchone()
    assert total == 4 * WIDE


def test_the_views_of_ddl_read_both(lake):
    pipeline = lake.parent / "pipeline"
    statements = tripline("ddl", "--pipeline", pipeline, "--lake", lake, "--dialect", "duckdb")
    connection = duckdb.connect()
    for statement in statements.split(";"):
        if '"trip"' in statement:
            connection.execute(statement)
    checked(connection.execute("SELECT trip_id, seats, note, fee, zone FROM trip").fetchall())


def test_pyarrow_reads_both_as_the_document_says(lake, tmp_path, monkeypatch):
    (block,) = blocks("python", documents=[DOCS / "schema-change.md"])
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "demo-lake").symlink_to(lake)
    monkeypatch.chdir(tmp_path)
    table = evaluate(block)
    assert table.schema.field("seats").type == pyarrow.int64()
    names = ["trip_id", "seats", "note", "fee", "zone"]
    checked(zip(*(table.column(name).to_pylist() for name in names), strict=True))


def test_each_file_names_its_version(lake):
    found = pyarrow.dataset.dataset(lake / "trip", format="parquet", partitioning="hive")
    versions = {
        fragment.metadata.metadata[b"tripline.schema_version"]: fragment.physical_schema.names
        for fragment in found.get_fragments()
    }
    assert versions == {b"1": ["trip_id", "at", "seats", "note"], b"2": ["trip_id", "at", "seats", "fee", "zone"]}
