//! Documents against the decoder: the same verdicts on any record, and the record itself in them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use arrow_array::cast::AsArray;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use support::{NOW, TAXI, origin, payload, record};
use tripline_model::decode::{Decoder, Notes, Pushed, Reason, dead_letter_schema};
use tripline_model::document::{Documents, Reading};
use tripline_model::json::{JsonError, Limits, object};
use tripline_model::pipeline::{FieldType, Pipeline};
use tripline_model::time;

/// A pipeline with a default type, an id of two fields and these keys.
fn small(keys: &str) -> Pipeline {
    small_with(keys, "")
}

/// As [`small`], and with these keys of its documents.
fn small_with(keys: &str, search: &str) -> Pipeline {
    let folder = tempfile::tempdir().unwrap();
    let visit = include_str!("support/visit.toml");
    let text = format!("id = 'small'\nschema_version = 1\ndefault_type = 'visit'\n{keys}\n{visit}\n{search}");
    std::fs::write(folder.path().join("pipeline.toml"), text).unwrap();
    Pipeline::load(folder.path()).unwrap()
}

/// The decoder's verdict on a record: the code, and whether it fails the batch; or none.
fn verdict_of_decoder(pipeline: &Pipeline, payload: &[u8]) -> (Option<String>, bool, bool) {
    let mut decoder = Decoder::new(pipeline, &origin(), NOW);
    let pushed = decoder.push(&record(7, payload));
    let batch = decoder.finish().unwrap();
    match pushed {
        Pushed::Refused(refusal) => (Some(refusal.reason.code().to_owned()), true, false),
        Pushed::DeadLetter => {
            let column = dead_letter_schema().index_of("reason").unwrap();
            let reasons = batch.sections[0].rows.column(column).as_string::<i32>().value(0).to_owned();
            (Some(reasons), false, false)
        }
        Pushed::Ignored => (None, false, true),
        Pushed::Stored | Pushed::Watermark => (None, false, false),
    }
}

/// The documents' verdict on it, in the same terms.
fn verdict(pipeline: &Pipeline, payload: &[u8]) -> (Option<String>, bool, bool) {
    let mut documents = Documents::new(pipeline, &origin(), NOW);
    match documents.read(&record(7, payload), &mut Vec::new()) {
        Reading::Refused(refused) if refused.malformed => {
            (Some(refused.refusal.reason.code().to_owned()), refused.fails, false)
        }
        Reading::Ignored(refusal) if refusal.reason != Reason::BadIndex => (None, false, true),
        _ => (None, false, false),
    }
}

/// The document of a record, where it has one.
fn body_of(pipeline: &Pipeline, payload: &[u8]) -> Option<String> {
    let mut body = Vec::new();
    let mut documents = Documents::new(pipeline, &origin(), NOW);
    let is_document = matches!(documents.read(&record(7, payload), &mut body), Reading::Document(_));
    is_document.then(|| String::from_utf8(body).unwrap())
}

/// What a record comes to beside a decoder that has taken all of them, and alone.
fn beside_and_alone(pipeline: &Pipeline, payloads: &[Vec<u8>]) -> Vec<(String, String)> {
    let records: Vec<_> = (1..).zip(payloads).map(|(number, payload)| record(number, payload)).collect();
    let mut notes = Notes::new(pipeline, records.len());
    let mut decoder = Decoder::new(pipeline, &origin(), NOW);
    for (index, record) in records.iter().enumerate() {
        let _ = decoder.push(record);
        decoder.note(record, &mut notes, index);
    }
    let mut documents = Documents::new(pipeline, &origin(), NOW);
    let mut both = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let mut told = [Some((&notes, index)), None].map(|notes| {
            let mut body = Vec::new();
            let reading = format!("{:?}", documents.read_noted(record, notes, &mut body));
            reading + &String::from_utf8(body).unwrap()
        });
        both.push((std::mem::take(&mut told[0]), std::mem::take(&mut told[1])));
    }
    both
}

/// Payloads of the small pipeline, many of them wrong in one way or another.
fn visits() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        Just(json!(null)),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no such float", |float| float.is_finite()).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        "[ -~é\n]{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["2018-01-01", "2018-01-01 00:00", "12", "visit", "ride"])
            .prop_map(Value::from),
    ];
    let names = vec!["user", "number", "at", "left", "ok", "score", "type", "x", "y"];
    let members = prop::collection::vec((prop::sample::select(names), value), 0..10);
    let gaps = prop::sample::select(vec!["", " ", "\n", "\r\n\t"]);
    let object = (members, gaps).prop_map(|(members, gap)| {
        let mut members: Vec<String> =
            members.iter().map(|(name, value)| format!("{gap}\"{name}\"{gap}:{gap}{value}{gap}")).collect();
        members.insert(0, format!("{gap}\"at\":{gap}1{gap}"));
        format!("{gap}{{{}}}{gap}", members.join(",")).into_bytes()
    });
    prop_oneof![8 => object, 1 => "[ nul\n]{0,6}".prop_map(String::into_bytes)]
}

/// Payloads of the small pipeline that are sound as a rule, with members that documents may append.
fn sound_visits() -> impl Strategy<Value = Vec<u8>> {
    let times =
        ["1", "\"2018-01-01\"", "\"2018-01-01 00:00\"", "\"2019-02-03T04:05:06.789Z\"", "null", "false"];
    let member = |name: &'static str, values: &[&'static str]| {
        let value = prop::sample::select(values.to_vec());
        prop::option::weighted(0.8, value.prop_map(move |value| format!("\"{name}\": {value}")))
    };
    let members = (
        member("user", &["\"a\"", "\"a-\\u00e9%\"", "\"\""]),
        member("number", &["-7", "1e3", "\"12\"", "9223372036854775807"]),
        member("at", &times[..4]),
        member("left", &times),
        member("ok", &["true", "false"]),
        member("score", &["1.5", "-0.25", "7"]),
        member("x", &["1", "{\"at\":\n[]}"]),
        member("y", &["null", "\"text\""]),
        member("user", &["null"]),
    );
    members.prop_map(|(a, b, c, d, e, f, g, h, i)| {
        // Seldom twice.
        let i = i.filter(|_| h.is_none());
        let members: Vec<String> = [a, b, c, d, e, f, g, h, i].into_iter().flatten().collect();
        format!(" {{{}}}\n", members.join(", ")).into_bytes()
    })
}

/// A record as serde_json reads it: of members of one name the last counts.
fn parsed(payload: &[u8]) -> Map<String, Value> {
    serde_json::from_slice(payload).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn comes_to_the_verdicts_of_the_decoder(payload in payload(), other in visits(), policies in 0_usize..9) {
        prop_assert_eq!(verdict(&TAXI, &payload), verdict_of_decoder(&TAXI, &payload));
        let words = ["dead-letter", "fail", "ignore"];
        let keys = format!(
            "on_malformed = \"{}\"\non_unknown_type = \"{}\"\non_null = \"{}\"",
            words[policies % 3], words[policies / 3], words[(policies + 1) % 3]
        );
        let visits = small(&keys);
        prop_assert_eq!(verdict(&visits, &other), verdict_of_decoder(&visits, &other));
    }

    #[test]
    fn is_the_same_beside_a_decoder_and_alone(
        trips in prop::collection::vec(payload(), 0..6),
        visits in prop::collection::vec(prop_oneof![3 => sound_visits(), 1 => visits()], 0..12),
    ) {
        for (beside, alone) in beside_and_alone(&TAXI, &trips) {
            prop_assert_eq!(beside, alone);
        }
        let rich = "[events.visit.search]
            index = 'v-{ok}-{left|yyyy}'
            routing = 'score'
            ingested_at = 'x'";
        let stream = "[events.visit.search]
            index = 'visits'
            action = 'create'
            timestamp_field = 'y'";
        for search in ["", rich, stream] {
            let pipeline = small_with("", search);
            for (beside, alone) in beside_and_alone(&pipeline, &visits) {
                prop_assert_eq!(beside, alone);
            }
        }
    }

    #[test]
    fn a_document_is_the_record_with_what_is_derived(payload in prop_oneof![payload(), visits()]) {
        let visits = small("");
        for pipeline in [&*TAXI, &visits] {
            let Some(body) = body_of(pipeline, &payload) else { continue };
            prop_assert!(!body.contains(['\n', '\r']));
            let mut document = parsed(body.as_bytes());
            let mut source = parsed(&payload);
            let names = body_names(&body);
            prop_assert_eq!(names.len(), document.len(), "a member stands twice: {}", body);
            for event in &pipeline.events {
                event.derived.iter().for_each(|derived| {
                    document.remove(&derived.name);
                    source.remove(&derived.name);
                });
                for field in event.fields.iter().filter(|field| field.kind == FieldType::Timestamp) {
                    let time = |value: &Value| match value {
                        Value::String(text) => time::parse(text.as_bytes()).ok(),
                        number => number.as_f64().map(|float| float as i64),
                    };
                    let (ours, theirs) = (document.remove(&field.from), source.remove(&field.from));
                    prop_assert_eq!(ours.as_ref().and_then(time), theirs.as_ref().and_then(time));
                }
            }
            prop_assert_eq!(document, source);
        }
    }
}

/// Names of the members, as often as they stand there.
fn body_names(body: &str) -> Vec<String> {
    let mut names = Vec::new();
    object(body.as_bytes(), &Limits::default(), |key, _| {
        names.push(key.text().unwrap().into_owned());
        Ok::<(), JsonError>(())
    })
    .unwrap();
    names
}
