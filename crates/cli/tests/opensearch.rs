//! Documents in a real OpenSearch node, by the tool as people run it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::path::PathBuf;

use serde_json::{Value, json};
use support::{repository, taxi};
use tripline_test_support::OpenSearch;

/// Trips in the shipped sample.
const SAMPLE: u64 = 6_500;

fn sample() -> PathBuf {
    repository().join("pipelines/taxi/sample")
}

fn ask(node: &OpenSearch, method: &str, path: &str, body: &str) -> Value {
    let reply = node.request(method, path, body).unwrap();
    assert_eq!(reply.status, 200, "{method} {path}: {}", reply.body);
    serde_json::from_str(&reply.body).unwrap()
}

fn documents(node: &OpenSearch, index: &str) -> u64 {
    ask(node, "POST", &format!("/{index}/_refresh"), "");
    ask(node, "GET", &format!("/{index}/_count"), "")["count"].as_u64().unwrap()
}

/// Ids and beginnings of the documents of an index that a run shows.
fn shown<'p>(printed: &'p str, index: &str) -> Vec<(&'p str, &'p str)> {
    let documents = printed.lines().filter_map(|line| line.strip_prefix(&format!("  {index}/")));
    documents.map(|line| line.trim_end_matches('…').split_once("  ").unwrap()).collect()
}

#[test]
fn every_shipped_trip_is_one_document_however_often_and_in_whatever_order_it_is_sent() {
    let Some(node) = OpenSearch::shared_for("every shipped trip is one document") else { return };
    let (index, sample) = ("trips-thrice", sample());
    let files = ["yellow", "green"].map(|kind| sample.join(format!("{kind}_tripdata_2019-03_sample.csv")));
    let [yellow, green] = files.each_ref().map(|file| file.to_str().unwrap());
    // Whole; the other way round and in small pieces; and cut at random, with functions that die.
    for more in [
        vec!["--input", yellow, green],
        vec!["--input", green, yellow, "--batch-size", "700"],
        vec!["--input", yellow, green, "--batch-size", "2000", "--seed-faults", "7"],
    ] {
        let mut desk = taxi(index);
        desk.variables = vec![("TRIPLINE_SINKS", "search".to_owned())];
        let printed = desk.tripline("run", &[vec!["--opensearch", node.url()], more].concat(), 0);
        assert!(printed.contains("documents indexed"), "{printed}");
        assert!(printed.contains("index trips-thrice         6,500   documents in all\n"), "{printed}");
        let shown = shown(&printed, index);
        assert_eq!(shown.len(), 2, "{printed}");
        for (id, source) in shown {
            let found = node.request("GET", &format!("/{index}/_source/{id}"), "").unwrap();
            assert!(
                source.chars().count() == 200 && found.body.starts_with(source),
                "{source}\n{}",
                found.body
            );
        }
        assert_eq!(documents(node, index), SAMPLE, "{printed}");
        assert_eq!(desk.seen(), (0, 0), "the lake is no sink here");
    }
    let aggregation = json!({"size": 0, "aggs": {"of": {"terms": {"field": "borough.keyword", "size": 20}}}});
    let answer = ask(node, "POST", &format!("/{index}/_search"), &aggregation.to_string());
    let buckets = answer["aggregations"]["of"]["buckets"].as_array().unwrap();
    let of =
        |borough: &str| buckets.iter().find(|bucket| bucket["key"] == borough).unwrap()["doc_count"].clone();
    // As the README's demo shows them.
    assert_eq!((of("Manhattan"), of("Queens"), of("Brooklyn")), (json!(5_314), json!(666), json!(386)));
}

#[test]
fn documents_that_the_index_refused_are_healed_by_a_redrive_after_the_index_is_mended() {
    let Some(node) = OpenSearch::shared_for("a redrive heals refused documents") else { return };
    let index = "trips-healed";
    let broken = json!({"mappings": {"properties": {"payment_type": {"type": "boolean"}}}});
    ask(node, "PUT", &format!("/{index}"), &broken.to_string());
    let desk = taxi(index);
    let trips: String = (0..60)
        .map(|number| {
            let at = "2019-03-01T12:00:00.000Z";
            let payment = if number % 3 == 0 { json!(2) } else { Value::Null };
            let trip =
                json!({"type": "trip", "trip_id": number, "pickup_datetime": at, "payment_type": payment});
            trip.to_string() + "\n"
        })
        .collect();
    desk.write("trips.jsonl", &trips);
    let input = desk.path("trips.jsonl");
    let run = ["--opensearch", node.url(), "--input", input.to_str().unwrap()];
    for _ in 0..2 {
        desk.tripline("run", &run, 0);
        assert_eq!((documents(node, index), desk.seen()), (40, (60, 20)));
    }
    let said = desk.tripline("redrive", &[], 2);
    assert!(said.contains("20 of the dead letters were refused by the search cluster"), "{said}");
    ask(node, "DELETE", &format!("/{index}"), "");
    let search = ["--opensearch", node.url()];
    let sent = desk.tripline("redrive", &[&search[..], &["--stage", "search"]].concat(), 0);
    assert!(
        sent.contains("20 letters sent; 0 rows for the lake, 20 documents, 0 dead letters again"),
        "{sent}"
    );
    assert_eq!(documents(node, index), 20);
    let again = desk.tripline("redrive", &search, 0);
    assert!(again.contains("nothing to send"), "{again}");
    assert_eq!(desk.seen(), (60, 20), "the lake is as it was");
}

#[test]
fn a_refused_document_whose_record_the_pipeline_no_longer_takes_stays_a_letter_of_the_cluster() {
    let Some(node) = OpenSearch::shared_for("a refused document is no event any more") else { return };
    let index = "trips-stricter";
    let broken = json!({"mappings": {"properties": {"payment_type": {"type": "boolean"}}}});
    ask(node, "PUT", &format!("/{index}"), &broken.to_string());
    let desk = taxi(index);
    let trip = json!({"type": "trip", "trip_id": 1, "pickup_datetime": "2019-03-01T12:00:00.000Z", "payment_type": 2});
    desk.write("trips.jsonl", &(trip.to_string() + "\n"));
    let input = desk.path("trips.jsonl");
    let search = ["--opensearch", node.url()];
    desk.tripline("run", &[&search[..], &["--input", input.to_str().unwrap()]].concat(), 0);
    assert_eq!((documents(node, index), desk.seen()), (0, (1, 1)));

    let sound = std::fs::read_to_string(desk.path("pipeline/pipeline.toml")).unwrap();
    let stricter = sound
        .replace(
            "\"payment_type\", type = \"int32\"",
            "\"is_paid\", from = \"payment_type\", type = \"bool\"",
        )
        .replace("schema_version = 1", "schema_version = 2");
    assert_ne!(stricter, sound);
    desk.write("pipeline/pipeline.toml", &stricter);
    let sent = desk.tripline("redrive", &search, 0);
    assert!(
        sent.contains("1 letters sent; 0 rows for the lake, 0 documents, 1 dead letters again"),
        "{sent}"
    );
    desk.tripline("publish", &[], 0);
    assert_eq!(desk.seen(), (1, 2), "the lake has its row still, and no other");

    // Both mended: what is sent is the letter of the redrive, to the cluster alone.
    desk.write("pipeline/pipeline.toml", &sound);
    ask(node, "DELETE", &format!("/{index}"), "");
    let sent = desk.tripline("redrive", &search, 0);
    assert!(sent.contains("search  wrong-type"), "{sent}");
    assert!(
        sent.contains("1 letters sent; 0 rows for the lake, 1 documents, 0 dead letters again"),
        "{sent}"
    );
    assert_eq!((documents(node, index), desk.seen()), (1, (1, 2)));
}
