//! A search cluster prepared by the tool as people run it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

use tripline_test_support::OpenSearch;

fn setup(more: &[&str]) -> Output {
    let pipeline = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/taxi");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    command.env_remove("TRIPLINE_OPENSEARCH_URL");
    command.args(["setup", "--pipeline"]).arg(pipeline).args(more).output().unwrap()
}

fn said(output: &Output, code: i32) -> String {
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

#[test]
fn a_cluster_is_prepared_once_and_a_dry_run_only_tells() {
    let Some(node) = OpenSearch::shared_for("a cluster is prepared once") else { return };
    let template = || node.request("GET", "/_index_template/tripline-taxi-trip", "").unwrap().status;
    let told = said(&setup(&["--opensearch", node.url(), "--dry-run"]), 0);
    assert!(told.starts_with("index template tripline-taxi-trip: would be created: {"), "{told}");
    assert_eq!(template(), 404);
    let both = |what: &str| {
        ["trip", "dead_letter"]
            .map(|table| format!("index template tripline-taxi-{table}: {what}\n"))
            .concat()
    };
    assert_eq!(said(&setup(&["--opensearch", node.url()]), 0), both("created"));
    assert_eq!(template(), 200);
    let again = said(&setup(&["--opensearch", node.url()]), 0);
    assert_eq!(again, both("is there as it should be"));

    let other = "{\"index_patterns\":[\"trips-*\"],\"priority\":206,\"template\":{\"mappings\":{\"dynamic\":\"false\"}}}";
    assert_eq!(node.request("PUT", "/_index_template/tripline-taxi-trip", other).unwrap().status, 200);
    let told = said(&setup(&["--opensearch", node.url(), "--dry-run"]), 0);
    assert!(told.starts_with("index template tripline-taxi-trip: would be changed\n  "), "{told}");
    assert!(told.contains("  template.mappings.properties: nothing -> {\"airport_fee\""), "{told}");
    let told = said(&setup(&["--opensearch", node.url()]), 0);
    assert!(told.contains("changed") && told.ends_with("what has changed counts for new ones\n"), "{told}");
}

#[test]
fn what_cannot_be_done_is_said_with_what_to_do() {
    let told = said(&setup(&[]), 2);
    assert!(told.contains("no cluster is named: give --opensearch or --domain"), "{told}");
    let told = said(&setup(&["--opensearch", "http://127.0.0.1:1"]), 2);
    assert!(
        told.contains("cannot read /_index_template/tripline-taxi-trip: http://127.0.0.1:1 does not answer"),
        "{told}"
    );
}
