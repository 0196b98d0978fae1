"""6,500 real trips in, 6,500 rows out: as DuckDB and pyarrow see the published files."""

import duckdb
import pyarrow.dataset
import pytest

from conftest import SAMPLE, TAXI, audit, run
from trips import create_trips, differences, parquet, source

TRIPS = 6_500


@pytest.fixture
def database():
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"CREATE TABLE source AS {source(SAMPLE)}")
    connection.execute(
        f"CREATE TABLE zones AS SELECT LocationID::INT AS id, Borough AS borough "
        f"FROM read_csv('{TAXI}/taxi_zone_lookup.csv', all_varchar = true)"
    )
    return connection


def read_trips(database, lake):
    create_trips(database, parquet(lake))


def assert_trips_are_the_source(database):
    assert database.execute("SELECT count(*), count(DISTINCT trip_id) FROM trips").fetchone() == (TRIPS, TRIPS)
    for table, rows in differences(database).items():
        assert rows == [], f"only in {table}"


def assert_boroughs_are_a_join_with_the_zones(database):
    expected = database.execute(
        "SELECT coalesce(borough, 'Unknown'), count(*) FROM source LEFT JOIN zones ON pickup_location_id = id "
        "GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert len(expected) >= 6
    assert database.execute("SELECT borough, count(*) FROM trips GROUP BY 1 ORDER BY 1").fetchall() == expected
    slugs = dict(database.execute("SELECT DISTINCT borough, pickup_borough FROM trips").fetchall())
    wanted = {
        "Manhattan": "manhattan", "Queens": "queens", "Brooklyn": "brooklyn", "Bronx": "bronx",
        "Staten Island": "staten-island", "EWR": "ewr", "Unknown": "unknown", "N/A": "outside-nyc",
    }
    assert slugs == {borough: wanted[borough] for borough in slugs}


def test_every_column_of_every_trip_is_as_in_the_source(database, folder_lake):
    read_trips(database, folder_lake)
    assert_trips_are_the_source(database)


def test_boroughs_are_those_of_a_join_with_the_zone_table(database, folder_lake):
    read_trips(database, folder_lake)
    assert_boroughs_are_a_join_with_the_zones(database)


def test_partitions_are_borough_and_hour_of_pickup(database, folder_lake):
    read_trips(database, folder_lake)
    wrong = database.execute(
        "SELECT count(*) FROM trips WHERE year::INT <> year(pickup_datetime) OR month::INT <> month(pickup_datetime) "
        "OR day::INT <> day(pickup_datetime) OR hour::INT <> hour(pickup_datetime)"
    ).fetchone()
    assert wrong == (0,)


def test_pyarrow_opens_the_same_dataset(folder_lake):
    dataset = pyarrow.dataset.dataset(folder_lake / "trip", partitioning="hive")
    assert dataset.count_rows() == TRIPS
    queens = dataset.to_table(columns=["borough"], filter=pyarrow.dataset.field("pickup_borough") == "queens")
    assert set(queens["borough"].to_pylist()) == {"Queens"}
    for fragment in dataset.get_fragments():
        times = fragment.to_table(columns=["pickup_datetime"])["pickup_datetime"].to_pylist()
        assert times == sorted(times), fragment.path


def test_the_audit_proves_the_lake(folder_lake):
    assert "exactly once" in audit(folder_lake)


def test_a_second_run_adds_nothing_and_says_so(database, folder_lake):
    before = sorted(folder_lake.rglob("*.parquet"))
    assert "nothing new" in run(folder_lake)
    assert sorted(folder_lake.rglob("*.parquet")) == before
    audit(folder_lake)


def test_a_file_that_has_grown_goes_on_where_it_ended(database, daily, tmp_path):
    lines = (SAMPLE / "yellow_tripdata_2019-03_sample.csv").read_text().splitlines(keepends=True)
    growing, lake = tmp_path / "yellow_tripdata_growing.csv", tmp_path / "lake"
    for rows in (1_000, 1_000, 2_500):
        growing.write_text("".join(lines[: rows + 1]))
        run(lake, pipeline=daily, source=growing)
    read_trips(database, lake)
    assert database.execute("SELECT count(*), count(DISTINCT trip_id) FROM trips").fetchone() == (2_500, 2_500)
    audit(lake, pipeline=daily)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_fault_drill_ends_with_the_same_trips(database, daily, tmp_path, seed):
    lake = tmp_path / "lake"
    # Colour by colour, so that one commit follows another.
    for source in sorted(SAMPLE.glob("*.csv")):
        out = run(lake, "--batch-size", 400, "--seed-faults", seed, pipeline=daily, source=source)
        assert "deaths on purpose" in out
    read_trips(database, lake)
    assert_trips_are_the_source(database)
    audit(lake, pipeline=daily)


def test_json_lines_hold_the_same_trips(database, daily, folder_lake, tmp_path):
    lake = tmp_path / "lake"
    run(lake, "--format", "json", pipeline=daily)
    # Nulls are left out of JSON lines, so the reader is told the columns: those of the Parquet files.
    # (Left to guess, DuckDB misses columns that are always null; with `union_by_name` it takes 32 MiB a file.)
    described = database.execute(f"DESCRIBE FROM read_parquet('{folder_lake}/trip/**/*.parquet')").fetchall()
    columns = ", ".join(f"{name}: '{kind}'" for name, kind, *_ in described)
    create_trips(database, f"read_json('{lake}/trip/**/*.json.gz', hive_partitioning = true, columns = {{{columns}}})")
    assert_trips_are_the_source(database)
    audit(lake, pipeline=daily)


def test_the_same_trips_on_a_real_s3_server(database, daily, s3_server):
    lake = "s3://trips/lakes/taxi"
    run(lake, pipeline=daily, **s3_server.environment)
    read_trips(database, s3_server.folder / "lakes" / "taxi")
    assert_trips_are_the_source(database)
    assert_boroughs_are_a_join_with_the_zones(database)
    audit(lake, pipeline=daily, **s3_server.environment)
    assert "nothing new" in run(lake, pipeline=daily, **s3_server.environment)
