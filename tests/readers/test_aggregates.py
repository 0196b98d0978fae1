"""Aggregated records between our packing and taking apart, and those of AWS' own Python package."""

import base64
import json
import sys

from conftest import ROOT

sys.path.insert(0, str(ROOT / "tests" / "kpl"))
import make_vectors  # noqa: E402


def records(name):
    """The records of a sample event."""
    return [record["kinesis"] for record in json.loads((ROOT / "events" / name).read_text())["Records"]]


def test_the_vectors_are_what_the_package_writes():
    assert (ROOT / "tests" / "kpl" / "vectors.json").read_text() == make_vectors.text()


def test_the_package_takes_the_sample_apart_into_the_trips_that_are_in_it():
    found = []
    for record in records("kinesis-aggregated.json"):
        data = base64.b64decode(record["data"])
        found += make_vectors.taken_apart(data) or [(None, data)]
    trips = [(trip["partitionKey"], base64.b64decode(trip["data"])) for trip in records("kinesis-trips.json")]
    assert [data for _, data in found] == [data for _, data in trips]
    keys = [(key, trip_key) for (key, _), (trip_key, _) in zip(found, trips) if key is not None]
    assert len(keys) == len(trips) - 1, "one was sent alone"
    assert all(key == trip_key for key, trip_key in keys)
