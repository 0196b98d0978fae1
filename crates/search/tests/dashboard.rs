//! The saved objects of OpenSearch Dashboards that come with the pipelines: they hang together, and what they
//! count is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use support::{deliver, environment, now_ms, options, origin, records, sink};
use tripline_model::decode::{DeadLetter, Reason, Refusal, Stage};
use tripline_model::pipeline::Pipeline;
use tripline_search::setup::{Setup, SetupOptions};
use tripline_search::template::templates;
use tripline_test_support::OpenSearch;

/// The pipelines that have a dashboard.
const PIPELINES: [&str; 2] = ["taxi", "adtech"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines").join(name)
}

fn pipeline(name: &str) -> Arc<Pipeline> {
    Arc::new(Pipeline::load(&folder(name)).unwrap())
}

fn saved_objects(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder(name).join("dashboard.ndjson")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A text within a saved object that is JSON itself.
fn within(object: &Value, pointer: &str) -> Value {
    serde_json::from_str(object.pointer(pointer).and_then(Value::as_str).expect(pointer)).expect(pointer)
}

fn of_type<'o>(objects: &'o [Value], kind: &str) -> Vec<&'o Value> {
    objects.iter().filter(|object| object["type"] == kind).collect()
}

/// The title of the index pattern that a chart looks at.
fn pattern_of<'o>(objects: &'o [Value], chart: &Value) -> &'o str {
    let id = &chart["references"][0]["id"];
    let pattern = of_type(objects, "index-pattern").into_iter().find(|pattern| pattern["id"] == *id);
    pattern.unwrap()["attributes"]["title"].as_str().unwrap()
}

#[test]
fn every_reference_and_field_is_there() {
    for name in PIPELINES {
        let objects = saved_objects(name);
        let key = |object: &Value| {
            (object["type"].as_str().unwrap().to_owned(), object["id"].as_str().unwrap().to_owned())
        };
        let keys: BTreeSet<_> = objects.iter().map(key).collect();
        assert_eq!(keys.len(), objects.len(), "ids are given once");
        for object in &objects {
            assert!(object["attributes"]["title"].is_string());
            for reference in object["references"].as_array().unwrap() {
                assert!(keys.contains(&key(reference)), "{reference}");
            }
        }
        // By the index pattern: what the fields of an event type's index are.
        let properties: BTreeMap<String, Value> = templates(&pipeline(name))
            .into_iter()
            .map(|template| {
                let pattern = template.body["index_patterns"][0].as_str().unwrap().to_owned();
                (pattern, template.body["template"]["mappings"]["properties"].clone())
            })
            .collect();
        let patterns = of_type(&objects, "index-pattern");
        assert_eq!(patterns.len(), properties.len());
        for pattern in patterns {
            let fields = &properties[pattern["attributes"]["title"].as_str().unwrap()];
            assert_eq!(fields[pattern["attributes"]["timeFieldName"].as_str().unwrap()]["type"], "date");
        }
        for chart in of_type(&objects, "visualization") {
            let state = within(chart, "/attributes/visState");
            let search = within(chart, "/attributes/kibanaSavedObjectMeta/searchSourceJSON");
            assert_eq!(
                (&state["title"], &search["indexRefName"]),
                (&chart["attributes"]["title"], &chart["references"][0]["name"])
            );
            let fields = &properties[pattern_of(&objects, chart)];
            let aggs = state["aggs"].as_array().unwrap().iter();
            for field in aggs.filter_map(|agg| agg["params"]["field"].as_str()) {
                assert!(fields.get(field).is_some(), "{}: there is no `{field}`", state["title"]);
            }
        }
        let mut shown = 0;
        for dashboard in of_type(&objects, "dashboard") {
            let panels = within(dashboard, "/attributes/panelsJSON");
            let references = |list: &Value, member: &str| -> Vec<Value> {
                list.as_array().unwrap().iter().map(|item| item[member].clone()).collect()
            };
            assert_eq!(references(&panels, "panelRefName"), references(&dashboard["references"], "name"));
            shown += panels.as_array().unwrap().len();
        }
        assert_eq!(shown, of_type(&objects, "visualization").len());
    }
}

/// A chart's aggregations as a search asks for them.
fn aggregations(state: &Value) -> Value {
    let aggs = state["aggs"].as_array().unwrap();
    let metric = aggs.iter().find(|agg| agg["type"] == "avg");
    let mut asked =
        metric.map_or(json!({}), |metric| json!({ "1": { "avg": { "field": metric["params"]["field"] } } }));
    for bucket in aggs.iter().rev().filter(|agg| agg["schema"] != "metric") {
        let field = &bucket["params"]["field"];
        let what = match bucket["type"].as_str().unwrap() {
            "terms" => json!({ "terms": { "field": field } }),
            _ => {
                json!({ "date_histogram": { "field": field, "calendar_interval": format!("1{}", bucket["params"]["interval"].as_str().unwrap()) } })
            }
        };
        let mut outer = what;
        outer["aggs"] = asked;
        asked = json!({ "buckets": outer });
    }
    asked
}

/// Events of each type, twelve each.
fn events(name: &str) -> Vec<String> {
    let event = |number: usize| {
        let hour = number % 3;
        if name == "taxi" {
            let zone = [4, 7][number % 2];
            return vec![format!(
                r#"{{"type":"trip","trip_id":{number},"pickup_datetime":"2019-03-01T0{hour}:15:00.000Z","pickup_location_id":{zone},"total_amount":9.5,"payment_type":1}}"#
            )];
        }
        let (at, country) = (format!("2023-10-23 0{hour}:15:00"), ["NZ", "NA"][number % 2]);
        vec![
            format!(
                r#"{{"type":"impressions","bid_id":"{number}","campaign_id":"7","country_code":"{country}","created_at":"{at}"}}"#
            ),
            format!(
                r#"{{"type":"clicks","correlation_id":"{number}","tracker":"{number}","created_at":"{at}"}}"#
            ),
        ]
    };
    (0..12).flat_map(event).collect()
}

#[tokio::test]
async fn every_chart_of_a_dashboard_finds_what_it_counts() {
    let Some(server) = OpenSearch::shared_for("every_chart_of_a_dashboard") else { return };
    let setup = Setup::connect(&options(server.url()), environment()).await.unwrap();
    for name in PIPELINES {
        let (pipeline, objects, events) = (pipeline(name), saved_objects(name), events(name));
        for step in setup.plan(&pipeline, &SetupOptions::default()).await.unwrap() {
            setup.apply(&step).await.unwrap();
        }
        let sink = sink(&pipeline, options(server.url())).await;
        let delivered = deliver(&sink, &events, 30).await;
        assert_eq!(delivered.counts.created, events.len() as u64);
        let records = records(1, &events[..12]);
        let letter = |record| DeadLetter {
            stage: Stage::Search,
            record,
            refusal: Refusal { reason: Reason::Rejected, message: "400 mapper_parsing_exception".to_owned() },
            event_type: None,
        };
        let letters: Vec<DeadLetter<'_>> = records.into_iter().map(letter).collect();
        assert_eq!(sink.show_letters(&origin(), &letters, now_ms() + 30_000).await.letters_shown, 12);
        for chart in of_type(&objects, "visualization") {
            let (state, index) = (within(chart, "/attributes/visState"), pattern_of(&objects, chart));
            server.request("POST", &format!("/{index}/_refresh"), "").unwrap();
            let query = json!({ "size": 0, "aggs": aggregations(&state) });
            let reply = server.request("POST", &format!("/{index}/_search"), &query.to_string()).unwrap();
            let found: Value = serde_json::from_str(&reply.body).unwrap();
            assert_eq!(found["hits"]["total"]["value"], 12, "{}: {}", state["title"], reply.body);
            if state["type"] != "metric" {
                let first = &found["aggregations"]["buckets"]["buckets"][0];
                assert!(first["doc_count"].as_u64() > Some(0), "{}: {}", state["title"], reply.body);
                assert!(
                    first["1"].is_null() || first["1"]["value"] == 9.5,
                    "{}: {}",
                    state["title"],
                    reply.body
                );
            }
        }
    }
}
