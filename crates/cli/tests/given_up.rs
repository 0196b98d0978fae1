//! Batches that `tripline run` gives up, kept at an on-failure destination, and sent again from there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::ops::Range;

use serde_json::Value;
use support::Desk;
use tripline_test_support::S3Server;

/// A pipeline that refuses what is no event.
const REFUSING: &str = r#"
id = "trips"
type_field = "type"
schema_version = 1
on_malformed = "fail"
[events.trip]
id = ["trip_id"]
event_time = "at"
fields = [
  { name = "trip_id", type = "int64", required = true },
  { name = "at", type = "timestamp", required = true },
]
partition = [{ name = "year", time = "year" }]
"#;

fn trips(numbers: Range<u32>) -> String {
    let trip =
        |number| format!("{{\"type\":\"trip\",\"trip_id\":{number},\"at\":\"2019-03-01T12:00:00Z\"}}\n");
    numbers.map(trip).collect()
}

/// A desk with 39 trips in a file, and a line that is none behind the first fifteen.
fn desk() -> Desk {
    let desk = Desk::new(REFUSING);
    desk.write("trips.jsonl", &(trips(0..15) + "not json\n" + &trips(15..39)));
    desk
}

/// Runs the file in batches of ten without retries.
fn run(desk: &Desk, more: &[&str], code: i32) -> String {
    let input = desk.path("trips.jsonl");
    let options = ["--input", input.to_str().unwrap(), "--batch-size", "10", "--maximum-retry-attempts", "0"];
    desk.tripline("run", &[options.as_slice(), more].concat(), code)
}

/// Mends the pipeline, and sends what was given up again.
fn mend_and_redrive(desk: &Desk, url: &str) -> String {
    desk.write("pipeline/pipeline.toml", &REFUSING.replace("\"fail\"", "\"dead-letter\""));
    let said = desk.tripline("redrive", &["--failed-batches", url], 0);
    desk.tripline("publish", &[], 0);
    said
}

#[test]
fn a_batch_that_is_given_up_ends_the_run_where_nobody_keeps_it() {
    let desk = desk();
    let said = run(&desk, &[], 2);
    assert!(said.contains("position 16 on failed 1 times") && said.contains("on_malformed"), "{said}");
    desk.tripline("publish", &[], 0);
    assert_eq!(desk.seen(), (15, 0));
}

#[test]
fn what_is_given_up_lies_in_a_folder_and_a_redrive_completes_the_lake() {
    let desk = desk();
    let failed = desk.path("failed");
    let failed = failed.to_str().unwrap();
    let said = run(&desk, &["--on-failure", failed], 1);
    assert!(said.contains("given up                       5   in 1 batches"), "{said}");
    assert!(said.contains(&format!("redrive --failed-batches {failed}")), "{said}");
    assert_eq!(desk.seen(), (35, 0));
    let said = mend_and_redrive(&desk, failed);
    assert!(said.contains("1 batches with 5 records; 5 were not in"), "{said}");
    assert_eq!(desk.seen(), (39, 1));
    let again = desk.tripline("redrive", &["--failed-batches", failed], 0);
    assert!(again.contains("0 were not in"), "{again}");
}

#[test]
fn a_bucket_keeps_them_under_the_keys_that_lambda_gives() {
    let Some(server) = S3Server::shared_for("a bucket keeps them") else { return };
    let mut desk = desk();
    desk.variables = server.environment();
    let url = format!("s3://{}/failed", server.bucket());
    run(&desk, &["--on-failure", &url], 1);
    desk.write("trips.jsonl", &("not json\n".to_owned() + &trips(39..40)));
    run(&desk, &["--on-failure", &url], 1);
    assert_eq!(desk.seen(), (35, 0));
    let pattern = server.folder().join("failed/aws/lambda/*/*/????/??/??/????-??-??T??.??.??-*");
    let kept: Vec<_> = glob::glob(pattern.to_str().unwrap()).unwrap().map(Result::unwrap).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    let mapping =
        |at: usize| kept[at].to_str().unwrap().split("/aws/lambda/").nth(1).unwrap()[..36].to_owned();
    assert_eq!(mapping(0), mapping(1), "one mapping has one id");
    let record: Value = serde_json::from_slice(&std::fs::read(&kept[0]).unwrap()).unwrap();
    assert_eq!(record["requestContext"]["condition"], "RetryAttemptsExhausted");
    // It answered, and asked for records again.
    assert_eq!(record["responseContext"]["functionError"], Value::Null);
    let said = mend_and_redrive(&desk, &url);
    assert!(said.contains("2 batches with 7 records; 7 were not in"), "{said}");
    assert_eq!(desk.seen(), (40, 2));
}
