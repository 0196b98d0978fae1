//! Names and units of metrics, as documentation and infrastructure have them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tripline_metrics::catalogue::{BOTH, BY_REASON, INGEST, PUBLISH, SEARCH, SINKS, STREAMS};
use tripline_metrics::{Metric, NAMESPACE};

const BEGIN: &str = "<!-- begin metrics: written by a test of crates/metrics -->\n";
const END: &str = "<!-- end metrics -->\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

const PARTS: [(&str, &str, &[Metric]); 7] = [
    ("ingest", "`ingest`, once a batch", INGEST),
    ("sink", "`ingest`, where it feeds a sink beside the lake", SINKS),
    ("search", "`ingest`, where it feeds a search cluster", SEARCH),
    ("streams", "`ingest`, where it feeds other streams", STREAMS),
    (
        "by_reason",
        "`ingest`, for each reason that a batch's dead letters have, with the dimension `Reason`",
        BY_REASON,
    ),
    ("publish", "`publish`, once a run", PUBLISH),
    ("both", "both", BOTH),
];

#[test]
fn the_infrastructure_s_contract_has_the_same_metrics() {
    let path = root().join("infra/contract.json");
    let contract: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut wanted = Map::new();
    wanted.insert("namespace".to_owned(), json!(NAMESPACE));
    wanted.insert("dimension".to_owned(), json!("FunctionName"));
    for (part, _, metrics) in PARTS {
        let told = metrics.iter().map(|metric| {
            (metric.name.to_owned(), json!({ "unit": metric.unit.name(), "always": metric.always }))
        });
        wanted.insert(part.to_owned(), Value::Object(told.collect()));
    }
    let wanted = Value::Object(wanted);
    let pretty = serde_json::to_string_pretty(&wanted).unwrap();
    assert!(contract["metrics"] == wanted, "`metrics` of infra/contract.json must be:\n{pretty}");
}

#[test]
fn the_table_of_metrics_is_that_of_the_code() {
    let path = root().join("docs/metrics.md");
    let mut wanted = String::new();
    for (_, teller, metrics) in PARTS {
        writeln!(wanted, "\nTold by {teller}:\n\n| metric | unit | what it is |\n|---|---|---|").unwrap();
        for Metric { name, unit, always, about } in metrics {
            let mark = if *always { "" } else { " *" };
            writeln!(wanted, "| `{name}`{mark} | {} | {about} |", unit.name()).unwrap();
        }
    }
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("docs/metrics.md has the mark where the tables begin");
    let (written, after) = rest.split_once(END).expect("docs/metrics.md has the mark where the tables end");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
    } else {
        assert_eq!(written, wanted, "run: UPDATE_DOCS=1 cargo test --workspace --test contract");
    }
}
