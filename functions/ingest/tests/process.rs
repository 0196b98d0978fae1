//! The ingest function's real binary behind a Runtime API.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use support::{Bench, Sample, strict_taxi, taxi};
use tripline_test_support::{Answer, Function};

const SUCCESS: &str = r#"{"batchItemFailures":[]}"#;

fn start(pipeline: &Path, lake: &Path, more: &[(&str, &str)]) -> Function {
    let variables =
        [("TRIPLINE_PIPELINE", pipeline.to_str().unwrap()), ("TRIPLINE_LAKE", lake.to_str().unwrap())];
    Function::start(env!("CARGO_BIN_EXE_ingest"), &[&variables, more].concat()).unwrap()
}

/// The function's log lines of one kind. Every line that it writes is a JSON object.
fn logged(lines: &[String], message: &str) -> Vec<Value> {
    let parsed = lines.iter().map(|line| {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error} in the line {line}"))
    });
    parsed.filter(|line| line["message"] == message).collect()
}

#[tokio::test]
async fn a_batch_that_is_delivered_twice_is_in_once_and_logged_twice() {
    let bench = Bench::new().await;
    let function = start(&taxi(), bench.folder.path(), &[]);
    assert!(function.start_up().is_some());
    let trips = Sample::of("trips");
    for _ in 0..2 {
        assert_eq!(function.invoke(trips.body()).unwrap().response().as_deref(), Some(SUCCESS));
    }
    let entries = bench.entries().await;
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].header.totals.records, entries[0].header.number), (20, 1));
    assert_eq!(entries[0].header.last.to_string(), trips.sequence(19));
    let lines = function.end();
    let batches = logged(&lines, "batch");
    let counted: Vec<_> = ["records", "rows", "duplicates", "puts"]
        .map(|field| batches.iter().map(|batch| batch[field].as_u64().unwrap()).collect::<Vec<_>>())
        .into();
    assert_eq!(counted, [[20, 20], [20, 0], [0, 20], [1, 0]]);
    for payload in ["pickup_datetime", "eyJ", "trip_id"] {
        assert!(!lines.concat().contains(payload), "{payload} is in the log: {lines:#?}");
    }
    assert_eq!(bench.trips().await, 20);
}

#[tokio::test]
async fn dead_letters_are_counted_in_the_log_and_not_shown() {
    let bench = Bench::new().await;
    let function = start(&taxi(), bench.folder.path(), &[]);
    assert_eq!(function.invoke(Sample::of("poison").body()).unwrap().response().as_deref(), Some(SUCCESS));
    let lines = function.end();
    let batches = logged(&lines, "batch");
    assert_eq!((batches.len(), &batches[0]["dead_letters"]), (1, &Value::from(8)));
    assert!(!lines.concat().contains("not json at all"), "{lines:#?}");
}

#[tokio::test]
async fn a_batch_tells_its_metrics_in_the_log() {
    let bench = Bench::new().await;
    let function = start(&taxi(), bench.folder.path(), &[]);
    for sample in ["trips", "poison"] {
        function.invoke(Sample::of(sample).body()).unwrap();
    }
    assert!(function.invoke("no event").unwrap().error().is_some());
    let lines = function.end();
    let documents: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |metric: &str| -> Vec<Value> {
        let of = |document: &&Value| document["_aws"].is_object() && document.get(metric).is_some();
        documents.iter().filter(of).map(|document| document[metric].clone()).collect()
    };
    assert_eq!(
        (told("Records"), told("Rows"), told("DeadLetters")),
        (vec![20.into(), 16.into()], vec![20.into(), 8.into()], vec![0.into(), 8.into()])
    );
    assert_eq!((told("FailedBatches"), told("Documents").len()), (vec![1.into()], 0));
    assert_eq!((told("BatchMillis").len(), told("LakeMillis").len()), (3, 2));
    let reasons: u64 = told("DeadLettersByReason").iter().filter_map(Value::as_u64).sum();
    assert_eq!((reasons, told("Reason").len() > 3), (8, true));
    let first = documents.iter().find(|document| document["_aws"].is_object()).unwrap();
    assert_eq!(first["FunctionName"], "test");
}

#[tokio::test]
async fn metrics_can_be_turned_off() {
    let bench = Bench::new().await;
    let function = start(&taxi(), bench.folder.path(), &[("TRIPLINE_METRICS", "off")]);
    function.invoke(Sample::of("trips").body()).unwrap();
    assert!(!function.end().concat().contains("_aws"));
}

#[tokio::test]
async fn a_refused_record_is_a_partial_response_or_an_error_as_the_mapping_takes_it() {
    let strict = strict_taxi();
    let poison = Sample::of("poison");
    let bench = Bench::of(strict.path()).await;
    let function = start(strict.path(), bench.folder.path(), &[("TRIPLINE_PARTIAL_RESPONSES", "true")]);
    let expected = format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{}"}}]}}"#, poison.sequence(1));
    assert_eq!(function.invoke(poison.body()).unwrap().response(), Some(expected));
    let function = start(strict.path(), bench.folder.path(), &[]);
    let error = function.invoke(poison.body()).unwrap().error().unwrap();
    let error: Value = serde_json::from_str(&error).unwrap();
    assert!(error["errorMessage"].as_str().unwrap().contains(&poison.sequence(1)), "{error}");
    assert!(error["errorType"].as_str().unwrap().ends_with("IngestError"), "{error}");
    // The function lives on.
    let trips = function.invoke(Sample::of("trips").body()).unwrap();
    assert_eq!(trips.response().as_deref(), Some(SUCCESS));
}

#[tokio::test]
async fn an_invocation_past_its_deadline_fails_and_the_next_one_succeeds() {
    let bench = Bench::new().await;
    let function = start(&taxi(), bench.folder.path(), &[]);
    let body = Sample::of("trips").body();
    let patience = Duration::from_secs(60);
    // A moment of 2019.
    let late = function.api().invoke_until(1_554_076_800_000, body.clone()).wait(patience);
    assert!(matches!(&late, Some(Answer::Error(_))), "{late:?}");
    assert!(bench.entries().await.is_empty());
    // What `cargo lambda watch` sends.
    let local = function.api().invoke_until(600_000, body).wait(patience).unwrap();
    assert_eq!(local.response().as_deref(), Some(SUCCESS));
    assert_eq!(bench.trips().await, 20);
}

#[tokio::test]
async fn a_body_that_is_no_event_fails_its_invocation_only() {
    let bench = Bench::new().await;
    let function = start(&taxi(), bench.folder.path(), &[]);
    for body in ["", "{}", "not json", "{\"Records\":7}"] {
        let answer = function.invoke(body);
        assert!(matches!(&answer, Some(Answer::Error(_))), "{body}: {answer:?}");
    }
    assert_eq!(function.invoke(Sample::of("trips").body()).unwrap().response().as_deref(), Some(SUCCESS));
}

#[tokio::test]
async fn overlapping_invocations_of_one_process_keep_their_bodies_apart() {
    let bench = Bench::new().await;
    let function = start(&taxi(), bench.folder.path(), &[("AWS_LAMBDA_MAX_CONCURRENCY", "4")]);
    let limit = Duration::from_secs(60);
    let invocations: Vec<_> = (0..16)
        .map(|shard| {
            let body = Sample::of("trips").cut(..5 + shard as usize).in_shard(shard).body();
            function.api().invoke(body, limit)
        })
        .collect();
    for invocation in invocations {
        assert_eq!(invocation.wait(limit).unwrap().response().as_deref(), Some(SUCCESS));
    }
    let records: Vec<u64> = bench.audit().await.lanes.iter().map(|lane| lane.totals.records).collect();
    assert_eq!(records, (5..21).collect::<Vec<u64>>());
}

#[test]
fn a_function_that_cannot_start_says_everything_that_is_wrong() {
    let variables = [("TRIPLINE_PARTIAL_RESPONSES", "perhaps"), ("TRIPLINE_LAEK", "s3://trips")];
    let mut function = Function::start(env!("CARGO_BIN_EXE_ingest"), &variables).unwrap();
    assert_eq!(function.exit_code(), Some(1));
    let said = function.end().concat();
    for part in ["TRIPLINE_PIPELINE", "TRIPLINE_LAKE", "TRIPLINE_LAEK", "perhaps"] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
}
