//! Documents as CloudWatch reads them: the embedded metric format,
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tripline_metrics::catalogue::{DUPLICATES, FAILED_BATCHES, FILE_BYTES, RECORDS};
use tripline_metrics::{Metrics, Points};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn documents(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[test]
fn a_document_declares_its_metrics_and_tells_their_values() {
    let log = Log::default();
    let metrics = Metrics::of("trips-ingest", log.clone());
    let mut points = Points::at(1_546_300_800_123);
    points.tell(RECORDS, 5_433);
    points.tell(DUPLICATES, 0);
    metrics.emit(&points);
    metrics.emit(&points);
    let wanted = json!({
        "_aws": {
            "CloudWatchMetrics": [{
                "Namespace": "Tripline",
                "Dimensions": [["FunctionName"]],
                "Metrics": [{ "Name": "Records", "Unit": "Count" }, { "Name": "Duplicates", "Unit": "Count" }],
            }],
            "Timestamp": 1_546_300_800_123_u64,
        },
        "FunctionName": "trips-ingest",
        "Records": 5_433,
        "Duplicates": 0,
    });
    assert_eq!(log.documents(), [wanted.clone(), wanted]);
}

#[test]
fn trouble_is_told_only_where_there_is_some() {
    let log = Log::default();
    let metrics = Metrics::of("trips-ingest", log.clone());
    for failed in [0, 2] {
        let mut points = Points::at(0);
        points.tell(FAILED_BATCHES, failed);
        points.tell(RECORDS, 1);
        metrics.emit(&points);
    }
    let told: Vec<Value> = log.documents().iter().map(|document| document["FailedBatches"].clone()).collect();
    assert_eq!(told, [Value::Null, json!(2)]);
}

#[test]
fn a_mean_keeps_how_many_values_it_is_of() {
    let log = Log::default();
    let metrics = Metrics::of("trips-publish", log.clone());
    let mut points = Points::at(0);
    points.tell_mean(FILE_BYTES, 3_000, 4);
    points.tell(RECORDS, 1);
    metrics.emit(&points);
    assert_eq!(log.documents()[0]["FileBytes"], json!({ "Values": [750], "Counts": [4] }));
}

#[test]
fn reasons_are_told_apart_by_a_dimension() {
    let log = Log::default();
    let metrics = Metrics::of("trips-ingest", log.clone());
    metrics.emit_reasons(0, &BTreeMap::from([("not-json", 3), ("unknown-type", 1)]));
    let documents = log.documents();
    let told: Vec<_> = documents.iter().map(|it| (&it["Reason"], &it["DeadLettersByReason"])).collect();
    assert_eq!(told, [(&json!("not-json"), &json!(3)), (&json!("unknown-type"), &json!(1))]);
    let dimensions = &documents[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"];
    assert_eq!(dimensions, &json!([["FunctionName", "Reason"]]));
}

#[test]
fn nothing_is_told_where_nobody_listens() {
    assert!(!Metrics::default().is_on());
    Metrics::default().emit(&Points::at(0));
}
