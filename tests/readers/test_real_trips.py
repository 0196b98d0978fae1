"""6,500 real trips in, 6,500 rows out: as DuckDB and pyarrow see the published files."""

import duckdb
import pyarrow.dataset
import pytest

from conftest import SAMPLE, TAXI, audit, run

TRIPS = 6_500

# The source as the taxi pipeline names it. Columns that one colour lacks are null.
SOURCE = f"""
  SELECT 'yellow' AS cab_type, VendorID::INT AS vendor_id,
    tpep_pickup_datetime::TIMESTAMP AS pickup_datetime, tpep_dropoff_datetime::TIMESTAMP AS dropoff_datetime,
    passenger_count::INT AS passenger_count, trip_distance::DOUBLE AS trip_distance,
    RatecodeID::INT AS ratecode_id, store_and_fwd_flag, PULocationID::INT AS pickup_location_id,
    DOLocationID::INT AS dropoff_location_id, payment_type::INT AS payment_type,
    fare_amount::DOUBLE AS fare_amount, extra::DOUBLE AS extra, mta_tax::DOUBLE AS mta_tax,
    tip_amount::DOUBLE AS tip_amount, tolls_amount::DOUBLE AS tolls_amount,
    improvement_surcharge::DOUBLE AS improvement_surcharge, total_amount::DOUBLE AS total_amount,
    congestion_surcharge::DOUBLE AS congestion_surcharge,
    NULL::DOUBLE AS ehail_fee, NULL::INT AS trip_type
  FROM read_csv('{SAMPLE}/yellow_tripdata_2019-03_sample.csv', all_varchar = true, nullstr = '')
  UNION ALL
  SELECT 'green', VendorID::INT, lpep_pickup_datetime::TIMESTAMP, lpep_dropoff_datetime::TIMESTAMP,
    passenger_count::INT, trip_distance::DOUBLE, RatecodeID::INT, store_and_fwd_flag, PULocationID::INT,
    DOLocationID::INT, payment_type::INT, fare_amount::DOUBLE, extra::DOUBLE, mta_tax::DOUBLE,
    tip_amount::DOUBLE, tolls_amount::DOUBLE, improvement_surcharge::DOUBLE, total_amount::DOUBLE,
    congestion_surcharge::DOUBLE, ehail_fee::DOUBLE, trip_type::DOUBLE::INT
  FROM read_csv('{SAMPLE}/green_tripdata_2019-03_sample.csv', all_varchar = true, nullstr = '')
"""

COLUMNS = """cab_type, vendor_id, pickup_datetime, dropoff_datetime, passenger_count, trip_distance, ratecode_id,
  store_and_fwd_flag, pickup_location_id, dropoff_location_id, payment_type, fare_amount, extra, mta_tax, tip_amount,
  tolls_amount, improvement_surcharge, total_amount, congestion_surcharge, ehail_fee, trip_type"""


@pytest.fixture
def database():
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"CREATE TABLE source AS {SOURCE}")
    connection.execute(
        f"CREATE TABLE zones AS SELECT LocationID::INT AS id, Borough AS borough "
        f"FROM read_csv('{TAXI}/taxi_zone_lookup.csv', all_varchar = true)"
    )
    return connection


def read_trips(database, lake):
    read_files(database, f"read_parquet('{lake}/trip/**/*.parquet', hive_partitioning = true, union_by_name = true)")


def read_files(database, files):
    database.execute(
        "CREATE OR REPLACE TABLE trips AS SELECT * REPLACE (pickup_datetime::TIMESTAMP AS pickup_datetime, "
        f"dropoff_datetime::TIMESTAMP AS dropoff_datetime) FROM {files}"
    )


def assert_trips_are_the_source(database):
    assert database.execute("SELECT count(*), count(DISTINCT trip_id) FROM trips").fetchone() == (TRIPS, TRIPS)
    for one, other in [("source", "trips"), ("trips", "source")]:
        differing = database.execute(
            f"SELECT {COLUMNS} FROM {one} EXCEPT ALL SELECT {COLUMNS} FROM {other}"
        ).fetchall()
        assert differing == [], f"in {one} and not in {other}"


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
    read_files(database, f"read_json('{lake}/trip/**/*.json.gz', hive_partitioning = true, columns = {{{columns}}})")
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
