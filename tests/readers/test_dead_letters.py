"""Eight bad records among eight trips: what DuckDB finds in the table of dead letters."""

import base64
import binascii
import datetime
import json

import duckdb
import pytest

from conftest import ROOT, audit, run

POISON = ROOT / "events" / "kinesis-poison.json"

# The bad records of the event, in its order.
REASONS = [
    "not-json", "trailing-data", "missing-field", "wrong-type",
    "bad-datetime", "unknown-type", "not-utf8", "undecodable-payload",
]


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    lake = tmp_path_factory.mktemp("poison")
    run(lake, source=POISON)
    return lake


@pytest.fixture(scope="module")
def dead_letters(lake):
    """The table, in the order of the shard."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        "CREATE TABLE dead_letters AS SELECT * REPLACE (arrival_time::TIMESTAMP AS arrival_time, "
        "failed_at::TIMESTAMP AS failed_at) "
        f"FROM read_parquet('{lake}/dead_letter/**/*.parquet', hive_partitioning = true) ORDER BY position"
    )
    return connection


def bad_records():
    """The event's bad records: every second one."""
    return json.loads(POISON.read_text())["Records"][1::2]


def payload(record):
    """A record's bytes as its producer sent them; the envelope's text where that is not base64."""
    data = record["kinesis"]["data"]
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error:
        return data.encode()


def arrival_time(record):
    seconds = record["kinesis"]["approximateArrivalTimestamp"]
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).replace(tzinfo=None)


def test_each_bad_record_is_there_with_its_reason(dead_letters):
    assert dead_letters.execute("SELECT reason FROM dead_letters").fetchall() == [(reason,) for reason in REASONS]


def test_payloads_are_the_bytes_that_were_sent(dead_letters):
    sent = [(payload(record),) for record in bad_records()]
    assert dead_letters.execute("SELECT payload FROM dead_letters").fetchall() == sent


def test_the_origin_finds_the_record_in_its_stream(dead_letters):
    expected = [
        (
            record["eventSourceARN"],
            "",
            record["eventID"].split(":")[0],
            record["kinesis"]["sequenceNumber"],
            0,
            record["kinesis"]["partitionKey"],
            arrival_time(record),
        )
        for record in bad_records()
    ]
    columns = "source, epoch, partition, position, sub_position, partition_key, arrival_time"
    assert dead_letters.execute(f"SELECT {columns} FROM dead_letters").fetchall() == expected


def test_the_error_says_what_is_wrong_and_where(dead_letters):
    errors = dict(dead_letters.execute("SELECT reason, error FROM dead_letters").fetchall())
    assert "`trip_id`" in errors["missing-field"] and "`trip_id`" in errors["wrong-type"]
    assert "`pickup_datetime`" in errors["bad-datetime"]
    assert all("byte" in errors[reason] for reason in ("not-json", "trailing-data", "not-utf8", "wrong-type"))


def test_they_are_partitioned_by_the_day_on_which_they_failed(dead_letters):
    elsewhere = dead_letters.execute(
        "SELECT count(*) FROM dead_letters WHERE make_date(year::INT, month::INT, day::INT) <> failed_at::DATE"
    )
    assert elsewhere.fetchone() == (0,)


def test_trips_beside_them_are_rows_and_a_second_delivery_changes_nothing(lake):
    def trips():
        return duckdb.execute(f"SELECT count(*) FROM read_parquet('{lake}/trip/**/*.parquet')").fetchone()

    assert trips() == (8,)
    assert "nothing new" in run(lake, source=POISON)
    assert trips() == (8,)
    assert "exactly once" in audit(lake)
