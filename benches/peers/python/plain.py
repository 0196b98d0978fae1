"""What a team writes: base64 and json, a pyarrow table, Parquet by borough and hour of pick-up, and the bulk body.

With `--json orjson` a faster parser; with `--bulk opensearch-py` the client's own helpers build the body.
"""

import base64
import json
import uuid

import harness
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

SCHEMA = pa.schema(
    [
        ("vendor_id", pa.int32()),
        ("pickup_datetime", pa.timestamp("ms", "UTC")),
        ("dropoff_datetime", pa.timestamp("ms", "UTC")),
        ("passenger_count", pa.int32()),
        ("trip_distance", pa.float64()),
        ("ratecode_id", pa.int32()),
        ("store_and_fwd_flag", pa.string()),
        ("pickup_location_id", pa.int32()),
        ("dropoff_location_id", pa.int32()),
        ("payment_type", pa.int32()),
        ("fare_amount", pa.float64()),
        ("extra", pa.float64()),
        ("mta_tax", pa.float64()),
        ("tip_amount", pa.float64()),
        ("tolls_amount", pa.float64()),
        ("improvement_surcharge", pa.float64()),
        ("total_amount", pa.float64()),
        ("trip_id", pa.int64()),
        ("type", pa.string()),
    ]
)
TIMES = pa.schema([(level, pa.int32()) for level in harness.LEVELS[1:]])
FOLDERS = ds.partitioning(pa.schema([(harness.LEVELS[0], pa.string()), *TIMES]), flavor="hive")


def to_table(trips, zones):
    columns = []
    for field in SCHEMA:
        values = [trip.get(field.name) for trip in trips]
        if pa.types.is_timestamp(field.type):
            columns.append(pc.cast(pa.array(values, pa.string()), field.type))
        else:
            columns.append(pa.array(values, field.type))
    table = pa.Table.from_arrays(columns, schema=SCHEMA)
    table = table.append_column(harness.LEVELS[0], pa.array([zones[trip["pickup_location_id"]] for trip in trips]))
    for level in TIMES:
        table = table.append_column(level, pc.cast(getattr(pc, level.name)(table["pickup_datetime"]), level.type))
    return table


def write_parquet(table, out):
    parquet = ds.ParquetFileFormat()
    ds.write_dataset(
        table,
        out,
        format=parquet,
        file_options=parquet.make_write_options(compression="snappy"),
        partitioning=FOLDERS,
        basename_template=uuid.uuid4().hex + "-{i}.parquet",
        existing_data_behavior="overwrite_or_ignore",
    )


def bulk_by_hand(trips, dumps):
    lines = []
    for trip in trips:
        lines.append(dumps({"index": {"_index": trip["type"], "_id": str(trip["trip_id"])}}))
        lines.append(dumps(trip))
    return b"\n".join(lines) + b"\n"


def bulk_by_client(trips, _dumps):
    """As `helpers.bulk` does before it sends."""
    from opensearchpy.helpers.actions import _chunk_actions, expand_action
    from opensearchpy.serializer import JSONSerializer

    actions = (
        expand_action({"_op_type": "index", "_index": trip["type"], "_id": str(trip["trip_id"]), "_source": trip})
        for trip in trips
    )
    chunks = _chunk_actions(actions, 1 << 30, 100 << 20, JSONSerializer())
    return b"".join("\n".join(lines).encode() + b"\n" for _, lines in chunks)


def main():
    parser = harness.arguments(__doc__)
    parser.add_argument("--json", choices=("json", "orjson"), default="json")
    parser.add_argument("--bulk", choices=("by-hand", "opensearch-py"), default="by-hand")
    given = parser.parse_args()
    if given.json == "orjson":
        import orjson

        loads, dumps = orjson.loads, orjson.dumps
    else:
        loads, dumps = json.loads, lambda trip: json.dumps(trip, separators=(",", ":")).encode()
    bulk = bulk_by_client if given.bulk == "opensearch-py" else bulk_by_hand
    zones = harness.zones(given)

    def handle(event):
        trips = [loads(base64.b64decode(record["kinesis"]["data"])) for record in loads(event)["Records"]]
        write_parquet(to_table(trips, zones), given.out)
        return len(trips), len(bulk(trips, dumps))

    harness.run(given, handle)


if __name__ == "__main__":
    main()
