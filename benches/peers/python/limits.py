"""What mature native code needs for each stage of the job, driven from Python on one thread: best of several.

limits.py LAMBDA_EVENT.json ZONES.json
"""

import base64
import gzip
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import plain
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
import pyarrow.parquet as pq
import simdjson

REPEATS = 7


def best(stage: Callable[[], object]) -> tuple[float, object]:
    """Seconds of processor time, and what the stage made."""
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        made = stage()
        times.append(time.process_time() - began)
    return min(times), made


def written(table: pa.Table, compression: str, level: int | None = None) -> int:
    """The size of the table as Parquet."""
    out = io.BytesIO()
    pq.write_table(table, out, compression=compression, compression_level=level)
    return out.tell()


def stages(event: bytes, zones: list[str]) -> tuple[int, dict[str, Callable[[], object]]]:
    """The number of records and, by name, the stages. Those that make bytes return how many."""
    encoded = [record["kinesis"]["data"] for record in orjson.loads(event)["Records"]]
    lines = [base64.b64decode(data) for data in encoded]
    trips = [orjson.loads(line) for line in lines]
    table = plain.to_table(trips, zones)
    rows = table.select(plain.SCHEMA.names)
    hours = pc.strftime(table["pickup_datetime"], "%Y%m%d%H")
    keys = pc.binary_join_element_wise(table["borough"], hours, "/")
    parts = [rows.filter(pc.equal(keys, key)) for key in pc.unique(keys)]
    text, body = b"".join(lines), plain.bulk_by_hand(trips, orjson.dumps)
    parser = simdjson.Parser()
    reading = pj.ReadOptions(use_threads=False, block_size=1 << 24)
    return len(lines), {
        "event: orjson": lambda: orjson.loads(event),
        "event: simdjson, no value read": lambda: parser.parse(event) and None,
        "base64": lambda: [base64.b64decode(data) for data in encoded],
        "trips: json": lambda: [json.loads(line) for line in lines],
        "trips: orjson": lambda: [orjson.loads(line) for line in lines],
        "trips: simdjson, no value read": lambda: [parser.parse(line) and None for line in lines],
        "trips to columns: pyarrow's reader": lambda: pj.read_json(pa.BufferReader(text), reading),
        "Parquet, one file: snappy": lambda: written(rows, "snappy"),
        "Parquet, one file: zstd 1": lambda: written(rows, "zstd", 1),
        f"Parquet, {len(parts)} files: snappy": lambda: sum(written(part, "snappy") for part in parts),
        f"Parquet, {len(parts)} files: zstd 1": lambda: sum(written(part, "zstd", 1) for part in parts),
        "bulk body: gzip 1": lambda: len(gzip.compress(body, 1)),
        "bulk body: gzip 6": lambda: len(gzip.compress(body, 6)),
    }


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    event, zones = map(Path, sys.argv[1:])
    records, todo = stages(event.read_bytes(), json.loads(zones.read_text()))
    print(f"{'stage':<40}{'us/record':>12}{'B/record':>12}")
    for name, stage in todo.items():
        seconds, made = best(stage)
        size = f"{made / records:.1f}" if isinstance(made, int) else ""
        print(f"{name:<40}{seconds / records * 1e6:>12.2f}{size:>12}")


if __name__ == "__main__":
    main()
