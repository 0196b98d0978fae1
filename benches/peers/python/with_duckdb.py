"""DuckDB: all of it in SQL, one event after the other."""

import json

import duckdb
import harness

COLUMNS = {
    "vendor_id": "INTEGER",
    "pickup_datetime": "TIMESTAMP",
    "dropoff_datetime": "TIMESTAMP",
    "passenger_count": "INTEGER",
    "trip_distance": "DOUBLE",
    "ratecode_id": "INTEGER",
    "store_and_fwd_flag": "VARCHAR",
    "pickup_location_id": "INTEGER",
    "dropoff_location_id": "INTEGER",
    "payment_type": "INTEGER",
    "fare_amount": "DOUBLE",
    "extra": "DOUBLE",
    "mta_tax": "DOUBLE",
    "tip_amount": "DOUBLE",
    "tolls_amount": "DOUBLE",
    "improvement_surcharge": "DOUBLE",
    "total_amount": "DOUBLE",
    "trip_id": "BIGINT",
    "type": "VARCHAR",
}
READ = """
CREATE OR REPLACE TEMP TABLE batch AS
SELECT decode(from_base64(record.kinesis.data)) AS document FROM (
  SELECT unnest(Records) AS record FROM read_json('{file}', format = 'unstructured',
    maximum_object_size = 134217728, columns = {{Records: 'STRUCT(kinesis STRUCT(data VARCHAR))[]'}}))"""
WRITE = """
COPY (
  SELECT trip.*, zones.borough, year(pickup_datetime) AS year, month(pickup_datetime) AS month,
    day(pickup_datetime) AS day, hour(pickup_datetime) AS hour
  FROM (SELECT unnest(from_json(document, '{columns}')) FROM batch) trip
  LEFT JOIN zones ON zones.id = trip.pickup_location_id
) TO '{out}' (FORMAT parquet, COMPRESSION snappy, PARTITION_BY (borough, year, month, day, hour),
  OVERWRITE_OR_IGNORE, FILENAME_PATTERN '{name}-{{i}}')"""
BULK = """
SELECT count(*), string_agg('{"index":{"_index":"' || (document->>'type') || '","_id":"' || (document->>'trip_id')
  || '"}}' || chr(10) || rtrim(document, chr(10)), chr(10)) || chr(10) FROM batch"""


def main():
    given = harness.arguments(__doc__).parse_args()
    database = duckdb.connect(config={"threads": 1})
    database.execute("SET enable_progress_bar = false")
    database.execute("CREATE TABLE zones (id INTEGER, borough VARCHAR)")
    database.executemany("INSERT INTO zones VALUES (?, ?)", list(enumerate(harness.zones(given))))
    columns = json.dumps(COLUMNS)
    # SQL reads the event itself, so the event's text is handed over by its path.
    records = bulk_bytes = 0
    for file in sorted(given.events.glob("*.json")):
        database.execute(READ.format(file=file))
        database.execute(WRITE.format(columns=columns, out=given.out, name=file.stem))
        count, body = database.execute(BULK).fetchone()
        records, bulk_bytes = records + count, bulk_bytes + len(body.encode())
    print(json.dumps({"records": records, "bulk_bytes": bulk_bytes}))


if __name__ == "__main__":
    main()
