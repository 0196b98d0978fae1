"""Queries in the documents: run by DuckDB over lakes of the samples, and read by a parser of Athena's SQL."""

import json
import re
import shutil

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from conftest import ROOT, TAXI, run, tripline
from documents import DOCS, blocks, evaluate

ADTECH = ROOT / "pipelines" / "adtech"
ATHENA = [DOCS / "athena.md", ROOT / "infra" / "README.md"]


def in_athena():
    """Queries that are for Athena."""
    return [block for block in blocks("sql", documents=ATHENA) if not block.text.startswith("-- DuckDB")]


def in_duckdb():
    """Queries that are for DuckDB, as they stand."""
    return [block for block in blocks("sql") if block not in in_athena()]


@pytest.fixture(scope="module")
def desk(tmp_path_factory, daily):
    """A folder with the lakes that the documents name: the demos', and one of the sample events."""
    desk = tmp_path_factory.mktemp("queries")
    demo = desk / "target" / "demo-lake"
    run(demo, pipeline=daily)
    run(desk / "adtech", pipeline=ADTECH, source=ADTECH / "sample")
    for table in ("impressions", "clicks"):
        shutil.copytree(desk / "adtech" / table, demo / table)
    for events in ("kinesis-trips", "kinesis-poison", "kinesis-late"):
        run(desk / "lake", source=ROOT / "events" / f"{events}.json")
    return desk


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Views of the tables of a lake whose late rows were diverted, with `"$path"` as Athena has it."""
    folder = tmp_path_factory.mktemp("athena")
    pipeline, lake = folder / "pipeline", folder / "lake"
    shutil.copytree(TAXI, pipeline, ignore=shutil.ignore_patterns("sample"))
    file = pipeline / "pipeline.toml"
    text, key = file.read_text(), "[event_time]\n"
    assert text.count(key) == 1
    file.write_text(re.sub(r'^late = .*\n', "", text, flags=re.MULTILINE).replace(key, key + 'late = "divert"\n'))
    # First those whose watermark the others are behind.
    for events in ("kinesis-late", "kinesis-trips", "kinesis-poison"):
        run(lake, pipeline=pipeline, source=ROOT / "events" / f"{events}.json")
    views = tripline("ddl", "--pipeline", pipeline, "--lake", lake, "--dialect", "duckdb")
    assert views.count("hive_partitioning = true") == 3
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(views.replace("hive_partitioning = true", "hive_partitioning = true, filename = '$path'"))
    return connection


@pytest.mark.parametrize("block", in_athena(), ids=lambda block: block.place)
def test_a_query_for_athena_is_its_sql_and_finds_rows_in_duckdb_too(block, tables):
    [query] = sqlglot.parse(block.text, dialect="athena")
    assert isinstance(query, exp.Select), block.place
    # The runbook's month is an example.
    text = block.text.replace("year = 2026 AND month = 11", "true")
    # A count of nothing is a row as well.
    found = tables.execute(f"SELECT count(*) FROM ({text}) AS found WHERE found::VARCHAR NOT LIKE '{{%: 0}}'").fetchone()
    assert found > (0,), block.place


@pytest.mark.parametrize("block", in_duckdb(), ids=lambda block: block.place)
def test_a_query_for_duckdb_finds_rows_as_it_stands(block, desk, monkeypatch):
    monkeypatch.chdir(desk)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    assert connection.execute(block.text).fetchall(), block.place


def test_there_are_queries_of_both_kinds():
    assert len(in_athena()) >= 8
    assert len(in_duckdb()) >= 4


def test_hours_beside_their_marks_have_what_was_announced(desk, monkeypatch):
    monkeypatch.chdir(desk)
    [query] = [block.text for block in in_duckdb() if "_SUCCESS" in block.text]
    rows = duckdb.connect().execute(query).fetchall()
    complete = [row for row in rows if row[1] is not None]
    assert complete and len(complete) < len(rows), "the trip of the year 2041 is in no complete hour"
    assert all(announced == there and files == files_there for _, announced, there, files, files_there, _ in complete)


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.place)
def test_python_finds_rows(block, desk, monkeypatch):
    monkeypatch.chdir(desk)
    found = evaluate(block)
    assert (found if isinstance(found, int) else len(found)) > 0, block.place


@pytest.mark.parametrize("pipeline", [TAXI, ADTECH], ids=lambda pipeline: pipeline.name)
@pytest.mark.parametrize("form", ["parquet", "json"])
def test_tables_for_athena_are_its_sql_with_the_columns_of_the_pipeline(pipeline, form):
    lake = "s3://trips/lake"
    statements = tripline("ddl", "--pipeline", pipeline, "--lake", lake, "--database", "taxi", "--format", form)
    parsed = [statement for statement in sqlglot.parse(statements, dialect="athena") if statement is not None]
    wanted = json.loads(tripline("ddl", "--pipeline", pipeline, "--dialect", "glue-json"))
    assert len(parsed) == len(wanted)
    for statement in parsed:
        assert isinstance(statement, exp.Create) and statement.args["kind"] == "TABLE"
        table = wanted[statement.find(exp.Table).name]
        properties = {type(one) for one in statement.args["properties"].expressions}
        assert {exp.ExternalProperty, exp.PartitionedByProperty, exp.LocationProperty} <= properties
        levels = statement.find(exp.PartitionedByProperty)
        names = [column.name for column in statement.find_all(exp.ColumnDef)]
        assert [column.name for column in levels.find_all(exp.ColumnDef)] == [one["name"] for one in table["partitions"]]
        assert names == [one["name"] for one in table["columns"] + table["partitions"]]
        [location] = [one.this.this for one in statement.find_all(exp.LocationProperty)]
        assert location.startswith(f"{lake}/")
