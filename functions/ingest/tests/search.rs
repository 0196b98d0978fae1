//! The lake and a real OpenSearch node side by side: what each has after redeliveries, refusals and outages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use support::{Bench, FAR, Sample, taxi};
use tempfile::TempDir;
use tripline_ingest::{Answer, Ingest, IngestError, IngestOptions, Malformed, Sinks};
use tripline_model::decode::Stage;
use tripline_search::{Environment, SearchOptions, SearchSink};
use tripline_test_support::OpenSearch;

/// The taxi pipeline with an index of its own.
fn taxi_in(index: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(taxi().join("pipeline.toml")).unwrap();
    let own = text
        .replace("index = \"trips-{pickup_datetime|yyyy}\"", &format!("index = \"{index}\""))
        .replace("allow = [\"trips-20*\"]", "")
        .replace("taxi-dead-letters-{now|yyyy}", &format!("dead-{index}"));
    assert_ne!(own, text);
    std::fs::write(folder.path().join("pipeline.toml"), own).unwrap();
    std::fs::copy(taxi().join("taxi_zone_lookup.csv"), folder.path().join("taxi_zone_lookup.csv")).unwrap();
    folder
}

/// A lake, and an index of a node.
struct Pair {
    bench: Bench,
    node: &'static OpenSearch,
    index: String,
    _pipeline: TempDir,
}

#[derive(Clone, Copy)]
enum Feeding {
    Both,
    SearchAlone(Malformed),
}

impl Pair {
    async fn new(index: &str) -> Option<Self> {
        let node = OpenSearch::shared_for(index)?;
        let pipeline = taxi_in(index);
        let bench = Bench::of(pipeline.path()).await;
        Some(Self { bench, node, index: index.to_owned(), _pipeline: pipeline })
    }

    /// A cold function that sends documents to this URL.
    async fn ingest(&self, url: &str, feeding: Feeding) -> Ingest {
        let mut options = SearchOptions::new(url);
        if url != self.node.url() {
            options.retry_for = Duration::from_millis(500);
        }
        let (clock, entropy) =
            (self.bench.lake.environment().clock.clone(), self.bench.lake.environment().entropy.clone());
        let environment = Environment::new(move || clock.now_ms(), move || entropy.next());
        let sink = SearchSink::connect(Arc::clone(&self.bench.pipeline), options, environment).await.unwrap();
        let sinks = match feeding {
            Feeding::Both => {
                Sinks::lake(&self.bench.lake).with_search(sink, &self.bench.lake, Malformed::Elsewhere)
            }
            Feeding::SearchAlone(malformed) => {
                Sinks::default().with_search(sink, &self.bench.lake, malformed)
            }
        };
        let clock = self.bench.lake.environment().clock.clone();
        let options = IngestOptions { partial_responses: true, ..IngestOptions::default() };
        Ingest::feeding(sinks, Arc::clone(&self.bench.pipeline), clock, options)
    }

    async fn handle(&self, sample: &Sample, feeding: Feeding) -> Result<Answer, IngestError> {
        self.ingest(self.node.url(), feeding).await.handle(&sample.body(), FAR).await
    }

    /// Documents in the index.
    fn documents(&self) -> u64 {
        self.count(&self.index)
    }

    fn count(&self, index: &str) -> u64 {
        assert_eq!(self.node.request("POST", &format!("/{index}/_refresh"), "").unwrap().status, 200);
        let reply = self.node.request("GET", &format!("/{index}/_count"), "").unwrap();
        serde_json::from_str::<Value>(&reply.body).unwrap()["count"].as_u64().unwrap()
    }

    /// Dead letters that can be looked at in the cluster.
    fn letters(&self) -> u64 {
        self.count(&format!("dead-{}", self.index))
    }

    /// Rows of trips and dead letters in the lake, after publishing and a clean audit.
    async fn rows(&self) -> (u64, u64) {
        let audit = self.bench.audit().await;
        let rows = |table: &str| audit.tables.get(table).map_or(0, |table| table.found.rows);
        (rows("trip"), rows("dead_letter"))
    }
}

#[tokio::test]
async fn a_batch_is_in_both_and_delivered_again_changes_neither() {
    let Some(pair) = Pair::new("both-once").await else { return };
    let trips = Sample::of("trips");
    for sample in [trips.cut(..9), trips.clone(), trips.cut(5..), trips.clone()] {
        assert!(pair.handle(&sample, Feeding::Both).await.unwrap().response.is_success());
    }
    assert_eq!((pair.documents(), pair.rows().await), (20, (20, 0)));
    let reply = pair.node.request("GET", "/both-once/_search?size=1", "").unwrap();
    let hit = &serde_json::from_str::<Value>(&reply.body).unwrap()["hits"]["hits"][0];
    assert_eq!(hit["_id"], hit["_source"]["trip_id"].to_string().trim_matches('"'), "{hit}");
    assert!(hit["_source"]["borough"].is_string() && hit["_source"]["payment_type"].is_i64(), "{hit}");
}

#[tokio::test]
async fn an_outage_of_the_cluster_neither_loses_nor_doubles_rows_or_documents() {
    let Some(pair) = Pair::new("both-outage").await else { return };
    let trips = Sample::of("trips");
    // Nobody listens there.
    let deaf = pair.ingest("http://127.0.0.1:1", Feeding::Both).await;
    for _ in 0..2 {
        let error = deaf.handle(&trips.body(), FAR).await.unwrap_err();
        assert!(matches!(error, IngestError::Search { .. }), "{error}");
        assert!(error.to_string().contains("what the lake has is dropped there"), "{error}");
    }
    assert_eq!(pair.rows().await, (20, 0), "the lake has its rows meanwhile");
    let answer = pair.handle(&trips, Feeding::Both).await.unwrap();
    assert!(answer.response.is_success());
    assert_eq!((answer.batch.duplicates, answer.batch.search.created), (20, 20));
    assert_eq!((pair.documents(), pair.rows().await), (20, (20, 0)));
}

#[tokio::test]
async fn what_the_cluster_refuses_is_a_dead_letter_once_and_a_row_all_the_same() {
    let Some(pair) = Pair::new("both-refused").await else { return };
    let mappings = r#"{"mappings": {"properties": {"passenger_count": {"type": "boolean"}}}}"#;
    assert_eq!(pair.node.request("PUT", "/both-refused", mappings).unwrap().status, 200);
    let trips = Sample::of("trips");
    for sample in [trips.cut(..12), trips.clone(), trips.cut(3..)] {
        assert!(pair.handle(&sample, Feeding::Both).await.unwrap().response.is_success());
    }
    assert_eq!((pair.documents(), pair.rows().await), (0, (20, 20)));
    assert_eq!(pair.letters(), 20, "each can be looked at, once");
}

#[tokio::test]
async fn dead_letters_that_the_cluster_does_not_show_are_rows_all_the_same() {
    let Some(pair) = Pair::new("both-unseen").await else { return };
    let closed = r#"{"settings": {"index.blocks.write": true}}"#;
    assert_eq!(pair.node.request("PUT", "/dead-both-unseen", closed).unwrap().status, 200);
    let answer = pair.handle(&Sample::of("poison"), Feeding::Both).await.unwrap();
    assert!(answer.response.is_success(), "the batch waits for no picture of it");
    let counts = answer.batch.search;
    assert_eq!((counts.letters_shown, counts.letters_not_shown), (0, 8));
    assert_eq!((pair.documents(), pair.rows().await), (8, (8, 8)));
}

#[tokio::test]
async fn records_that_are_no_events_are_dead_letters_of_one_sink_only() {
    let poison = Sample::of("poison");
    for (index, feeding, rows, dead_letters) in [
        ("both-poison", Feeding::Both, 8, 8),
        ("alone-poison", Feeding::SearchAlone(Malformed::Letter(Stage::Decode)), 0, 8),
        ("beside-poison", Feeding::SearchAlone(Malformed::Elsewhere), 0, 0),
    ] {
        let Some(pair) = Pair::new(index).await else { return };
        for _ in 0..2 {
            assert!(pair.handle(&poison, feeding).await.unwrap().response.is_success());
        }
        assert_eq!((pair.documents(), pair.rows().await), (8, (rows, dead_letters)), "{index}");
        assert_eq!(pair.letters(), 8, "{index}: whoever keeps them, they can be looked at");
    }
}

#[tokio::test]
async fn two_functions_on_one_stream_need_nothing_of_each_other() {
    let Some(pair) = Pair::new("two-functions").await else { return };
    let poison = Sample::of("poison");
    pair.handle(&poison, Feeding::SearchAlone(Malformed::Elsewhere)).await.unwrap();
    assert_eq!((pair.documents(), pair.rows().await), (8, (0, 0)));
    pair.bench.handle(&poison).await;
    assert_eq!((pair.documents(), pair.rows().await), (8, (8, 8)));
}
