"""Looks at a lake on an S3 server while it is written, and compares it with its source in the end.

    watch.py BUCKET PREFIX BUCKET_FOLDER SOURCE_FOLDER

pyarrow looks, by way of S3, again and again until standard input ends: no trip may be there twice, and a file that
was there must stay as it was. Then DuckDB compares the server's files with the source, column by column. Exit code 1
and a line on standard error where something is wrong.
"""

import json
import os
import select
import sys

import duckdb
import pyarrow.fs
import pyarrow.parquet

import trips

# Between two looks: often enough to see most commits' files appear one by one.
PAUSE_SECONDS = 0.05


class Watch:
    """What has been seen of a table so far. Files never change, so that a look reads only those that are new."""

    def __init__(self, filesystem, root):
        self.filesystem, self.root = filesystem, root
        self.sizes, self.file_of, self.looks = {}, {}, 0

    def look(self):
        selector = pyarrow.fs.FileSelector(self.root, recursive=True, allow_not_found=True)
        infos = self.filesystem.get_file_info(selector)
        sizes = {info.path: info.size for info in infos if info.path.endswith(".parquet")}
        for path, size in self.sizes.items():
            if sizes.get(path) != size:
                fail(f"{path} had {size} bytes and now has {sizes.get(path, 'gone')}")
        for path in sorted(sizes.keys() - self.sizes.keys()):
            table = pyarrow.parquet.read_table(path, columns=["trip_id"], filesystem=self.filesystem)
            ids = table["trip_id"].to_pylist()
            for trip in ids:
                first = self.file_of.setdefault(trip, path)
                if first != path:
                    fail(f"trip {trip} is in {first} and in {path}")
            if len(set(ids)) != len(ids):
                fail(f"{path} has a trip twice")
        self.sizes = sizes
        self.looks += 1


def fail(message):
    print(f"watch: {message}", file=sys.stderr)
    sys.exit(1)


def input_has_ended(seconds):
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready) and not sys.stdin.read(1)


def compare(lake, source):
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    database.execute(f"CREATE TABLE source AS {trips.source(source)}")
    trips.create_trips(database, trips.parquet(lake))
    for table, rows in trips.differences(database).items():
        if rows:
            fail(f"{len(rows)} rows are only in {table}, as {rows[0]}")
    rows, distinct = database.execute("SELECT count(*), count(DISTINCT trip_id) FROM trips").fetchone()
    if rows != distinct:
        fail(f"{rows} rows are {distinct} trips")
    return rows


def main(bucket, prefix, folder, source):
    scheme, _, server = os.environ["TRIPLINE_S3_ENDPOINT"].partition("://")
    filesystem = pyarrow.fs.S3FileSystem(
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        region=os.environ["AWS_REGION"],
        scheme=scheme,
        endpoint_override=server,
    )
    watch = Watch(filesystem, f"{bucket}/{prefix}/trip")
    watch.look()
    while not input_has_ended(PAUSE_SECONDS):
        watch.look()
    watch.look()
    rows = compare(f"{folder}/{prefix}", source)
    if rows != len(watch.file_of):
        fail(f"DuckDB finds {rows} trips, pyarrow {len(watch.file_of)}")
    print(json.dumps({"looks": watch.looks, "files": len(watch.sizes), "rows": rows}))


main(*sys.argv[1:])
