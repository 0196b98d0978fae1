"""Impressions and clicks, two tables of one stream: DuckDB joins them as their source says."""

import json
import subprocess
import sys

import duckdb
import pytest

from conftest import ROOT, audit, run

ADTECH = ROOT / "pipelines" / "adtech"
SAMPLE = ADTECH / "sample"


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    lake = tmp_path_factory.mktemp("adtech")
    run(lake, pipeline=ADTECH, source=SAMPLE)
    return lake


@pytest.fixture(scope="module")
def database(lake):
    """Views of both tables; times without their zone, as in the source."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for table in ("impressions", "clicks"):
        connection.execute(
            f"CREATE VIEW {table} AS SELECT * REPLACE (created_at::TIMESTAMP AS created_at) "
            f"FROM read_parquet('{lake}/{table}/**/*.parquet', hive_partitioning = true)"
        )
    return connection


@pytest.fixture(scope="module")
def events():
    """The source by event type."""
    events = [json.loads(line) for line in (SAMPLE / "events.jsonl").read_text().splitlines()]
    return {kind: [event for event in events if event["type"] == kind] for kind in ("impressions", "clicks")}


def test_the_sample_is_what_its_script_writes(tmp_path):
    (tmp_path / "sample").mkdir()
    for name in ("countries.csv", "sample/generate.py"):
        (tmp_path / name).write_bytes((ADTECH / name).read_bytes())
    subprocess.run([sys.executable, tmp_path / "sample" / "generate.py"], check=True)
    assert (tmp_path / "sample" / "events.jsonl").read_bytes() == (SAMPLE / "events.jsonl").read_bytes()


@pytest.mark.parametrize("table", ["impressions", "clicks"])
def test_every_column_of_every_event_is_as_in_the_source(database, events, table):
    members = [member for member in events[table][0] if member != "type"]
    columns = [f"strftime({name}, '%Y-%m-%d %H:%M:%S')" if name == "created_at" else name for name in members]
    rows = database.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
    assert sorted(rows) == sorted(tuple(event[member] for member in members) for event in events[table])


def test_clicks_join_with_the_impressions_that_they_were_made_on(database, events):
    joined = database.execute(
        "SELECT tracker, bid_id, country_code FROM clicks JOIN impressions ON correlation_id = bid_id"
    ).fetchall()
    shown = {event["bid_id"]: event for event in events["impressions"]}
    expected = [
        (click["tracker"], click["correlation_id"], shown[click["correlation_id"]]["country_code"])
        for click in events["clicks"]
        if click["correlation_id"] != "NA"
    ]
    assert len(expected) == 96
    assert sorted(joined) == sorted(expected)
    alone = "SELECT count(*) FROM clicks ANTI JOIN impressions ON correlation_id = bid_id"
    assert database.execute(alone).fetchone() == (24,)


def test_the_readme_s_query_gives_what_the_readme_shows(lake):
    text = (ROOT / "README.md").read_text()
    query = text.split("-- clicks by continent\n")[1].split("```")[0].replace("target/demo-lake", str(lake))
    shown = [line.split() for line in text.split("region  impressions  clicks\n")[1].split("```")[0].splitlines()]
    found = duckdb.execute(query).fetchall()
    assert [[str(value) for value in row] for row in found[: len(shown) - 1]] == shown[:-1]
    assert (shown[-1], len(found)) == (["…"], 7)


def test_regions_are_the_continents_of_a_join_with_the_table_of_countries(database):
    database.execute(
        f"CREATE OR REPLACE TABLE countries AS FROM read_csv('{ADTECH}/countries.csv', all_varchar = true, nullstr = '')"
    )
    wrong = database.execute(
        "SELECT count(*) FROM impressions JOIN countries USING (country_code) "
        "WHERE impressions.continent <> countries.continent OR region <> lower(replace(countries.continent, ' ', '-'))"
    )
    assert wrong.fetchone() == (0,)
    assert database.execute("SELECT count(*) FROM impressions SEMI JOIN countries USING (country_code)").fetchone() == (400,)


def test_partitions_are_the_days_of_the_events(database):
    for table in ("impressions", "clicks"):
        wrong = f"SELECT count(*) FROM {table} WHERE make_date(year::INT, month::INT, day::INT) <> created_at::DATE"
        assert database.execute(wrong).fetchone() == (0,)


def test_the_audit_proves_both_tables(lake):
    said = audit(lake, pipeline=ADTECH)
    assert "table impressions: 400 rows" in said and "table clicks: 120 rows" in said
