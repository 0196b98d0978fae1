"""The shipped real trips as a table, with the names and types that the taxi pipeline gives them."""

COLUMNS = """cab_type, vendor_id, pickup_datetime, dropoff_datetime, passenger_count, trip_distance, ratecode_id,
  store_and_fwd_flag, pickup_location_id, dropoff_location_id, payment_type, fare_amount, extra, mta_tax, tip_amount,
  tolls_amount, improvement_surcharge, total_amount, congestion_surcharge, ehail_fee, trip_type"""


def source(folder):
    """A query for the trips in the sample files of a folder. Columns that one colour lacks are null."""
    return f"""
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
  FROM read_csv('{folder}/yellow_tripdata_2019-03_sample.csv', all_varchar = true, nullstr = '')
  UNION ALL
  SELECT 'green', VendorID::INT, lpep_pickup_datetime::TIMESTAMP, lpep_dropoff_datetime::TIMESTAMP,
    passenger_count::INT, trip_distance::DOUBLE, RatecodeID::INT, store_and_fwd_flag, PULocationID::INT,
    DOLocationID::INT, payment_type::INT, fare_amount::DOUBLE, extra::DOUBLE, mta_tax::DOUBLE,
    tip_amount::DOUBLE, tolls_amount::DOUBLE, improvement_surcharge::DOUBLE, total_amount::DOUBLE,
    congestion_surcharge::DOUBLE, ehail_fee::DOUBLE, trip_type::DOUBLE::INT
  FROM read_csv('{folder}/green_tripdata_2019-03_sample.csv', all_varchar = true, nullstr = '')
"""


def create_trips(database, files):
    """A table `trips` of what `files`, a table function, reads; times without their zone, as in the source."""
    database.execute(
        "CREATE OR REPLACE TABLE trips AS SELECT * REPLACE (pickup_datetime::TIMESTAMP AS pickup_datetime, "
        f"dropoff_datetime::TIMESTAMP AS dropoff_datetime) FROM {files}"
    )


def parquet(lake):
    """The trips of a lake in a folder, as a table function."""
    return f"read_parquet('{lake}/trip/**/*.parquet', hive_partitioning = true, union_by_name = true)"


def differences(database):
    """Rows that one of the tables `source` and `trips` has and the other has not, by the table that has them."""
    return {
        one: database.execute(f"SELECT {COLUMNS} FROM {one} EXCEPT ALL SELECT {COLUMNS} FROM {other}").fetchall()
        for one, other in [("source", "trips"), ("trips", "source")]
    }
