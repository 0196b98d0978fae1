"""Pipelines and parts of them in the documents are taken by the loader."""

import json
import subprocess
import tomllib

import pytest

from conftest import ROOT, TAXI, TRIPLINE
from documents import blocks

# What only a part of a file has not.
WHOLE = {"id", "events"}


def value(thing):
    """A value as TOML has it, tables within the line."""
    match thing:
        case dict():
            return "{ " + ", ".join(f"{json.dumps(key)} = {value(inner)}" for key, inner in thing.items()) + " }"
        case list():
            return "[" + ", ".join(map(value, thing)) + "]"
        case _:
            return json.dumps(thing, ensure_ascii=False)


def merged(base, part):
    """`base` with what `part` says."""
    both = dict(base)
    for key, thing in part.items():
        nested = isinstance(thing, dict) and isinstance(both.get(key), dict)
        both[key] = merged(both[key], thing) if nested else thing
    return both


def load(folder, text):
    """Loads a pipeline file in a folder with the taxi pipeline's tables."""
    folder.mkdir()
    for table in TAXI.glob("*.csv"):
        (folder / table.name).symlink_to(table)
    (folder / "pipeline.toml").write_text(text)
    return subprocess.run(
        [TRIPLINE, "ddl", "--pipeline", folder.name, "--dialect", "glue-json"],
        cwd=folder.parent, capture_output=True, text=True,
    )


def whole(block):
    return tomllib.loads(block.text).keys() >= WHOLE


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda block: block.place)
def test_a_pipeline_or_a_part_of_one_is_taken(block, tmp_path):
    part = tomllib.loads(block.text)
    if whole(block):
        done = load(tmp_path / "whole", block.text)
    else:
        taxi = tomllib.loads((TAXI / "pipeline.toml").read_text())
        text = "".join(f"{key} = {value(thing)}\n" for key, thing in merged(taxi, part).items())
        done = load(tmp_path / "part", text)
        # The part is looked at: with a key that nobody knows it is refused.
        first = next(key for key, thing in part.items() if isinstance(thing, dict))
        odd = merged(merged(taxi, part), {first: {"no_such_key": 1}})
        refused = load(tmp_path / "odd", "".join(f"{key} = {value(thing)}\n" for key, thing in odd.items()))
        assert refused.returncode != 0 and "no_such_key" in refused.stderr, refused.stderr
    assert done.returncode == 0, f"{block.place}\n{done.stderr}"


def test_there_are_pipelines_and_parts():
    assert sum(map(whole, blocks("toml"))) >= 1
    assert sum(not whole(block) for block in blocks("toml")) >= 3


def test_the_mistake_that_readme_shows_is_told_so(tmp_path):
    [shown] = [block.text for block in blocks("text") if "did you mean" in block.text]
    [pipeline] = [block.text for block in blocks("toml", documents=[ROOT / "README.md"]) if whole(block)]
    done = load(tmp_path / "shop", pipeline.replace('event_time = "placed_at"', 'event_time = "placedat"'))
    assert done.returncode != 0
    assert shown.strip() in done.stderr
