//! The saved objects of OpenSearch Dashboards that come with the taxi pipeline: they hang together, and what
//! they count is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use support::{deliver, environment, options, sink};
use tripline_model::pipeline::Pipeline;
use tripline_search::setup::{Setup, SetupOptions};
use tripline_search::template::templates;
use tripline_test_support::OpenSearch;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/taxi")
}

fn taxi() -> Arc<Pipeline> {
    Arc::new(Pipeline::load(&folder()).unwrap())
}

fn saved_objects() -> Vec<Value> {
    let text = std::fs::read_to_string(folder().join("dashboard.ndjson")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A text within a saved object that is JSON itself.
fn within(object: &Value, pointer: &str) -> Value {
    serde_json::from_str(object.pointer(pointer).and_then(Value::as_str).expect(pointer)).expect(pointer)
}

fn of_type<'o>(objects: &'o [Value], kind: &str) -> Vec<&'o Value> {
    objects.iter().filter(|object| object["type"] == kind).collect()
}

#[test]
fn every_reference_and_field_is_there() {
    let objects = saved_objects();
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
    let [template] = templates(&taxi()).try_into().unwrap();
    let [pattern] = of_type(&objects, "index-pattern").try_into().unwrap();
    assert_eq!(json!([pattern["attributes"]["title"]]), template.body["index_patterns"]);
    let properties = &template.body["template"]["mappings"]["properties"];
    assert_eq!(properties[pattern["attributes"]["timeFieldName"].as_str().unwrap()]["type"], "date");
    for chart in of_type(&objects, "visualization") {
        let state = within(chart, "/attributes/visState");
        let search = within(chart, "/attributes/kibanaSavedObjectMeta/searchSourceJSON");
        assert_eq!(
            (&state["title"], &search["indexRefName"]),
            (&chart["attributes"]["title"], &chart["references"][0]["name"])
        );
        for field in
            state["aggs"].as_array().unwrap().iter().filter_map(|agg| agg["params"]["field"].as_str())
        {
            assert!(properties.get(field).is_some(), "there is no `{field}`");
        }
    }
    let [dashboard] = of_type(&objects, "dashboard").try_into().unwrap();
    let panels = within(dashboard, "/attributes/panelsJSON");
    let references = |list: &Value, member: &str| -> Vec<Value> {
        list.as_array().unwrap().iter().map(|item| item[member].clone()).collect()
    };
    assert_eq!(references(&panels, "panelRefName"), references(&dashboard["references"], "name"));
    assert_eq!(panels.as_array().unwrap().len(), of_type(&objects, "visualization").len());
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

#[tokio::test]
async fn every_chart_of_the_dashboard_finds_what_it_counts() {
    let Some(server) = OpenSearch::shared_for("every_chart_of_the_dashboard") else { return };
    let setup = Setup::connect(&options(server.url()), environment()).await.unwrap();
    for step in setup.plan(&taxi(), &SetupOptions::default()).await.unwrap() {
        setup.apply(&step).await.unwrap();
    }
    let trip = |number: usize| {
        let (zone, hour) = ([4, 7][number % 2], number % 3);
        format!(
            r#"{{"type":"trip","trip_id":{number},"pickup_datetime":"2019-03-01T0{hour}:15:00.000Z","pickup_location_id":{zone},"total_amount":9.5,"payment_type":1}}"#
        )
    };
    let payloads: Vec<String> = (0..12).map(trip).collect();
    assert_eq!(deliver(&sink(&taxi(), options(server.url())).await, &payloads, 30).await.counts.created, 12);
    server.request("POST", "/trips-2019/_refresh", "").unwrap();
    for chart in of_type(&saved_objects(), "visualization") {
        let state = within(chart, "/attributes/visState");
        let query = json!({ "size": 0, "aggs": aggregations(&state) });
        let reply = server.request("POST", "/trips-*/_search", &query.to_string()).unwrap();
        let found: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(found["hits"]["total"]["value"], 12, "{}: {}", state["title"], reply.body);
        if state["type"] != "metric" {
            let first = &found["aggregations"]["buckets"]["buckets"][0];
            assert!(first["doc_count"].as_u64() > Some(0), "{}: {}", state["title"], reply.body);
            assert!(first["1"].is_null() || first["1"]["value"] == 9.5, "{}: {}", state["title"], reply.body);
        }
    }
}
