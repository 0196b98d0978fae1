//! Dead letters of the search sink, beside a cluster that does as a test wants it to, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tripline_ingest::{Cause, Malformed, Place, Sinks, Taken};
use tripline_lake::audit::audit;
use tripline_lake::clock::Clock;
use tripline_lake::publish::PublishOptions;
use tripline_lake::redrive::{Filter, Selection};
use tripline_lake::store::MemoryStore;
use tripline_lake::{Environment, Lake};
use tripline_model::decode::Stage;
use tripline_model::pipeline::Pipeline;
use tripline_model::source::{Payload, Position, SourcePartition, SourceRecord};
use tripline_search::{Answer, Cluster, Failure, SearchOptions, SearchSink};

const PIPELINE: &str = r#"
id = "visits"
schema_version = 1
default_type = "visit"
[events.visit]
id = ["id"]
event_time = "at"
fields = [{ name = "id", type = "string" }, { name = "at", type = "timestamp", required = true }]
partition = [{ name = "day", time = "day" }]
"#;

/// When the tests begin.
const BEGIN_MS: i64 = 1_700_000_000_000;

/// Tokio's time, which stands still while somebody works and goes on at once while all wait.
#[derive(Debug)]
struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn now_ms(&self) -> i64 {
        BEGIN_MS + i64::try_from(self.0.elapsed().as_millis()).unwrap()
    }
}

/// A cluster that says this of each document, by its id; `None`: it does not answer the request at all.
struct Double(fn(&str) -> Option<u16>);

impl std::fmt::Debug for Double {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Double")
    }
}

#[async_trait]
impl Cluster for Double {
    async fn bulk(&self, body: Bytes, timeout: Duration) -> Result<Answer, Failure> {
        let text = String::from_utf8(body.into()).unwrap();
        let ids = text.lines().step_by(2).map(|action| {
            let action: Value = serde_json::from_str(action).unwrap();
            action["index"]["_id"].as_str().unwrap().to_owned()
        });
        let item = |id: String| {
            let status = (self.0)(&id)?;
            let mut item = json!({ "_id": id, "status": status, "result": "created" });
            if status >= 300 {
                item["error"] = json!({ "type": "mapper_parsing_exception", "reason": "it does not fit" });
            }
            Some(json!({ "index": item }))
        };
        let Some(items) = ids.map(item).collect::<Option<Vec<Value>>>() else {
            sleep(timeout).await;
            return Err(Failure { sent: true, reason: "it is slow".to_owned() });
        };
        let body = json!({ "errors": true, "items": items }).to_string().into();
        Ok(Answer { status: 200, body, sent_bytes: text.len() })
    }
}

/// A lake and a cluster.
struct Bench {
    pipeline: Arc<Pipeline>,
    lake: Lake,
    cluster: Arc<dyn Cluster>,
    clock: Arc<VirtualClock>,
}

impl Bench {
    async fn new(says: fn(&str) -> Option<u16>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pipeline.toml"), PIPELINE).unwrap();
        let pipeline = Arc::new(Pipeline::load(folder.path()).unwrap_or_else(|error| panic!("{error}")));
        let clock = Arc::new(VirtualClock(Instant::now()));
        let environment =
            Environment { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Environment::default() };
        let lake = Lake::open(Arc::new(MemoryStore::default()), environment, &pipeline).await.unwrap();
        Self { pipeline, lake, cluster: Arc::new(Double(says)), clock }
    }

    /// What becomes of these payloads, in a function that has `seconds` for them. Returns the milliseconds that are
    /// left of its time, too.
    async fn take(&self, malformed: Malformed, payloads: &[&str], seconds: i64) -> (Taken, i64) {
        let clock = Arc::clone(&self.clock);
        let environment = tripline_search::Environment::new(move || clock.now_ms(), || 7);
        let options = SearchOptions {
            // It is the invocation that ends first.
            retry_for: Duration::from_secs(24 * 3_600),
            // A request for each document, so that one may be answered and another not.
            max_actions: 1,
            ..SearchOptions::new("http://cluster")
        };
        let (pipeline, cluster) = (Arc::clone(&self.pipeline), Arc::clone(&self.cluster));
        let sink = SearchSink::over(pipeline, options, environment, cluster);
        let sinks = Sinks::default().with_search(sink, &self.lake, malformed);
        let records: Vec<SourceRecord<'_>> = (1..)
            .zip(payloads)
            .map(|(position, &payload)| SourceRecord {
                position: Position::new(position),
                sub_position: 0,
                arrival_ms: Some(BEGIN_MS),
                partition_key: "key",
                headers: "",
                payload: Payload::Bytes(payload.as_bytes()),
            })
            .collect();
        let deadline_ms = self.clock.now_ms() + seconds * 1_000;
        let taken = sinks.take(&self.pipeline, Place::of(&origin()), &records, deadline_ms).await;
        (taken, deadline_ms - self.clock.now_ms())
    }

    /// Stage, reason and position of each dead letter that a reader sees; the audit is clean.
    async fn letters(&self) -> Vec<(Stage, String, String)> {
        let store = &**self.lake.store();
        self.lake.publisher(PublishOptions::default()).run(i64::MAX).await.unwrap();
        let audit = audit(store, "visits", &|table| self.pipeline.schema(table)).await.unwrap();
        assert!(audit.is_clean(), "{:#?}", audit.faults);
        let all = Selection::preview(store, Filter::default(), BTreeSet::new(), BEGIN_MS).await.unwrap();
        let mut letters = Vec::new();
        for round in all.rounds() {
            for group in all.letters(store, &round).await.unwrap() {
                let of_group = group.letters.into_iter();
                letters
                    .extend(of_group.map(|letter| (group.stage, letter.reason, letter.position.to_string())));
            }
        }
        letters
    }
}

fn origin() -> SourcePartition {
    SourcePartition {
        source: "arn:aws:kinesis:eu-north-1:1:stream/visits".to_owned(),
        epoch: String::new(),
        partition: "shardId-000000000000".to_owned(),
    }
}

const UNFIT: &str = r#"{"id": "unfit", "at": "2019-03-01T00:00:00Z"}"#;
const FIT: &str = r#"{"id": "fit", "at": "2019-03-01T00:00:00Z"}"#;

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_busy_or_silent_to_the_end_leaves_the_time_to_write_the_dead_letters() {
    let busy: fn(&str) -> Option<u16> = |id| Some(if id == "unfit" { 400 } else { 429 });
    let silent: fn(&str) -> Option<u16> = |id| (id == "unfit").then_some(400);
    for says in [busy, silent] {
        // A tenth of the time, and ten seconds at most.
        for (seconds, kept_ms) in [(30, 3_000), (60, 6_000), (900, 10_000)] {
            let bench = Bench::new(says).await;
            let (taken, left_ms) = bench.take(Malformed::Elsewhere, &[UNFIT, FIT], seconds).await;
            let setback = taken.setback.unwrap();
            assert!(matches!(setback.cause, Cause::Search(_)), "{:?}", setback.cause);
            assert_eq!((setback.from, taken.letters[0].counts.dead_letters), (1, 1), "{seconds} s");
            assert!((kept_ms..kept_ms + 100).contains(&left_ms), "{left_ms} ms are left of {seconds} s");
            let rejected = (Stage::Search, "rejected".to_owned(), "1".to_owned());
            assert_eq!(bench.letters().await, [rejected]);
        }
    }
}

#[tokio::test]
async fn a_letter_of_the_cluster_s_that_has_become_no_event_is_one_of_the_cluster_s_again_and_once() {
    // Sent again to the cluster alone, after the pipeline has changed: the lake has a row of each.
    let bench = Bench::new(|id| Some(if id == "unfit" { 400 } else { 201 })).await;
    let payloads = ["{\"id\": \"1\"}", FIT, "not json", UNFIT];
    for (dead_letters, duplicates) in [(3, 0), (0, 3)] {
        let (taken, _) = bench.take(Malformed::Letter(Stage::Search), &payloads, 60).await;
        assert!(taken.setback.is_none());
        assert_eq!(
            (taken.letters[0].counts.dead_letters, taken.letters[0].duplicates),
            (dead_letters, duplicates)
        );
        assert_eq!(taken.lake.counts.records, 0, "the lake is not asked");
    }
    let of = |reason: &str, position: &str| (Stage::Search, reason.to_owned(), position.to_owned());
    let expected = [of("missing-field", "1"), of("not-json", "3"), of("rejected", "4")];
    assert_eq!(bench.letters().await, expected);
}
