"""Indexing throughput: `tripline run` beside a plain Python loop over opensearch-py's helpers.bulk, one server.

Both read the same JSON lines of real trips (the shipped sample, repeated with ids of their own), look the borough up,
and index with the trip's id. Rounds alternate, the index is made anew before each, and the count is compared after
it. What is printed are ratios of one run; the absolute numbers are this machine's.

    make bench-search [TRIPS=100000 ROUNDS=3]
"""

import argparse
import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TAXI = REPOSITORY / "pipelines/taxi"
INDEX = "bench"


def request(url, method, path, body=None):
    data = json.dumps(body).encode() if body is not None else None
    headers = {"content-type": "application/json"}
    call = urllib.request.Request(url + path, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(call, timeout=120) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return {}


def index_anew(url, mappings):
    request(url, "DELETE", f"/{INDEX}")
    settings = {"number_of_shards": 1, "number_of_replicas": 0}
    request(url, "PUT", f"/{INDEX}", {"settings": settings, "mappings": mappings})


def count(url):
    request(url, "POST", f"/{INDEX}/_refresh")
    return request(url, "GET", f"/{INDEX}/_count")["count"]


# Columns of the TLC's yellow trips, as the replay of its records names and types them.
COLUMNS = {
    "VendorID": ("vendor_id", int),
    "tpep_pickup_datetime": ("pickup_datetime", lambda text: text.replace(" ", "T") + ".000Z"),
    "tpep_dropoff_datetime": ("dropoff_datetime", lambda text: text.replace(" ", "T") + ".000Z"),
    "passenger_count": ("passenger_count", int),
    "trip_distance": ("trip_distance", float),
    "RatecodeID": ("ratecode_id", int),
    "store_and_fwd_flag": ("store_and_fwd_flag", str),
    "PULocationID": ("pickup_location_id", int),
    "DOLocationID": ("dropoff_location_id", int),
    "payment_type": ("payment_type", int),
    "fare_amount": ("fare_amount", float),
    "extra": ("extra", float),
    "mta_tax": ("mta_tax", float),
    "tip_amount": ("tip_amount", float),
    "tolls_amount": ("tolls_amount", float),
    "improvement_surcharge": ("improvement_surcharge", float),
    "total_amount": ("total_amount", float),
}


def make_input(folder, trips):
    """Real trips as the records of a stream, each under an id of its own."""
    with next((TAXI / "sample").glob("yellow*.csv")).open() as rows:
        records = [
            {name: read(row[column]) for column, (name, read) in COLUMNS.items() if row.get(column)}
            for row in csv.DictReader(rows)
        ]
    path = folder / "trips.jsonl"
    with path.open("w") as out:
        for number in range(trips):
            record = dict(records[number % len(records)], trip_id=number, type="trip")
            out.write(json.dumps(record, separators=(",", ":")) + "\n")
    return path


def pipeline(folder):
    """The taxi pipeline, with one index."""
    target = folder / "pipeline"
    target.mkdir()
    text = (TAXI / "pipeline.toml").read_text()
    text = text.replace('index = "trips-{pickup_datetime|yyyy}"', f'index = "{INDEX}"')
    text = text.replace('allow = ["trips-20*"]', "").replace('version = "position"', 'version = "none"')
    (target / "pipeline.toml").write_text(text)
    (target / "taxi_zone_lookup.csv").write_bytes((TAXI / "taxi_zone_lookup.csv").read_bytes())
    return target


def run_tripline(arguments, folder, path, url):
    lake = tempfile.mkdtemp(dir=folder)
    environment = dict(os.environ, TRIPLINE_SINKS="search", TRIPLINE_OPENSEARCH_GZIP="false")
    command = [arguments.tripline, "run", "--pipeline", folder / "pipeline", "--lake", lake]
    command += ["--input", path, "--opensearch", url]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def run_python(_arguments, _folder, path, url):
    subprocess.run([sys.executable, __file__, "--loop", path, "--url", url], check=True)


def loop(path, url):
    """What one writes in an afternoon."""
    from opensearchpy import OpenSearch, helpers

    with (TAXI / "taxi_zone_lookup.csv").open() as zones:
        boroughs = {row["LocationID"]: row["Borough"] for row in csv.DictReader(zones)}
    client = OpenSearch(url, timeout=60)

    def actions():
        with open(path) as lines:
            for line in lines:
                trip = json.loads(line)
                trip["borough"] = boroughs.get(str(trip.get("pickup_location_id")), "Unknown")
                yield {"_index": INDEX, "_id": trip["trip_id"], "_source": trip}

    helpers.bulk(client, actions(), chunk_size=1000)


def timed(run, *arguments):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    run(*arguments)
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tripline", default="target/release/tripline")
    parser.add_argument("--url", default="http://127.0.0.1:9200")
    parser.add_argument("--trips", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop")
    arguments = parser.parse_args()
    if arguments.loop:
        loop(arguments.loop, arguments.url)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = make_input(folder, arguments.trips)
        pipeline(folder)
        mappings = {"properties": {"pickup_datetime": {"type": "date"}, "dropoff_datetime": {"type": "date"}}}
        contenders = {"tripline": run_tripline, "helpers.bulk": run_python}
        seen = {name: [] for name in contenders}
        # A first round warms the server up and is not counted.
        for number in range(arguments.rounds + 1):
            for name, run in contenders.items():
                index_anew(arguments.url, mappings)
                wall, cpu = timed(run, arguments, folder, path, arguments.url)
                found = count(arguments.url)
                if found != arguments.trips:
                    sys.exit(f"{name}: {found} documents where {arguments.trips} were sent")
                if number > 0:
                    seen[name].append((wall, cpu))
                    print(f"round {number}  {name:<14}{arguments.trips / wall:>9,.0f} documents/s  client {cpu:6.2f} CPU s")
        wall = {name: statistics.median(wall for wall, _ in rounds) for name, rounds in seen.items()}
        cpu = {name: statistics.median(cpu for _, cpu in rounds) for name, rounds in seen.items()}
        print(f"throughput, tripline to helpers.bulk: {wall['helpers.bulk'] / wall['tripline']:.2f}")
        print(f"client CPU, helpers.bulk to tripline: {cpu['helpers.bulk'] / cpu['tripline']:.1f}")


if __name__ == "__main__":
    main()
