//! Deliveries to a real OpenSearch node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;

use serde_json::{Value, json};
use support::{
    deliver, environment, now_ms, options, origin, pipeline, records, refused, sink, undelivered, visit,
    visits,
};
use tripline_model::pipeline::Pipeline;
use tripline_model::source::SourceRecord;
use tripline_search::{Delivered, SearchOptions, SearchSink, Viewer};
use tripline_test_support::{OpenSearch, or_left_out};

fn ask(server: &OpenSearch, method: &str, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let reply = server.request(method, path, &body).unwrap();
    serde_json::from_str(&reply.body)
        .unwrap_or_else(|_| json!({ "status": reply.status, "text": reply.body }))
}

fn get(server: &OpenSearch, path: &str) -> Value {
    ask(server, "GET", path, &Value::Null)
}

/// Documents in an index, once what was written can be found.
fn count(server: &OpenSearch, index: &str) -> u64 {
    ask(server, "POST", &format!("/{index}/_refresh"), &Value::Null);
    get(server, &format!("/{index}/_count"))["count"].as_u64().unwrap_or_default()
}

/// The members of a document.
fn source(server: &OpenSearch, index: &str, id: &str) -> Value {
    get(server, &format!("/{index}/_doc/{id}"))["_source"].clone()
}

async fn sink_of(server: &OpenSearch, pipeline: &Arc<Pipeline>) -> SearchSink {
    sink(pipeline, options(server.url())).await
}

fn all_safe(delivered: &Delivered) {
    assert!(delivered.undelivered.is_none(), "{:?}", delivered.undelivered);
}

#[tokio::test]
async fn each_event_type_has_its_index_and_a_replay_out_of_order_changes_nothing() {
    let Some(server) = OpenSearch::shared_for("each_event_type_has_its_index") else { return };
    let sink = sink_of(server, &visits("types", "")).await;
    let view = |number: usize| format!("{{\"type\": \"Page View\", \"id\": \"{number}\", \"at\": {number}}}");
    // Every tenth has no id: its place in the source is one.
    let payloads: Vec<String> = (0..500)
        .map(|number| match number % 10 {
            0 => "{\"at\": \"2019-03-01\"}".to_owned(),
            1 | 2 => view(number),
            _ => visit(number, ""),
        })
        .collect();
    let all = records(1, &payloads);
    let deadline = now_ms() + 60_000;
    let whole = sink.deliver(&origin(), &all, deadline).await;
    all_safe(&whole);
    assert_eq!((whole.counts.created, whole.counts.updated), (500, 0));
    for part in [&all[300..], &all[..200], &all[100..400]] {
        let again = sink.deliver(&origin(), part, deadline).await;
        all_safe(&again);
        assert_eq!((again.counts.created, again.counts.updated), (0, part.len() as u64));
    }
    assert_eq!((count(server, "types-visit"), count(server, "types-page-view")), (400, 100));
}

#[tokio::test]
async fn a_viewer_sees_how_many_documents_there_are_and_some_as_they_were_sent() {
    let Some(server) = OpenSearch::shared_for("a_viewer_sees_documents") else { return };
    let pipeline = pipeline(
        r#"id = "viewed"
        schema_version = 1
        default_type = "visit"
        [events.visit]
        id = ["id"]
        event_time = "at"
        fields = [{ name = "id", type = "string" }, { name = "at", type = "timestamp", required = true }]
        partition = [{ name = "day", time = "day" }]
        search.index = "viewed-{at|yyyy}""#,
    );
    let viewer = Viewer::connect(&options(server.url()), &environment()).await.unwrap();
    let search = pipeline.events[0].search.as_ref().unwrap();
    let nothing = viewer.show(search, 2).await.unwrap();
    assert_eq!((nothing.indices.as_str(), nothing.count, nothing.documents), ("viewed-*", 0, vec![]));
    let payloads: Vec<String> = (0..30)
        .map(|number| {
            let year = 2018 + number % 3;
            format!(r#"{{"who": "é",  "id": "{number}", "count": 1.0, "at": "{year}-03-01T00:00:00Z"}}"#)
        })
        .collect();
    all_safe(&deliver(&sink_of(server, &pipeline).await, &payloads, 60).await);
    let shown = viewer.show(search, 7).await.unwrap();
    assert_eq!((shown.count, shown.documents.len()), (30, 7), "found at once, in three indices");
    for document in shown.documents {
        let sent = &payloads[document.id.parse::<usize>().unwrap()];
        let year = &sent[sent.len() - 22..sent.len() - 18];
        assert_eq!((document.index, &document.source), (format!("viewed-{year}"), sent));
    }
}

#[tokio::test]
async fn a_cluster_that_cannot_be_looked_at_is_named_with_the_reason() {
    let pipeline = visits("unseen", "");
    let viewer = Viewer::connect(&options("http://127.0.0.1:1"), &environment()).await.unwrap();
    let error = viewer.show(pipeline.events[0].search.as_ref().unwrap(), 2).await.unwrap_err().to_string();
    assert!(error.starts_with("cannot look at unseen-visit: http://127.0.0.1:1 does not answer"), "{error}");
}

#[tokio::test]
async fn a_document_that_does_not_fit_its_index_is_refused_with_the_reason() {
    let Some(server) = OpenSearch::shared_for("a_document_that_does_not_fit") else { return };
    let mapping = json!({ "mappings": { "dynamic": "strict", "properties": {
        "id": { "type": "keyword" }, "at": { "type": "date" }, "count": { "type": "byte" } } } });
    ask(server, "PUT", "/fits-visit", &mapping);
    let sink = sink_of(server, &visits("fits", "")).await;
    let payloads =
        [visit(1, ", \"count\": 5"), visit(2, ", \"count\": 500"), visit(3, ", \"other\": 1"), visit(4, "")];
    let delivered = deliver(&sink, &payloads, 30).await;
    all_safe(&delivered);
    assert_eq!(refused(&delivered), [(1, "rejected"), (2, "rejected")]);
    let errors: Vec<&str> = delivered.refused.iter().map(|refused| refused.error.as_str()).collect();
    assert!(
        errors[0].starts_with("400 mapper_parsing_exception: failed to parse field [count]"),
        "{errors:?}"
    );
    assert!(errors[1].starts_with("400 strict_dynamic_mapping_exception"), "{errors:?}");
    assert_eq!(count(server, "fits-visit"), 2);
}

#[tokio::test]
async fn every_spelling_of_a_time_is_a_date_to_the_cluster() {
    let Some(server) = OpenSearch::shared_for("every_spelling_of_a_time") else { return };
    let date = json!({ "type": "date", "format": "strict_date_optional_time||epoch_millis" });
    ask(server, "PUT", "/dates-visit", &json!({ "mappings": { "properties": { "at": date } } }));
    let spellings = [
        "\"2018-01-01\"",
        "\"2018-01-01T00:35\"",
        "\"2018-01-01T00:35Z\"",
        "\"2018-01-01T00:35:40\"",
        "\"2018-01-01 00:35:40\"",
        "\"2018-01-01t00:35:40z\"",
        "\"2018-01-01T00:35:40.123456789\"",
        "\"2018-01-01T00:35:40+02\"",
        "\"2018-01-01T00:35:40-0230\"",
        "\"2018-01-01T00:35:40+17:59\"",
        "\"2018-01-02T00:35:40+23:59\"",
        "\"2018-01-02T00:35:40-18:30\"",
        "\"0001-01-01T00:00Z\"",
        "\"9999-12-31T23:59:59.999Z\"",
        "1514766940000",
        "1514766940000.0",
        "1.51476694e12",
        "-62135596800000",
        "0",
    ];
    let payloads: Vec<String> = spellings.iter().map(|at| format!("{{\"at\": {at}}}")).collect();
    let delivered = deliver(&sink_of(server, &visits("dates", "")).await, &payloads, 30).await;
    assert_eq!(delivered.refused, []);
    assert_eq!(count(server, "dates-visit"), spellings.len() as u64);
    let search = json!({ "query": { "range": { "at": { "gte": "2018-01-01T00:35:40.000Z", "lte": "2018-01-01T00:35:40.000Z" } } } });
    let found = ask(server, "POST", "/dates-visit/_search", &search);
    assert_eq!(found["hits"]["total"]["value"], 6, "{found}");
}

#[tokio::test]
async fn an_older_record_never_replaces_a_newer_one_where_versions_are_asked_for() {
    let Some(server) = OpenSearch::shared_for("an_older_record_never_replaces") else { return };
    let sink = sink_of(server, &visits("versions", "version = \"position\"")).await;
    let (old, new) = (visit("x", ", \"count\": 1"), visit("x", ", \"count\": 2"));
    let at = |position: u64, payload: &'static str| -> Vec<SourceRecord<'static>> {
        records(position, Box::leak(Box::new([payload])).as_slice())
    };
    let (old, new): (&'static str, &'static str) = (old.leak(), new.leak());
    for (record, created, updated, conflicts) in
        [(at(8, new), 1, 0, 0), (at(7, old), 0, 0, 1), (at(8, new), 0, 1, 0), (at(9, new), 0, 1, 0)]
    {
        let delivered = sink.deliver(&origin(), &record, now_ms() + 30_000).await;
        all_safe(&delivered);
        let counts = delivered.counts;
        assert_eq!((counts.created, counts.updated, counts.conflicts), (created, updated, conflicts));
        assert!(delivered.refused.is_empty(), "giving way is not a fault");
    }
    assert_eq!(source(server, "versions-visit", "x")["count"], 2);
}

#[tokio::test]
async fn created_updated_routed_and_deleted_documents_are_as_the_pipeline_says() {
    let Some(server) = OpenSearch::shared_for("created_updated_routed_and_deleted") else { return };
    let create = sink_of(server, &visits("create", "action = \"create\"")).await;
    let delivered = deliver(&create, &[visit(1, ", \"count\": 1"), visit(1, ", \"count\": 2")], 30).await;
    assert_eq!((refused(&delivered), delivered.counts.conflicts), (vec![], 1));
    assert_eq!(source(server, "create-visit", "1")["count"], 1);

    let update = sink_of(server, &visits("update", "action = \"update\"")).await;
    let payloads = [visit(1, ", \"count\": 1"), visit(1, ", \"who\": \"ann\"")];
    all_safe(&deliver(&update, &payloads[..1], 30).await);
    let delivered = deliver(&update, &payloads[1..], 30).await;
    assert_eq!((delivered.counts.created, delivered.counts.updated), (0, 1));
    let merged = source(server, "update-visit", "1");
    assert_eq!((&merged["count"], &merged["who"]), (&json!(1), &json!("ann")));
    assert_eq!(deliver(&update, &payloads[1..], 30).await.counts.noops, 1);

    let routed = sink_of(server, &visits("routed", "routing = \"who\"")).await;
    all_safe(&deliver(&routed, &[visit(1, ", \"who\": \"ann\"")], 30).await);
    assert_eq!(get(server, "/routed-visit/_doc/1?routing=ann")["_routing"], "ann");

    let deleting = sink_of(server, &visits("deleted", "")).await;
    all_safe(&deliver(&deleting, &[visit("key", ""), visit("other", "")], 30).await);
    let delivered = deliver(&deleting, &["null", "", " null "], 30).await;
    all_safe(&delivered);
    assert_eq!((delivered.counts.deleted, delivered.counts.noops), (1, 2));
    assert_eq!(count(server, "deleted-visit"), 1);
}

#[tokio::test]
async fn documents_go_through_ingest_pipelines_and_into_data_streams() {
    let Some(server) = OpenSearch::shared_for("documents_go_through_ingest_pipelines") else { return };
    let processors = json!({ "processors": [{ "set": { "field": "seen", "value": true } }] });
    ask(server, "PUT", "/_ingest/pipeline/mark", &processors);
    let marking =
        sink_of(server, &visits("marked", "ingest_pipeline = \"mark\"\ningested_at = \"ingested_at\"")).await;
    all_safe(&deliver(&marking, &[visit(1, "")], 30).await);
    let marked = source(server, "marked-visit", "1");
    assert!(marked["seen"] == true && marked["ingested_at"].is_string(), "{marked}");

    let template = json!({ "index_patterns": ["stream-visit"], "data_stream": {} });
    assert_eq!(ask(server, "PUT", "/_index_template/stream", &template)["acknowledged"], true);
    let search = "action = \"create\"\ntimestamp_field = \"@timestamp\"";
    let streaming = sink_of(server, &visits("stream", search)).await;
    for created in [2, 0] {
        let delivered = deliver(&streaming, &[visit(1, ""), visit(2, "")], 30).await;
        all_safe(&delivered);
        assert_eq!((delivered.counts.created, delivered.counts.conflicts), (created, 2 - created));
    }
    assert_eq!(count(server, "stream-visit"), 2);
}

#[tokio::test]
async fn an_index_that_is_blocked_refuses_its_documents_and_full_disks_only_delay_them() {
    let Some(server) = OpenSearch::shared_for("an_index_that_is_blocked") else { return };
    for name in ["blocked-visit", "full-visit"] {
        ask(server, "PUT", &format!("/{name}"), &json!({}));
    }
    ask(server, "PUT", "/blocked-visit/_settings", &json!({ "index.blocks.write": true }));
    let payloads = [visit(1, ""), "{\"type\": \"Page View\", \"id\": \"1\", \"at\": 0}".to_owned()];
    let delivered = deliver(&sink_of(server, &visits("blocked", "")).await, &payloads, 30).await;
    all_safe(&delivered);
    assert_eq!(refused(&delivered), [(0, "rejected")]);
    assert!(delivered.refused[0].error.starts_with("403 cluster_block_exception"));
    assert_eq!(count(server, "blocked-page-view"), 1);

    let full = json!({ "index.blocks.read_only_allow_delete": true });
    ask(server, "PUT", "/full-visit/_settings", &full);
    let sink = sink_of(server, &visits("full", "")).await;
    let mut said = Vec::new();
    for _ in 0..3 {
        let (record, why) = undelivered(&deliver(&sink, &payloads, 2).await).unwrap();
        assert_eq!(record, 0, "{why}");
        said.push(why);
    }
    // The last word may be that of a request that the end of the time cut off.
    assert!(said.iter().any(|why| why.contains("429 cluster_block_exception")), "{said:?}");
    ask(server, "PUT", "/full-visit/_settings", &json!({ "index.blocks.read_only_allow_delete": null }));
    all_safe(&deliver(&sink, &payloads, 30).await);
    assert_eq!((count(server, "full-visit"), count(server, "full-page-view")), (1, 1));
}

#[tokio::test]
async fn a_queue_that_is_full_loses_nothing() {
    let settings = "thread_pool.write.size: 1\nthread_pool.write.queue_size: 1";
    let Some(server) = or_left_out("a_queue_that_is_full", OpenSearch::start(settings)) else { return };
    let shards = json!({ "settings": { "number_of_shards": 32, "number_of_replicas": 0 } });
    ask(&server, "PUT", "/busy-visit", &shards);
    let sink = sink_of(&server, &visits("busy", "")).await;
    let halves: Vec<Vec<String>> =
        (0..2).map(|half| (0..300).map(|number| visit(half * 300 + number, "")).collect()).collect();
    let (first, second) = tokio::join!(deliver(&sink, &halves[0], 60), deliver(&sink, &halves[1], 60));
    for delivered in [&first, &second] {
        all_safe(delivered);
        assert_eq!((delivered.counts.created + delivered.counts.updated, delivered.refused.len()), (300, 0));
    }
    assert!(first.counts.throttled + second.counts.throttled > 50, "{:?}", first.counts);
    assert_eq!(count(&server, "busy-visit"), 600);
}

#[tokio::test]
async fn requests_beyond_what_the_cluster_takes_are_repeated_or_halved() {
    let settings = "indexing_pressure.memory.limit: 40kb\nhttp.max_content_length: 60kb";
    let Some(server) = or_left_out("requests_beyond_what", OpenSearch::start(settings)) else { return };
    let payloads: Vec<String> =
        (0..300).map(|number| visit(number, &format!(", \"who\": \"{}\"", "z".repeat(600)))).collect();
    // 413 halves down to 60 kB; what presses more than 40 kB is 429 as a whole, however often, and is halved too.
    for (gzip, from) in [(true, 0), (false, 150)] {
        let options = SearchOptions { gzip, ..options(server.url()) };
        let delivered =
            deliver(&sink(&visits("pressed", ""), options).await, &payloads[from..from + 150], 60).await;
        all_safe(&delivered);
        assert_eq!(delivered.refused, []);
        assert!(delivered.counts.throttled > 1, "{:?}", delivered.counts);
    }
    assert_eq!(count(&server, "pressed-visit"), 300);
}

#[tokio::test]
async fn a_server_that_is_killed_and_comes_back_has_everything_in_the_end() {
    let folder = tempfile::TempDir::new().unwrap();
    let Some(server) = or_left_out("a_server_that_is_killed", OpenSearch::start_in(folder.path(), None))
    else {
        return;
    };
    // So many small requests that the server is killed between them, however fast it is.
    let small = SearchOptions { max_actions: 10, max_in_flight: 2, ..options(server.url()) };
    let (hasty, patient) =
        (sink(&visits("killed", ""), small).await, sink_of(&server, &visits("killed", "")).await);
    let payloads: Vec<String> = (0..5_000).map(|number| visit(number, "")).collect();
    all_safe(&deliver(&patient, &payloads[..200], 60).await);

    let all = records(1, &payloads);
    let place = origin();
    let delivering = hasty.deliver(&place, &all, now_ms() + 4_000);
    let killing = async {
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        server.kill().unwrap()
    };
    let (delivered, killed) = tokio::join!(delivering, killing);
    let (record, why) = undelivered(&delivered).expect("the server was killed before all was delivered");
    assert!(why.contains("does not answer") || why.contains("broke off"), "{why}");

    let server = OpenSearch::start_in(folder.path(), Some(&killed)).unwrap();
    let healed = patient.deliver(&place, &all[record..], now_ms() + 60_000).await;
    all_safe(&healed);
    assert_eq!(healed.refused, []);
    assert_eq!(count(&server, "killed-visit"), 5_000);
}

#[tokio::test]
async fn trips_are_found_by_borough_and_hour() {
    let Some(server) = OpenSearch::shared_for("trips_are_found_by_borough") else { return };
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/taxi");
    let taxi = Arc::new(Pipeline::load(&folder).unwrap());
    let trip = |number: usize, zone: u32, hour: u32| {
        format!(
            r#"{{"type":"trip","trip_id":{number},"pickup_datetime":"2019-03-01T{hour:02}:00:00.000Z","pickup_location_id":{zone},"total_amount":9.5}}"#
        )
    };
    let payloads: Vec<String> =
        (0..60).map(|number| trip(number, [4, 7, 265][number % 3], (number % 4) as u32)).collect();
    all_safe(&deliver(&sink_of(server, &taxi).await, &payloads, 30).await);
    assert_eq!(count(server, "trips-2019"), 60);
    let query = json!({ "size": 0, "aggs": { "boroughs": { "terms": { "field": "borough.keyword" } } } });
    let found = ask(server, "POST", "/trips-2019/_search", &query);
    let buckets = found["aggregations"]["boroughs"]["buckets"].as_array().unwrap();
    let boroughs: Vec<(&str, u64)> = buckets
        .iter()
        .map(|bucket| (bucket["key"].as_str().unwrap(), bucket["doc_count"].as_u64().unwrap()))
        .collect();
    assert_eq!(boroughs, [("Manhattan", 20), ("N/A", 20), ("Queens", 20)]);
    let missing = pipeline(
        "id = \"x\"\nschema_version = 1\n[events.a]\nsearch = false\nevent_time = \"at\"\nfields = [{ name = \"at\", type = \"timestamp\", required = true }]\npartition = [{ name = \"d\", time = \"day\" }]",
    );
    let error =
        SearchSink::connect(missing, options(server.url()), support::environment()).await.unwrap_err();
    assert!(error.to_string().contains("nothing is indexed"), "{error}");
}
