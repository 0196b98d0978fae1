#!/usr/bin/env python3
"""Writes `events.jsonl` beside this file: the same bytes every time.

Made up, after the MSK Data Generator's settings for impressions and clicks: ISBNs for ids, a colour for the creative,
any country; a click's `correlation_id` is sometimes the `bid_id` of an impression that has been shown, else "NA".
"""

import csv
import json
import pathlib
import random

HERE = pathlib.Path(__file__).resolve().parent
IMPRESSIONS, CLICKS, UNKNOWN = 400, 120, 24
DAY = 86_400
COLOURS = "azure cyan gold indigo ivory lime magenta olive orchid plum red salmon silver tan teal violet".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"

# Only random() promises the same numbers in every version of Python.
CHANCE = random.Random("adtech")


def below(number):
    return int(CHANCE.random() * number)


def one_of(choices):
    return choices[below(len(choices))]


def isbn10():
    digits = [below(10) for _ in range(9)]
    check = -sum((10 - place) * digit for place, digit in enumerate(digits)) % 11
    return "".join(map(str, digits)) + ("X" if check == 10 else str(check))


def created_at(second):
    """As a sink's InsertField and TimestampConverter would write it."""
    day, second = divmod(second, DAY)
    return f"2023-10-{23 + day} {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def events():
    """Impressions over two days, and each click between some seconds and an hour after its impression, in order."""
    countries = [row["country_code"] for row in csv.DictReader((HERE.parent / "countries.csv").open())]
    campaigns = [isbn10() for _ in range(12)]
    shown = []
    for _ in range(IMPRESSIONS):
        impression = {
            "type": "impressions",
            "bid_id": isbn10(),
            "campaign_id": one_of(campaigns),
            "creative_details": one_of(COLOURS),
            "country_code": one_of(countries),
        }
        shown.append((below(2 * DAY - 3600), impression))
    assert len({impression["bid_id"] for _, impression in shown}) == IMPRESSIONS
    clicks = []
    for number in range(CLICKS):
        second, impression = one_of(shown)
        known = number >= UNKNOWN
        click = {
            "type": "clicks",
            "correlation_id": impression["bid_id"] if known else "NA",
            "tracker": "".join(one_of(LETTERS) for _ in range(15)),
        }
        clicks.append((second + 2 + below(3598), click))
    # Sorting is stable: what falls into one second stays in the order in which it was made, impressions first.
    for second, event in sorted(shown + clicks, key=lambda one: one[0]):
        yield {**event, "created_at": created_at(second)}


if __name__ == "__main__":
    lines = "".join(json.dumps(event) + "\n" for event in events())
    (HERE / "events.jsonl").write_text(lines)
