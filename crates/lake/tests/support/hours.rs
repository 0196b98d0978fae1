//! Rides in hourly partitions, each at a time of its own.

use std::collections::BTreeMap;

use tripline_lake::event_time::{EventTimeRules, Mark};
use tripline_lake::publish::{PublishOptions, PublishReport};
use tripline_lake::store::MemoryStore;
use tripline_lake::{Lake, Role};
use tripline_model::pipeline::LatePolicy;
use tripline_model::source::SourcePartition;

use super::bench::bodies;
use super::*;

pub const MINUTE_MS: i64 = 60_000;

pub const HOURLY: &str = r#"
id = "rides"
schema_version = 1
type_field = "type"
event_time.from = "both"
[events.ride]
id = ["ride_id"]
event_time = "at"
fields = [
  { name = "ride_id", type = "int64", required = true },
  { name = "at", type = "timestamp", required = true },
]
partition = [
  { name = "year", time = "year" },
  { name = "month", time = "month" },
  { name = "day", time = "day" },
  { name = "hour", time = "hour" },
]
[events.watermark]
kind = "watermark"
event_time = "watermark"
"#;

/// The path of the hour that begins so many hours after the start, on its first day.
pub fn hour(number: i64) -> String {
    format!("year=2019/month=03/day=01/hour={number:02}")
}

/// So many minutes after the start.
pub fn at(minutes: i64) -> i64 {
    START_MS + minutes * MINUTE_MS
}

pub fn options() -> PublishOptions {
    PublishOptions { event_time: EventTimeRules::of(&pipeline_from(HOURLY)), ..PublishOptions::default() }
}

pub fn diverting() -> PublishOptions {
    let mut options = options();
    options.event_time.late = LatePolicy::Divert;
    options
}

/// Rides by number and time, in minutes after the start, delivered now.
pub async fn deliver(lake: &Lake, origin: &SourcePartition, rides: &[(u64, i64)]) {
    let ride = |(number, minutes): &(u64, i64)| {
        let text = format!(r#"{{"ride_id":{number},"at":{},"type":"ride"}}"#, at(*minutes));
        (*number, text.into_bytes())
    };
    deliver_payloads(lake, origin, rides.iter().map(ride).collect()).await;
}

pub async fn deliver_payloads(lake: &Lake, origin: &SourcePartition, payloads: Vec<(u64, Vec<u8>)>) {
    let records = Records::from(payloads);
    let journal = lake.journal(Role::Lake);
    journal.append(&pipeline_from(HOURLY), origin, &records.borrow(), FAR).await.unwrap();
}

pub async fn publish_by(lake: &Lake, options: &PublishOptions) -> PublishReport {
    lake.publisher(options.clone()).run(FAR).await.unwrap()
}

/// The watermark after a run, in minutes after the start.
pub async fn watermark(lake: &Lake) -> Option<i64> {
    let report = publish_by(lake, &options()).await;
    report.watermark_ms.map(|watermark_ms| (watermark_ms - START_MS) / MINUTE_MS)
}

/// The marks, by key.
pub async fn marks(store: &MemoryStore) -> BTreeMap<String, Mark> {
    let marks = bodies(store, "ride").await.into_iter().filter(|(key, _)| key.ends_with("/_SUCCESS"));
    marks.map(|(key, body)| (key, serde_json::from_slice(&body).unwrap())).collect()
}

/// Rows, files and late rows that an hour's mark counts.
pub async fn marked(store: &MemoryStore, number: i64) -> Option<(u64, u64, u64)> {
    let marks = marks(store).await;
    marks.get(&format!("ride/{}/_SUCCESS", hour(number))).map(|mark| (mark.rows, mark.files, mark.late_rows))
}

/// A file's rides, by the folder that it lies in.
pub async fn rides_below(store: &MemoryStore, folder: &str) -> Vec<u64> {
    let seen = read_lake(store).await;
    seen.assert_at_most_once();
    let below = seen.files.iter().filter(|(key, _)| key.starts_with(&format!("{folder}/")));
    let mut rides: Vec<u64> = below.flat_map(|(_, rows)| rows.iter().map(|(ride, _)| *ride)).collect();
    rides.sort_unstable();
    rides
}

/// A shard, as what its dead letters are sent again from.
pub fn again(name: &str) -> SourcePartition {
    SourcePartition { epoch: "~redrive-1-decode".to_owned(), ..shard(name) }
}

/// A file, as a back-fill reads it.
pub fn archive() -> SourcePartition {
    SourcePartition { source: "s3://archive/rides.json.gz#0123abcd".to_owned(), ..shard("0") }
}

pub async fn assert_hours_clean(store: &dyn ObjectStore) -> Audit {
    let pipeline = pipeline_from(HOURLY);
    let audit = audit(store, "rides", &|table| pipeline.schema(table)).await.unwrap();
    assert!(audit.is_clean() && audit.foreign.is_empty(), "{:#?} {:?}", audit.faults, audit.foreign);
    audit
}
