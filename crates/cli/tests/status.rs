//! `tripline status` as people run it: on lakes that are well, behind, stopped, and beside real streams.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use support::Desk;
use tripline_test_support::KinesisServer;

const PIPELINE: &str = r#"
id = "trips"
schema_version = 1
[events.trip]
id = ["trip_id"]
event_time = "at"
fields = [
  { name = "trip_id", type = "int64", required = true },
  { name = "at", type = "timestamp", required = true },
]
partition = [{ name = "year", time = "year" }]
"#;

/// A line that is a trip, of the hour `number`.
fn trip(number: u64) -> String {
    format!("{{\"type\":\"trip\",\"trip_id\":{number},\"at\":\"2019-03-01T{:02}:00:00Z\"}}\n", number % 24)
}

/// A desk whose journal has 20 trips and a dead letter in three entries, and nothing published.
fn waiting() -> Desk {
    let desk = Desk::new(PIPELINE);
    desk.write("in.jsonl", &((0..20).map(trip).collect::<String>() + "{\"type\":\"trip\"}\n"));
    let input = desk.path("in.jsonl");
    desk.tripline("run", &["--input", input.to_str().unwrap(), "--no-publish", "--batch-size", "8"], 0);
    desk
}

fn status(desk: &Desk, more: &[&str], code: i32) -> Value {
    let told = desk.tripline("status", &[&["--json"], more].concat(), code);
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
}

/// The file of the journal's entry with this number.
fn entry(desk: &Desk, number: u64) -> PathBuf {
    let lane = fs::read_dir(desk.path("lake/_journal")).unwrap().next().unwrap().unwrap().path();
    lane.join(format!("{number:020}"))
}

#[test]
fn what_waits_is_counted_until_it_is_published() {
    let desk = waiting();
    let seen = status(&desk, &["--max-lag", "1h"], 0);
    assert_eq!(seen["checkpoint"], Value::Null);
    let lag = &seen["lanes"][0]["lag"];
    assert_eq!((&lag["entries"], &lag["records"]), (&3.into(), &21.into()), "{seen}");
    assert!(lag["bytes"].as_u64().unwrap() > 500 && lag["ageMs"].as_i64().unwrap() < 3_600_000, "{lag}");
    assert_eq!(seen["lanes"][0]["published"], Value::Null);
    assert_eq!(seen["lanes"][0]["committed"]["entry"], 3);
    // 2019-03-01T19:00:00Z.
    assert_eq!(seen["eventTimeMaxMs"], 1_551_466_800_000_i64);
    let told = desk.tripline("status", &[], 0);
    for part in [
        "pipeline trips, 1 lanes",
        "nothing has been published yet",
        "3 entries with 21 records",
        "published     nothing",
        "2019-03-01T19:00:00.000Z",
        "dead letters  1: missing-field 1",
        "status: nothing needs a person",
    ] {
        assert!(told.contains(part), "{part} is not in: {told}");
    }

    desk.tripline("publish", &[], 0);
    let seen = status(&desk, &["--max-lag", "0s"], 0);
    assert_eq!(seen["lag"], json!({"entries": 0, "records": 0, "bytes": 0, "oldestMs": null, "ageMs": null}));
    assert_eq!(seen["lanes"][0]["published"], seen["lanes"][0]["committed"]);
    assert_eq!((&seen["pending"], &seen["totals"]["records"]), (&Value::Null, &21.into()));
    assert!(seen["checkpoint"]["generation"].as_u64().unwrap() >= 2, "{seen}");
}

#[test]
fn a_lag_over_the_one_that_is_allowed_needs_a_person() {
    let desk = waiting();
    let seen = status(&desk, &["--max-lag", "0s"], 1);
    assert!(seen["needs"][0].as_str().unwrap().contains("look whether publish runs"), "{seen}");
    let told = desk.tripline("status", &["--max-lag", "0s"], 1);
    assert!(told.contains("NEEDS YOU something was committed"), "{told}");
}

#[test]
fn files_that_are_committed_and_not_visible_count_as_lag() {
    let desk = waiting();
    desk.tripline("publish", &[], 0);
    let path = desk.path("lake/_tripline/checkpoint.json");
    let mut checkpoint: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    checkpoint["written_at_ms"] = 1_551_466_800_000_i64.into();
    checkpoint["pending"] = json!([{
        "key": "trip/x.parquet", "upload": "1", "parts": [], "bytes": 7,
        "contents": {"table": "trip", "partition": "", "schema": 1, "rows": 3, "digest": 0, "sources": []},
    }]);
    fs::write(&path, checkpoint.to_string()).unwrap();
    let seen = status(&desk, &["--max-lag", "1h"], 1);
    assert_eq!((&seen["pending"]["files"], &seen["pending"]["rows"]), (&1.into(), &3.into()));
    assert!(desk.tripline("status", &[], 0).contains("1 files with 3 rows, 7 B, committed"));
}

#[test]
fn a_damaged_entry_stops_its_lane_and_is_named() {
    let desk = waiting();
    let mut bytes = fs::read(entry(&desk, 2)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(entry(&desk, 2), bytes).unwrap();
    let seen = status(&desk, &[], 1);
    let lane = &seen["lanes"][0];
    assert_eq!((&lane["stopped"]["entry"], &lane["committed"]["entry"]), (&2.into(), &1.into()), "{seen}");
    assert_eq!(lane["lag"]["entries"], 3, "what lies behind it waits too");
    let told = desk.tripline("status", &[], 1);
    assert!(told.contains("STOPPED       entry 2: ") && told.contains("checksum does not match"), "{told}");
    assert!(
        told.contains("stands still at entry 2") && told.ends_with("something needs a person\n"),
        "{told}"
    );
    // Publish says the same of it.
    assert!(desk.tripline("publish", &[], 1).contains("checksum does not match"));
}

#[test]
fn an_entry_that_is_missing_stops_its_lane_and_others_go_on() {
    let desk = waiting();
    fs::remove_file(entry(&desk, 2)).unwrap();
    desk.write("more.jsonl", &trip(7));
    let more = desk.path("more.jsonl");
    desk.tripline("run", &["--input", more.to_str().unwrap(), "--no-publish"], 0);
    let seen = status(&desk, &[], 1);
    let stopped: Vec<&Value> =
        seen["lanes"].as_array().unwrap().iter().map(|lane| &lane["stopped"]).collect();
    let reasons: Vec<&str> = stopped.iter().filter_map(|stopped| stopped["reason"].as_str()).collect();
    assert_eq!(stopped.len(), 2, "{seen}");
    assert!(matches!(reasons[..], [reason] if reason.starts_with("entry 2 is missing, but ")), "{reasons:?}");
}

#[test]
fn no_lake_and_another_pipelines_are_errors() {
    let desk = Desk::new(PIPELINE);
    assert!(desk.tripline("status", &[], 2).contains("there is no lake at"));
    let desk = waiting();
    desk.write("pipeline/pipeline.toml", &PIPELINE.replace("\"trips\"", "\"rides\""));
    assert!(desk.tripline("status", &[], 2).contains("belongs to pipeline \"trips\", not \"rides\""));
}

#[test]
fn a_stream_that_is_ahead_of_the_lake_is_told_shard_by_shard() {
    let Some(server) = KinesisServer::shared_for("a stream that is ahead") else { return };
    let stream = "trips-status-ahead";
    server.create_stream(stream, 2).unwrap();
    let put = |number: u64| {
        let data = base64_simd::STANDARD.encode_to_string(trip(number));
        server
            .call(
                "PutRecord",
                &json!({"StreamName": stream, "Data": data, "PartitionKey": number.to_string()}),
            )
            .unwrap();
    };
    (0..20).for_each(put);
    let mut desk = Desk::new(PIPELINE);
    desk.variables = server.environment();
    let source = ["--kinesis", stream, "--kinesis-endpoint", server.endpoint()];
    desk.tripline("run", &[&source[..], &["--until-end"]].concat(), 0);
    let seen = status(&desk, &source, 0);
    assert_eq!(seen["ahead"].as_array().unwrap().len(), 2, "{seen}");
    let told = desk.tripline("status", &source, 0);
    assert!(told.contains("source shardId-000000000001 "), "{told}");

    let gone = ["--kinesis", "trips-not-there", "--kinesis-endpoint", server.endpoint()];
    let told = desk.tripline("status", &gone, 2);
    assert!(told.contains("cannot describe the Kinesis stream 'trips-not-there'"), "{told}");
}
