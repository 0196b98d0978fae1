"""Polars: orjson takes the event apart, Polars parses the trips, writes Parquet and builds the bulk body."""

import base64
import uuid

import harness
import orjson
import polars as pl

TIMES = ("pickup_datetime", "dropoff_datetime")
SCHEMA = {
    "vendor_id": pl.Int32,
    "pickup_datetime": pl.String,
    "dropoff_datetime": pl.String,
    "passenger_count": pl.Int32,
    "trip_distance": pl.Float64,
    "ratecode_id": pl.Int32,
    "store_and_fwd_flag": pl.String,
    "pickup_location_id": pl.Int32,
    "dropoff_location_id": pl.Int32,
    "payment_type": pl.Int32,
    "fare_amount": pl.Float64,
    "extra": pl.Float64,
    "mta_tax": pl.Float64,
    "tip_amount": pl.Float64,
    "tolls_amount": pl.Float64,
    "improvement_surcharge": pl.Float64,
    "total_amount": pl.Float64,
    "trip_id": pl.Int64,
    "type": pl.String,
}


def bulk(trips, lines):
    """Each document as it came, behind its action."""
    documents = pl.Series("document", lines).cast(pl.String)
    body = trips.select(
        pl.concat_str(
            [
                pl.lit('{"index":{"_index":"'),
                "type",
                pl.lit('","_id":"'),
                pl.col("trip_id").cast(pl.String),
                pl.lit('"}}\n'),
                documents,
            ]
        )
    )
    return "".join(body.to_series()).encode()


def write_parquet(trips, zones, out):
    times = [pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ", time_unit="ms", time_zone="UTC") for name in TIMES]
    picked_up = pl.col("pickup_datetime").dt
    levels = {level: getattr(picked_up, level)() for level in harness.LEVELS[1:]}
    table = trips.with_columns(times).join(zones, on="pickup_location_id", how="left").with_columns(**levels)
    for key, part in table.partition_by(harness.LEVELS, as_dict=True, include_key=False).items():
        folder = out.joinpath(*(f"{level}={value}" for level, value in zip(harness.LEVELS, key)))
        folder.mkdir(parents=True, exist_ok=True)
        part.write_parquet(folder / f"{uuid.uuid4().hex}.parquet", compression="snappy")


def main():
    given = harness.arguments(__doc__).parse_args()
    names = harness.zones(given)
    zones = pl.DataFrame(
        {"pickup_location_id": range(len(names)), harness.LEVELS[0]: names},
        schema={"pickup_location_id": pl.Int32, harness.LEVELS[0]: pl.String},
    )

    def handle(event):
        lines = [base64.b64decode(record["kinesis"]["data"]) for record in orjson.loads(event)["Records"]]
        trips = pl.read_ndjson(b"".join(lines), schema=SCHEMA)
        write_parquet(trips, zones, given.out)
        return len(lines), len(bulk(trips, lines))

    harness.run(given, handle)


if __name__ == "__main__":
    main()
