//! `tripline schema` as people run it, and what becomes of a lake whose columns change.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::process::Command;

use serde_json::Value;
use support::{Desk, said};

const FIRST: &str = r#"
id = "trips"
schema_version = 1
[events.trip]
id = ["trip_id"]
event_time = "at"
fields = [
  { name = "trip_id", type = "int64", required = true },
  { name = "at", type = "timestamp", required = true },
  { name = "seats", type = "int32", required = true },
  { name = "note", type = "string" },
]
partition = [{ name = "year", time = "year" }]
"#;

/// Widened, made optional, removed and added.
fn second() -> String {
    FIRST
        .replace("schema_version = 1", "schema_version = 2")
        .replace("\"int32\", required = true", "\"int64\"")
        .replace("{ name = \"note\", type = \"string\" }", "{ name = \"fee\", type = \"float64\" }")
}

fn refused() -> String {
    second().replace("schema_version = 2", "schema_version = 3").replace("float64", "string")
}

/// A desk of which the first version has run.
fn desk() -> Desk {
    let desk = Desk::new(FIRST);
    let trip = |number: u32| {
        format!(
            "{{\"type\":\"trip\",\"trip_id\":{number},\"at\":\"2019-03-01T00:00:00Z\",\"seats\":2,\"note\":\"n\"}}\n"
        )
    };
    desk.write("in.jsonl", &(1..=10).map(trip).collect::<String>());
    desk.run("in.jsonl");
    desk
}

fn becomes(desk: &Desk, pipeline: &str) {
    desk.write("pipeline/pipeline.toml", pipeline);
}

#[test]
fn columns_change_and_rows_of_both_versions_are_there_once() {
    let desk = desk();
    becomes(&desk, &second());
    let told = desk.tripline("schema", &[], 0);
    for part in [
        "version 1, seen first at ",
        "tables trip",
        "version 2, which is new and fits",
        "  trip.seats changed from int32 to int64\n  trip.seats made optional\n  trip.note removed\n",
        "  trip.fee added, float64\n",
    ] {
        assert!(told.contains(part), "{part} is not in: {told}");
    }
    let trip = |number: u32| {
        format!(
            "{{\"type\":\"trip\",\"trip_id\":{number},\"at\":\"2019-03-01T00:00:00Z\",\"seats\":{}}}\n",
            1_u64 << 40
        )
    };
    desk.write("more.jsonl", &(11..=15).map(trip).collect::<String>());
    desk.run("more.jsonl");
    assert_eq!(desk.rows(["trip"]), [15]);
    assert!(desk.tripline("schema", &[], 0).contains("version 2, which is known"));
    let mut inspect = Command::new(env!("CARGO_BIN_EXE_tripline"));
    let told = said(inspect.args(["inspect", "_tripline/schemas.json", "--lake"]).arg(desk.path("lake")), 0);
    assert!(told.contains("version       2, seen first at ") && told.contains("fee float64"), "{told}");
}

#[test]
fn columns_that_do_not_fit_are_refused_by_every_command_that_writes() {
    let desk = desk();
    becomes(&desk, &second());
    desk.run("in.jsonl");
    becomes(&desk, &refused());
    let reason = "trip.fee changed from float64 to string from version 2 to 3";
    let input = desk.path("in.jsonl");
    let input = input.to_str().unwrap();
    for (command, arguments) in
        [("run", vec!["--input", input]), ("backfill", vec!["--input", input]), ("publish", vec![])]
    {
        let said = desk.tripline(command, &arguments, 2);
        assert!(said.contains(reason) && said.contains("another column name"), "{command}: {said}");
    }
    let told = desk.tripline("schema", &[], 1);
    assert!(told.contains("version 3, which is REFUSED") && told.contains(reason), "{told}");
    let told: Value = serde_json::from_str(&desk.tripline("schema", &["--json"], 1)).unwrap();
    assert_eq!((&told["verdict"], &told["version"]), (&"refused".into(), &3.into()));
    assert_eq!(told["known"].as_array().unwrap().len(), 2);
    let told = desk.tripline("doctor", &["--read-only"], 1);
    assert!(told.contains("FAIL        schema: schema_version 3 does not fit"), "{told}");
}

#[test]
fn columns_changed_under_the_same_version_are_told() {
    let desk = desk();
    becomes(&desk, &FIRST.replace("int32", "int64"));
    let told = desk.tripline("schema", &[], 1);
    assert!(told.contains("trip.seats changed from int32 to int64, under the same schema_version"), "{told}");
    let input = desk.path("in.jsonl");
    let told = desk.tripline("run", &["--input", input.to_str().unwrap()], 2);
    assert!(told.contains("raise schema_version"), "{told}");
}

#[test]
fn a_pipeline_is_compared_with_what_it_was_without_a_lake() {
    let desk = Desk::new(&second());
    desk.write("before/pipeline.toml", FIRST);
    let before = desk.path("before");
    let compare = |code| said(desk.command("schema").arg("--against").arg(&before), code);
    assert!(compare(0).contains("new and fits"));
    becomes(
        &desk,
        &refused()
            .replace("string", "int64")
            .replace("\"trip_id\", type = \"int64\"", "\"trip_id\", type = \"string\""),
    );
    assert!(compare(1).contains("trip.trip_id changed from int64 to string"));
}

#[test]
fn a_lake_that_is_not_there_yet_takes_any_columns() {
    let desk = Desk::new(FIRST);
    assert!(desk.tripline("schema", &[], 0).contains("version 1, which is new and fits"));
    assert!(!desk.path("lake/_tripline/schemas.json").exists());
}
