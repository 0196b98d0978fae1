//! Aggregated records in the function: those of one aggregate share its fate, and the largest is not too large.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use support::{Bench, FAR, Sample};
use tripline_ingest::{Answer, Ingest, IngestError, IngestOptions, Malformed, Sinks};
use tripline_model::source::Position;
use tripline_search::{Answer as Reply, Cluster, Environment, Failure, SearchOptions, SearchSink};
use tripline_stream::kpl::{Aggregator, MAX_KEY_CHARACTERS, MAX_USER_RECORDS, UserRecord};
use tripline_stream::mapping::{PutRecord, ShardOrigin, write_event};

/// A cluster that answers 200 to every document but those whose ids are listed.
#[derive(Debug, Default)]
struct Picky {
    statuses: BTreeMap<String, u16>,
    /// Documents by id.
    taken: Mutex<BTreeMap<String, Value>>,
}

#[async_trait]
impl Cluster for Picky {
    async fn bulk(&self, body: Bytes, _: Duration) -> Result<Reply, Failure> {
        let lines: Vec<Value> = body
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        let items = lines.chunks(2).map(|lines| {
            let id = lines[0]["index"]["_id"].as_str().unwrap();
            match self.statuses.get(id) {
                Some(status) => {
                    let error = json!({"type": "refused", "reason": "as the test wants it"});
                    json!({"index": {"_id": id, "status": status, "error": error}})
                }
                None => {
                    self.taken.lock().unwrap().insert(id.to_owned(), lines[1].clone());
                    json!({"index": {"_id": id, "status": 201, "result": "created"}})
                }
            }
        });
        let reply = json!({"took": 1, "errors": true, "items": items.collect::<Vec<_>>()});
        let sent_bytes = body.len();
        Ok(Reply { status: 200, body: serde_json::to_vec(&reply).unwrap().into(), sent_bytes })
    }
}

fn ingest(bench: &Bench, cluster: &Arc<Picky>) -> Ingest {
    let mut options = SearchOptions::new("http://127.0.0.1:1");
    options.retry_for = Duration::from_millis(50);
    options.retry_window = Duration::from_millis(5);
    let clock = bench.lake.environment().clock.clone();
    let now = clock.clone();
    let environment = Environment::new(move || now.now_ms(), || 7);
    let sink = SearchSink::over(bench.pipeline.clone(), options, environment, cluster.clone());
    let options = IngestOptions { partial_responses: true, ..IngestOptions::default() };
    let sinks = Sinks::lake(&bench.lake).with_search(sink, &bench.lake, Malformed::Elsewhere);
    Ingest::feeding(sinks, bench.pipeline.clone(), clock, options)
}

/// Ids of the sample's trips, by index.
fn ids(sample: &Sample) -> Vec<String> {
    sample.payloads().iter().map(|trip| trip["trip_id"].to_string()).collect()
}

async fn handle(bench: &Bench, cluster: &Arc<Picky>, sample: &Sample) -> Result<Answer, IngestError> {
    ingest(bench, cluster).handle(&sample.body(), FAR).await
}

async fn dead_letters(bench: &Bench) -> u64 {
    bench.audit().await.tables.get("dead_letter").map_or(0, |table| table.found.rows)
}

#[tokio::test]
async fn an_aggregate_of_which_the_cluster_lacks_a_record_comes_again_whole() {
    let bench = Bench::new().await;
    let trips = Sample::of("trips");
    let packed = trips.packed(&[&[0, 1, 2], &[3, 4, 5, 6], &[7, 8]]);
    let ids = ids(&trips);
    // One is refused for good, earlier in the aggregate than the one for which there is no room.
    let busy = Arc::new(Picky {
        statuses: [(ids[1].clone(), 400), (ids[4].clone(), 400), (ids[5].clone(), 429)].into(),
        ..Picky::default()
    });
    let answer = handle(&bench, &busy, &packed).await.unwrap();
    let named = serde_json::to_value(&answer.response).unwrap();
    assert_eq!(named["batchItemFailures"], json!([{"itemIdentifier": packed.sequence(1)}]));
    assert_eq!((answer.batch.delivered, answer.batch.counts.rows), (9, 9), "the lake does not wait");
    assert_eq!(answer.batch.sink_dead_letters, 1, "the first aggregate's, not the second's");
    // The mapping goes on from the aggregate.
    let statuses = [(ids[4].clone(), 400)].into();
    let calm = Arc::new(Picky { statuses, ..Picky::default() });
    for dead_letters in [1, 0] {
        let answer = handle(&bench, &calm, &packed.cut(1..)).await.unwrap();
        assert!(answer.response.is_success());
        assert_eq!((answer.batch.duplicates, answer.batch.sink_dead_letters), (6, dead_letters));
    }
    let taken = calm.taken.lock().unwrap().clone();
    assert_eq!(taken.keys().filter(|id| ids.contains(id)).count(), 5);
    assert_eq!(taken.len(), 6, "and the dead letter, to be looked at");
    assert_eq!((bench.trips().await, dead_letters(&bench).await), (9, 2));
}

#[tokio::test]
async fn the_largest_aggregate_of_bad_records_is_one_entry() {
    let bench = Bench::new().await;
    let key = "\u{1F695}".repeat(MAX_KEY_CHARACTERS);
    let mut aggregator = Aggregator::default();
    while aggregator.push(&UserRecord { partition_key: &key, data: b"x" }) {}
    let origin = ShardOrigin {
        source: "arn:aws:kinesis:us-east-1:123456789012:stream/taxi-trips".to_owned(),
        shard: "shardId-000000000000".to_owned(),
        invoke_identity_arn: String::new(),
    };
    let record = PutRecord {
        sequence: Position::new(1),
        partition_key: "outer".to_owned(),
        data: aggregator.finish().unwrap(),
        arrival_ms: None,
    };
    let body = write_event(&origin, [&record]);
    assert!(body.len() < 1 << 20);
    let batch = bench.ingest(true).handle(&body, FAR).await.unwrap().batch;
    assert_eq!((batch.counts.dead_letters, batch.entries), (MAX_USER_RECORDS as u64, 1));
    let entry = &bench.entries().await[0];
    assert!(entry.raw_length() < 100 << 20, "{} bytes", entry.raw_length());
}
