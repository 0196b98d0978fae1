"""Commands in the documents: each has a name and options that the tool knows, and what needs no server is run."""

import gzip
import os
import re
import shutil
import subprocess

import duckdb
import pytest

from conftest import ROOT, SAMPLE, TAXI, TRIPLINE, tripline
from documents import DOCS, MANUALS, blocks, commands, inline_code

# What needs AWS, a server, a person's own values, or has no end.
ELSEWHERE = re.compile(
    r"s3://|https?://|…|/tmp/|--(kinesis|kafka|stream|stream-name|bucket|postgres|domain|function|every)\b"
)
# Options in the documents that are cargo's.
OTHERS = {"--features", "--workspace", "--test", "--env-file"}


def options(command):
    """The options that a command's help lists, aliases among them."""
    lines = tripline(command, "--help").splitlines()
    listed = [line for line in lines if re.match(r"\s+(-\w, )?--\w|\s+\[alias", line)]
    return {name for line in listed for name in re.findall(r"--[a-z][a-z0-9-]+", line)}


@pytest.fixture(scope="module")
def known():
    """Every command with its options."""
    names = re.findall(r"^  ([a-z]+)  ", tripline("--help").split("Commands:")[1].split("Options:")[0], re.MULTILINE)
    assert len(names) >= 16
    return {name: options(name) for name in names if name != "help"}


def told():
    """Every call of the tool in a block of commands."""
    return [(block, call) for block in blocks("sh", "console") for call in commands(block)]


def test_the_tool_takes_every_command_of_the_documents():
    calls = told()
    assert len(calls) > 40
    for block, call in calls:
        # Help comes once the words before it are understood, values included.
        done = tripline(*call, "--help", check=False)
        assert done.returncode == 0, f"{block.place}: tripline {' '.join(call)}\n{done.stderr}"


def test_options_within_lines_are_those_of_a_command(known):
    every = set().union(*known.values())
    named = 0
    for place, code in inline_code():
        words = re.split(r"[\s=\[\]]+", code)
        if words[0] == "tripline" and len(words) > 1 and re.fullmatch("[a-z]+", words[1]):
            assert words[1] in known, f"{place}: there is no `tripline {words[1]}`"
            allowed = known[words[1]]
        elif words[0].startswith("--"):
            allowed = every | OTHERS
        else:
            continue
        named += 1
        for word in words:
            if word.startswith("--"):
                assert word in allowed, f"{place}: there is no `{word}` in `{code}`"
    assert named > 100


def test_readme_has_a_row_for_every_option_of_run(known):
    text = (ROOT / "README.md").read_text()
    table = text.split("| option of `run` | what it does |\n")[1].split("\n\n")[0]
    rows = {name for row in table.splitlines() for name in re.findall(r"--[a-z][a-z-]+", row.split("|")[1])}
    # Told around the table, or of every command.
    around = {"--pipeline", "--opensearch", "--help"}
    beside = {name for name in known["run"] - rows - around if f"`{name}" not in text}
    assert rows <= known["run"]
    assert not beside


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A checkout with the files that the documents' commands name."""
    desk = tmp_path_factory.mktemp("desk")
    (desk / "pipelines").symlink_to(ROOT / "pipelines")
    shutil.copytree(ROOT / "events", desk / "events")
    for folder in ("trips", "more", "tlc"):
        (desk / folder).mkdir()
    tripline("generate", "--pipeline", TAXI, "--limit", 50, "--output", desk / "trips.jsonl")
    tripline("generate", "--pipeline", TAXI, "--limit", 50, "--seed", 2, "--output", desk / "trips" / "trips.jsonl")
    tripline("generate", "--pipeline", TAXI, "--limit", 50, "--seed", 3, "--output", desk / "more" / "trips.jsonl")
    [sample] = SAMPLE.glob("yellow_*.csv")
    lines = sample.read_bytes().splitlines(keepends=True)[:51]
    (desk / "more-trips.csv.gz").write_bytes(gzip.compress(b"".join(lines)))
    for file in (desk / "yellow_tripdata_2019-03.parquet", desk / "tlc" / "yellow_tripdata_2019-03.parquet"):
        duckdb.execute(f"COPY (FROM read_csv('{sample}') LIMIT 50) TO '{file}'")
    return desk


def runnable():
    """Calls that need nothing but the desk. The whole system is run by `tests/local.sh`, the quick start below."""
    return [
        (block, call)
        for block, call in told()
        if (call[0] == "ddl" or not ELSEWHERE.search(" ".join(call)))
        and "local/servers up" not in block.text
        and block.document != "docs/quick-start.md"
    ]


def test_what_needs_no_server_is_run(desk):
    calls = runnable()
    assert len(calls) >= 14
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIPLINE_")}
    said = {}
    for block, call in calls:
        done = subprocess.run([TRIPLINE, *call], cwd=desk, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{block.place}: tripline {' '.join(call)}\n{done.stdout}\n{done.stderr}"
        said[block] = said.get(block, "") + done.stdout
    shown = [block for block in said if block.language == "console"]
    assert shown
    for block in shown:
        for line in block.text.splitlines():
            if line.strip() not in ("", "…") and not re.match(r"(\$ |tripline )", line):
                assert line in said[block].splitlines(), f"{block.place}: not said: {line!r}"


def test_the_quick_start_does_what_it_says(tmp_path):
    (tmp_path / "pipelines").symlink_to(ROOT / "pipelines")
    text = (DOCS / "quick-start.md").read_text()
    part = text.split("## A pipeline of your own\n")[1].split("\n## ")[0]
    typed = re.findall(r"^```sh\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
    [shown] = re.findall(r"The end of what it says:\n```text\n(.*?)```", part, re.DOTALL)
    assert len(typed) == 3
    path = f"{TRIPLINE.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail"], input="".join(typed), cwd=tmp_path, env={**os.environ, "PATH": path},
        capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert shown in done.stdout
    trips = f"read_parquet('{tmp_path}/mine-lake/trip/**/*.parquet')"
    assert duckdb.execute(f"SELECT count(*), count(DISTINCT trip_id) FROM {trips}").fetchone() == (6500, 6500)


def test_targets_of_make_are_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = [
        (place, name)
        for place, code in [
            *((block.place, line) for block in blocks("sh", "console") for line in block.text.splitlines()),
            *inline_code(MANUALS),
        ]
        for call in re.findall(r"(?:^|&& |\$ )make ((?:[a-z][a-z-]*\b ?)+)", code.split("#")[0])
        for name in call.split()
    ]
    assert len(named) > 30
    for place, name in named:
        assert name in targets, f"{place}: there is no `make {name}`"
