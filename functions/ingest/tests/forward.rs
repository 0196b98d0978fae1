//! Events that go on into a real Kinesis stream, by the function's real binary, beside the lake or without it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use support::{Bench, Sample, taxi};
use tripline_lake::journal::entry::Entry;
use tripline_test_support::{Function, KinesisServer, StreamRecord};

const SUCCESS: &str = r#"{"batchItemFailures":[]}"#;
/// Names the place of an event in its source.
const SOURCE: &str = "tripline_source";

/// A function that feeds the lake in `folder`, and the stream.
fn start(server: &KinesisServer, folder: &Path, stream: &str, more: &[(&str, &str)]) -> Function {
    let reach = server.environment();
    let mut variables: Vec<(&str, &str)> =
        reach.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let taxi = taxi();
    variables.push(("TRIPLINE_PIPELINE", taxi.to_str().unwrap()));
    variables.push(("TRIPLINE_LAKE", folder.to_str().unwrap()));
    variables.push(("TRIPLINE_KINESIS_STREAM", stream));
    variables.push(("TRIPLINE_PARTIAL_RESPONSES", "true"));
    variables.extend(more);
    Function::start(env!("CARGO_BIN_EXE_ingest"), &variables).unwrap()
}

/// Events of a stream by their source; and that each stands alone, or is the same as the others of it.
fn by_source(records: &[StreamRecord]) -> BTreeMap<String, Value> {
    let mut events = BTreeMap::new();
    for record in records {
        let mut event: Value = serde_json::from_slice(&record.data).unwrap();
        assert_eq!(record.key, event["trip_id"].to_string().trim_matches('"'), "the key is the id");
        let source = event.as_object_mut().unwrap().remove(SOURCE).unwrap();
        let known = events.insert(source.as_str().unwrap().to_owned(), event.clone());
        assert!(known.is_none_or(|known| known == event));
    }
    events
}

fn letters(entries: &[Entry]) -> Vec<(String, u64)> {
    let of = |entry: &Entry| {
        (entry.header.lane.role.to_string(), entry.header.totals.dead_letter_reasons.values().sum())
    };
    entries.iter().map(of).filter(|(_, letters)| *letters > 0).collect()
}

#[tokio::test]
async fn events_go_on_as_they_came_and_one_delivered_twice_is_told_by_its_source() {
    let Some(server) = KinesisServer::shared_for("events go on") else { return };
    server.create_stream("trips-twice", 2).unwrap();
    let bench = Bench::new().await;
    let function = start(server, bench.folder.path(), "trips-twice", &[]);
    let trips = Sample::of("trips");
    for sample in [trips.cut(..9), trips.clone()] {
        assert_eq!(function.invoke(sample.body()).unwrap().response().as_deref(), Some(SUCCESS));
    }
    let records = server.records("trips-twice").unwrap();
    assert_eq!(records.len(), 29, "a stream cannot drop what comes again");
    let events = by_source(&records);
    let mut payloads: Vec<Value> = events.into_values().collect();
    payloads.sort_by_key(|event| event["trip_id"].to_string());
    let mut expected = trips.payloads();
    expected.sort_by_key(|event| event["trip_id"].to_string());
    assert_eq!(payloads, expected);
    assert_eq!(bench.trips().await, 20);
}

#[tokio::test]
async fn what_is_no_event_stays_behind_and_is_a_dead_letter_once_with_the_lake_and_without() {
    let Some(server) = KinesisServer::shared_for("what is no event stays behind") else { return };
    for (stream, sinks, role) in
        [("trips-beside", "lake,kinesis", "lake"), ("trips-alone", "kinesis", "kinesis")]
    {
        server.create_stream(stream, 1).unwrap();
        let bench = Bench::new().await;
        let function = start(server, bench.folder.path(), stream, &[("TRIPLINE_SINKS", sinks)]);
        for _ in 0..2 {
            let Some(answer) = function.invoke(Sample::of("poison").body()) else {
                panic!("{:?}", function.end())
            };
            assert_eq!(answer.response().as_deref(), Some(SUCCESS), "{stream}");
        }
        assert_eq!(by_source(&server.records(stream).unwrap()).len(), 8, "{stream}");
        assert_eq!(letters(&bench.entries().await), [(role.to_owned(), 8)], "{stream}");
    }
}

#[tokio::test]
async fn an_event_that_the_stream_will_never_take_is_a_dead_letter_of_its_sink_and_in_the_lake() {
    let Some(server) = KinesisServer::shared_for("an event that is too large") else { return };
    server.create_stream("trips-small", 1).unwrap();
    let bench = Bench::new().await;
    // Every trip is longer.
    let function =
        start(server, bench.folder.path(), "trips-small", &[("TRIPLINE_KINESIS_RECORD_BYTES", "300")]);
    for _ in 0..2 {
        let answer = function.invoke(Sample::of("trips").body()).unwrap();
        assert_eq!(answer.response().as_deref(), Some(SUCCESS));
    }
    assert_eq!(server.records("trips-small").unwrap(), []);
    assert_eq!(letters(&bench.entries().await), [("kinesis".to_owned(), 20)]);
    let tables = bench.audit().await.tables;
    assert_eq!((tables["trip"].found.rows, tables["dead_letter"].found.rows), (20, 20));
}

#[tokio::test]
async fn a_stream_that_is_not_there_brings_the_batch_back_until_it_is() {
    let Some(server) = KinesisServer::shared_for("a stream that is not there") else { return };
    let bench = Bench::new().await;
    let function = start(server, bench.folder.path(), "trips-later", &[]);
    let trips = Sample::of("trips");
    let error = function.invoke(trips.body()).unwrap().error().unwrap();
    assert!(error.contains("kinesis sink") && error.contains("trips-later"), "{error}");
    server.create_stream("trips-later", 1).unwrap();
    assert_eq!(function.invoke(trips.body()).unwrap().response().as_deref(), Some(SUCCESS));
    assert_eq!(by_source(&server.records("trips-later").unwrap()).len(), 20);
    assert_eq!(bench.trips().await, 20);
}
