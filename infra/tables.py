#!/usr/bin/env python3
"""Writes a pipeline's tables as the Terraform module `lake` takes them: columns, types, partition levels.

usage: tables.py PIPELINE > infra/terraform/tables/NAME.json

PIPELINE is a folder with a `pipeline.toml`. The values of a partition level that is looked up in a table are those of
its column; for any other text nobody can know them, so queries must name one (Athena's `injected`).
"""

import csv
import json
import pathlib
import sys
import tomllib

# What Glue calls the pipeline's types.
TYPES = {
    "bool": "boolean",
    "int32": "int",
    "int64": "bigint",
    "float64": "double",
    "string": "string",
    "timestamp": "timestamp",
}

# The value of a text of which no slug is left, and of null.
NULL = "__HIVE_DEFAULT_PARTITION__"

# The same for every pipeline.
DEAD_LETTER = {
    "columns": [
        {"name": name, "type": kind}
        for name, kind in [
            ("stage", "string"),
            ("reason", "string"),
            ("error", "string"),
            ("event_type", "string"),
            ("payload", "binary"),
            ("source", "string"),
            ("epoch", "string"),
            ("partition", "string"),
            ("position", "string"),
            ("sub_position", "int"),
            ("partition_key", "string"),
            ("headers", "string"),
            ("arrival_time", "timestamp"),
            ("failed_at", "timestamp"),
        ]
    ],
    "partitions": [{"name": part, "kind": part} for part in ("year", "month", "day")],
}


def slug(text):
    """As `slug` of crates/model: lower case, one dash for each run of other characters, none at the ends."""
    words = "".join(character if character.isalnum() else " " for character in text)
    return "-".join(words.lower().split())


def values(folder, pipeline, derived, level):
    """Every value that a looked-up level can have."""
    table = pipeline["tables"][derived["lookup"]]
    with open(folder / table["file"], encoding="utf-8", newline="") as file:
        texts = {row[derived["column"]] for row in csv.DictReader(file)}
    if "default" in derived:
        texts.add(derived["default"])
    slugs = level.get("slugs", {})
    return sorted({slugs.get(text, slug(text)) or NULL for text in texts} | {NULL})


def partition(folder, pipeline, event, level):
    if "time" in level:
        return {"name": level["name"], "kind": level["time"]}
    looked_up = {derived["name"]: derived for derived in event.get("derived", [])}
    found = {"name": level["name"], "kind": "text"}
    if level["field"] in looked_up:
        found["values"] = values(folder, pipeline, looked_up[level["field"]], level)
    return found


def columns(event):
    yield from ((field["name"], TYPES[field["type"]]) for field in event["fields"])
    yield from ((derived["name"], "string") for derived in event.get("derived", []))
    if event.get("unknown_fields") == "keep":
        yield event.get("unknown_fields_column", "unknown_fields"), "string"


def tables(folder):
    pipeline = tomllib.loads((folder / "pipeline.toml").read_text(encoding="utf-8"))
    found = {"dead_letter": DEAD_LETTER}
    for name, event in pipeline["events"].items():
        if event.get("kind") == "watermark":
            continue
        table = event.get("table", name)
        found[table] = {
            "columns": [{"name": column, "type": kind} for column, kind in columns(event)],
            "partitions": [partition(folder, pipeline, event, level) for level in event.get("partition", [])],
        }
        if pipeline.get("event_time", {}).get("late") == "divert":
            found[f"{table}_late"] = found[table]
    return found


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(json.dumps(tables(pathlib.Path(sys.argv[1])), indent=2, ensure_ascii=False, sort_keys=True))
