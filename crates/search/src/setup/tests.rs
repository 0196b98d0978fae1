#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::path::Path;

use serde_json::json;

use super::*;

fn pipeline(text: &str) -> Pipeline {
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("pipeline.toml"), text).unwrap();
    Pipeline::load(dir.path()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn each_field_has_the_type_that_the_pipeline_says() {
    let taxi = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/taxi");
    let found = templates(&Pipeline::load(&taxi).unwrap());
    let [trips, letters] = found.as_slice() else { panic!("{} templates", found.len()) };
    assert_eq!(letters.name, "tripline-taxi-dead_letter");
    assert_eq!(letters.body["index_patterns"], json!(["taxi-dead-letters-*"]));
    assert_eq!(letters.body["template"]["mappings"]["properties"]["failed_at"]["type"], "date");
    assert_eq!(trips.name, "tripline-taxi-trip");
    assert_eq!(trips.body["index_patterns"], json!(["trips-*"]));
    let mappings = &trips.body["template"]["mappings"];
    assert_eq!(mappings["dynamic"], "false");
    let properties = &mappings["properties"];
    for (field, expected) in [
        ("trip_id", "long"),
        ("vendor_id", "integer"),
        ("pickup_datetime", "date"),
        ("total_amount", "double"),
        ("store_and_fwd_flag", "keyword"),
        ("borough", "keyword"),
    ] {
        assert_eq!(properties[field]["type"], expected, "{field}");
    }
    assert_eq!(properties["pickup_datetime"]["format"], "strict_date_optional_time||epoch_millis");
}

#[test]
fn members_have_the_names_that_documents_have_and_streams_say_so() {
    let stream = pipeline(
        r#"id = "x"
        schema_version = 4
        [events."Page View"]
        table = "view"
        event_time = "at"
        fields = [
          { name = "at", type = "timestamp", from = "viewedAt", required = true },
          { name = "ok", type = "bool" },
        ]
        partition = [{ name = "day", time = "day" }]
        search.index = "views"
        search.action = "create"
        search.timestamp_field = "@timestamp"
        search.ingested_at = "seen""#,
    );
    let found = templates(&stream);
    let body = &found.first().unwrap().body;
    assert_eq!((&body["version"], &body["priority"]), (&json!(4), &json!(205)));
    assert_eq!(body["data_stream"], json!({ "timestamp_field": { "name": "@timestamp" } }));
    let names: Vec<&String> =
        body["template"]["mappings"]["properties"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["@timestamp", "ok", "seen", "viewedAt"]);
}

#[test]
fn differences_are_told_by_their_place() {
    let (from, to) = (
        json!({ "a": { "b": 1, "c": [1] }, "d": 1, "same": { "x": null } }),
        json!({ "a": { "b": 2, "c": [1, 2], "e": {} }, "same": { "x": null } }),
    );
    let expected = ["a.b: 1 -> 2", "a.c: [1] -> [1,2]", "a.e: nothing -> {}", "d: 1 -> nothing"];
    assert_eq!(differences(&from, &to), expected);
    assert!(differences(&to, &to).is_empty());
}

#[test]
fn what_the_cluster_adds_is_no_difference() {
    let told = json!({ "states": [{ "name": "kept", "actions": [{ "delete": {} }] }], "n": 1 });
    let found = json!({
        "states": [{ "name": "kept", "actions": [{ "retry": { "count": 3 }, "delete": {} }] }],
        "n": 1,
        "last_updated_time": 7,
    });
    assert_eq!(only_as_in(&found, &told), told);
}
