//! `tripline doctor` as people run it: on deployments that are well, and on broken ones, at real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::{Desk, repository, said, taxi};
use tripline_test_support::{KinesisServer, LambdaApi, OpenSearch, S3Server};

/// A check: its verdict, and what it says.
type Finding = (String, String, String);

/// What the doctor finds; it must end with this exit code.
fn doctor(desk: &Desk, lake: &str, more: &[&str], code: i32) -> Vec<Finding> {
    let mut command = desk.command("doctor");
    // Nobody's own keys, and no metadata service to wait for.
    let own =
        ["AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"];
    for name in own.iter().filter(|name| desk.variables.iter().all(|(set, _)| set != *name)) {
        command.env_remove(name);
    }
    command.env("AWS_EC2_METADATA_DISABLED", "true").args(["--json", "--lake", lake]).args(more);
    let told = said(&mut command, code);
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let finding = |finding: &Value| {
        let what = format!("{}; {}", text(finding, "what"), text(finding, "fix"));
        (text(finding, "verdict"), text(finding, "about"), what)
    };
    told["findings"].as_array().unwrap().iter().map(finding).collect()
}

/// There is a check of this verdict about this that says so.
fn has(findings: &[Finding], verdict: &str, about: &str, part: &str) {
    let found = findings.iter().any(|(is, of, what)| is == verdict && of == about && what.contains(part));
    assert!(found, "{verdict} {about} {part} is not in: {findings:#?}");
}

#[test]
fn a_folder_is_proved_and_left_as_it_was() {
    let desk = taxi("unused");
    let lake = desk.path("lake");
    let lake = lake.to_str().unwrap();
    let found = doctor(&desk, lake, &[], 0);
    has(&found, "ok", "pipeline", "taxi, schema version 1, tables trip");
    has(&found, "ok", "identity", "there is no lake yet");
    has(&found, "ok", "rights", "files can be uploaded in parts");
    has(&found, "ok", "store", "honours conditional writes");
    for about in ["credentials", "bucket", "search", "source", "function"] {
        has(&found, "not checked", about, "");
    }
    let mut folders = vec![desk.path("lake")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            assert!(path.is_dir() || path.ends_with("_tripline/lock"), "{} is left", path.display());
            folders.extend(path.is_dir().then_some(path));
        }
    }
    let found = doctor(&desk, lake, &["--read-only"], 0);
    has(&found, "not checked", "rights", "--read-only");
    has(&found, "not checked", "store", "--read-only");
    let told = said(desk.command("doctor").args(["--lake", lake]), 0);
    assert!(told.contains("ok          pipeline: taxi") && told.contains("doctor: "), "{told}");
}

#[test]
fn what_is_wrong_with_pipeline_and_variables_is_told_all_at_once() {
    let mut desk = taxi("unused");
    desk.write("pipeline/pipeline.toml", "id = \"taxi\"\nschema_version = \"one\"\n");
    desk.variables = vec![
        ("TRIPLINE_SINSK", "lake".to_owned()),
        ("TRIPLINE_JOURNAL_RETENTION", "5m".to_owned()),
        ("TRIPLINE_OPENSEARCH_PASSWORD", "hush".to_owned()),
        ("TRIPLINE_OPENSEARCH_URL", "https://localhost:1".to_owned()),
    ];
    let lake = desk.path("lake");
    let found = doctor(&desk, lake.to_str().unwrap(), &[], 1);
    has(&found, "fail", "pipeline", "pipeline.toml:2:");
    has(&found, "fail", "variables", "TRIPLINE_SINSK is no variable of Tripline's");
    has(&found, "fail", "variables", "retention of 300 s");
    has(&found, "fail", "variables", "TRIPLINE_OPENSEARCH_USER is not");
    assert!(!format!("{found:?}").contains("hush"), "{found:?}");
}

#[test]
fn a_bucket_is_checked_with_its_rights_and_another_pipelines_lake_is_refused() {
    let Some(server) = S3Server::shared_for("a bucket is checked") else { return };
    let mut desk = taxi("unused");
    desk.variables = server.environment();
    let lake = format!("s3://{}/doctored", server.bucket());
    let found = doctor(&desk, &lake, &[], 0);
    has(&found, "ok", "region", "us-east-1");
    has(&found, "ok", "credentials", "in the environment (AWS_ACCESS_KEY_ID), without an end");
    has(&found, "ok", "rights", "objects can be deleted");
    has(&found, "ok", "store", "honours conditional writes");
    assert!(found.iter().any(|(_, about, _)| about == "lifecycle"), "{found:?}");
    let table = std::fs::read_dir(server.folder().join("doctored/dead_letter"));
    let left: Vec<_> = table.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    assert!(left.iter().all(|path| path.is_dir()), "{left:?}");

    desk.write("in.jsonl", "no event\n");
    let mut run = desk.command("run");
    said(run.args(["--lake", &lake, "--input"]).arg(desk.path("in.jsonl")), 0);
    has(&doctor(&desk, &lake, &[], 0), "ok", "checkpoint", "generation 2");
    let text = std::fs::read_to_string(desk.path("pipeline/pipeline.toml")).unwrap();
    desk.write("pipeline/pipeline.toml", &text.replace("id = \"taxi\"", "id = \"limousine\""));
    has(&doctor(&desk, &lake, &[], 1), "fail", "identity", "belongs to pipeline \"taxi\", not \"limousine\"");
}

#[test]
fn buckets_that_are_not_there_and_wrong_secrets_are_told_with_the_fix() {
    let Some(server) = S3Server::shared_for("wrong secrets") else { return };
    let mut desk = taxi("unused");
    desk.variables = server.environment();
    let found = doctor(&desk, "s3://nowhere-at-all/taxi", &[], 1);
    has(&found, "fail", "lake", "create the bucket, or correct the store's address");
    has(&found, "not checked", "store", "cannot be reached");

    let secret = desk.variables.iter_mut().find(|(name, _)| *name == "AWS_SECRET_ACCESS_KEY").unwrap();
    secret.1 = "hush".to_owned();
    let found = doctor(&desk, &format!("s3://{}/taxi", server.bucket()), &[], 1);
    has(&found, "fail", "lake", "SignatureDoesNotMatch");
    assert!(!format!("{found:?}").contains("hush"), "{found:?}");

    desk.variables.retain(|(name, _)| !name.starts_with("AWS_"));
    let found = doctor(&desk, &format!("s3://{}/taxi", server.bucket()), &[], 1);
    has(&found, "fail", "credentials", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
    has(&found, "fail", "region", "set AWS_REGION");

    desk.variables = vec![("TRIPLINE_S3_ENDPOINT", server.endpoint().replace("http://", "https://"))];
    desk.variables.extend(server.environment().into_iter().filter(|(name, _)| name.starts_with("AWS_")));
    let found = doctor(&desk, &format!("s3://{}/taxi", server.bucket()), &[], 1);
    has(&found, "fail", "lake", "");
}

#[test]
fn a_cluster_is_well_once_it_is_set_up_and_old_mappings_are_told() {
    let Some(node) = OpenSearch::shared_for("a cluster is checked") else { return };
    let desk = taxi("doctored");
    let lake = desk.path("lake");
    let (lake, cluster) = (lake.to_str().unwrap(), ["--opensearch", node.url()]);
    let found = doctor(&desk, lake, &cluster, 1);
    has(&found, "fail", "search", "index template tripline-taxi-trip is not there");
    has(&found, "fail", "search", "tripline setup");
    desk.setup(&cluster);
    let found = doctor(&desk, lake, &cluster, 0);
    has(&found, "ok", "search", "index template tripline-taxi-trip is there and current");
    has(&found, "ok", "search", "the indices that exist have the pipeline's mappings");

    // As by a pipeline whose field was of another type.
    let template = node.request("DELETE", "/_index_template/tripline-taxi-trip", "").unwrap();
    assert_eq!(template.status, 200);
    let other = "{\"mappings\":{\"dynamic\":\"false\",\"properties\":{\"trip_id\":{\"type\":\"keyword\"}}}}";
    assert_eq!(node.request("PUT", "/doctored", other).unwrap().status, 200);
    desk.setup(&cluster);
    let found = doctor(&desk, lake, &cluster, 0);
    has(&found, "warn", "search", "index doctored was made with another mapping: ");
    has(&found, "warn", "search", "properties.trip_id.type: \"keyword\" -> ");
    assert_eq!(node.request("DELETE", "/doctored", "").unwrap().status, 200);

    let found = doctor(&desk, lake, &["--opensearch", "http://127.0.0.1:1"], 1);
    has(&found, "fail", "search", "http://127.0.0.1:1 does not answer");
    let tls = node.url().replace("http://", "https://");
    has(&doctor(&desk, lake, &["--opensearch", &tls], 1), "fail", "search", "cannot read /_index_template");
    let found = doctor(&desk, lake, &["--opensearch", "http://search.invalid"], 1);
    has(&found, "warn", "search", "http://search.invalid is reached without TLS");
}

#[test]
fn a_stream_is_told_with_its_shards_and_its_retention() {
    let Some(server) = KinesisServer::shared_for("a stream is checked") else { return };
    server.create_stream("trips-doctor", 2).unwrap();
    let mut desk = taxi("unused");
    desk.variables = server.environment();
    let lake = desk.path("lake");
    let lake = lake.to_str().unwrap();
    let source = ["--kinesis", "trips-doctor", "--kinesis-endpoint", server.endpoint()];
    desk.variables.push(("TRIPLINE_KINESIS_STREAM", "trips-doctor-sink".to_owned()));
    let found = doctor(&desk, lake, &source, 1);
    has(&found, "fail", "kinesis sink", "'trips-doctor-sink'");
    desk.variables.pop();
    let found = doctor(&desk, lake, &source, 0);
    has(&found, "ok", "stream", "trips-doctor: ACTIVE, 2 open shards, PROVISIONED");
    has(&found, "warn", "stream", "records are kept for 1 d: an outage");
    let found =
        doctor(&desk, lake, &["--kinesis", "trips-nowhere", "--kinesis-endpoint", server.endpoint()], 1);
    has(&found, "fail", "stream", "'trips-nowhere'");
}

const STREAM: &str = "arn:aws:kinesis:us-east-1:123456789012:stream/trips";

/// A deployment at a scripted API: a function with these variables and, of its mapping, these members changed.
fn deployment(variables: Value, changes: Value) -> LambdaApi {
    let mut mapping = json!({
        "UUID": "00000000-0000-0000-0000-00000000000a",
        "State": "Enabled",
        "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:ingest:live",
        "EventSourceArn": STREAM,
        "ParallelizationFactor": 1,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "BisectBatchOnFunctionError": true,
        "MaximumRecordAgeInSeconds": 86400,
        "MaximumRetryAttempts": -1,
        "DestinationConfig": { "OnFailure": { "Destination": "arn:aws:s3:::failed" } },
    });
    for (name, value) in changes.as_object().unwrap() {
        mapping[name] = value.clone();
    }
    LambdaApi::start(move |line| match line {
        line if line.contains("/event-source-mappings") => (200, json!({ "EventSourceMappings": [mapping] })),
        line if line.contains("/functions/ingest/configuration") => (
            200,
            json!({
                "FunctionName": "ingest", "MemorySize": 1024, "Timeout": 300,
                "Environment": { "Variables": variables },
            }),
        ),
        line if line.contains("/functions/publish/configuration") => {
            (200, json!({ "FunctionName": "publish", "MemorySize": 256, "Timeout": 900 }))
        }
        _ => (404, json!({ "Type": "User", "Message": "Function not found" })),
    })
}

/// What the doctor finds of the function `name`.
fn function(api: &LambdaApi, name: &str, code: i32) -> Vec<Finding> {
    let mut desk = taxi("unused");
    let variable = |name, value: &str| (name, value.to_owned());
    desk.variables = vec![
        variable("AWS_ENDPOINT_URL_LAMBDA", api.url()),
        variable("AWS_REGION", "us-east-1"),
        variable("AWS_ACCESS_KEY_ID", "AKIDTEST"),
        variable("AWS_SECRET_ACCESS_KEY", "secrettest"),
    ];
    let lake = repository().join("target/doctor-test-lake");
    doctor(&desk, lake.to_str().unwrap(), &["--read-only", "--function", name], code)
}

fn variables(changes: Value) -> Value {
    let lake = repository().join("target/doctor-test-lake");
    let mut variables = json!({ "TRIPLINE_LAKE": lake, "TRIPLINE_PARTIAL_RESPONSES": "true" });
    for (name, value) in changes.as_object().unwrap() {
        variables[name] = value.clone();
    }
    variables
}

#[test]
fn a_function_that_is_well_has_nothing_to_mend() {
    let api = deployment(variables(json!({})), json!({}));
    let found = function(&api, "ingest", 0);
    has(&found, "ok", "function", "ingest: its variables are known");
    has(&found, "ok", "function", "1024 MB, 300 s");
    has(&found, "ok", "mapping", "one batch of a shard at a time");
    has(&found, "ok", "mapping", "what it gives up goes to arn:aws:s3:::failed");
    has(&found, "ok", "mapping", "records are given up after 1 d");
    let of_function = |(verdict, about, _): &&Finding| {
        verdict == "warn" && ["function", "mapping"].contains(&about.as_str())
    };
    assert_eq!(found.iter().filter(of_function).count(), 0, "{found:#?}");
}

#[test]
fn mappings_that_lose_records_fail_and_those_that_will_be_regretted_warn() {
    let cases = [
        (json!({ "ParallelizationFactor": 4 }), 1, "fail", "ParallelizationFactor 4"),
        (json!({ "FunctionResponseTypes": [] }), 1, "fail", "lacks ReportBatchItemFailures"),
        (json!({ "TumblingWindowInSeconds": 30 }), 1, "fail", "tumbling window"),
        (json!({ "DestinationConfig": {} }), 1, "fail", "for want of an on-failure destination"),
        (
            json!({ "DestinationConfig": {}, "MaximumRecordAgeInSeconds": -1 }),
            0,
            "warn",
            "until it expires in the stream",
        ),
        (
            json!({ "DestinationConfig": { "OnFailure": { "Destination": "arn:aws:sqs:us-east-1:123456789012:q" } } }),
            0,
            "warn",
            "gets only the place",
        ),
        (json!({ "BisectBatchOnFunctionError": false }), 0, "warn", "set BisectBatchOnFunctionError"),
        (json!({ "State": "Disabled" }), 0, "warn", "its mapping is off"),
    ];
    for (changes, code, verdict, part) in cases {
        let api = deployment(variables(json!({})), changes);
        has(&function(&api, "ingest", code), verdict, "mapping", part);
    }
}

#[test]
fn a_functions_variables_memory_and_name_are_judged() {
    let wrong = variables(json!({ "TRIPLINE_LAEK": "x", "TRIPLINE_PARTIAL_RESPONSES": "perhaps" }));
    let found = function(&deployment(wrong, json!({})), "ingest", 1);
    has(&found, "fail", "function", "ingest: TRIPLINE_LAEK is no variable of Tripline's");
    has(&found, "fail", "function", "\"perhaps\"");
    let elsewhere = variables(json!({ "TRIPLINE_LAKE": "s3://other/lake", "TRIPLINE_SOURCE_EPOCH": "2" }));
    let found = function(&deployment(elsewhere, json!({})), "ingest", 1);
    has(&found, "fail", "function", "works on the lake s3://other/lake");
    has(&found, "warn", "function", "the source epoch \"2\"");

    let api = deployment(variables(json!({})), json!({}));
    let found = function(&api, "publish", 1);
    has(&found, "fail", "function", "too little memory for publish; 512 MB or more");
    has(&found, "not checked", "function", "whether a schedule does");
    has(&function(&api, "nobody", 1), "fail", "function", "correct the name or AWS_REGION");
}

#[test]
fn an_endpoint_that_ignores_conditions_is_refused_by_the_proof() {
    let store = support::careless::CarelessS3::start();
    let mut desk = taxi("unused");
    let variable = |name, value: &str| (name, value.to_owned());
    desk.variables = vec![
        variable("TRIPLINE_S3_ENDPOINT", store.url()),
        variable("AWS_REGION", "us-east-1"),
        variable("AWS_ACCESS_KEY_ID", "AKIDTEST"),
        variable("AWS_SECRET_ACCESS_KEY", "secrettest"),
    ];
    let found = doctor(&desk, "s3://careless/taxi", &[], 1);
    has(&found, "fail", "store", "it ignores If-Match");
    has(&found, "fail", "lifecycle", "the rule tidy deletes objects below taxi/_journal/");
    has(&found, "fail", "lifecycle", "the rule tidy deletes objects below taxi/_tripline/");
    has(&found, "warn", "lifecycle", "aborted after 1 days");
    has(&found, "warn", "versions", "kept for ever");
    assert_eq!(found.iter().filter(|(verdict, ..)| verdict == "fail").count(), 3, "{found:#?}");
}
