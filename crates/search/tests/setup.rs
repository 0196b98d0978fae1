//! A cluster prepared for a pipeline's documents.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use support::{deliver, environment, options, pipeline, sink, visit, visits};
use tripline_model::pipeline::Pipeline;
use tripline_search::setup::{Change, Setup, SetupOptions, Step};
use tripline_test_support::OpenSearch;

async fn plan(setup: &Setup, pipeline: &Pipeline) -> Vec<Step> {
    setup.plan(pipeline, &SetupOptions::default()).await.unwrap()
}

fn get(server: &OpenSearch, method: &str, path: &str) -> Value {
    serde_json::from_str(&server.request(method, path, "").unwrap().body).unwrap()
}

#[tokio::test]
async fn templates_are_put_once_and_again_only_where_they_differ() {
    let Some(server) = OpenSearch::shared_for("templates_are_put_once") else { return };
    let setup = Setup::connect(&options(server.url()), environment()).await.unwrap();
    let before = visits("prepared", "action = \"create\"\ntimestamp_field = \"@timestamp\"");
    let steps = plan(&setup, &before).await;
    let told: Vec<(&str, &Change)> = steps.iter().map(|step| (step.what.as_str(), &step.change)).collect();
    let names = ["index template tripline-visits-visit", "index template tripline-visits-view"];
    assert_eq!(told, names.map(|name| (name, &Change::Create)));
    for step in &steps {
        setup.apply(step).await.unwrap();
    }
    assert!(plan(&setup, &before).await.iter().all(|step| step.change == Change::None));

    let after = visits("prepared", "ingested_at = \"seen\"");
    let steps = plan(&setup, &after).await;
    let Change::Replace(lines) = &steps[0].change else { panic!("{steps:?}") };
    let date = json!({ "type": "date", "format": "strict_date_optional_time||epoch_millis" });
    let expected = [
        "data_stream: {\"timestamp_field\":{\"name\":\"@timestamp\"}} -> nothing".to_owned(),
        format!("template.mappings.properties.@timestamp: {date} -> nothing"),
        format!("template.mappings.properties.seen: nothing -> {date}"),
    ];
    assert_eq!(*lines, expected);
    assert_eq!(steps[1].change, Change::None);
    setup.apply(&steps[0]).await.unwrap();
    assert!(plan(&setup, &after).await.iter().all(|step| step.change == Change::None));

    let payloads = [", \"who\": \"2019-01-01\", \"stranger\": {\"a\": 1}", ", \"stranger\": \"text\""]
        .map(|members| visit(members.len(), members));
    let delivered = deliver(&sink(&after, options(server.url())).await, &payloads, 30).await;
    assert_eq!(delivered.counts.created, 2);
    let mapped = get(server, "GET", "/prepared-visit/_mapping");
    let properties = mapped["prepared-visit"]["mappings"]["properties"].as_object().unwrap();
    let kinds: Vec<(&str, &str)> =
        properties.iter().map(|(name, said)| (name.as_str(), said["type"].as_str().unwrap())).collect();
    let expected =
        [("at", "date"), ("count", "long"), ("id", "keyword"), ("seen", "date"), ("who", "keyword")];
    assert_eq!(kinds, expected, "members that the pipeline does not know are kept and not indexed");
}

#[tokio::test]
async fn the_taxi_template_gives_dates_numbers_and_boroughs_to_count_by() {
    let Some(server) = OpenSearch::shared_for("the_taxi_template_gives_dates") else { return };
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/taxi");
    let taxi = Arc::new(Pipeline::load(&folder).unwrap());
    let setup = Setup::connect(&options(server.url()), environment()).await.unwrap();
    for step in plan(&setup, &taxi).await {
        setup.apply(&step).await.unwrap();
    }
    let trip = |number: usize| {
        format!(
            r#"{{"type":"trip","trip_id":"{number}","pickup_datetime":"2019-03-01 0{}:15:00","pickup_location_id":"{}","total_amount":9.5,"padding":"xx"}}"#,
            number % 3,
            [4, 7, 265][number % 3],
        )
    };
    let payloads: Vec<String> = (0..30).map(trip).collect();
    let delivered = deliver(&sink(&taxi, options(server.url())).await, &payloads, 30).await;
    assert_eq!((delivered.counts.created, delivered.refused.len()), (30, 0), "{:?}", delivered.refused);
    get(server, "POST", "/trips-2019/_refresh");
    let query = json!({ "size": 0, "aggs": {
        "boroughs": { "terms": { "field": "borough" }, "aggs": { "fare": { "avg": { "field": "total_amount" } } } },
        "hours": { "date_histogram": { "field": "pickup_datetime", "fixed_interval": "1h" } },
    } });
    let found = server.request("POST", "/trips-2019/_search", &query.to_string()).unwrap();
    let found: Value = serde_json::from_str(&found.body).unwrap();
    let buckets = |name: &str| found["aggregations"][name]["buckets"].as_array().unwrap().clone();
    let boroughs: Vec<_> = buckets("boroughs")
        .iter()
        .map(|bucket| (bucket["key"].clone(), bucket["fare"]["value"].clone()))
        .collect();
    assert_eq!(boroughs, ["Manhattan", "N/A", "Queens"].map(|name| (json!(name), json!(9.5))));
    assert_eq!(buckets("hours").iter().map(|bucket| &bucket["doc_count"]).collect::<Vec<_>>(), [10, 10, 10]);
}

#[tokio::test]
async fn a_cluster_without_index_state_management_says_so() {
    let Some(server) = OpenSearch::shared_for("a_cluster_without_index_state_management") else { return };
    let setup = Setup::connect(&options(server.url()), environment()).await.unwrap();
    let options = SetupOptions { delete_after_days: Some(90) };
    let error = setup.plan(&visits("managed", ""), &options).await.unwrap_err().to_string();
    assert!(
        error.starts_with("cannot read /_plugins/_ism/policies/tripline-visits: 400 no handler found"),
        "{error}"
    );
    assert!(error.ends_with("the cluster has no Index State Management, or not this version"), "{error}");
}

/// A cluster that gives these answers one after another; what it was asked is kept.
fn scripted(answers: Vec<(u16, String)>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let keep = Arc::clone(&asked);
    std::thread::spawn(move || {
        for (status, body) in answers {
            let mut reader = BufReader::new(listener.accept().unwrap().0);
            let (mut first, mut length) = (String::new(), 0);
            reader.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(told) = line.to_lowercase().strip_prefix("content-length:") {
                    length = told.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut text = vec![0; length];
            reader.read_exact(&mut text).unwrap();
            keep.lock().unwrap().push(format!("{} {}", first.trim(), String::from_utf8(text).unwrap()));
            let length = body.len();
            write!(
                reader.get_mut(),
                "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    (url, asked)
}

#[tokio::test]
async fn a_policy_is_made_left_alone_and_changed_as_it_is_counted() {
    let of = pipeline(
        "id = \"x\"\nschema_version = 1\n[events.a]\nsearch.index = \"a-{at|yyyy}\"\nevent_time = \"at\"\nfields = [{ name = \"at\", type = \"timestamp\", required = true }]\npartition = [{ name = \"d\", time = \"day\" }]",
    );
    let template = |url: &str| options(url);
    let (url, asked) = scripted(vec![(404, "{}".to_owned()), (404, "{}".to_owned()), (201, "{}".to_owned())]);
    let days = |days| SetupOptions { delete_after_days: Some(days) };
    let setup = Setup::connect(&template(&url), environment()).await.unwrap();
    let steps = setup.plan(&of, &days(30)).await.unwrap();
    assert_eq!((steps.len(), &steps[1].change), (2, &Change::Create));
    setup.apply(&steps[1]).await.unwrap();
    let put = asked.lock().unwrap()[2].clone();
    assert!(put.starts_with("PUT /_plugins/_ism/policies/tripline-x HTTP/1.1"), "{put}");
    let body: Value = serde_json::from_str(&put[put.find('{').unwrap()..]).unwrap();
    assert_eq!(body["policy"]["ism_template"][0]["index_patterns"], json!(["a-*"]));

    // As the cluster tells it: with members of its own.
    let mut there =
        json!({ "_id": "tripline-x", "_seq_no": 7, "_primary_term": 2, "policy": body["policy"] });
    there["policy"]["last_updated_time"] = json!(1);
    there["policy"]["ism_template"][0]["last_updated_time"] = json!(1);
    there["policy"]["states"][1]["actions"][0] = json!({ "delete": {}, "retry": { "count": 3 } });
    let there = (200, there.to_string());
    let none = (404, "{}".to_owned());
    let (url, asked) = scripted(vec![none.clone(), there.clone(), none, there, (200, "{}".to_owned())]);
    let setup = Setup::connect(&template(&url), environment()).await.unwrap();
    assert_eq!(setup.plan(&of, &days(30)).await.unwrap()[1].change, Change::None);
    let steps = setup.plan(&of, &days(60)).await.unwrap();
    let Change::Replace(lines) = &steps[1].change else { panic!("{steps:?}") };
    assert!(lines.len() == 1 && lines[0].contains("policy.states: "), "{lines:?}");
    setup.apply(&steps[1]).await.unwrap();
    let put = asked.lock().unwrap()[4].clone();
    assert!(
        put.starts_with("PUT /_plugins/_ism/policies/tripline-x?if_seq_no=7&if_primary_term=2 "),
        "{put}"
    );
}
