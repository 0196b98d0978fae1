"""What the documents tell people to type works, and the pipeline file's reference has the keys that the loader knows."""

import os
import re
import subprocess

import duckdb
import pytest

from conftest import ROOT, TAXI, TRIPLINE, run, tripline

DOCS = ROOT / "docs"
LOADER = ROOT / "crates" / "model" / "src" / "pipeline"


def blocks(name, language):
    """A document's blocks of code in that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / name).read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Trips of the sample events, late ones and dead letters among them."""
    lake = tmp_path_factory.mktemp("docs")
    for events in ("kinesis-trips", "kinesis-poison", "kinesis-late"):
        run(lake, source=ROOT / "events" / f"{events}.json")
    return lake


def test_the_quick_start_does_what_it_says(tmp_path):
    (tmp_path / "pipelines").symlink_to(ROOT / "pipelines")
    commands = blocks("quick-start.md", "sh")
    text = (DOCS / "quick-start.md").read_text()
    [shown] = re.findall(r"The end of what it says:\n```\n(.*?)```", text, re.DOTALL)
    assert len(commands) == 3
    path = f"{TRIPLINE.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail"], input="".join(commands), cwd=tmp_path, env={**os.environ, "PATH": path},
        capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert shown in done.stdout
    trips = f"read_parquet('{tmp_path}/mine-lake/trip/**/*.parquet')"
    assert duckdb.execute(f"SELECT count(*), count(DISTINCT trip_id) FROM {trips}").fetchone() == (6500, 6500)


def test_queries_for_athena_find_rows_in_duckdb_too(lake):
    connection = duckdb.connect()
    connection.execute(tripline("ddl", "--pipeline", TAXI, "--lake", lake, "--dialect", "duckdb"))
    queries = blocks("athena.md", "sql")
    assert len(queries) >= 4
    for query in queries:
        assert connection.execute(f"SELECT count(*) FROM ({query})").fetchone() > (0,), query


def known_keys():
    """The keys that the loader asks its sections for; what it does not ask for it refuses."""
    asked = r'\.(?:text|texts|flag|integer|choice|duration_ms|section|sections|optional_section)\(\s*"(\w+)"'
    keys = {"kinesis", "kafka"}  # Targets, by their names.
    for file in LOADER.glob("*.rs"):
        if file.name != "tests.rs":
            keys |= set(re.findall(asked + r'|\blimit\("(\w+)"', file.read_text()))
    return {key for pair in keys for key in ([pair] if isinstance(pair, str) else pair) if key}


def test_the_reference_has_every_key_of_the_loader_and_no_other():
    cells = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", (DOCS / "pipeline.md").read_text(), re.MULTILINE)
    told = {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}
    assert len(told) > 40
    assert told == known_keys()
