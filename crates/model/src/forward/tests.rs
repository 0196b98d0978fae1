#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use crate::decode::tests::{PANIC, TAXI, origin, pipeline, record};
use crate::decode::{Pushed, tests::decode};
use crate::source::{Payload, Position};

const TRIP: &str =
    r#"{"type":"trip","trip_id":41,"pickup_datetime":"2018-01-01T00:00:00Z","pickup_location_id":132}"#;

/// A pipeline with one event type, of these keys besides its fields.
fn small(keys: &str) -> Pipeline {
    pipeline(&format!(
        r#"
        id = "visits"
        schema_version = 1
        type_field = "type"
        {keys}
        [events.visit]
        event_time = "at"
        fields = [{{ name = "at", type = "timestamp", required = true }}, {{ name = "who", type = "string" }}]
        partition = [{{ name = "year", time = "year" }}]
        kafka = false
        [events.visit.kinesis]
        key = "who"
        "#
    ))
}

fn passing<'a>(pipeline: &'a Pipeline, target: Target, payload: &'a str) -> Passing<'a> {
    Forwarder::new(pipeline, &origin(), target).read(3, &record(7, payload.as_bytes()))
}

fn event<'a>(pipeline: &'a Pipeline, payload: &'a str) -> Outgoing<'a> {
    match passing(pipeline, Target::Kinesis, payload) {
        Passing::Event(event) => event,
        other => panic!("{payload}: {other:?}"),
    }
}

#[test]
fn an_event_goes_on_as_it_came_with_its_id_for_a_key_and_its_place_for_a_source() {
    let spaced = format!(" {TRIP}\n");
    let event = event(&TAXI, &spaced);
    assert_eq!((event.record, event.event_type, event.key.as_str()), (3, "trip", "41"));
    assert_eq!(event.payload, spaced.as_bytes());
    assert!(event.source.ends_with("-shard-0-7-0"), "{}", event.source);
}

#[test]
fn the_source_is_another_for_every_record_and_the_same_at_every_delivery() {
    let source = |position: u64, sub_position: u32, shard: &str| {
        let origin = SourcePartition { partition: shard.to_owned(), ..origin() };
        let record = SourceRecord { sub_position, ..record(position, TRIP.as_bytes()) };
        match Forwarder::new(&TAXI, &origin, Target::Kafka).read(0, &record) {
            Passing::Event(event) => event.source,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(source(7, 0, "shard-0"), source(7, 0, "shard-0"));
    for other in [source(8, 0, "shard-0"), source(7, 1, "shard-0"), source(7, 0, "shard-1")] {
        assert_ne!(other, source(7, 0, "shard-0"));
    }
}

#[test]
fn a_field_can_be_the_key_and_where_it_is_null_the_place_is() {
    let visits = small("");
    let visit = |who: &str| format!(r#"{{"type":"visit","at":0{who}}}"#);
    assert_eq!(event(&visits, &visit(r#","who":"Ann""#)).key, "Ann");
    let null = visit("");
    let event = event(&visits, &null);
    assert_eq!(event.key, event.source);
}

#[test]
fn a_long_key_is_cut_so_that_it_meets_no_other() {
    let visits = small("");
    let visit = |end: &str| format!(r#"{{"type":"visit","at":0,"who":"{}{end}"}}"#, "é".repeat(400));
    let keys = ["1", "2"].map(|end| event(&visits, &visit(end)).key);
    assert!(keys.iter().all(|key| (220..=KEY_BYTES).contains(&key.len())), "{keys:?}");
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn a_type_goes_where_the_pipeline_says_and_watermarks_nowhere() {
    let (visits, visit) = (small(""), r#"{"type":"visit","at":0}"#);
    assert!(matches!(passing(&visits, Target::Kinesis, visit), Passing::Event(_)));
    assert!(matches!(passing(&visits, Target::Kafka, visit), Passing::Nothing));
    let watermark = r#"{"type":"watermark","watermark":"2018-01-01T00:00:00Z"}"#;
    assert!(matches!(passing(&TAXI, Target::Kinesis, watermark), Passing::Nothing));
}

#[test]
fn what_is_no_event_is_so_for_a_stream_exactly_where_it_is_for_the_lake() {
    let panicking = TRIP.replace('}', &format!(",{PANIC}}}"));
    let payloads = [
        TRIP,
        "",
        "null",
        "{}",
        "[1]",
        "nonsense",
        r#"{"type":"scooter"}"#,
        r#"{"type":"trip","trip_id":1}"#,
        r#"{"type":"trip","trip_id":"x","pickup_datetime":"2018-01-01T00:00:00Z"}"#,
        r#"{"type":"watermark","watermark":"soon"}"#,
        &panicking,
    ];
    for payload in payloads {
        let (pushed, _) = decode(&TAXI, &[payload]);
        let passing = passing(&TAXI, Target::Kinesis, payload);
        let as_lake = match pushed.first().unwrap() {
            Pushed::Stored => matches!(passing, Passing::Event(_)),
            Pushed::DeadLetter => matches!(passing, Passing::Malformed { .. }),
            other => panic!("{payload}: {other:?}"),
        };
        assert!(as_lake, "{payload}: {passing:?}");
    }
    for (policy, is) in [("fail", "Failed"), ("ignore", "Ignored")] {
        let visits = small(&format!("on_malformed = \"{policy}\""));
        let passing = format!("{:?}", passing(&visits, Target::Kinesis, "nonsense"));
        assert!(passing.starts_with(is), "{passing}");
    }
}

#[test]
fn the_source_is_the_last_member_of_an_event_that_has_no_headers() {
    let with_source = |payload: &'static str| {
        let payload = payload.as_bytes().into();
        let event = Outgoing { payload, source: "s\"1".to_owned(), ..event(&TAXI, TRIP) };
        String::from_utf8(event.with_source("from")).unwrap()
    };
    assert_eq!(with_source(r#"{"a":1}"#), r#"{"a":1,"from":"s\"1"}"#);
    assert_eq!(with_source(" { \"a\" : {} }\n"), r#"{ "a" : {},"from":"s\"1"}"#);
    assert_eq!(with_source("{ }"), r#"{"from":"s\"1"}"#);
}

#[test]
fn a_registrys_header_stays_behind() {
    let framed = [b"\x00\x00\x00\x00\x07".as_slice(), TRIP.as_bytes()].concat();
    let record =
        SourceRecord { position: Position::new(1), payload: Payload::Bytes(&framed), ..record(1, b"") };
    match Forwarder::new(&TAXI, &origin(), Target::Kafka).read(0, &record) {
        Passing::Event(event) => assert_eq!(event.payload, TRIP.as_bytes()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn headers_are_read_as_lambda_writes_them_and_what_is_none_is_passed_over() {
    let headers = |headers: &'static str| Outgoing { headers, ..event(&TAXI, TRIP) }.headers();
    let of = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
    assert_eq!(headers(""), []);
    assert_eq!(
        headers(r#"[{"producer":[116,108,99,255]},{"empty":[]},{"signed":[-1,-128]},{"producer":[1]}]"#),
        [of("producer", b"tlc\xff"), of("empty", b""), of("signed", b"\xff\x80"), of("producer", b"\x01")]
    );
    assert_eq!(headers(r#"[7,{"a":"text"},{"b":[65,"x"]},{"c":[{}]}]"#), [of("b", b"A"), of("c", b"")]);
    assert_eq!(headers(r#"{"a":[1]}"#), []);
}
