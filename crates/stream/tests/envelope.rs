//! What the Kinesis envelope does with events of all shapes, with serde_json as the oracle.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use proptest::prelude::*;
use serde_json::{Value, json};
use tripline_model::source::{Payload, Position, PositionError};
use tripline_oracle::Reading;
use tripline_oracle::event::{EventRecord, read};
use tripline_stream::mapping::{PutRecord, ShardOrigin, write_event};
use tripline_stream::{EnvelopeError, Event, RecordProblem, Source};

const STREAM: &str = "arn:aws:kinesis:us-east-2:123456789012:stream/trips";
const SEQUENCE: &str = "49590338271490256608559692538361571095921575989136588898";

/// A record as the documentation shows it.
fn record() -> Value {
    json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "1",
            "sequenceNumber": SEQUENCE,
            "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
            "approximateArrivalTimestamp": 1545084650.987,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": format!("shardId-000000000006:{SEQUENCE}"),
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
        "awsRegion": "us-east-2",
        "eventSourceARN": STREAM,
    })
}

fn event(records: &[Value]) -> String {
    json!({ "Records": records }).to_string()
}

/// An owned record: shard, position, arrival, key, payload (`Err` where it is not base64).
type Owned = (String, Position, Option<i64>, String, Result<Vec<u8>, Vec<u8>>);

fn parse(body: impl AsRef<[u8]>) -> Result<Vec<Owned>, EnvelopeError> {
    let mut arena = Vec::new();
    let event = Event::parse(body.as_ref(), &mut arena, "e1")?;
    assert_eq!(event.source, Source::Kinesis);
    let mut records = Vec::new();
    for partition in &event.partitions {
        assert_eq!(partition.partition.epoch, "e1");
        for record in &partition.records {
            assert_eq!(record.sub_position, 0);
            let payload = match record.payload {
                Payload::Bytes(bytes) => Ok(bytes.to_vec()),
                Payload::Undecodable(text) => Err(text.to_vec()),
            };
            let shard = partition.partition.partition.clone();
            records.push((
                shard,
                record.position,
                record.arrival_ms,
                record.partition_key.to_owned(),
                payload,
            ));
        }
    }
    Ok(records)
}

fn problem(record: Value) -> RecordProblem {
    match parse(event(&[self::record(), record])).unwrap_err() {
        EnvelopeError::Record { index: 1, problem, .. } => problem,
        other => panic!("{other}"),
    }
}

#[test]
fn the_documented_event_is_read() {
    let records = parse(event(&[record()])).unwrap();
    let shard = "shardId-000000000006".to_owned();
    let data = b"Hello, this is a test.".to_vec();
    assert_eq!(
        records,
        [(shard, SEQUENCE.parse().unwrap(), Some(1_545_084_650_987), "1".to_owned(), Ok(data))]
    );
}

#[test]
fn an_event_without_records_is_an_event() {
    assert_eq!(parse(r#"{"Records":[]}"#), Ok(vec![]));
    let mut arena = Vec::new();
    assert!(Event::parse(b"{ \"Records\" : [ ] }\n", &mut arena, "").unwrap().partitions.is_empty());
}

#[test]
fn an_arrival_time_of_any_form_is_exact_or_absent_and_never_fails_the_batch() {
    let cases = [
        ("1545084650.987", Some(1_545_084_650_987)),
        ("1545084650.98", Some(1_545_084_650_980)),
        ("1545084650.9", Some(1_545_084_650_900)),
        ("1545084650.9876", Some(1_545_084_650_987)),
        ("1545084650.98765432109876543210", Some(1_545_084_650_987)),
        ("1.545084650987E9", Some(1_545_084_650_987)),
        ("1545084650", Some(1_545_084_650_000)),
        ("\"1545084650.98\"", Some(1_545_084_650_980)),
        ("1e999999", None),
        ("\"yesterday\"", None),
        ("null", None),
        ("[[[]]]", None),
        ("{\"seconds\":1}", None),
    ];
    for (text, expected) in cases {
        let body = event(&[record()]).replace("1545084650.987", text);
        assert_eq!(parse(&body).unwrap()[0].2, expected, "{text}");
    }
    let mut without = record();
    without["kinesis"].as_object_mut().unwrap().remove("approximateArrivalTimestamp");
    assert_eq!(parse(event(&[without])).unwrap()[0].2, None);
}

#[test]
fn what_nobody_uses_may_be_of_any_shape() {
    let mut strange = record();
    strange["kinesis"]["kinesisSchemaVersion"] = json!([1]);
    strange["kinesis"]["encryptionType"] = json!("KMS");
    strange["eventVersion"] = json!(null);
    strange["awsRegion"] = json!({"Records": [1]});
    strange["new"] = json!([{"kinesis": 1}]);
    let body = json!({
        "window": {"start": "2020-12-09T07:04:00Z", "end": "2020-12-09T07:06:00Z"},
        "state": {"1": 282}, "shardId": "shardId-000000000009", "eventSourceARN": "other",
        "Records": [strange], "isFinalInvokeForWindow": false, "isWindowTerminatedEarly": false,
    });
    assert_eq!(parse(body.to_string()), parse(event(&[record()])));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = event(&[record()]).replacen("\"1.0\"", &deep, 1);
    assert_eq!(parse(body), parse(event(&[record()])));
}

#[test]
fn escapes_are_resolved_wherever_a_member_is_used() {
    let expected = parse(event(&[record()])).unwrap();
    let body = event(&[record()])
        .replace("SGVsbG8s", "SGVsb\\u00478s")
        .replace("\"kinesis\"", "\"k\\u0069nesis\"")
        .replace("Records", "\\u0052ecords")
        .replace("arn:aws:kinesis", "\\u0061rn:aws:kinesis")
        .replace("stream/trips", "stream\\/trips")
        .replace("\"shardId", "\"\\u0073hardId")
        .replace("\"4959033", "\"\\u0034959033")
        .replace("\"aws:kinesis\"", "\"aws\\u003akinesis\"");
    assert_eq!(parse(&body).unwrap(), expected);
    let mut arena = Vec::new();
    assert_eq!(Event::parse(body.as_bytes(), &mut arena, "").unwrap().partitions[0].partition.source, STREAM);
    for key in ["\"quoted\" \\ \n", "Zoë 🚕", "\u{0}", ""] {
        let mut keyed = record();
        keyed["kinesis"]["partitionKey"] = json!(key);
        assert_eq!(parse(event(&[keyed])).unwrap()[0].3, key);
    }
    let body = event(&[record()]).replace("\"partitionKey\":\"1\"", r#""partitionKey":"\ud83d\ude95\u00e9""#);
    assert_eq!(parse(body).unwrap()[0].3, "🚕é");
}

#[test]
fn a_payload_that_is_no_base64_is_undecodable_and_its_neighbours_are_read() {
    let spoilt = |data: Value| {
        let mut spoilt = record();
        spoilt["kinesis"]["data"] = data;
        spoilt
    };
    let bad = ["!", "SGVsbG8", "SGVs bG8=", "SGVsbG8=\n", "====", "SGVsbG9=", "_-__", "é"];
    for data in bad {
        let records = parse(event(&[record(), spoilt(json!(data)), record()])).unwrap();
        assert_eq!(records.len(), 3);
        assert_eq!((&records[0], &records[2].4), (&records[2], &records[0].4));
        let as_written = json!(data).to_string();
        assert_eq!(records[1].4, Err(as_written.trim_matches('"').as_bytes().to_vec()), "{data}");
    }
    for (data, kept) in [(json!(null), "null"), (json!(17), "17"), (json!(["QQ=="]), "[\"QQ==\"]")] {
        assert_eq!(parse(event(&[spoilt(data)])).unwrap()[0].4, Err(kept.as_bytes().to_vec()));
    }
    let mut without = record();
    without["kinesis"].as_object_mut().unwrap().remove("data");
    assert_eq!(parse(event(&[without])).unwrap()[0].4, Err(vec![]));
    assert_eq!(parse(event(&[spoilt(json!(""))])).unwrap()[0].4, Ok(vec![]));
}

#[test]
fn a_record_without_a_place_fails_the_batch_and_is_named() {
    for sequence in [json!(null), json!(17), json!(["1"])] {
        let mut record = record();
        record["kinesis"]["sequenceNumber"] = sequence;
        assert_eq!(problem(record), RecordProblem::NoSequence);
    }
    for (sequence, error) in [
        ("", PositionError::NotANumber),
        ("-1", PositionError::NotANumber),
        ("1e3", PositionError::NotANumber),
        (&"9".repeat(77), PositionError::TooLong),
    ] {
        let mut record = record();
        record["kinesis"]["sequenceNumber"] = json!(sequence);
        assert_eq!(problem(record), RecordProblem::BadSequence { error });
    }
    for id in [json!(null), json!(""), json!(":1"), json!("shardId-000000000006"), json!(1)] {
        let mut record = record();
        record["eventID"] = id;
        assert!(matches!(problem(record), RecordProblem::NoShard { .. }));
    }
    for stream in [json!(null), json!(""), json!({})] {
        let mut record = record();
        record["eventSourceARN"] = stream;
        assert_eq!(problem(record), RecordProblem::NoSource);
    }
    let mut sqs = record();
    sqs["eventSource"] = json!("aws:sqs");
    assert_eq!(problem(sqs), RecordProblem::OtherSource { event_source: "aws:sqs".to_owned() });
    for kinesis in [json!(null), json!([]), json!("1")] {
        let mut record = record();
        record["kinesis"] = kinesis;
        assert_eq!(problem(record), RecordProblem::NoKinesis);
    }
    assert_eq!(problem(json!("x")), RecordProblem::NotAnObject { seen: "a string" });

    let mut record = record();
    record["eventID"] = json!("nothing");
    assert_eq!(
        parse(event(&[record])).unwrap_err().to_string(),
        format!(
            "record 0 of the event (sequence number \"{SEQUENCE}\"): its eventID is \"nothing\", expected \"<shard \
             id>:<sequence number>\""
        )
    );
}

#[test]
fn an_event_of_another_shape_says_what_was_seen_and_what_is_expected() {
    let cases = [
        ("[]", "the event is an array; expected"),
        ("null", "the event is null; expected"),
        ("\"\"", "the event is a string; expected"),
        ("{}", "the event is an empty object; expected"),
        (r#"{"a":1,"b":{"Records":[]}}"#, "the event is an object with \"a\", \"b\"; expected"),
        (r#"{"Records":{}}"#, "the event is an object whose \"Records\" is an object; expected"),
        (
            r#"{"eventSource":"aws:mq","messages":[]}"#,
            "the event is an object of eventSource \"aws:mq\" without",
        ),
        ("", "the event is not valid JSON (unexpected end at byte 0)"),
        ("{\"Records\":[]} x", "the event is not valid JSON (trailing data at byte 15)"),
        ("{\"Records\":[}", "the event is not valid JSON (unexpected byte at byte 12)"),
    ];
    for (body, message) in cases {
        let error = parse(body).unwrap_err().to_string();
        assert!(error.starts_with(message), "{body}: {error}");
    }
    let ffs = [0xff; 4];
    assert!(matches!(parse(ffs), Err(EnvelopeError::Json(_))));
}

#[test]
fn records_of_mixed_shards_are_grouped_with_their_order_kept() {
    let of = |shard: u32, sequence: u32| {
        let mut record = record();
        record["eventID"] = json!(format!("shardId-{shard}:{sequence}"));
        record["kinesis"]["sequenceNumber"] = json!(sequence.to_string());
        record
    };
    let body = event(&[of(1, 5), of(0, 3), of(1, 6), of(1, 7), of(0, 4)]);
    let order: Vec<(String, String)> =
        parse(body).unwrap().into_iter().map(|(shard, position, ..)| (shard, position.to_string())).collect();
    let expected = [("1", "5"), ("1", "6"), ("1", "7"), ("0", "3"), ("0", "4")];
    assert_eq!(order, expected.map(|(shard, sequence)| (format!("shardId-{shard}"), sequence.to_owned())));
    let many: Vec<Value> = (0..3_000).map(|shard| of(shard, 1)).collect();
    assert_eq!(parse(event(&many)).unwrap().len(), 3_000);
}

#[test]
fn of_a_member_that_stands_twice_the_last_counts() {
    let body = event(&[record()])
        .replace("\"partitionKey\":\"1\"", r#""partitionKey":"1","data":"QQ==","partitionKey":"2""#);
    let body = body.replacen('{', "{\"Records\":[],", 1);
    let oracle: Value = serde_json::from_str(&body).unwrap();
    let records = parse(&body).unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].3, oracle["Records"][0]["kinesis"]["partitionKey"].as_str().unwrap());
}

#[test]
fn an_event_of_six_megabytes_is_read_into_memory_that_is_used_again() {
    let origin = ShardOrigin {
        source: STREAM.to_owned(),
        shard: "shardId-000000000000".to_owned(),
        invoke_identity_arn: String::new(),
    };
    let records: Vec<PutRecord> = (1..=4_000)
        .map(|number| PutRecord {
            sequence: Position::new(number),
            partition_key: number.to_string(),
            data: vec![number as u8; 800],
            arrival_ms: Some(1_545_084_650_987),
        })
        .collect();
    let body = write_event(&origin, &records);
    assert!(body.len() > 5_500_000 && body.len() < 6_300_000, "{}", body.len());
    let mut arena = Vec::new();
    let mut address = None;
    for _ in 0..3 {
        let event = Event::parse(&body, &mut arena, "").unwrap();
        assert_eq!(event.source, Source::Kinesis);
        assert_eq!((event.partitions[0].records.len(), event.partitions.len()), (4_000, 1));
        let read = &event.partitions[0].records;
        assert!(read.iter().zip(&records).all(|(read, put)| read.payload == Payload::Bytes(&put.data)));
        let at = match read[0].payload {
            Payload::Bytes(bytes) => bytes.as_ptr() as usize,
            Payload::Undecodable(_) => 0,
        };
        assert_eq!(*address.get_or_insert(at), at);
    }
}

/// What the event says, read by serde_json.
fn oracle(body: &[u8]) -> Option<Vec<EventRecord>> {
    match read(body) {
        Reading::Read(records) => Some(records),
        Reading::Refused | Reading::Unknown => None,
    }
}

/// A valid event of a few records, with keys and members shuffled by `order`.
fn events() -> impl Strategy<Value = Vec<u8>> {
    let record =
        (any::<u64>(), "\\PC{0,6}", proptest::collection::vec(any::<u8>(), 0..24), 0..3_u8, any::<bool>());
    proptest::collection::vec(record, 0..6).prop_map(|records| {
        let records: Vec<Value> = records
            .into_iter()
            .map(|(sequence, key, data, shard, pretty)| {
                let mut value = record_of(sequence, &key, &data, shard);
                if pretty {
                    value["more"] = json!({"é\"\\": [1.5e-7, true, null, {"a": []}]});
                }
                value
            })
            .collect();
        serde_json::to_vec_pretty(&json!({ "Records": records })).unwrap()
    })
}

/// What may follow a record's `eventID`.
const TAILS: [&str; 6] = [
    r#","eventName":"aws:kinesis:record","awsRegion":"us-east-2","eventSourceARN":"arn:one"}"#,
    r#","eventName":"aws:kinesis:record","awsRegion":"us-east-2","eventSourceARN":"arn:two"}"#,
    r#","eventSourceARN":"arn:one","eventSourceARN":"arn:two"}"#,
    r#", "eventSourceARN":"arn:two","eventSource":"aws:kinesis" }"#,
    r#","eventSourceARN":"arn:one","kinesis":{"sequenceNumber":"7","partitionKey":"k","data":"QQ=="}}"#,
    r#","more":[{"deep":1}],"eventSourceARN":"arn:one","eventID":"shardId-2:1"}"#,
];

/// What may stand in the place of a record's `kinesis`, with `SEQUENCE`, `KEY` and `DATA` for its values.
const HEADS: [&str; 9] = [
    r#"{"kinesisSchemaVersion":"1.0","partitionKey":"KEY","sequenceNumber":"SEQUENCE","data":"DATA","approximateArrivalTimestamp":1545084650.987}"#,
    r#"{"kinesisSchemaVersion":"1.0","partitionKey":"KEY","sequenceNumber":"SEQUENCE","data":"DATA","approximateArrivalTimestamp":1545084650.987,"encryptionType":"KMS"}"#,
    r#"{"partitionKey":"KEY","sequenceNumber":"SEQUENCE","data":"DATA"}"#,
    r#"{ "partitionKey" : "KEY", "sequenceNumber" : "SEQUENCE", "data" : "DATA" }"#,
    r#"{"partitionKey":"KEY\u0041","sequenceNumber":"SEQUENCE","data":"DATA"}"#,
    r#"{"partitionKey":"other","partitionKey":"KEY","sequenceNumber":"SEQUENCE","data":"DATA"}"#,
    r#"{"sequenceNumber":"1"},"kinesis":{"partitionKey":"KEY","sequenceNumber":"SEQUENCE","data":"DATA"}"#,
    r#"{"data":"DATA","partitionKey":"KEY"},"kinesis":{"sequenceNumber":"SEQUENCE"}"#,
    r#"{"partitionKey":{"sequenceNumber":"2"},"sequenceNumber":"SEQUENCE","data":["DATA"]}"#,
];

/// A valid event with its members in Lambda's order; what is the same in all records of a shard is so here, mostly.
fn events_in_order() -> impl Strategy<Value = Vec<u8>> {
    let mostly_the_first = |count: usize| prop_oneof![3 => Just(0), 2 => 0..count];
    let form = (mostly_the_first(HEADS.len()), mostly_the_first(TAILS.len()));
    let record = (any::<u64>(), "[a-z]{0,6}", 0..3_u8, form, 1..3_usize);
    proptest::collection::vec(record, 0..8).prop_map(|records| {
        let records = records.into_iter().flat_map(|(sequence, key, shard, (head, tail), times)| {
            // One form some times over: the second and the third are read by the first.
            (0..times as u64).map(move |time| {
                let sequence = sequence / 2 + time;
                let data = base64_simd::STANDARD.encode_to_string(key.repeat(time as usize).as_bytes());
                let kinesis = HEADS[head].replace("SEQUENCE", &sequence.to_string());
                let kinesis = kinesis.replace("KEY", &key).replace("DATA", &data);
                let (source, tail) = ("aws:kinesis", TAILS[tail]);
                format!(r#"{{"kinesis":{kinesis},"eventSource":"{source}","eventID":"shardId-{shard}:{sequence}"{tail}"#)
            })
        });
        format!(r#"{{"Records":[{}]}}"#, records.collect::<Vec<_>>().join(",")).into_bytes()
    })
}

fn record_of(sequence: u64, key: &str, data: &[u8], shard: u8) -> Value {
    let mut value = record();
    value["kinesis"]["partitionKey"] = json!(key);
    value["kinesis"]["sequenceNumber"] = json!(sequence.to_string());
    value["kinesis"]["data"] = json!(base64_simd::STANDARD.encode_to_string(data));
    value["eventID"] = json!(format!("shardId-{shard}:{sequence}"));
    value
}

proptest! {
    #[test]
    fn an_event_says_to_us_what_it_says_to_serde_json(body in prop_oneof![events(), events_in_order()]) {
        let mut expected: Vec<_> = oracle(&body).unwrap().into_iter()
            .map(|record| (record.source, record.shard, record.position, record.partition_key, record.payload.ok()))
            .collect();
        let mut arena = Vec::new();
        let event = Event::parse(&body, &mut arena, "").unwrap();
        assert_eq!(event.source, Source::Kinesis);
        let mut read: Vec<_> = event.partitions.iter().flat_map(|group| group.records.iter().map(|record| (
            group.partition.source.clone(), group.partition.partition.clone(),
            record.position.to_string(), record.partition_key.to_owned(),
            if let Payload::Bytes(bytes) = record.payload { Some(bytes.to_vec()) } else { None },
        ))).collect();
        // Grouping keeps the order within a shard; the sort is stable.
        expected.sort_by(|left, right| (&left.0, &left.1).cmp(&(&right.0, &right.1)));
        read.sort_by(|left, right| (&left.0, &left.1).cmp(&(&right.0, &right.1)));
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(bytes);
    }

    #[test]
    fn an_event_with_bytes_changed_is_read_or_refused_but_never_panics(
        body in prop_oneof![events(), events_in_order()], changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0..3_u8), 1..8),
    ) {
        let mut body = body;
        for (at, byte, what) in changes {
            let at = at.index(body.len());
            match what {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                _ => { body.remove(at); }
            }
        }
        if let Ok(records) = parse(&body) {
            // What we accept, serde_json finds to be the same records, but for numbers out of its range.
            if let Some(expected) = oracle(&body) {
                prop_assert_eq!(records.len(), expected.len());
            }
        }
    }

    #[test]
    fn an_event_that_is_cut_short_is_refused(body in events(), at in any::<proptest::sample::Index>()) {
        let end = at.index(body.len());
        prop_assert!(matches!(parse(&body[..end]), Err(EnvelopeError::Json(_))));
    }
}
