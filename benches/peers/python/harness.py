"""What the Python peers share: event files in, Parquet below a folder, and what was done as a line of JSON."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

# The levels of the folders below a table.
LEVELS = ("borough", "year", "month", "day", "hour")


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--in", dest="events", type=Path, required=True, help="folder of Lambda events")
    parser.add_argument("--out", type=Path, required=True, help="where Parquet goes")
    parser.add_argument("--zones", type=Path, required=True, help="JSON: zone id to borough")
    return parser


def zones(given: argparse.Namespace) -> list[str]:
    return json.loads(given.zones.read_text())


def run(given: argparse.Namespace, handle: Callable[[bytes], tuple[int, int]]) -> None:
    """Hands over one event after the other, as Lambda does; `handle` says how many records and how long a bulk body."""
    records = bulk_bytes = 0
    for file in sorted(given.events.glob("*.json")):
        done, size = handle(file.read_bytes())
        records, bulk_bytes = records + done, bulk_bytes + size
    print(json.dumps({"records": records, "bulk_bytes": bulk_bytes}))
