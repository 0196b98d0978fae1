"""Compares published Parquet with the JSON lines it was made of: each trip once, in its folder, with all its values.

python -m benches.peers.check TRIPS.ndjson ZONES.json FOLDER      exit code 1, and what differs, if anything does
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
import pyarrow.parquet as pq

TIMES = ("pickup_datetime", "dropoff_datetime")
COLUMNS = {
    "vendor_id": pa.int32(), "pickup_datetime": pa.int64(), "dropoff_datetime": pa.int64(),
    "passenger_count": pa.int32(), "trip_distance": pa.float64(), "ratecode_id": pa.int32(),
    "store_and_fwd_flag": pa.string(), "pickup_location_id": pa.int32(), "dropoff_location_id": pa.int32(),
    "payment_type": pa.int32(), "fare_amount": pa.float64(), "extra": pa.float64(), "mta_tax": pa.float64(),
    "tip_amount": pa.float64(), "tolls_amount": pa.float64(), "improvement_surcharge": pa.float64(),
    "total_amount": pa.float64(), "trip_id": pa.int64(), "type": pa.string(),
}  # fmt: skip
LEVELS = {"borough": pa.string(), "year": pa.int32(), "month": pa.int32(), "day": pa.int32(), "hour": pa.int32()}
SCHEMA = pa.schema({**COLUMNS, **LEVELS})
MILLIS = pa.timestamp("ms")


def expected(lines: Path, zones: Path) -> pa.Table:
    """The trips as they were sent; times in milliseconds, and the folder each belongs to."""
    names = json.loads(zones.read_text())
    fields = pa.schema([(name, pa.string() if name in TIMES else kind) for name, kind in COLUMNS.items()])
    options = pj.ParseOptions(explicit_schema=fields, unexpected_field_behavior="error")
    table = pj.read_json(lines, parse_options=options)
    for name in TIMES:
        times = pc.cast(pc.cast(table[name], pa.timestamp("ms", "UTC")), MILLIS)
        table = table.set_column(table.column_names.index(name), name, times)
    picked_up = table["pickup_datetime"]
    columns = [table[name] for name in COLUMNS]
    columns.append(pc.take(pa.array(names), table["pickup_location_id"]))
    columns += [pc.cast(getattr(pc, level)(picked_up), pa.int32()) for level in list(LEVELS)[1:]]
    return pa.table([_plain(column, field.type) for column, field in zip(columns, SCHEMA)], schema=SCHEMA)


def found(root: Path) -> pa.Table:
    """What lies in the folders of `root`, in the same form."""
    parts = [_read(file, levels) for file, levels in files(root)]
    return pa.concat_tables(parts) if parts else SCHEMA.empty_table()


def files(root: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """Files that a reader of the layout `…/borough=…/year=…/…` opens, each with its levels."""
    for file in sorted(root.rglob("*")):
        inner = file.relative_to(root).parts
        if file.is_dir() or any(part.startswith((".", "_")) for part in inner) or file.stat().st_size == 0:
            continue
        yield file, dict(unquote(part).split("=", 1) for part in inner[:-1] if "=" in part)


def compare(want: pa.Table, got: pa.Table) -> list[str]:
    """What differs, in words; nothing where each trip is there once with all its values."""
    differences = []
    counts = pc.value_counts(got["trip_id"])
    doubled = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    missing = want["trip_id"].filter(pc.invert(pc.is_in(want["trip_id"], got["trip_id"])))
    foreign = got["trip_id"].filter(pc.invert(pc.is_in(got["trip_id"], want["trip_id"])))
    for what, ids in (("missing", missing), ("more than once", doubled), ("never sent", foreign)):
        if len(ids):
            differences.append(f"{len(ids)} trips are {what}, one of them {ids[0]}")
    if differences:
        return differences
    want, got = want.sort_by("trip_id"), got.sort_by("trip_id")
    for name in SCHEMA.names:
        equal = pc.fill_null(pc.equal(want[name], got[name]), False)
        either = pc.or_(equal, pc.and_(pc.is_null(want[name]), pc.is_null(got[name])))
        if not pc.all(either).as_py():
            row = pc.index(either, False).as_py()
            differences.append(
                f"trip {want['trip_id'][row]}: {name} is {got[name][row]} where {want[name][row]} was sent, "
                f"and so in {len(want) - pc.sum(either).as_py()} trips"
            )
    return differences


def _read(file: Path, levels: dict[str, str]) -> pa.Table:
    table = pq.read_table(file, partitioning=None)
    lacks = [name for name in COLUMNS if name not in table.column_names] + [
        name for name in LEVELS if name not in levels
    ]
    if lacks:
        sys.exit(f"{file}: no {', '.join(lacks)} in the file or its folders")
    columns = [_plain(table[name], kind) for name, kind in COLUMNS.items()]
    for name, kind in LEVELS.items():
        value = levels[name] if pa.types.is_string(kind) else int(levels[name])
        columns.append(pa.repeat(pa.scalar(value, kind), len(table)))
    return pa.table(columns, schema=SCHEMA)


def _plain(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Without dictionaries and units of time: readers see the same in either."""
    if pa.types.is_timestamp(column.type):
        column = pc.cast(column, pa.timestamp("ms", column.type.tz))
    return pc.cast(column, kind)


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    lines, zones, root = map(Path, sys.argv[1:])
    got = found(root)
    differences = compare(expected(lines, zones), got)
    opened = [file for file, _ in files(root)]
    size = sum(file.stat().st_size for file in opened)
    print(json.dumps({"rows": len(got), "files": len(opened), "parquet_bytes": size, "differences": differences}))
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
