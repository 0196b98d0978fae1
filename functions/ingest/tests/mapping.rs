//! The function looks at its own event source mappings, and writes nothing under those that would lose
//! records: its real binary, before a server that answers as Lambda's API does (ListEventSourceMappings,
//! AWS Lambda API reference).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::{Bench, Sample, kafka_sample, taxi};
use tripline_test_support::{Answer, Function, LambdaApi};

/// Lambda's API with some mappings.
fn api(mappings: &[Value]) -> LambdaApi {
    let body = json!({ "EventSourceMappings": mappings });
    LambdaApi::start(move |_| (200, body.clone()))
}

/// A mapping as it should be, with some members changed.
fn mapping(changes: Value) -> Value {
    let mut mapping = json!({
        "UUID": "00000000-0000-0000-0000-00000000000a",
        "State": "Enabled",
        "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:test:live",
        "EventSourceArn": "arn:aws:kinesis:us-east-1:123456789012:stream/trips",
        "ParallelizationFactor": 1,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "TumblingWindowInSeconds": 0,
    });
    for (name, value) in changes.as_object().unwrap() {
        mapping[name] = value.clone();
    }
    mapping
}

fn start(bench: &Bench, api: &LambdaApi) -> Function {
    let variables = [
        ("TRIPLINE_PIPELINE", taxi()),
        ("TRIPLINE_LAKE", bench.folder.path().to_owned()),
        ("TRIPLINE_CHECK_MAPPING", "true".into()),
        ("TRIPLINE_PARTIAL_RESPONSES", "true".into()),
        ("AWS_ENDPOINT_URL_LAMBDA", api.url().into()),
        ("AWS_REGION", "us-east-1".into()),
        ("AWS_ACCESS_KEY_ID", "AKIDTEST".into()),
        ("AWS_SECRET_ACCESS_KEY", "secrettest".into()),
    ];
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (*name, value.to_str().unwrap())).collect();
    Function::start(env!("CARGO_BIN_EXE_ingest"), &variables).unwrap()
}

/// The error by which a batch is refused. Nothing is in the journal then.
async fn refusal(mappings: &[Value]) -> String {
    let bench = Bench::new().await;
    let function = start(&bench, &api(mappings));
    let answer = function.invoke(Sample::of("trips").body()).unwrap();
    assert!(bench.entries().await.is_empty(), "written before the mapping was known");
    answer.error().unwrap_or_else(|| panic!("taken under {mappings:?}"))
}

#[tokio::test]
async fn a_mapping_that_would_lose_records_is_refused_before_anything_is_written() {
    let id = "00000000-0000-0000-0000-00000000000a";
    let cases = [
        (json!({"ParallelizationFactor": 2}), "ParallelizationFactor 2"),
        (json!({"FunctionResponseTypes": []}), "lacks ReportBatchItemFailures"),
        (json!({"TumblingWindowInSeconds": 60}), "tumbling window"),
        // What is being disabled may still deliver.
        (json!({"State": "Disabling", "ParallelizationFactor": 10}), "ParallelizationFactor 10"),
    ];
    for (changes, expected) in cases {
        let error = refusal(&[mapping(changes)]).await;
        for part in [expected, id, "stream/"] {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
    }
}

#[tokio::test]
async fn topics_of_a_cluster_may_have_mappings_of_their_own_but_each_only_one() {
    let of = |id: u32, topic: &str| {
        mapping(json!({
            "UUID": format!("00000000-0000-0000-0000-{id:012}"),
            "EventSourceArn": kafka_sample("trips")["eventSourceArn"],
            "Topics": [topic],
        }))
    };
    let cases = [
        (vec![of(1, "taxi-trips"), of(2, "other")], None),
        (vec![of(1, "taxi-trips"), of(2, "taxi-trips")], Some("2 event source mappings")),
        (vec![of(1, "other"), of(2, "other")], None),
    ];
    for (mappings, refused) in cases {
        let bench = Bench::new().await;
        let function = start(&bench, &api(&mappings));
        let answer = function.invoke(kafka_sample("trips").to_string().into_bytes()).unwrap();
        match (answer.error(), refused) {
            (Some(error), Some(refused)) => assert!(error.contains(refused), "{error}"),
            (None, None) => assert_eq!(bench.trips().await, 20),
            (error, _) => panic!("{error:?} under {mappings:?}"),
        }
    }
}

#[tokio::test]
async fn mappings_of_a_self_managed_cluster_are_asked_for_by_the_functions_name() {
    let bench = Bench::new().await;
    let api = api(&[
        mapping(json!({"ParallelizationFactor": 2, "Topics": ["taxi-trips"]})),
        mapping(json!({"SelfManagedEventSource": {}, "Topics": ["taxi-trips"], "FunctionResponseTypes": []})),
    ]);
    let function = start(&bench, &api);
    let answer = function.invoke(kafka_sample("self-managed").to_string().into_bytes()).unwrap();
    let error = answer.error().unwrap();
    assert!(error.contains("lacks ReportBatchItemFailures"), "{error}");
    let asked = api.requests();
    assert!(asked.iter().all(|line| line.contains("FunctionName=test")), "{asked:?}");
    assert!(bench.entries().await.is_empty());
}

#[tokio::test]
async fn a_second_mapping_of_the_same_stream_is_refused() {
    let other = mapping(json!({"UUID": "00000000-0000-0000-0000-00000000000b"}));
    let error = refusal(&[mapping(json!({})), other]).await;
    assert!(
        error.contains("0000000a, ") && error.contains("0000000b") && error.contains("disable"),
        "{error}"
    );
}

#[tokio::test]
async fn mappings_of_other_functions_and_those_that_are_off_do_not_count() {
    let bench = Bench::new().await;
    let others = [
        mapping(json!({})),
        mapping(json!({
            "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:test2",
            "ParallelizationFactor": 10
        })),
        mapping(json!({"State": "Disabled", "ParallelizationFactor": 10})),
    ];
    let api = api(&others);
    let function = start(&bench, &api);
    for _ in 0..3 {
        assert!(function.invoke(Sample::of("trips").body()).unwrap().response().is_some());
    }
    assert_eq!(bench.trips().await, 20);
    // Asked by stream, as a question by function name would leave out aliases; and asked once.
    let requests = api.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].contains("/event-source-mappings") && requests[0].contains("EventSourceArn=arn"));
}

#[tokio::test]
async fn mappings_that_cannot_be_seen_are_trusted_and_warned_about() {
    let bench = Bench::new().await;
    let denied =
        json!({"Type": "User", "Message": "not authorized to perform: lambda:ListEventSourceMappings"});
    let function = start(&bench, &LambdaApi::start(move |_| (403, denied.clone())));
    for _ in 0..2 {
        let answer = function.invoke(Sample::of("trips").body()).unwrap();
        assert!(matches!(answer, Answer::Response(_)), "{answer:?}");
    }
    let warnings: Vec<String> =
        function.end().into_iter().filter(|line| line.contains("cannot be seen")).collect();
    assert_eq!(warnings.len(), 1, "once, not with every batch: {warnings:?}");
    assert!(warnings[0].contains("lambda:ListEventSourceMappings"), "{warnings:?}");
    assert_eq!(bench.trips().await, 20);
}
