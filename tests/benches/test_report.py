"""Ratios, tables and costs as comparisons report them."""

import json
import subprocess
import sys

import pytest

from benches import measure, report


def test_a_ratio_is_taken_within_a_round():
    """A round in which the machine is twice as slow changes no ratio, though it does the medians of the costs."""
    rounds = [{"ours": 2.0, "other": 8.0}, {"ours": 4.0, "other": 16.0}, {"ours": 2.0, "other": 9.0}]
    ratios = report.ratios(rounds, "ours")
    assert ratios == {"ours": report.Spread(1, 1, 1), "other": report.Spread(4, 4, 4.5)}


def test_a_round_without_the_base_says_nothing():
    assert report.ratios([{"other": 8.0}, {"ours": 2.0, "other": 6.0}], "ours")["other"] == report.Spread(3, 3, 3)
    assert report.ratios([{"other": 8.0}], "ours") == {}


def test_a_spread_of_one_round_has_no_range():
    assert report.Spread.of([3.14]).show() == "3.1"
    assert report.Spread.of([1.0, 3.0, 2.0]).show() == "2.0 (1.0–3.0)"


def test_a_table_is_aligned():
    assert report.table({"peer": str, "us": float}, [["ours", "2.5"], ["python", "38.0"]]).splitlines() == [
        "| peer   |   us |",
        "| ------ | ---: |",
        "| ours   |  2.5 |",
        "| python | 38.0 |",
    ]


def test_a_cost_is_that_of_the_command_and_its_children():
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    program = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); "
        """print('talk'); print('{"n": 7}')"""
    )
    cost = measure.measure([sys.executable, "-c", program])
    assert cost.cpu_s >= 0.3
    assert cost.peak_mb > 1
    assert cost.told == {"n": 7}


def test_a_command_that_fails_has_no_cost():
    with pytest.raises(subprocess.CalledProcessError):
        measure.measure([sys.executable, "-c", "raise SystemExit(3)"])


def test_a_report_is_printed_and_saved(tmp_path, capsys):
    report.save(tmp_path, "a table", {"spread": report.Spread(1, 1, 1)})
    assert "a table" in capsys.readouterr().out
    assert (tmp_path / "report.md").read_text() == "a table\n"
    assert json.loads((tmp_path / "report.json").read_text())["spread"]["median"] == 1
