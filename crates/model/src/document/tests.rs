#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use crate::decode::Pushed;
use crate::decode::tests::{NOW, PANIC, TAXI, decode, origin, pipeline, record};
use crate::source::{Payload, Position};

/// What a record came to, without borrows.
#[derive(Clone, Debug, PartialEq)]
enum Read {
    Document {
        index: String,
        id: Option<String>,
        routing: Option<String>,
        version: Option<u64>,
        body: String,
    },
    Delete {
        index: String,
        id: Option<String>,
        version: Option<u64>,
    },
    Nothing,
    Ignored(Reason),
    Refused {
        code: &'static str,
        malformed: bool,
        fails: bool,
        message: String,
    },
}

fn read_record(pipeline: &Pipeline, record: &SourceRecord<'_>) -> Read {
    let mut body = b"before".to_vec();
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let mut documents = Documents::new(pipeline, &origin(), NOW);
    let read = match documents.read(record, &mut body) {
        Reading::Document(document) => Read::Document {
            index: document.index.to_owned(),
            id: owned(document.id),
            routing: owned(document.routing),
            version: document.version,
            body: String::new(),
        },
        Reading::Delete(Document { index, id, version, .. }) => {
            Read::Delete { index: index.to_owned(), id: owned(id), version }
        }
        Reading::NoDocument => Read::Nothing,
        Reading::Ignored(refusal) => Read::Ignored(refusal.reason),
        Reading::Refused(Refused { refusal, malformed, fails, .. }) => {
            Read::Refused { code: refusal.reason.code(), malformed, fails, message: refusal.message }
        }
    };
    let written = String::from_utf8(body.split_off(6)).unwrap();
    assert_eq!(body, b"before");
    match read {
        Read::Document { index, id, routing, version, .. } => {
            Read::Document { index, id, routing, version, body: written }
        }
        other => {
            assert_eq!(written, "", "what is no document leaves no bytes");
            other
        }
    }
}

fn read(pipeline: &Pipeline, payload: &str) -> Read {
    read_record(pipeline, &record(7, payload.as_bytes()))
}

fn body(pipeline: &Pipeline, payload: &str) -> String {
    match read(pipeline, payload) {
        Read::Document { body, .. } => body,
        other => panic!("{payload}: {other:?}"),
    }
}

/// A pipeline with one event type, of these keys besides its fields.
fn small(keys: &str, search: &str) -> Pipeline {
    let visit = include_str!("../../tests/support/visit.toml");
    pipeline(&format!("id = 'small'\nschema_version = 1\ndefault_type = 'visit'\n{keys}\n{visit}{search}"))
}

fn visit(members: &str) -> String {
    format!(r#"{{"at": 0{members}}}"#)
}

#[test]
fn a_trip_passes_through_with_its_borough() {
    let trip = r#" {"type":"trip", "trip_id": "12", "pickup_datetime": "2018-03-01T00:35:40.000Z","pickup_location_id":7, "new": [1.50, "é"]} "#;
    let expected = Read::Document {
        index: "trips-2018".to_owned(),
        id: Some("12".to_owned()),
        routing: None,
        version: Some(7),
        body: trip.trim().replace("\"é\"]}", "\"é\"],\"borough\":\"Queens\"}"),
    };
    assert_eq!(read(&TAXI, trip), expected);
    assert_eq!(read(&TAXI, r#"{"type": "watermark", "watermark": 0}"#), Read::Nothing);
}

#[test]
fn newlines_between_tokens_become_spaces_and_members_stand_once() {
    let visits = small("", "");
    for (payload, expected) in [
        ("{\r\n \"at\": 0,\n\"x\": [1,\n2]\n}\n", "{   \"at\": 0, \"x\": [1, 2]}"),
        (r#"{"at": 5, "at": 0}"#, r#"{"at":0}"#),
        (r#"{"x": 1, "at": 0, "\u0078": 2}"#, r#"{"at":0,"\u0078":2}"#),
        ("{\"x\": 1, \"at\": 0, \"x\": [\n]}", r#"{"at":0,"x":[ ]}"#),
    ] {
        assert_eq!(body(&visits, payload), expected, "{payload}");
    }
    let of_trip = r#"{"type":"trip","trip_id":1,"pickup_datetime":"2018-01-01","borough":"Atlantis"}"#;
    let expected = r#"{"type":"trip","trip_id":1,"pickup_datetime":"2018-01-01","borough":"Unknown"}"#;
    assert_eq!(body(&TAXI, of_trip), expected, "a derived column goes before a member of its name");
}

#[test]
fn times_are_spelled_anew_only_where_date_mappings_do_not_know_their_spelling() {
    let visits = small("", "");
    for kept in [
        "1514766940000",
        "-5",
        "\"2018-01-01\"",
        "\"2018-01-01T00:35\"",
        "\"2018-01-01T00:35:40.123456789Z\"",
        "\"2018-01-01T00:35:40-02\"",
        "\"2018-01-01T00:35:40+0200\"",
        "\"2018-01-01T00:35:40+17:59\"",
    ] {
        assert_eq!(body(&visits, &format!(r#"{{"at":{kept}}}"#)), format!(r#"{{"at":{kept}}}"#));
    }
    for (odd, expected) in [
        ("\"2018-01-01 00:35:40\"", "2018-01-01T00:35:40.000Z"),
        ("\"2018-01-01t00:35:40z\"", "2018-01-01T00:35:40.000Z"),
        ("\"2018-01-02T00:35:40+23:00\"", "2018-01-01T01:35:40.000Z"),
        ("\"2018-01-01\\u005400:35\"", "2018-01-01T00:35:00.000Z"),
        ("1.51476694e12", "2018-01-01T00:35:40.000Z"),
    ] {
        assert_eq!(body(&visits, &format!(r#"{{"at":{odd}}}"#)), format!(r#"{{"at":"{expected}"}}"#));
        let optional = format!(r#"{{"at":0,"left":{odd}}}"#);
        assert_eq!(body(&visits, &optional), format!(r#"{{"at":0,"left":"{expected}"}}"#));
    }
}

#[test]
fn members_that_the_pipeline_asks_for_are_appended() {
    let search = "[events.visit.search]\naction = \"create\"\ningested_at = \"seen\"\ntimestamp_field = \"@timestamp\"";
    let stream = small("", search);
    assert_eq!(
        body(&stream, r#"{"at":"1970-01-01","seen":"never"}"#),
        r#"{"at":"1970-01-01","@timestamp":"1970-01-01T00:00:00.000Z","seen":"2018-01-02T03:04:05.000Z"}"#
    );
    let search = "[events.visit.search]\naction = \"create\"\ntimestamp_field = \"at\"";
    assert_eq!(body(&small("", search), r#"{"at":"1970-01-01"}"#), r#"{"at":"1970-01-01"}"#);
}

fn id(pipeline: &Pipeline, payload: &str) -> String {
    match read(pipeline, payload) {
        Read::Document { id, .. } => id.unwrap(),
        other => panic!("{payload}: {other:?}"),
    }
}

#[test]
fn ids_are_the_same_for_equal_values_and_differ_for_others() {
    let visits = small("", "[events.visit.search]\nid_delimiter = \"~\"");
    for (members, expected) in [
        (r#", "user": "ann", "number": 7"#, "ann~7"),
        (r#", "user": "ann", "number": "7.0""#, "ann~7"),
        (r#", "user": "a~b%", "number": 7"#, "a%7Eb%25~7"),
        (r#", "user": "ann""#, "ann~%"),
        (r#", "number": 7"#, "%~7"),
        (r#", "user": "", "number": 7"#, "~7"),
    ] {
        assert_eq!(id(&visits, &visit(members)), expected, "{members}");
    }
    let place = id(&visits, &visit(""));
    assert!(place.ends_with("-shard-0-7-0"), "without values it is the place in the source: {place}");
    let visit_without = visit("");
    let part = SourceRecord { sub_position: 3, ..record(7, visit_without.as_bytes()) };
    match read_record(&visits, &part) {
        Read::Document { id: Some(id), .. } => assert_eq!(id, place.replace("-7-0", "-7-3")),
        other => panic!("{other:?}"),
    }
    let long = id(&visits, &visit(&format!(r#", "user": "{}", "number": 1"#, "é".repeat(400))));
    let other = id(&visits, &visit(&format!(r#", "user": "{}", "number": 2"#, "é".repeat(400))));
    assert!(long.len() <= 512 && other.len() <= 512 && long != other);
}

#[test]
fn indices_are_named_by_values_and_bad_ones_are_refused() {
    let search = r#"[events.visit.search]
        index = "{type}-{who}-{at|yyyy.MM.dd-HH}-{now|yyyy}-{ok}"
        allow = ["visit-ann*", "visit-b-*"]
        routing = "who""#;
    let visits = small("", search);
    let index = |user: &str| match read(&visits, &visit(&format!(r#", "user": {user}, "ok": true"#))) {
        Read::Document { index, routing, .. } => Ok((index, routing)),
        Read::Refused { code, malformed, message, .. } => {
            assert!(!malformed, "the lake keeps it");
            Err(format!("{code}: {message}"))
        }
        other => panic!("{other:?}"),
    };
    let named = "visit-ann-e-1970.01.01-00-2018-true".to_owned();
    assert_eq!(index("\"Ann/É\""), Ok((named.replace("ann-e", "ann-é"), Some("Ann/É".to_owned()))));
    assert_eq!(index("\"eve\""), Err("bad-index: its index is not one that `allow` lists".to_owned()));
    let nameless =
        "bad-index: field `user`, which names the index, is missing, null or without letters and digits";
    assert_eq!([index("null"), index("\"?\"")], [Err(nameless.to_owned()), Err(nameless.to_owned())]);
    let long = format!("\"ann{}\"", "n".repeat(300));
    assert_eq!(index(&long), Err("bad-index: its index would have a name of more than 255 bytes".to_owned()));
}

#[test]
fn a_null_deletes_where_the_pipeline_says_so() {
    let key = |payload: &'static [u8]| SourceRecord { payload: Payload::Bytes(payload), ..record(7, b"") };
    for (policy, expected) in [
        ("dead-letter", None),
        ("ignore", Some(Read::Ignored(Reason::NullValue))),
        (
            "delete",
            Some(Read::Delete { index: "visit".to_owned(), id: Some("key".to_owned()), version: Some(7) }),
        ),
    ] {
        let keys = format!("on_null = \"{policy}\"");
        let visits = small(&keys, "[events.visit.search]\nversion = \"position\"");
        for payload in [&b""[..], b" null\n"] {
            let read = read_record(&visits, &key(payload));
            match &expected {
                Some(expected) => assert_eq!(read, *expected),
                None => assert!(matches!(read, Read::Refused { code: "null-value", malformed: true, .. })),
            }
            let (pushed, batch) = decode(&visits, &[payload]);
            assert_eq!(pushed == [Pushed::Ignored], expected.is_some(), "{policy}");
            assert_eq!(batch.counts.records, 1);
        }
    }
}

#[test]
fn versions_are_offsets_where_positions_are_short_and_arrival_times_else() {
    let visits = small("", "[events.visit.search]\nversion = \"position\"");
    let sequence: Position = "49590338271490256608559692538361571095921575989136588898".parse().unwrap();
    let payload = Payload::Bytes(b"{\"at\": 0}");
    let version = |record: SourceRecord<'_>| match read_record(&visits, &record) {
        Read::Document { version, .. } => version,
        other => panic!("{other:?}"),
    };
    let base = SourceRecord { payload, ..record(9, b"") };
    assert_eq!(version(base), Some(9));
    assert_eq!(version(SourceRecord { position: sequence, ..base }), Some(NOW.unsigned_abs()));
    assert_eq!(version(SourceRecord { position: sequence, arrival_ms: None, ..base }), Some(0));
    assert_eq!(version(SourceRecord { position: Position::new(u64::MAX), ..base }), Some(NOW.unsigned_abs()));
}

#[test]
fn a_panic_is_the_record_s_and_leaves_nothing_behind() {
    let bad = visit(&format!(", {PANIC}"));
    // The lake may get through what panicked here, so that it is not left to the lake to keep the record.
    assert!(matches!(read(&small("", ""), &bad), Read::Refused { code: "internal", malformed: false, .. }));
}

#[test]
fn event_types_without_an_index_leave_no_documents_and_are_still_judged() {
    let visits = small("", "search = false");
    assert_eq!(read(&visits, &visit("")), Read::Nothing);
    assert!(matches!(read(&visits, "{}"), Read::Refused { code: "missing-field", .. }));
}

#[test]
fn a_time_that_the_record_does_not_tell_is_added_to_the_document() {
    let visits = pipeline(
        r#"
        id = "visits"
        schema_version = 1
        default_type = "visit"
        [events.visit]
        event_time = "at"
        fields = [{ name = "at", type = "timestamp", required = true, default = "arrival-time" }]
        partition = [{ name = "year", time = "year" }]
        "#,
    );
    let now = "2018-01-02T03:04:05.000Z";
    assert_eq!(body(&visits, r#"{"at":"2018-01-01"}"#), r#"{"at":"2018-01-01"}"#);
    assert_eq!(body(&visits, r#"{"who":"Ann"}"#), format!(r#"{{"who":"Ann","at":"{now}"}}"#));
    assert_eq!(body(&visits, r#"{"at":null,"who":"Ann"}"#), format!(r#"{{"who":"Ann","at":"{now}"}}"#));
}
