//! The sample events, changed as a test needs them, and a lake to put them into.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::ops::RangeBounds;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tripline_ingest::{Answer, Ingest, IngestError, IngestOptions};
use tripline_lake::audit::{Audit, audit};
use tripline_lake::journal::entry::Entry;
use tripline_lake::publish::PublishOptions;
use tripline_lake::store::FolderStore;
use tripline_lake::{Environment, Lake};
use tripline_model::pipeline::Pipeline;
use tripline_oracle::base64;
use tripline_stream::kpl::{Aggregator, UserRecord};

/// No test takes so long.
pub const FAR: i64 = i64::MAX;

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub fn taxi() -> PathBuf {
    repository().join("pipelines/taxi")
}

/// The taxi pipeline, but a record that cannot be a row fails the batch.
pub fn strict_taxi() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(taxi().join("pipeline.toml")).unwrap();
    let strict = text.replace("on_malformed = \"dead-letter\"", "on_malformed = \"fail\"");
    assert_ne!(strict, text);
    std::fs::write(folder.path().join("pipeline.toml"), strict).unwrap();
    std::fs::copy(taxi().join("taxi_zone_lookup.csv"), folder.path().join("taxi_zone_lookup.csv")).unwrap();
    folder
}

/// A sample event.
#[derive(Clone, Debug)]
pub struct Sample(Value);

impl Sample {
    /// One of `events/`.
    pub fn of(name: &str) -> Self {
        let path = repository().join("events").join(format!("kinesis-{name}.json"));
        Self(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    }

    fn records(&self) -> &Vec<Value> {
        self.0["Records"].as_array().unwrap()
    }

    pub fn len(&self) -> usize {
        self.records().len()
    }

    /// Some of its records, as another batch would have them.
    pub fn cut(&self, range: impl RangeBounds<usize>) -> Self {
        let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
        Self(serde_json::json!({ "Records": self.records()[bounds] }))
    }

    /// The same records from another shard.
    pub fn in_shard(&self, shard: u32) -> Self {
        let mut records = self.records().clone();
        for record in &mut records {
            let sequence = record["kinesis"]["sequenceNumber"].as_str().unwrap();
            record["eventID"] = format!("shardId-{shard:012}:{sequence}").into();
        }
        Self(serde_json::json!({ "Records": records }))
    }

    /// This event's records and then another's, in one event.
    pub fn and(&self, other: &Self) -> Self {
        let records = [self.records().as_slice(), other.records()].concat();
        Self(serde_json::json!({ "Records": records }))
    }

    /// Its records the other way round, as no shard delivers them.
    pub fn reversed(&self) -> Self {
        Self(serde_json::json!({ "Records": self.records().iter().rev().collect::<Vec<_>>() }))
    }

    /// Its records packed by the Kinesis Producer Library: each group, of indices, is an aggregate. The first
    /// aggregate takes the place of the first record, and so on.
    pub fn packed(&self, groups: &[&[usize]]) -> Self {
        let mut places = self.records()[..groups.len()].to_vec();
        for (place, group) in places.iter_mut().zip(groups) {
            let mut aggregator = Aggregator::default();
            for kinesis in group.iter().map(|&index| &self.records()[index]["kinesis"]) {
                let data = base64::decode(kinesis["data"].as_str().unwrap()).unwrap();
                let partition_key = kinesis["partitionKey"].as_str().unwrap();
                assert!(aggregator.push(&UserRecord { partition_key, data: &data }));
            }
            place["kinesis"]["data"] = base64::encode(&aggregator.finish().unwrap()).into();
        }
        Self(serde_json::json!({ "Records": places }))
    }

    /// What its records hold.
    pub fn payloads(&self) -> Vec<Value> {
        let data = self.records().iter().map(|record| record["kinesis"]["data"].as_str().unwrap());
        data.map(|data| serde_json::from_slice(&base64::decode(data).unwrap()).unwrap()).collect()
    }

    pub fn sequence(&self, index: usize) -> String {
        self.records()[index]["kinesis"]["sequenceNumber"].as_str().unwrap().to_owned()
    }

    pub fn body(&self) -> Vec<u8> {
        self.0.to_string().into_bytes()
    }
}

/// A sample event of Kafka, to be changed at will.
pub fn kafka_sample(name: &str) -> Value {
    let path = repository().join("events").join(format!("kafka-{name}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A lake in a folder of its own.
pub struct Bench {
    pub folder: TempDir,
    pub lake: Lake,
    pub pipeline: Arc<Pipeline>,
}

impl Bench {
    pub async fn new() -> Self {
        Self::of(&taxi()).await
    }

    pub async fn of(pipeline: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(FolderStore::new(folder.path()).unwrap());
        let pipeline = Arc::new(Pipeline::load(pipeline).unwrap());
        let lake = Lake::open(store, Environment::default(), &pipeline).await.unwrap();
        Self { folder, lake, pipeline }
    }

    /// A cold function that answers as its mapping is said to take it.
    pub fn ingest(&self, partial_responses: bool) -> Ingest {
        let options = IngestOptions { partial_responses, ..IngestOptions::default() };
        Ingest::new(Arc::clone(&self.pipeline), &self.lake, options)
    }

    /// A cold function's answer.
    pub async fn handle(&self, sample: &Sample) -> Answer {
        self.try_handle(sample, true).await.unwrap()
    }

    pub async fn try_handle(&self, sample: &Sample, partial_responses: bool) -> Result<Answer, IngestError> {
        self.ingest(partial_responses).handle(&sample.body(), FAR).await
    }

    /// The journal's entries, in order of lane and number.
    pub async fn entries(&self) -> Vec<Entry> {
        let store = self.lake.store();
        let mut entries = Vec::new();
        for object in store.list("_journal/", None, 1_000).await.unwrap() {
            entries.push(Entry::parse(&store.get(&object.key).await.unwrap().unwrap().body).unwrap());
        }
        entries
    }

    /// Publishes and audits: what was committed is there once.
    pub async fn audit(&self) -> Audit {
        self.lake.publisher(PublishOptions::default()).run(FAR).await.unwrap();
        let schema_of = |table: &str| self.pipeline.schema(table);
        let audit = audit(&**self.lake.store(), &self.pipeline.id, &schema_of).await.unwrap();
        assert!(audit.is_clean(), "{:#?}", audit.faults);
        audit
    }

    /// Rows of trips, after publishing and auditing.
    pub async fn trips(&self) -> u64 {
        self.audit().await.tables.get("trip").map_or(0, |table| table.found.rows)
    }
}
