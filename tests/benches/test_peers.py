"""The comparison with other systems: its input, one of its peers, and what its check finds."""

import base64
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benches.measure import Cost
from benches.peers import catalog, check, events, run


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    """One full event and its trips."""
    folder = tmp_path_factory.mktemp("sent")
    events.write(folder, 1)
    return folder


@pytest.fixture(scope="module")
def want(sent):
    return check.expected(sent / "trips.ndjson", sent / "zones.json")


@pytest.fixture(scope="module")
def made(sent, tmp_path_factory):
    """What the plain Python peer makes of the event."""
    out = tmp_path_factory.mktemp("made")
    command = [sys.executable, catalog.HERE / "python/plain.py", "--zones", sent / "zones.json"]
    done = subprocess.run([*command, "--in", sent / "events", "--out", out], check=True, stdout=subprocess.PIPE)
    told, manifest = json.loads(done.stdout), json.loads((sent / "manifest.json").read_text())
    assert told["records"] == manifest["records"]
    assert told["bulk_bytes"] > manifest["json_bytes"]
    return out


@pytest.fixture
def lake(made, tmp_path):
    """A copy of it, to be spoilt."""
    return Path(shutil.copytree(made, tmp_path / "lake"))


def largest(lake):
    return max(lake.rglob("*.parquet"), key=lambda file: file.stat().st_size)


def rewrite(file: Path, change):
    """Replaces a file by what `change` makes of its rows."""
    pq.write_table(pa.Table.from_pylist(change(pq.read_table(file, partitioning=None).to_pylist())), file)


def differences(lake, want):
    return check.compare(want, check.found(lake))


def test_a_full_event_holds_the_lines_and_is_as_large_as_lambda_allows(sent):
    lines = (sent / "trips.ndjson").read_bytes().splitlines(keepends=True)
    [file] = (sent / "events").iterdir()
    event = json.loads(file.read_bytes())
    assert [base64.b64decode(record["kinesis"]["data"]) for record in event["Records"]] == lines
    assert 5_900_000 < file.stat().st_size <= 6_000_000


def test_the_same_seed_makes_the_same_trips():
    first = list(itertools.islice(events.trips(7), 100))
    assert first == list(itertools.islice(events.trips(7), 100))
    assert first != list(itertools.islice(events.trips(8), 100))


def test_what_was_sent_is_found(lake, want):
    assert differences(lake, want) == []


def test_a_changed_cent_is_found(lake, want):
    def change(rows):
        rows[3]["total_amount"] += 0.01
        return rows

    rewrite(largest(lake), change)
    [difference] = differences(lake, want)
    assert "total_amount is" in difference and "in 1 trips" in difference


def test_a_missing_row_is_found(lake, want):
    rewrite(largest(lake), lambda rows: rows[1:])
    [difference] = differences(lake, want)
    assert difference.startswith("1 trips are missing")


def test_a_doubled_row_is_found(lake, want):
    rewrite(largest(lake), lambda rows: [*rows, rows[5]])
    [difference] = differences(lake, want)
    assert difference.startswith("1 trips are more than once")


def test_a_doubled_row_does_not_hide_a_missing_one(lake, want):
    rewrite(largest(lake), lambda rows: [*rows[1:], rows[5]])
    assert [difference.split(",")[0] for difference in differences(lake, want)] == [
        "1 trips are missing",
        "1 trips are more than once",
    ]


def test_a_trip_that_nobody_sent_is_found(lake, want):
    rewrite(largest(lake), lambda rows: [*rows, dict(rows[0], trip_id=7)])
    assert differences(lake, want) == ["1 trips are never sent, one of them 7"]


def test_a_row_in_the_wrong_folder_is_found(lake, want):
    hour = largest(lake).parent
    hour.rename(hour.parent / "hour=23")
    [difference] = differences(lake, want)
    assert "hour is 23 where" in difference


def test_a_null_in_place_of_a_value_is_found(lake, want):
    rewrite(largest(lake), lambda rows: [dict(rows[0], vendor_id=None), *rows[1:]])
    [difference] = differences(lake, want)
    assert "vendor_id is None" in difference


def test_what_readers_do_not_open_is_no_output(lake, want):
    for hidden in ("_journal/entry", "borough=Queens/.part.inprogress"):
        (lake / hidden).parent.mkdir(exist_ok=True)
        (lake / hidden).write_text("no Parquet")
    assert differences(lake, want) == []


LAKE = {"rows": 100, "parquet_bytes": 4300, "files": 16}


def test_a_peer_of_several_processes_costs_their_sum():
    costs = {"ingest": Cost(1.0, 0.0004, 20.0, {"bulk_bytes": 46_000}), "publish": Cost(1.0, 0.0001, 30.0, {})}
    seen = run.digest(costs, LAKE, 100)
    assert (seen.us_per_record, seen.peak_mb) == (pytest.approx(5), 30)
    assert seen.sides == {"ingest": (pytest.approx(4), 20), "publish": (pytest.approx(1), 30)}
    assert (seen.bytes_per_row, seen.files, seen.bulk_bytes_per_record) == (43, 16, 460)


def test_a_peer_that_has_to_be_warm_is_measured_warm():
    seen = run.digest({"": Cost(60, 50, 900, {"steady_us_per_record": 29.7})}, LAKE, 100)
    assert (seen.us_per_record, seen.sides) == (29.7, {})


def rounds(**costs):
    return [{name: run.Run(cost, 1, {}, 1, 1, 1) for name, cost in costs.items()}]


def test_the_bar_holds_or_says_what_is_below_it():
    assert run.bars(["polars=2.5"], rounds(ours=4.0, polars=10.0)) == []
    assert run.bars(["polars=2.5"], rounds(ours=4.0, polars=9.0)) == [
        "polars costs 2.2 times as much as ours: 2.5 times are asked for"
    ]


@pytest.mark.parametrize("costs", [{"ours": 4.0}, {"polars": 9.0}])
def test_the_bar_does_not_hold_where_one_side_did_not_run(costs):
    assert run.bars(["polars=2.5"], rounds(**costs)) == ["polars and ours did not both run"]


def test_the_table_shows_both_sides_of_ours():
    ours = run.Run(4.0, 40, {"ingest": (2.5, 30), "publish": (1.25, 40)}, 18, 16, 460)
    other = run.Run(12.0, 120, {}, 49, 160, 460)
    peers = catalog.chosen(["polars", "ours"])
    lines = run.show(peers, [{"ours": ours, "polars": other}]).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert cells[2][0] == "polars" and cells[2][2:6] == ["12.0", "3.0", "120", "49.0"]
    assert [row[0] for row in cells[3:]] == ["ours", "of that ingest", "of that publish"]
    assert [(row[2], row[4]) for row in cells[3:]] == [("4.0", "40"), ("2.5", "30"), ("1.2", "40")]


def test_an_unknown_peer_is_named():
    with pytest.raises(SystemExit, match="no peer is called polar: there are python-lambda, "):
        catalog.chosen(["polar"])


def test_a_peer_whose_tool_is_missing_is_left_out_with_the_reason(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    built, missing = run.build(catalog.chosen(["python-lambda", "go-lambda"]), tmp_path, Path(sys.executable))
    assert list(built) == ["python"]
    assert missing == {"go-lambda": "there is no go: install Go 1.24 or later"}
    assert "left out: go-lambda" in capsys.readouterr().err
