"""The peers' input: made-up taxi trips as full Lambda events of Kinesis, and the same trips as JSON lines.

Trips come in the order of their drop-off, 12,000 per hour of event time, with boroughs, distances and amounts spread
about as the TLC published them for 2018. The same arguments make the same bytes.

    python -m benches.peers.events --out FOLDER [--events 40] [--seed 1] [--lines-only]
"""

import argparse
import base64
import csv
import json
import math
import random
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path

ZONE_TABLE = Path(__file__).resolve().parents[2] / "pipelines/taxi/taxi_zone_lookup.csv"
START = datetime(2018, 1, 5, 8, tzinfo=timezone.utc)
PER_HOUR = 12_000
# A Lambda event of Kinesis is 6 MB at most, and has 10,000 records at most.
CAP_BYTES, CAP_RECORDS = 6_000_000, 10_000
ENVELOPE_BYTES = 545
# How many of a thousand trips start in each borough.
SHARES = {
    "yellow": {"Manhattan": 905, "Queens": 62, "Unknown": 16, "Brooklyn": 13, "Bronx": 2, "EWR": 1, "Staten Island": 1},
    "green": {
        "Brooklyn": 380,
        "Manhattan": 330,
        "Queens": 210,
        "Bronx": 70,
        "Unknown": 6,
        "EWR": 2,
        "Staten Island": 2,
    },
}


def boroughs() -> list[str]:
    """The borough of each TLC zone, by its id; zone 0 there is none."""
    with ZONE_TABLE.open() as file:
        rows = {int(row["LocationID"]): row["Borough"] for row in csv.DictReader(file)}
    names = ["Unknown"] + [rows[zone] for zone in range(1, max(rows) + 1)]
    return ["Unknown" if name == "N/A" else name for name in names]


def iso(millis: int) -> str:
    moment = datetime.fromtimestamp(millis / 1000, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{millis % 1000:03d}Z"


def number(value: float) -> float | int:
    return int(value) if value == int(value) else value


def trips(seed: int = 1) -> Iterator[str]:
    """Compact JSON texts without end."""
    draw = random.Random(seed)
    zones: dict[str, list[int]] = {}
    for zone, borough in enumerate(boroughs()):
        if zone > 0:
            zones.setdefault(borough, []).append(zone)
    clock = START.timestamp() * 1000
    identity = 1_000_000_000
    while True:
        clock += draw.expovariate(1.0) * 3_600_000 / PER_HOUR
        drop_off = int(clock) // 1000 * 1000
        seconds = max(60, min(10_800, int(math.exp(draw.gauss(6.55, 0.65)))))
        kind = "green" if draw.random() < 0.08 else "yellow"
        share = SHARES[kind]
        start, end = (draw.choice(zones[name]) for name in draw.choices(list(share), list(share.values()), k=2))
        miles = round(max(0.0, seconds / 3600 * draw.gauss(11.5, 3.0)), 2)
        payment = draw.choices((1, 2, 3, 4), (700, 290, 6, 4))[0]
        fare = round((2.5 + miles * 2.5 + seconds / 60 * 0.5) * 2) / 2
        extra = draw.choice((0, 0, 0.5, 0.5, 1))
        tip = round(fare * draw.uniform(0.1, 0.3), 2) if payment == 1 else 0
        tolls = 5.76 if draw.random() < 0.04 else 0
        trip = {
            "vendor_id": 1 + (draw.random() < 0.56),
            "pickup_datetime": iso(drop_off - seconds * 1000),
            "dropoff_datetime": iso(drop_off),
            "passenger_count": draw.choices((1, 2, 3, 4, 5, 6), (71, 14, 4, 2, 5, 4))[0],
            "trip_distance": number(miles),
            "ratecode_id": 1 if draw.random() < 0.97 else draw.choice((2, 3, 4, 5)),
            "store_and_fwd_flag": "Y" if draw.random() < 0.004 else "N",
            "pickup_location_id": start,
            "dropoff_location_id": end,
            "payment_type": payment,
            "fare_amount": number(fare),
            "extra": extra,
            "mta_tax": 0.5,
            "tip_amount": number(tip),
            "tolls_amount": tolls,
            "improvement_surcharge": 0.3,
            "total_amount": number(round(fare + extra + 0.5 + tip + tolls + 0.3, 2)),
            "trip_id": identity,
            "type": kind,
        }
        identity += 1
        yield json.dumps(trip, separators=(",", ":"))


def batches(lines: Iterable[str]) -> Iterator[list[str]]:
    """As many lines as an event holds, again and again."""
    batch: list[str] = []
    used = 0
    for line in lines:
        cost = (len(line) + 3) // 3 * 4 + ENVELOPE_BYTES
        if batch and (len(batch) == CAP_RECORDS or used + cost > CAP_BYTES):
            yield batch
            batch, used = [], 0
        batch.append(line)
        used += cost
    if batch:
        yield batch


def kinesis_event(lines: list[str], first: int) -> bytes:
    """A Lambda event with these lines, which have the stream's sequence numbers from `first` on."""
    shard = "shardId-000000000000"
    records = []
    for at, line in enumerate(lines, first):
        sequence = f"495903383714902566085596925384115719090060247536{at:08d}"
        record = {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": f"{at * 2654435761 % 2**32:08x}",
            "sequenceNumber": sequence,
            "data": base64.b64encode(f"{line}\n".encode()).decode(),
            "approximateArrivalTimestamp": round(1545084650.987 + at / 1000, 3),
        }
        records.append(
            {
                "kinesis": record,
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"{shard}:{sequence}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
                "awsRegion": "us-east-1",
                "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/taxi-trips",
            }
        )
    return json.dumps({"Records": records}, separators=(",", ":")).encode()


def write(folder: Path, events: int, seed: int = 1, lines_only: bool = False) -> dict:
    """Writes `events/*.json`, `trips.ndjson` and `zones.json` (zone id to borough); says what there is.

    What an earlier run wrote with the same arguments is left as it is.
    """
    asked = {"events": events, "seed": seed, "lines_only": lines_only}
    manifest = folder / "manifest.json"
    if manifest.exists():
        written = json.loads(manifest.read_text())
        if asked.items() <= written.items():
            return written
        manifest.unlink()
    (folder / "events").mkdir(parents=True, exist_ok=True)
    for stale in (folder / "events").iterdir():
        stale.unlink()
    (folder / "zones.json").write_text(json.dumps(boroughs()))
    records = size = 0
    with (folder / "trips.ndjson").open("w") as out:
        for index, lines in zip(range(events), batches(trips(seed))):
            if not lines_only:
                (folder / f"events/{index:05d}.json").write_bytes(kinesis_event(lines, records))
            size += out.write("\n".join(lines) + "\n")
            records += len(lines)
    written = {**asked, "records": records, "json_bytes": size}
    manifest.write_text(json.dumps(written))
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--events", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lines-only", action="store_true", help="no Lambda events")
    arguments = parser.parse_args()
    print(json.dumps(write(arguments.out, arguments.events, arguments.seed, arguments.lines_only)))


if __name__ == "__main__":
    main()
