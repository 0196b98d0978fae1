"""Indexing throughput: `tripline run` beside a plain Python loop over opensearch-py's helpers.bulk, one server.

Both read the same JSON lines of real trips (the shipped sample, repeated with ids of their own), look the borough up,
and index with the trip's id. Rounds alternate, the index is made anew before each, and the count is compared after
it. What is printed are ratios within a round; the absolute numbers are this machine's.

    make bench-search [TRIPS=100000 ROUNDS=3]
"""

import argparse
import csv
import json
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from benches import measure, report

REPOSITORY = Path(__file__).resolve().parents[2]
TAXI = REPOSITORY / "pipelines/taxi"
INDEX = "bench"
OURS, THEIRS = "tripline", "helpers.bulk"


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


def run_tripline(arguments, folder, path):
    lake = tempfile.mkdtemp(dir=folder)
    command = [arguments.tripline, "run", "--pipeline", folder / "pipeline", "--lake", lake]
    command += ["--input", path, "--opensearch", arguments.url]
    return measure.measure(command, {"TRIPLINE_SINKS": "search", "TRIPLINE_OPENSEARCH_GZIP": "false"})


def run_python(arguments, _folder, path):
    return measure.measure([sys.executable, "-m", "benches.opensearch.compare", "--loop", path, "--url", arguments.url])


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


CONTENDERS = {OURS: run_tripline, THEIRS: run_python}


def play(arguments, folder, path):
    """One round: what each contender cost."""
    mappings = {"properties": {"pickup_datetime": {"type": "date"}, "dropoff_datetime": {"type": "date"}}}
    costs = {}
    for name, run in CONTENDERS.items():
        index_anew(arguments.url, mappings)
        costs[name] = run(arguments, folder, path)
        found = count(arguments.url)
        if found != arguments.trips:
            sys.exit(f"{name}: {found} documents where {arguments.trips} were sent")
    return costs


def show(rounds, trips):
    """The table of a report."""
    walls = report.ratios([{name: cost.wall_s for name, cost in costs.items()} for costs in rounds], OURS)
    cpus = report.ratios([{name: cost.cpu_s for name, cost in costs.items()} for costs in rounds], OURS)
    rows = []
    for name in CONTENDERS:
        costs = [costs[name] for costs in rounds]
        speed = report.Spread.of([trips / cost.wall_s for cost in costs])
        cpu = report.Spread.of([cost.cpu_s / trips * 1e6 for cost in costs])
        rows.append([name, speed.show(0), walls[name].show(2), cpu.show(), cpus[name].show(), str(len(costs))])
    columns = {"client": str, "documents/s": float, "time, times ours": float}
    return report.table(columns | {"CPU us/document": float, "CPU, times ours": float, "rounds": int}, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tripline", default="target/release/tripline")
    parser.add_argument("--url", default="http://127.0.0.1:9200")
    parser.add_argument("--trips", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--target", type=Path, default=REPOSITORY / "target/bench/search", help="where the report goes")
    parser.add_argument("--loop")
    arguments = parser.parse_args()
    if arguments.loop:
        loop(arguments.loop, arguments.url)
        return
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        path = make_input(folder, arguments.trips)
        pipeline(folder)
        rounds = []
        # A first round warms the server up and is not counted.
        for number in range(arguments.rounds + 1):
            costs = play(arguments, folder, path)
            if number > 0:
                rounds.append(costs)
                for name, cost in costs.items():
                    print(f"round {number}  {name:<14}{arguments.trips / cost.wall_s:>9,.0f} documents/s", flush=True)
    machine = report.machine()
    facts = f"{arguments.trips:,} documents. {report.facts(machine)}"
    data = {"machine": machine, "documents": arguments.trips, "rounds": rounds}
    report.save(arguments.target, f"{show(rounds, arguments.trips)}\n\n{facts}", data)


if __name__ == "__main__":
    main()
