//! What the Kafka envelope does with events of all shapes, with `aws_lambda_events` as the oracle where
//! it can read them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use aws_lambda_events::event::kafka::KafkaEvent as Oracle;
use proptest::prelude::*;
use serde_json::{Value, json};
use tripline_model::source::{Payload, Position, SourcePartition};
use tripline_stream::mapping::kafka::{Cluster, TimestampType, TopicPartition, TopicRecord, write_event};
use tripline_stream::{BatchResponse, EnvelopeError, Event, RecordProblem, Source};

const ARN: &str = "arn:aws:kafka:us-east-1:123456789012:cluster/trips/5c3b1a5f-1f0b-4d4e-9b0c-2a1c0f0e7d11-3";
const SERVERS: &str =
    "b-2.trips.kafka.us-east-1.amazonaws.com:9098,b-1.trips.kafka.us-east-1.amazonaws.com:9098";

/// An event as the documentation shows it, with a header whose bytes are not ASCII.
fn event() -> Value {
    json!({
        "eventSource": "aws:kafka",
        "eventSourceArn": ARN,
        "bootstrapServers": SERVERS,
        "records": {"mytopic-0": [{
            "topic": "mytopic",
            "partition": 0,
            "offset": 15,
            "timestamp": 1_545_084_650_987_i64,
            "timestampType": "CREATE_TIME",
            "key": "YWJjREVGZ2hpSktMbW5vUFFSc3R1VldYWXoxMjM0==".trim_end_matches("=="),
            "value": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
            "headers": [{"headerKey": [104, 101, 97, 255]}],
        }]},
    })
}

/// Topic-partition, offset, arrival, key, payload (`Err` where it is not base64).
type Owned = (String, u64, Option<i64>, String, Result<Vec<u8>, Vec<u8>>);

fn owned(event: &Event<'_>) -> Vec<Owned> {
    assert_eq!(event.source, Source::Kafka);
    let mut records = Vec::new();
    for group in &event.partitions {
        for record in &group.records {
            assert_eq!(record.sub_position, 0);
            let payload = match record.payload {
                Payload::Bytes(bytes) => Ok(bytes.to_vec()),
                Payload::Undecodable(text) => Err(text.to_vec()),
            };
            let (partition, offset) = (group.partition.partition.clone(), record.position.as_u64().unwrap());
            records.push((partition, offset, record.arrival_ms, record.partition_key.to_owned(), payload));
        }
    }
    records
}

fn parse(event: &Value) -> Result<Vec<Owned>, EnvelopeError> {
    let mut arena = Vec::new();
    Event::parse(event.to_string().as_bytes(), &mut arena, "e1").map(|event| owned(&event))
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut event = event();
    change(&mut event["records"]["mytopic-0"][0]);
    event
}

/// The single record of the event, changed.
fn record(change: impl FnOnce(&mut Value)) -> Owned {
    parse(&with(change)).unwrap().pop().unwrap()
}

#[test]
fn the_documented_event_is_read() {
    let body = event().to_string();
    let mut arena = Vec::new();
    let event = Event::parse(body.as_bytes(), &mut arena, "e1").unwrap();
    let partition = &event.partitions[0].partition;
    let expected =
        SourcePartition { source: ARN.to_owned(), epoch: "e1".to_owned(), partition: "mytopic-0".to_owned() };
    assert_eq!(*partition, expected);
    assert_eq!(partition.topic(), Some("mytopic"));
    let key = "abcDEFghiJKLmnoPQRstuVWXYz1234".to_owned();
    let data = b"Hello, this is a test.".to_vec();
    assert_eq!(owned(&event), [("mytopic-0".to_owned(), 15, Some(1_545_084_650_987), key, Ok(data))]);
}

#[test]
fn a_failure_names_topic_partition_and_offset() {
    let body = event().to_string();
    let mut arena = Vec::new();
    let event = Event::parse(body.as_bytes(), &mut arena, "").unwrap();
    let failure = event.failure(&event.partitions[0].partition, Position::new(15));
    assert_eq!(
        serde_json::to_value(BatchResponse { failures: vec![failure] }).unwrap(),
        json!({"batchItemFailures": [{"itemIdentifier": {"partition": "mytopic-0", "offset": 15}}]})
    );
}

#[test]
fn a_self_managed_cluster_is_known_by_its_bootstrap_servers_in_any_order() {
    let source = |servers: &str| {
        let mut event = event();
        event["eventSource"] = json!("SelfManagedKafka");
        event["bootstrapServers"] = json!(servers);
        event.as_object_mut().unwrap().remove("eventSourceArn");
        let body = event.to_string();
        let mut arena = Vec::new();
        let event = Event::parse(body.as_bytes(), &mut arena, "").unwrap();
        event.partitions[0].partition.source.clone()
    };
    assert_eq!(source("b-1:9092,b-2:9092"), "kafka://b-1:9092,b-2:9092");
    assert_eq!(source("b-2:9092, b-1:9092"), "kafka://b-1:9092,b-2:9092");
}

#[test]
fn a_null_value_is_a_record_without_bytes() {
    assert_eq!(record(|record| record["value"] = Value::Null).4, Ok(vec![]));
    assert_eq!(record(|record| drop(record.as_object_mut().unwrap().remove("value"))).4, Ok(vec![]));
}

#[test]
fn a_value_that_is_not_base64_is_kept_as_it_stands() {
    assert_eq!(record(|record| record["value"] = json!("*no*")).4, Err(b"*no*".to_vec()));
    assert_eq!(record(|record| record["value"] = json!({"a": 1})).4, Err(br#"{"a":1}"#.to_vec()));
}

#[test]
fn a_key_is_text_and_stays_in_base64_where_its_bytes_are_none() {
    for (key, expected) in [
        (json!("MTIz"), "123"),
        (json!(""), ""),
        (Value::Null, ""),
        (json!("/wA="), "/wA="),
        (json!("*no*"), "*no*"),
        (json!(7), ""),
    ] {
        assert_eq!(record(|record| record["key"] = key.clone()).3, expected, "{key}");
    }
}

#[test]
fn a_time_is_exact_or_absent_and_never_fails_the_batch() {
    for (time, expected) in [
        (json!(0), Some(0)),
        (json!(-1), None),
        (json!(1.5), None),
        (json!("1545084650987"), None),
        (json!(u64::MAX), None),
        (Value::Null, None),
        (json!([1]), None),
    ] {
        assert_eq!(record(|record| record["timestamp"] = time.clone()).2, expected, "{time}");
    }
}

#[test]
fn what_nobody_uses_may_be_of_any_shape() {
    let event = with(|record| {
        record["headers"] = json!({"a": [[-1, 256]]});
        record["timestampType"] = json!(null);
        record["topic"] = json!(1);
        record["valueSchemaMetadata"] = json!({"dataFormat": "JSON", "schemaId": "1"});
    });
    assert_eq!(parse(&event).unwrap().len(), 1);
}

#[test]
fn an_event_whose_records_have_no_place_is_refused_with_what_is_wrong() {
    let problem = |event: Value| match parse(&event).unwrap_err() {
        EnvelopeError::KafkaRecord { partition, index: 0, problem } if partition == "mytopic-0" => problem,
        other => panic!("{other}"),
    };
    assert_eq!(problem(with(|record| *record = json!(1))), RecordProblem::NotAnObject { seen: "a number" });
    let without = with(|record| drop(record.as_object_mut().unwrap().remove("offset")));
    assert_eq!(problem(without), RecordProblem::NoOffset);
    for (offset, seen) in [
        (json!(-1), "-1"),
        (json!(1.0), "1.0"),
        (json!("15"), "\"15\""),
        (Value::Null, "null"),
        (json!(18_446_744_073_709_551_616.0), "1.8446744073709552e+19"),
    ] {
        let seen = seen.to_owned();
        assert_eq!(problem(with(|record| record["offset"] = offset)), RecordProblem::BadOffset { seen });
    }
}

#[test]
fn an_event_of_another_shape_is_refused_by_what_it_is() {
    let changed = |change: fn(&mut Value)| {
        let mut event = event();
        change(&mut event);
        parse(&event).unwrap_err().to_string()
    };
    for (change, expected) in [
        ((|event| event["records"] = json!([])) as fn(&mut Value), "whose \"records\" is an array"),
        (|event| event["records"] = json!({"mytopic-0": 1}), "has \"mytopic-0\", a number, where"),
        (|event| event["records"] = json!({"": []}), "has \"\", an array, where"),
        (|event| drop(event.as_object_mut().unwrap().remove("records")), "without \"records\""),
        (
            |event| drop(event.as_object_mut().unwrap().remove("eventSourceArn")),
            "without a text \"eventSourceArn\"",
        ),
        (
            |event| *event = json!({"eventSource": "SelfManagedKafka", "records": {}}),
            "without a text \"bootstrapServers\"",
        ),
        (|event| drop(event.as_object_mut().unwrap().remove("eventSource")), "an object with \"records\""),
    ] {
        let error = changed(change);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn topic_partitions_without_records_are_left_out() {
    let mut event = event();
    event["records"]["other-1"] = json!([]);
    assert_eq!(parse(&event).unwrap().len(), 1);
    event["records"] = json!({});
    assert_eq!(parse(&event).unwrap(), []);
}

#[test]
fn of_a_member_that_stands_twice_the_last_counts() {
    let body = r#"{"records":{"a-0":[{}]},"eventSource":"aws:kafka","records":{"a-0":[{"offset":1,"offset":2}],
        "b-0":[{"offset":7}],"a-0":[{"offset":3},{"offset":4}]},"eventSourceArn":"arn:x"}"#;
    let mut arena = Vec::new();
    let event = Event::parse(body.as_bytes(), &mut arena, "").unwrap();
    let places: Vec<_> = owned(&event).into_iter().map(|record| (record.0, record.1)).collect();
    assert_eq!(places, [("a-0".to_owned(), 3), ("a-0".to_owned(), 4), ("b-0".to_owned(), 7)]);
}

#[test]
fn a_kinesis_event_may_have_a_member_called_records() {
    let mut arena = Vec::new();
    let body = br#"{"records":{"a":[1]},"Records":[],"eventSource":"aws:kafka"}"#;
    assert_eq!(Event::parse(body, &mut arena, "").unwrap().source, Source::Kinesis);
}

fn topic_record() -> impl Strategy<Value = TopicRecord> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let ascii = prop::collection::vec(0_u8..128, 0..6);
    let headers = prop::collection::vec(("\\PC{0,4}", ascii), 0..3);
    (
        any::<i64>(),
        0_i64..4_000_000_000_000,
        any::<bool>(),
        prop::option::of(bytes()),
        prop::option::of(bytes()),
        headers,
    )
        .prop_map(|(offset, timestamp_ms, append, key, value, headers)| TopicRecord {
            offset: offset.unsigned_abs() >> 1,
            timestamp_ms,
            timestamp_type: if append { TimestampType::LogAppendTime } else { TimestampType::CreateTime },
            key,
            value,
            headers,
        })
}

fn partitions() -> impl Strategy<Value = Vec<TopicPartition>> {
    let records = prop::collection::vec(topic_record(), 1..4);
    let named = prop::collection::btree_map(("[a-z_.-]{1,5}", 0..100_i32), records, 0..4);
    named.prop_map(|named| {
        let partition = |((topic, partition), records)| TopicPartition { topic, partition, records };
        named.into_iter().map(partition).collect()
    })
}

proptest! {
    #[test]
    fn an_event_is_read_as_it_was_written_and_as_the_oracle_reads_it(partitions in partitions(), msk in any::<bool>()) {
        let cluster = Cluster { arn: msk.then(|| ARN.to_owned()), bootstrap_servers: SERVERS.to_owned() };
        let body = write_event(&cluster, &partitions);
        let oracle: Oracle = serde_json::from_slice(&body).unwrap();
        let mut arena = Vec::new();
        let event = Event::parse(&body, &mut arena, "").unwrap();
        prop_assert_eq!(oracle.event_source_arn.as_deref(), msk.then_some(ARN));
        prop_assert_eq!(event.partitions.len(), oracle.records.len());
        prop_assert_eq!(event.partitions.len(), partitions.len());
        for (ours, put) in event.partitions.iter().zip(&partitions) {
            let name = &ours.partition.partition;
            prop_assert_eq!(name, &format!("{}-{}", put.topic, put.partition));
            prop_assert_eq!(ours.partition.topic(), Some(&*put.topic));
            prop_assert_eq!(ours.records.len(), put.records.len());
            for ((ours, put), theirs) in ours.records.iter().zip(&put.records).zip(&oracle.records[name]) {
                prop_assert_eq!(ours.position.as_u64(), Some(put.offset));
                prop_assert_eq!(theirs.offset, put.offset as i64);
                prop_assert_eq!(ours.arrival_ms, Some(put.timestamp_ms));
                // The oracle reads times through a float.
                prop_assert!((theirs.timestamp.0.timestamp_millis() - put.timestamp_ms).abs() <= 1);
                prop_assert_eq!(ours.payload, Payload::Bytes(put.value.as_deref().unwrap_or_default()));
                prop_assert_eq!(theirs.value.is_none(), put.value.is_none());
                let key = put.key.as_deref().unwrap_or_default();
                let text = std::str::from_utf8(key).map_or_else(|_| theirs.key.clone().unwrap(), str::to_owned);
                prop_assert_eq!(ours.partition_key, text);
            }
        }
    }

    #[test]
    fn a_damaged_event_is_read_or_refused(
        partitions in partitions(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let cluster = Cluster { arn: None, bootstrap_servers: SERVERS.to_owned() };
        let mut body = write_event(&cluster, &partitions);
        let at = at.index(body.len());
        if cut { body.truncate(at) } else { body[at] = byte }
        let mut arena = Vec::new();
        let _ = Event::parse(&body, &mut arena, "");
    }
}
