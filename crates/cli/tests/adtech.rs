//! The pipeline of impressions and clicks: two event types of one stream, each in its own table and index.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use support::Desk;
use tripline_test_support::OpenSearch;

/// What the sample holds; its README says so too.
const IMPRESSIONS: u64 = 400;
const CLICKS: u64 = 120;
/// Clicks of which nobody knows the impression.
const UNKNOWN: u64 = 24;

fn adtech() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/adtech")
}

fn sample() -> String {
    adtech().join("sample").display().to_string()
}

/// A desk with the pipeline as it is shipped, but for what `change` makes of its file.
fn desk(change: impl Fn(&str) -> String) -> Desk {
    let desk = Desk::new(&change(&fs::read_to_string(adtech().join("pipeline.toml")).unwrap()));
    desk.write("pipeline/countries.csv", &fs::read_to_string(adtech().join("countries.csv")).unwrap());
    desk
}

fn shipped() -> Desk {
    desk(str::to_owned)
}

/// Rows of impressions, clicks and dead letters that a reader sees; the audit is clean.
fn seen(desk: &Desk) -> [u64; 3] {
    desk.rows(["impressions", "clicks", "dead_letter"])
}

/// The rows of a table that was written as JSON lines.
fn rows(desk: &Desk, table: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut folders = vec![desk.path("lake").join(table)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut text = String::new();
            GzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
            rows.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        }
    }
    rows
}

fn text<'r>(row: &'r Value, column: &str) -> &'r str {
    row[column].as_str().unwrap_or_else(|| panic!("{column} is no text in {row}"))
}

#[test]
fn each_shipped_event_is_a_row_of_its_type_s_table_once() {
    let desk = shipped();
    let first = desk.tripline("run", &["--input", &sample()], 0);
    assert_eq!(seen(&desk), [IMPRESSIONS, CLICKS, 0], "{first}");
    let again = desk.tripline("run", &["--input", &sample()], 0);
    assert!(again.contains("nothing new: every record was in the lake already"), "{again}");
    let recut = desk.tripline("run", &["--input", &sample(), "--batch-size", "7"], 0);
    assert!(recut.contains("nothing new: every record was in the lake already"), "{recut}");
    assert_eq!(seen(&desk), [IMPRESSIONS, CLICKS, 0]);
}

#[test]
fn each_click_is_on_an_impression_or_says_that_nobody_knows() {
    let desk = shipped();
    desk.tripline("run", &["--input", &sample(), "--format", "json"], 0);
    let impressions: BTreeMap<String, Value> = rows(&desk, "impressions")
        .into_iter()
        .map(|impression| (text(&impression, "bid_id").to_owned(), impression))
        .collect();
    assert_eq!(impressions.len() as u64, IMPRESSIONS, "no bid is there twice");
    let clicks = rows(&desk, "clicks");
    let trackers: BTreeSet<&str> = clicks.iter().map(|click| text(click, "tracker")).collect();
    assert_eq!(trackers.len() as u64, CLICKS, "no tracker is there twice");
    let (known, unknown): (Vec<_>, Vec<_>) =
        clicks.iter().partition(|click| text(click, "correlation_id") != "NA");
    assert_eq!((known.len() as u64, unknown.len() as u64), (CLICKS - UNKNOWN, UNKNOWN));
    for click in known {
        let impression = &impressions[text(click, "correlation_id")];
        assert!(text(impression, "created_at") < text(click, "created_at"), "{impression} {click}");
    }
    let of_namibia = impressions.values().filter(|impression| impression["country_code"] == "NA");
    assert!(of_namibia.clone().count() > 0);
    assert!(of_namibia.clone().all(|impression| impression["continent"] == "Africa"));
}

#[test]
fn ids_of_digits_stay_texts_and_numbers_that_are_texts_are_numbers_where_the_pipeline_says_so() {
    // The generator can be told to add a price to clicks: one more line in the pipeline's file.
    let tracker = "{ name = \"tracker\", type = \"string\", required = true },";
    let price = "{ name = \"price\", type = \"float64\" },";
    let desk = desk(|text| {
        assert!(text.contains(tracker));
        text.replace(tracker, &format!("{tracker}\n  {price}"))
    });
    let at = "2023-10-23 09:15:02";
    let click = |tracker: &str, price: Value| {
        let click =
            json!({"type": "clicks", "correlation_id": "0414641663", "tracker": tracker, "price": price});
        with(click, "created_at", at)
    };
    let impression = json!({"type": "impressions", "bid_id": "0414641663", "campaign_id": "567714536X"});
    let lines = [click("a", json!("0.35")), click("b", json!("12")), with(impression, "created_at", at)];
    desk.write("events.jsonl", &lines.map(|line| line.to_string() + "\n").concat());
    let input = desk.path("events.jsonl");
    desk.tripline("run", &["--input", input.to_str().unwrap(), "--format", "json"], 0);
    assert_eq!(seen(&desk), [1, 2, 0]);
    let mut prices: Vec<(String, Value)> = rows(&desk, "clicks")
        .into_iter()
        .map(|click| {
            assert_eq!(click["correlation_id"], "0414641663");
            (text(&click, "tracker").to_owned(), click["price"].clone())
        })
        .collect();
    prices.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(prices, [("a".to_owned(), json!(0.35)), ("b".to_owned(), json!(12.0))]);
    let impression = &rows(&desk, "impressions")[0];
    assert_eq!(
        (&impression["bid_id"], &impression["campaign_id"]),
        (&json!("0414641663"), &json!("567714536X"))
    );
    assert_eq!(impression["continent"], "Unknown", "its country is not told");
}

fn with(mut event: Value, member: &str, value: &str) -> Value {
    event[member] = value.into();
    event
}

#[test]
fn what_is_neither_an_impression_nor_a_click_is_a_dead_letter_and_a_null_is_nothing() {
    let desk = shipped();
    let at = "2023-10-23 09:15:02";
    let click =
        json!({"type": "clicks", "correlation_id": "NA", "tracker": "k3v9q0zjx41mtbw", "created_at": at});
    let nameless = json!({"type": "clicks", "correlation_id": "NA", "created_at": at});
    let conversion = with(click.clone(), "type", "conversions");
    let lines = [click, nameless, conversion, Value::Null];
    desk.write("events.jsonl", &lines.map(|line| line.to_string() + "\n").concat());
    let input = desk.path("events.jsonl");
    let said = desk.tripline("run", &["--input", input.to_str().unwrap()], 0);
    assert_eq!(seen(&desk), [0, 1, 2]);
    for reason in ["missing-field", "unknown-type", "ignored"] {
        assert!(said.contains(reason), "{reason} is not in:\n{said}");
    }
}

#[test]
fn each_event_type_is_searched_in_an_index_of_its_own() {
    let Some(node) = OpenSearch::shared_for("impressions and clicks are searched") else { return };
    let desk = shipped();
    let template = |table: &str| format!("index template tripline-adtech-{table}");
    let told = desk.setup(&["--opensearch", node.url(), "--dry-run"]);
    for table in ["impressions", "clicks"] {
        assert!(told.contains(&format!("{}: would be created: {{", template(table))), "{told}");
        let path = format!("/_index_template/tripline-adtech-{table}");
        assert_eq!(node.request("GET", &path, "").unwrap().status, 404, "a dry run does nothing");
    }
    let made = desk.setup(&["--opensearch", node.url()]);
    let expected =
        ["impressions", "clicks", "dead_letter"].map(|table| format!("{}: created\n", template(table)));
    assert_eq!(made, expected.concat());

    for _ in 0..2 {
        let said = desk.tripline("run", &["--input", &sample(), "--opensearch", node.url()], 0);
        for shown in [
            "index impressions            400   documents in all\n  impressions/",
            "index clicks                 120   documents in all\n  clicks/",
        ] {
            assert!(said.contains(shown), "{said}");
        }
        assert_eq!(seen(&desk), [IMPRESSIONS, CLICKS, 0]);
        for (index, documents) in [("impressions", IMPRESSIONS), ("clicks", CLICKS)] {
            ask(node, "POST", &format!("/{index}/_refresh"), &Value::Null);
            assert_eq!(
                ask(node, "GET", &format!("/{index}/_count"), &Value::Null)["count"],
                documents,
                "{index}"
            );
        }
        // The second run reads the file as if for the first time.
        fs::remove_dir_all(desk.path("lake")).unwrap();
    }
    let of_kind = |index: &str, field: &str| {
        ask(node, "GET", &format!("/{index}/_mapping"), &Value::Null)[index]["mappings"]["properties"][field]
            ["type"]
            .clone()
    };
    assert_eq!([of_kind("impressions", "bid_id"), of_kind("clicks", "created_at")], ["keyword", "date"]);
    let query = json!({
        "size": 0,
        "query": {"range": {"created_at": {"lt": "2023-10-24"}}},
        "aggs": {"of": {"terms": {"field": "continent", "size": 10}}}
    });
    let found = ask(node, "POST", "/impressions/_search", &query);
    let buckets = found["aggregations"]["of"]["buckets"].as_array().unwrap();
    let sum: u64 = buckets.iter().map(|bucket| bucket["doc_count"].as_u64().unwrap()).sum();
    assert_eq!((buckets.len(), sum), (7, 201), "{found}");
    let unknown = json!({"size": 0, "query": {"term": {"correlation_id": "NA"}}});
    assert_eq!(ask(node, "POST", "/clicks/_search", &unknown)["hits"]["total"]["value"], UNKNOWN);
}

fn ask(node: &OpenSearch, method: &str, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let reply = node.request(method, path, &body).unwrap();
    assert_eq!(reply.status, 200, "{method} {path}: {}", reply.body);
    serde_json::from_str(&reply.body).unwrap()
}
