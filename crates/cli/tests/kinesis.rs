//! `tripline run --kinesis` as people run it, on a real server: a stream as source, as sink, and as both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::ops::Range;
use std::process::Stdio;
use std::time::Duration;

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
  { name = "note", type = "string" },
]
partition = [{ name = "year", time = "year" }]
"#;

fn trip(number: u64) -> Value {
    json!({"type": "trip", "trip_id": number, "at": "2019-03-01T12:00:00Z", "note": "x".repeat(50)})
}

fn put(server: &KinesisServer, stream: &str, numbers: Range<u64>) {
    let numbers: Vec<u64> = numbers.collect();
    for some in numbers.chunks(500) {
        let record = |number: &u64| {
            let data = base64_simd::STANDARD.encode_to_string(trip(*number).to_string());
            json!({"Data": data, "PartitionKey": number.to_string()})
        };
        let records: Vec<Value> = some.iter().map(record).collect();
        let told = server.call("PutRecords", &json!({"StreamName": stream, "Records": records})).unwrap();
        assert_eq!(told["FailedRecordCount"], 0);
    }
}

/// A desk whose tool reaches the server, and the options that name the stream.
fn desk(server: &KinesisServer) -> Desk {
    let mut desk = Desk::new(PIPELINE);
    desk.variables = server.environment();
    desk
}

fn source<'s>(server: &'s KinesisServer, stream: &'s str) -> Vec<&'s str> {
    vec!["--kinesis", stream, "--kinesis-endpoint", server.endpoint(), "--until-end"]
}

/// Numbers of the trips in a stream, and how many records there are.
fn held(server: &KinesisServer, stream: &str) -> (BTreeSet<u64>, usize) {
    let records = server.records(stream).unwrap();
    let number = |data: &[u8]| serde_json::from_slice::<Value>(data).unwrap()["trip_id"].as_u64().unwrap();
    (records.iter().map(|record| number(&record.data)).collect(), records.len())
}

#[test]
fn a_stream_is_read_to_its_end_and_the_next_run_goes_on_where_the_lake_is() {
    let Some(server) = KinesisServer::shared_for("a stream is read to its end") else { return };
    server.create_stream("trips-to-the-end", 3).unwrap();
    put(server, "trips-to-the-end", 0..1_200);
    let desk = desk(server);
    let source = source(server, "trips-to-the-end");
    let printed = desk.tripline("run", &[source.as_slice(), &["--batch-size", "100"]].concat(), 0);
    assert!(printed.contains("records read               1,200"), "{printed}");
    put(server, "trips-to-the-end", 1_200..1_500);
    let printed = desk.tripline("run", &source, 0);
    assert!(printed.contains("records read                 300"), "{printed}");
    assert_eq!(desk.seen(), (1_500, 0));
}

#[test]
fn a_shard_that_is_split_is_read_to_its_end_and_then_its_children() {
    let Some(server) = KinesisServer::shared_for("a shard that is split") else { return };
    server.create_stream("trips-split", 1).unwrap();
    put(server, "trips-split", 0..300);
    server.split_shard("trips-split", "shardId-000000000000").unwrap();
    put(server, "trips-split", 300..700);
    let desk = desk(server);
    let printed = desk.tripline("run", &source(server, "trips-split"), 0);
    assert!(printed.contains("records read                 700"), "{printed}");
    assert_eq!(desk.seen(), (700, 0));
    let audit: Value = serde_json::from_str(&desk.tripline("audit", &["--json"], 0)).unwrap();
    assert_eq!(audit["lanes"].as_array().unwrap().len(), 3, "{audit}");
}

#[test]
fn a_run_that_is_killed_is_finished_by_the_next_with_every_record_once() {
    let Some(server) = KinesisServer::shared_for("a run that is killed") else { return };
    server.create_stream("trips-killed", 2).unwrap();
    put(server, "trips-killed", 0..4_000);
    let desk = desk(server);
    let positions = desk.path("positions.json");
    let own = ["--positions", positions.to_str().unwrap(), "--batch-size", "50", "--publish-every", "7"];
    let options = [source(server, "trips-killed").as_slice(), &own].concat();
    let lake = desk.path("lake");
    for pause in [400, 700, 1_000] {
        let mut process = desk.command("run");
        process.arg("--lake").arg(&lake).args(&options).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = process.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        process.kill().unwrap();
        process.wait().unwrap();
    }
    desk.tripline("run", &options, 0);
    assert_eq!(desk.seen(), (4_000, 0));
}

#[test]
fn what_comes_of_one_stream_goes_on_into_another() {
    let Some(server) = KinesisServer::shared_for("one stream goes on into another") else { return };
    server.create_stream("trips-in", 2).unwrap();
    server.create_stream("trips-out", 2).unwrap();
    put(server, "trips-in", 0..600);
    let mut desk = desk(server);
    desk.variables.push(("TRIPLINE_KINESIS_STREAM", "trips-out".to_owned()));
    let printed = desk.tripline("run", &source(server, "trips-in"), 0);
    assert!(printed.contains("kinesis records              600"), "{printed}");
    assert_eq!((desk.seen(), held(server, "trips-out")), ((600, 0), ((0..600).collect(), 600)));
}

#[test]
fn what_a_stream_did_not_take_is_sent_to_it_alone_once_it_does() {
    let Some(server) = KinesisServer::shared_for("what a stream did not take") else { return };
    server.create_stream("trips-small", 1).unwrap();
    let mut desk = desk(server);
    desk.write("trips.jsonl", &(0..30).map(|number| trip(number).to_string() + "\n").collect::<String>());
    desk.variables.push(("TRIPLINE_KINESIS_STREAM", "trips-small".to_owned()));
    desk.variables.push(("TRIPLINE_KINESIS_RECORD_BYTES", "100".to_owned()));
    desk.run("trips.jsonl");
    assert_eq!((desk.seen(), held(server, "trips-small").1), ((30, 30), 0));
    desk.variables.pop();
    let preview = desk.tripline("redrive", &["--dry-run"], 0);
    assert!(preview.contains("30  kinesis rejected"), "{preview}");
    let sent = desk.tripline("redrive", &["--stage", "kinesis"], 0);
    assert!(
        sent.contains("30 letters sent; 0 rows for the lake, 0 documents, 30 events in other streams"),
        "{sent}"
    );
    assert!(desk.tripline("redrive", &[], 0).contains("nothing to send"));
    assert_eq!((desk.seen(), held(server, "trips-small")), ((30, 30), ((0..30).collect(), 30)));
    // Without the stream they could not be sent.
    desk.variables.pop();
    desk.write("more.jsonl", "not json\n");
    desk.run("more.jsonl");
    assert!(desk.tripline("redrive", &["--dry-run"], 0).contains("decode"));
}

#[test]
fn a_run_that_would_feed_what_it_reads_or_skip_what_comes_between_two_runs_is_refused() {
    let Some(server) = KinesisServer::shared_for("a run that would feed what it reads") else { return };
    server.create_stream("trips-loop", 1).unwrap();
    let mut desk = desk(server);
    let latest = ["--kinesis", "trips-loop", "--kinesis-endpoint", server.endpoint(), "--start", "latest"];
    let said = desk.tripline("run", &latest, 2);
    assert!(said.contains("--positions"), "{said}");
    desk.variables.push(("TRIPLINE_KINESIS_STREAM", "trips-loop".to_owned()));
    let said = desk.tripline("run", &source(server, "trips-loop"), 2);
    assert!(said.contains("is also the sink"), "{said}");
}

#[test]
fn what_a_stream_has_that_is_given_up_is_brought_in_by_a_redrive() {
    let Some(server) = KinesisServer::shared_for("what a stream has that is given up") else { return };
    server.create_stream("trips-given-up", 1).unwrap();
    put(server, "trips-given-up", 0..15);
    let poison = json!([{"Data": "bm90IGpzb24=", "PartitionKey": "poison"}]);
    server.call("PutRecords", &json!({"StreamName": "trips-given-up", "Records": poison})).unwrap();
    put(server, "trips-given-up", 15..39);
    let mut refusing =
        Desk::new(&PIPELINE.replace("schema_version", "on_malformed = \"fail\"\nschema_version"));
    refusing.variables = server.environment();
    let failed = refusing.path("failed");
    let failed = failed.to_str().unwrap();
    let own = ["--batch-size", "10", "--maximum-retry-attempts", "1", "--on-failure", failed];
    let options = [source(server, "trips-given-up").as_slice(), &own].concat();
    let printed = refusing.tripline("run", &options, 1);
    assert!(printed.contains("given up                       5   in 1 batches"), "{printed}");
    assert_eq!(refusing.seen(), (35, 0));
    // The next run goes on behind them.
    let printed = refusing.tripline("run", &options, 0);
    assert!(printed.contains("records read                   0"), "{printed}");
    refusing.write("pipeline/pipeline.toml", PIPELINE);
    let said = refusing.tripline("redrive", &["--failed-batches", failed, "--function", "ingest"], 0);
    assert!(said.contains("1 batches with 5 records; 5 were not in"), "{said}");
    refusing.tripline("publish", &[], 0);
    assert_eq!(refusing.seen(), (39, 1));
}

#[test]
fn another_source_epoch_is_another_source() {
    let Some(server) = KinesisServer::shared_for("another source epoch") else { return };
    server.create_stream("trips-epoch", 1).unwrap();
    put(server, "trips-epoch", 0..40);
    let desk = desk(server);
    let source = source(server, "trips-epoch");
    for epoch in ["1", "2"] {
        let printed = desk.tripline("run", &[source.as_slice(), &["--source-epoch", epoch]].concat(), 0);
        assert!(printed.contains("records read                  40"), "{printed}");
    }
    assert_eq!(desk.seen(), (80, 0));
}
