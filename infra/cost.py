#!/usr/bin/env python3
"""What events cost, in requests and at list prices, beside Firehose and Managed Flink: the tables of infra/README.md.

usage: cost.py [SHARDS] [FILES]

SHARDS (4 if not given, as a stream on demand begins) and FILES that one run of publish writes (10 if not given: seven
boroughs, and some rows of the hour before).

What the stream costs, which all of them read, and what is stored is not in it.
"""

import json
import math
import pathlib
import sys

ROOT = pathlib.Path(__file__).parent.parent
CONTRACT = json.loads((ROOT / "infra/contract.json").read_text())

# List prices in USD of us-east-1 as known in mid-2025, without free tiers and discounts. Check before you rely on them.
PRICES = {
    "s3_put": 0.005 / 1e3,  # PUT, POST, LIST
    "s3_get": 0.0004 / 1e3,
    "lambda_request": 0.20 / 1e6,
    "lambda_gb_second": 0.0000166667,  # x86_64; arm64 0.0000133334
    "schedule": 1.00 / 1e6,
    "log_gb": 0.50,
    "metric_month": 0.30,
    "alarm_month": 0.10,
    "dashboard_month": 3.00,
    "firehose_gb": 0.029,
    "firehose_conversion_gb": 0.018,
    "firehose_partitioning_gb": 0.020,
    "firehose_object": 0.005 / 1e3,
    "kpu_hour": 0.11,
    "kpu_storage_gb_month": 0.10,
}
MONTH = 30 * 86_400  # seconds
GB = 1024**3

# How long Lambda works: assumed, not measured on AWS. The dashboard has what it is (`Duration`).
BATCH_SECONDS, INGEST_RECORD_SECONDS = 0.060, 10e-6  # one PUT and what is around it; a record
RUN_SECONDS, FILE_SECONDS, PUBLISH_RECORD_SECONDS = 1.0, 0.050, 5e-6
LOG_LINE = 700 + 700 + 300  # bytes a batch or run: our line, our metrics, and Lambda's own

# Of Managed Flink: 2 KPU, as the application takes that Tripline is measured by, and one that every application pays.
KPUS, KPU_GB = 2, 50
FIREHOSE_STEP = 5 * 1024  # a record is billed in steps of 5 KB


def sample():
    """Bytes of an event, and how many fill an invocation of 6 MB: of events/kinesis-trips.json."""
    event = json.loads((ROOT / "events/kinesis-trips.json").read_text())
    records = event["Records"]
    payload = sum(len(record["kinesis"]["data"]) * 3 / 4 for record in records) / len(records)
    sent = len(json.dumps(event, separators=(",", ":"))) / len(records)
    return payload, math.floor(6 * 1024**2 / sent)


def batches(events, seconds, shards, window, full):
    """A shard's batch ends `window` seconds after its first record, or full."""
    rate = events / seconds / shards
    by_window = shards * seconds * rate / (1 + rate * window)
    return max(by_window, events / full)


def requests(events, seconds, shards, files):
    """Of a stretch of time in which events come evenly."""
    _, full = sample()
    window = CONTRACT["mapping"]["kinesis"]["MaximumBatchingWindowInSeconds"]
    count = batches(events, seconds, shards, window, full)
    runs = seconds / 60 / CONTRACT["schedule"]["every_minutes"]
    return {
        "batches": count,
        "runs": runs,
        "files": runs * files,
        # The journal: one PUT a batch.
        "journal": count,
        # A run: three for each file (begin, part, complete), the checkpoint twice, a listing of lanes and one of each.
        "publish": runs * (3 * files + 2 + 1 + shards),
        # The checkpoint, and each entry once.
        "gets": count + runs,
    }


def tripline(events, seconds, shards, files):
    """What each part costs."""
    of, functions = requests(events, seconds, shards, files), CONTRACT["functions"]
    invocations = of["batches"] + of["runs"]
    busy = {
        "ingest": of["batches"] * BATCH_SECONDS + events * INGEST_RECORD_SECONDS,
        "publish": of["runs"] * (RUN_SECONDS + files * FILE_SECONDS) + events * PUBLISH_RECORD_SECONDS,
    }
    gb_seconds = sum(seconds * functions[name]["memory"] / 1024 for name, seconds in busy.items())
    return {
        "journal": of["journal"] * PRICES["s3_put"],
        "publish": of["publish"] * PRICES["s3_put"] + of["gets"] * PRICES["s3_get"],
        "lambda": invocations * PRICES["lambda_request"] + gb_seconds * PRICES["lambda_gb_second"] + of["runs"] * PRICES["schedule"],
        "logs": invocations * LOG_LINE / GB * PRICES["log_gb"],
    }


def watching():
    """A month's metrics, alarms and dashboard, whatever comes."""
    told = [metric for part in ("ingest", "publish") for metric in CONTRACT["metrics"][part].values()]
    metrics = sum(metric["always"] for metric in told)
    return metrics * PRICES["metric_month"] + len(CONTRACT["alarms"]) * PRICES["alarm_month"] + PRICES["dashboard_month"]


def firehose(events, seconds, files):
    """With conversion to Parquet and dynamic partitioning; as many objects as publish writes. Expressions in jq come on top."""
    payload, _ = sample()
    billed = events * math.ceil(payload / FIREHOSE_STEP) * FIREHOSE_STEP / GB
    objects = seconds / 60 / CONTRACT["schedule"]["every_minutes"] * files
    return (
        billed * (PRICES["firehose_gb"] + PRICES["firehose_conversion_gb"])
        + events * payload / GB * PRICES["firehose_partitioning_gb"]
        + objects * (PRICES["firehose_object"] + PRICES["s3_put"])
    )


def flink(seconds):
    """By the hour, whatever comes, for as long as it runs."""
    return seconds / 3600 * (KPUS + 1) * PRICES["kpu_hour"] + seconds / MONTH * KPUS * KPU_GB * PRICES["kpu_storage_gb_month"]


def scenarios(shards):
    """Name, events, seconds, whether a month's fixed cost belongs to it."""
    return [
        ("a million at once, as fast as the shards take them", 1e6, 1e6 / shards / 1000, False),
        ("a million a month, evenly", 1e6, MONTH, True),
        ("a billion a month, evenly", 1e9, MONTH, True),
    ]


def money(amount):
    return f"{amount:,.0f}" if amount >= 100 else f"{amount:.2f}" if amount >= 0.1 else f"{amount:.4f}"


def tables(shards=4, files=10):
    payload, full = sample()
    yield f"Events of {payload:.0f} bytes, {full:,} in a full batch; {shards} shards; {files} files a run of `publish`."
    yield ""
    yield "| events | batches = PUTs to the journal | runs | files | requests of `publish`: PUT, LIST; GET |"
    yield "|---|---|---|---|---|"
    for name, events, seconds, _ in scenarios(shards):
        of = requests(events, seconds, shards, files)
        numbers = (of["batches"], of["runs"], of["files"])
        yield f"| {name} | {' | '.join(f'{math.ceil(number):,}' for number in numbers)} | {math.ceil(of['publish']):,}; {math.ceil(of['gets']):,} |"
    yield ""
    yield "| USD | journal | `publish` | Lambda, schedule | logs | metrics, alarms | **Tripline** | Firehose | Managed Flink |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, events, seconds, monthly in scenarios(shards):
        parts = tripline(events, seconds, shards, files)
        fixed = watching() if monthly else 0
        columns = [*parts.values(), fixed]
        others = [firehose(events, seconds, files), flink(seconds)]
        shown = [money(column) if column else "–" for column in columns]
        yield f"| {name} | {' | '.join(shown)} | **{money(sum(columns))}** | {' | '.join(money(other) for other in others)} |"


if __name__ == "__main__":
    if len(sys.argv) > 3 or not all(argument.isdigit() and int(argument) > 0 for argument in sys.argv[1:]):
        sys.exit(__doc__)
    print("\n".join(tables(*map(int, sys.argv[1:]))))
