//! A small pipeline, its records, and processes that may die.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

pub mod bench;
pub mod hours;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tripline_lake::audit::{Audit, audit};
use tripline_lake::clock::ManualClock;
use tripline_lake::environment::{Entropy, Mishaps};
use tripline_lake::store::ObjectStore;
use tripline_lake::{Environment, FailPoint};
use tripline_model::pipeline::Pipeline;
use tripline_model::source::{Payload, Position, SourcePartition, SourceRecord};

/// 2019-03-01T00:00:00Z.
pub const START_MS: i64 = 1_551_398_400_000;
pub const HOUR_MS: i64 = 3_600_000;
pub const FAR: i64 = i64::MAX;

pub const PIPELINE: &str = r#"
id = "rides"
schema_version = 1
type_field = "type"
[events.ride]
id = ["ride_id"]
event_time = "at"
fields = [
  { name = "ride_id", type = "int64", required = true },
  { name = "at", type = "timestamp", required = true },
  { name = "zone", type = "string" },
]
partition = [{ name = "area", field = "zone" }, { name = "hour", time = "hour" }]
[events.watermark]
kind = "watermark"
event_time = "watermark"
"#;

pub fn pipeline() -> Pipeline {
    pipeline_from(PIPELINE)
}

pub fn pipeline_from(text: &str) -> Pipeline {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pipeline.toml"), text).unwrap();
    Pipeline::load(folder.path()).unwrap()
}

pub fn shard(name: &str) -> SourcePartition {
    SourcePartition {
        source: "arn:aws:kinesis:us-east-1:123456789012:stream/rides".into(),
        epoch: String::new(),
        partition: name.into(),
    }
}

/// Records of a shard, owned. Position `n` is ride `n`; every seventh is no JSON.
#[derive(Clone, Debug)]
pub struct Records {
    payloads: Vec<(u64, Vec<u8>)>,
}

pub fn is_poison(number: u64) -> bool {
    number.is_multiple_of(7)
}

impl Records {
    pub fn range(numbers: std::ops::RangeInclusive<u64>) -> Self {
        Self { payloads: numbers.map(|number| (number, payload(number))).collect() }
    }

    pub fn from(payloads: Vec<(u64, Vec<u8>)>) -> Self {
        Self { payloads }
    }

    pub fn borrow(&self) -> Vec<SourceRecord<'_>> {
        self.payloads
            .iter()
            .map(|(number, payload)| SourceRecord {
                position: Position::new(*number),
                sub_position: 0,
                arrival_ms: Some(START_MS + *number as i64 * 10),
                partition_key: "key",
                headers: "",
                payload: Payload::Bytes(payload),
            })
            .collect()
    }
}

pub fn payload(number: u64) -> Vec<u8> {
    if is_poison(number) {
        return b"not json".to_vec();
    }
    let zone = ["north", "south", "east"][(number % 3) as usize];
    // Later rides are earlier by some minutes, so that order in a file is not order of arrival.
    let at = START_MS + (number as i64 / 8) * HOUR_MS + (60 - number as i64 % 60) * 60_000 - 60_000;
    format!(r#"{{"ride_id":{number},"at":{at},"zone":"{zone}","type":"ride"}}"#).into_bytes()
}

/// Numbers that differ but repeat from run to run.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Entropy for Counter {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// Dies at the given visit of a point, once; counts all visits.
#[derive(Debug, Default)]
pub struct DieAt {
    pub at: Option<(FailPoint, u32)>,
    pub visits: Mutex<BTreeMap<FailPoint, u32>>,
}

impl Mishaps for DieAt {
    fn strikes(&self, point: FailPoint) -> bool {
        let mut visits = self.visits.lock().unwrap();
        let visit = visits.entry(point).or_default();
        *visit += 1;
        self.at == Some((point, *visit))
    }
}

#[derive(Clone, Debug)]
pub struct World {
    pub clock: Arc<ManualClock>,
    pub environment: Environment,
    pub mishaps: Arc<DieAt>,
}

pub fn world(die_at: Option<(FailPoint, u32)>) -> World {
    let clock = Arc::new(ManualClock::at(START_MS + HOUR_MS));
    let mishaps = Arc::new(DieAt { at: die_at, ..DieAt::default() });
    let environment =
        Environment { clock: clock.clone(), entropy: Arc::new(Counter::default()), mishaps: mishaps.clone() };
    World { clock, environment, mishaps }
}

/// Rides that a reader of the plain layout sees, with how often, and file by file in stored order.
#[derive(Debug, Default)]
pub struct Seen {
    pub rides: BTreeMap<u64, u32>,
    pub dead_letters: BTreeMap<String, u32>,
    pub files: BTreeMap<String, Vec<(u64, i64)>>,
}

pub async fn read_lake(store: &dyn ObjectStore) -> Seen {
    let mut seen = Seen::default();
    for object in store.list("", None, 100_000).await.unwrap() {
        if !object.key.ends_with(".parquet") {
            continue;
        }
        let body = store.get(&object.key).await.unwrap().unwrap().body;
        let reader = ParquetRecordBatchReaderBuilder::try_new(body).unwrap().build().unwrap();
        for batch in reader {
            let batch = batch.unwrap();
            if object.key.starts_with("dead_letter/") {
                for position in batch.column_by_name("position").unwrap().as_string::<i32>().iter().flatten()
                {
                    *seen.dead_letters.entry(position.to_owned()).or_default() += 1;
                }
                continue;
            }
            let ids = batch.column_by_name("ride_id").unwrap().as_primitive::<Int64Type>();
            let times = batch.column_by_name("at").unwrap().as_primitive::<TimestampMillisecondType>();
            let rows = seen.files.entry(object.key.clone()).or_default();
            for (id, at) in ids.values().iter().zip(times.values()) {
                *seen.rides.entry(*id as u64).or_default() += 1;
                rows.push((*id as u64, *at));
            }
        }
    }
    seen
}

impl Seen {
    pub fn assert_at_most_once(&self) {
        assert!(self.rides.values().all(|&count| count == 1), "doubled rows: {:?}", self.rides);
        assert!(self.dead_letters.values().all(|&count| count == 1), "{:?}", self.dead_letters);
    }

    /// Every record from 1 to `last`, a row or a dead letter, once.
    pub fn assert_exactly(&self, last: u64) {
        self.assert_at_most_once();
        let rides: Vec<u64> = self.rides.keys().copied().collect();
        let expected: Vec<u64> = (1..=last).filter(|&number| !is_poison(number)).collect();
        assert_eq!(rides, expected);
        let mut dead: Vec<u64> = self.dead_letters.keys().map(|position| position.parse().unwrap()).collect();
        dead.sort_unstable();
        assert_eq!(dead, (1..=last).filter(|&number| is_poison(number)).collect::<Vec<_>>());
    }
}

pub async fn audit_of(store: &dyn ObjectStore) -> Audit {
    let pipeline = pipeline();
    audit(store, "rides", &|table| pipeline.schema(table)).await.unwrap()
}

pub async fn assert_clean(store: &dyn ObjectStore) -> Audit {
    let audit = audit_of(store).await;
    assert!(audit.is_clean(), "{:#?}", audit.faults);
    audit
}
