//! `tripline redrive` as people run it: after a fix of the pipeline, and after a mapping gave batches up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::Desk;
use tripline_stream::kpl::{Aggregator, UserRecord};
use tripline_stream::mapping::kafka::{Cluster, TopicPartition, TopicRecord, write_event};

const PIPELINE: &str = r#"
id = "trips"
type_field = "type"
schema_version = 1
[events.trip]
id = ["trip_id"]
event_time = "at"
fields = [
  { name = "trip_id", type = "int64", required = true },
  { name = "at", type = "timestamp", required = true },
  { name = "vendor", type = "int32" },
]
partition = [{ name = "year", time = "year" }]
"#;

/// Trips from one number to another; every fourth tells its vendor as text.
fn trips(numbers: std::ops::Range<u32>) -> String {
    numbers
        .map(|number| {
            let vendor = if number % 4 == 0 { json!("CMT") } else { json!(2) };
            let at = "2019-03-01T12:00:00Z";
            json!({"type": "trip", "trip_id": number, "at": at, "vendor": vendor}).to_string() + "\n"
        })
        .collect()
}

#[test]
fn dead_letters_become_rows_once_the_pipeline_takes_them_and_are_sent_once() {
    let desk = Desk::new(PIPELINE);
    desk.write("trips.jsonl", &(trips(0..40) + "not json\n"));
    desk.run("trips.jsonl");
    assert_eq!(desk.seen(), (30, 11));
    let preview = desk.tripline("redrive", &["--dry-run"], 0);
    for part in ["11 dead letters would be sent", "10  decode  wrong-type", "1  decode  not-json"] {
        assert!(preview.contains(part), "{part} is not in:\n{preview}");
    }
    // Mended: vendors are texts, in a column of their own, since there are files with numbers.
    let mended = PIPELINE
        .replace("\"vendor\", type = \"int32\"", "\"vendor_name\", from = \"vendor\", type = \"string\"")
        .replace("schema_version = 1", "schema_version = 2");
    desk.write("pipeline/pipeline.toml", &mended);
    let none = desk.tripline("redrive", &["--reason", "bad-datetime"], 0);
    assert!(none.contains("nothing to send"), "{none}");
    let sent = desk.tripline("redrive", &["--reason", "wrong-type", "--since", "2020-01-01"], 0);
    assert!(sent.contains("10 letters sent; 10 rows for the lake"), "{sent}");
    desk.write("more.jsonl", &trips(44..45));
    desk.run("more.jsonl");
    assert_eq!(desk.seen(), (41, 11));
    // What is still no event is a dead letter once more, and may be sent again.
    let rest = desk.tripline("redrive", &[], 0);
    assert!(
        rest.contains("1 letters sent; 0 rows for the lake, 0 documents, 1 dead letters again"),
        "{rest}"
    );
    desk.write("last.jsonl", &trips(48..49));
    desk.run("last.jsonl");
    assert_eq!(desk.seen(), (42, 12));
    assert!(desk.tripline("redrive", &["--dry-run"], 0).contains("1 dead letters would be sent"));
    let list = desk.tripline("redrive", &["--list"], 0);
    assert!(
        list.contains("reason wrong-type, since 2020-01-01") && list.contains("10 letters sent"),
        "{list}"
    );
}

#[test]
fn a_redrive_names_what_it_does_not_know() {
    let desk = Desk::new(PIPELINE);
    let said = desk.tripline("redrive", &["--reason", "wrong"], 2);
    assert!(said.contains("wrong-type"), "the reasons that there are: {said}");
    let said = desk.tripline("redrive", &["--since", "yesterday"], 2);
    assert!(said.contains("ISO 8601"), "{said}");
}

fn trip(number: u32) -> Vec<u8> {
    json!({"type": "trip", "trip_id": number, "at": "2019-03-01T12:00:00Z"}).to_string().into_bytes()
}

/// An event of some trips of one shard, as its mapping sends it.
fn event(numbers: std::ops::Range<u32>) -> String {
    event_of(numbers.map(|number| (number, trip(number))))
}

/// The same of aggregates of three trips: what is at number 5 holds the trips 15, 16 and 17.
fn aggregated(numbers: std::ops::Range<u32>) -> String {
    event_of(numbers.map(|number| {
        let mut aggregator = Aggregator::default();
        for trip in (3 * number..3 * number + 3).map(trip) {
            assert!(aggregator.push(&UserRecord { partition_key: "key", data: &trip }));
        }
        (number, aggregator.finish().unwrap())
    }))
}

fn event_of(records: impl Iterator<Item = (u32, Vec<u8>)>) -> String {
    let record = |(number, data): (u32, Vec<u8>)| {
        json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": "key",
                "sequenceNumber": (1000 + number).to_string(),
                "data": base64_simd::STANDARD.encode_to_string(&data),
                "approximateArrivalTimestamp": f64::from(1_545_084_650 + number)
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": format!("shardId-000000000006:{}", 1000 + number),
            "eventName": "aws:kinesis:record",
            "eventSourceARN": "arn:aws:kinesis:us-east-2:123456789012:stream/trips"
        })
    };
    json!({ "Records": records.map(record).collect::<Vec<_>>() }).to_string()
}

/// What Lambda writes to an S3 destination for a batch that it gave up.
fn given_up(numbers: std::ops::Range<u32>) -> String {
    given_up_with(numbers.clone(), event(numbers))
}

fn given_up_with(numbers: std::ops::Range<u32>, event: String) -> String {
    json!({
        "requestContext": {
            "requestId": "c9b8fa9f-5a7f-0000-af9c-0c604cde93a5",
            "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:ingest",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 3
        },
        "version": "1.0",
        "timestamp": "2019-11-14T00:38:06.021Z",
        "KinesisBatchInfo": {
            "shardId": "shardId-000000000006",
            "startSequenceNumber": (1000 + numbers.start).to_string(),
            "endSequenceNumber": (999 + numbers.end).to_string(),
            "batchSize": numbers.len(),
            "streamArn": "arn:aws:kinesis:us-east-2:123456789012:stream/trips"
        },
        "payload": event
    })
    .to_string()
}

fn failed(desk: &Desk) -> String {
    let folder = desk.path("failed");
    let failed: &Path = &folder;
    desk.tripline("redrive", &["--failed-batches", failed.to_str().unwrap()], 0)
}

#[test]
fn a_batch_that_was_given_up_comes_in_but_for_what_is_in_and_once() {
    let desk = Desk::new(PIPELINE);
    // The function took 0 to 4 and failed behind them; the mapping gave 3 to 11 up and went on.
    for (name, numbers) in [("one.json", 0..5), ("two.json", 12..20)] {
        desk.write(name, &event(numbers));
        desk.run(name);
    }
    assert_eq!(desk.seen(), (13, 0));
    desk.write("failed/aws/lambda/mapping/shardId-000000000006/2019/11/14/a", &given_up(3..12));
    let said = failed(&desk);
    assert!(said.contains("1 batches with 9 records; 7 were not in"), "{said}");
    let again = failed(&desk);
    assert!(again.contains("1 batches with 9 records; 0 were not in"), "{again}");
    desk.run("two.json");
    assert_eq!(desk.seen(), (20, 0));
    // The mapping is wound back over all of it: nothing comes in twice.
    desk.write("all.json", &event(0..20));
    desk.run("all.json");
    assert_eq!(desk.seen(), (20, 0));
}

#[test]
fn a_batch_of_aggregates_that_was_given_up_comes_in_record_by_record_and_once() {
    let desk = Desk::new(PIPELINE);
    for (name, numbers) in [("one.json", 0..2), ("two.json", 4..6)] {
        desk.write(name, &aggregated(numbers));
        desk.run(name);
    }
    assert_eq!(desk.seen(), (12, 0));
    desk.write("failed/a", &given_up_with(1..4, aggregated(1..4)));
    let said = failed(&desk);
    assert!(said.contains("1 batches with 9 records; 6 were not in"), "{said}");
    let again = failed(&desk);
    assert!(again.contains("1 batches with 9 records; 0 were not in"), "{again}");
    desk.write("all.json", &aggregated(0..6));
    desk.run("all.json");
    assert_eq!(desk.seen(), (18, 0));
}

/// An event of two topic-partitions, each with trips of its own at these offsets.
fn kafka_event(offsets: std::ops::Range<u32>) -> String {
    let record = |partition: u32, offset: u32| TopicRecord {
        offset: offset.into(),
        timestamp_ms: i64::from(1_545_084_650 + offset) * 1000,
        value: Some(trip(1000 * partition + offset)),
        ..TopicRecord::default()
    };
    let partition = |number: u32| TopicPartition {
        topic: "trips".to_owned(),
        partition: number as i32,
        records: offsets.clone().map(|offset| record(number, offset)).collect(),
    };
    let cluster = Cluster { arn: None, bootstrap_servers: "b-1:9092".to_owned() };
    String::from_utf8(write_event(&cluster, &[0, 1].map(partition))).unwrap()
}

#[test]
fn a_batch_of_kafka_that_was_given_up_comes_in_by_topic_partition_and_once() {
    let desk = Desk::new(PIPELINE);
    for (name, offsets) in [("one.json", 0..5), ("two.json", 12..20)] {
        desk.write(name, &kafka_event(offsets));
        desk.run(name);
    }
    assert_eq!(desk.seen(), (26, 0));
    desk.write("failed/a", &given_up_with(3..12, kafka_event(3..12)));
    let said = failed(&desk);
    assert!(said.contains("1 batches with 18 records; 14 were not in"), "{said}");
    let again = failed(&desk);
    assert!(again.contains("1 batches with 18 records; 0 were not in"), "{again}");
    desk.write("all.json", &kafka_event(0..20));
    desk.run("all.json");
    assert_eq!(desk.seen(), (40, 0));
}

#[test]
fn a_batch_that_was_given_up_last_takes_its_place_in_its_own_lane() {
    let desk = Desk::new(PIPELINE);
    desk.write("one.json", &event(0..5));
    desk.run("one.json");
    desk.write("failed/a", &given_up(5..9));
    desk.write("failed/b", &given_up(9..10));
    let said = failed(&desk);
    assert!(said.contains("2 batches with 5 records; 5 were not in"), "{said}");
    // Should the mapping deliver it after all, it is in.
    desk.write("late.json", &event(4..12));
    desk.run("late.json");
    assert_eq!(desk.seen(), (12, 0));
}

#[test]
fn a_record_of_a_queue_says_where_the_records_are_and_is_refused() {
    let desk = Desk::new(PIPELINE);
    let mut record: Value = serde_json::from_str(&given_up(0..3)).unwrap();
    record.as_object_mut().unwrap().remove("payload");
    desk.write("failed/a", &record.to_string());
    let said = desk.tripline("redrive", &["--failed-batches", desk.path("failed").to_str().unwrap()], 2);
    assert!(said.contains("S3 destination"), "{said}");
}
