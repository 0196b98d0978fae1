"""The tables that `tripline ddl` declares, made by DuckDB over real lakes."""

import duckdb

from conftest import SAMPLE, TAXI, run, tripline


def views(lake, *more):
    """A connection with the lake's views, but for those of tables that have no files."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    statements = tripline("ddl", "--pipeline", TAXI, "--lake", lake, "--dialect", "duckdb", *more)
    made = []
    for statement in statements.split(";\n"):
        if not statement.strip():
            continue
        try:
            connection.execute(statement)
            made.append(statement)
        except duckdb.IOException as error:
            assert "No files found" in str(error)
    return connection, len(made)


def test_duckdb_makes_the_views_that_it_is_told_and_they_have_every_trip(folder_lake):
    connection, made = views(folder_lake)
    assert made == 1, "the sample has no dead letter"
    assert connection.execute("SELECT count(*) FROM trip").fetchone() == (6500,)
    kinds = dict(connection.execute("SELECT column_name, column_type FROM (DESCRIBE trip)").fetchall())
    assert (kinds["pickup_borough"], kinds["year"], kinds["hour"]) == ("VARCHAR", "INTEGER", "INTEGER")
    assert kinds["pickup_datetime"] == "TIMESTAMP WITH TIME ZONE"
    days = connection.execute("SELECT count(*) FROM trip WHERE year = 2019 AND month = 3 AND day = 1").fetchone()
    assert days == connection.execute("SELECT count(*) FROM trip WHERE pickup_datetime::DATE = '2019-03-01'").fetchone()


def test_a_lake_of_json_lines_with_dead_letters_has_both_views(tmp_path, daily):
    source = tmp_path / "in.jsonl"
    trip = '{"type":"trip","trip_id":%d,"pickup_location_id":140,"pickup_datetime":"2019-03-01T01:00:00.000Z"}\n'
    source.write_text("".join(trip % number for number in range(5)) + "no event\n")
    lake = tmp_path / "lake"
    run(lake, "--format", "json", source=source)
    connection, made = views(lake, "--format", "json")
    assert made == 2
    assert connection.execute("SELECT count(*), min(pickup_datetime)::VARCHAR FROM trip").fetchone() == (
        5,
        "2019-03-01 01:00:00+00",
    )
    assert connection.execute("SELECT reason FROM dead_letter").fetchall() == [("not-json",)]
