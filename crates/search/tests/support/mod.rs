//! What the tests of delivery share.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

pub mod double;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tripline_model::pipeline::Pipeline;
use tripline_model::source::{Payload, Position, SourcePartition, SourceRecord};
use tripline_search::{Delivered, Environment, SearchOptions, SearchSink};

/// The machine's clock, and numbers that spread retries.
pub fn environment() -> Environment {
    let random = || u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos());
    Environment::new(now_ms, random)
}

pub fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A pipeline of visits, `{"id": …, "at": …, "who": …, "count": …}`, in indices whose names begin with
/// `prefix`, with these further lines of its search table.
pub fn visits(prefix: &str, search: &str) -> Arc<Pipeline> {
    pipeline(&format!(
        r#"id = "visits"
        schema_version = 1
        type_field = "type"
        default_type = "visit"
        on_null = "{}"

        [events.visit]
        id = ["id"]
        event_time = "at"
        fields = [
          {{ name = "id", type = "string" }},
          {{ name = "at", type = "timestamp", required = true }},
          {{ name = "who", type = "string" }},
          {{ name = "count", type = "int64" }},
        ]
        partition = [{{ name = "day", time = "day" }}]
        [events.visit.search]
        index = "{prefix}-visit"
        {search}

        [events."Page View"]
        table = "view"
        id = ["id"]
        event_time = "at"
        fields = [
          {{ name = "id", type = "string" }},
          {{ name = "at", type = "timestamp", required = true }},
        ]
        partition = [{{ name = "day", time = "day" }}]
        search.index = "{prefix}-{{type}}"
        "#,
        if search.contains("routing") || search.contains("create") || search.contains("id = false") {
            "ignore"
        } else {
            "delete"
        }
    ))
}

pub fn pipeline(text: &str) -> Arc<Pipeline> {
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("pipeline.toml"), text).unwrap();
    Arc::new(Pipeline::load(dir.path()).unwrap_or_else(|error| panic!("{error}")))
}

pub fn origin() -> SourcePartition {
    SourcePartition {
        source: "arn:aws:kinesis:eu-north-1:1:stream/visits".to_owned(),
        epoch: String::new(),
        partition: "shardId-000000000000".to_owned(),
    }
}

/// Records of these payloads, one after another from `first` on.
pub fn records<T: AsRef<[u8]>>(first: u64, payloads: &[T]) -> Vec<SourceRecord<'_>> {
    (first..).zip(payloads).map(|(position, payload)| of_payload(position, payload.as_ref())).collect()
}

fn of_payload(position: u64, payload: &[u8]) -> SourceRecord<'_> {
    SourceRecord {
        position: Position::new(position),
        sub_position: 0,
        arrival_ms: Some(1_700_000_000_000),
        partition_key: "key",
        headers: "",
        payload: Payload::Bytes(payload),
    }
}

/// A visit as JSON.
pub fn visit(id: impl std::fmt::Display, members: &str) -> String {
    format!(r#"{{"id": "{id}", "at": "2019-03-01T00:00:00Z"{members}}}"#)
}

/// Options for the cluster at `url` whose retries do not wait for long.
pub fn options(url: &str) -> SearchOptions {
    SearchOptions {
        retry_window: Duration::from_millis(20),
        retry_window_max: Duration::from_millis(200),
        ..SearchOptions::new(url)
    }
}

pub async fn sink(pipeline: &Arc<Pipeline>, options: SearchOptions) -> SearchSink {
    SearchSink::connect(Arc::clone(pipeline), options, environment())
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Delivers payloads within `seconds`.
pub async fn deliver<T: AsRef<[u8]>>(sink: &SearchSink, payloads: &[T], seconds: i64) -> Delivered {
    sink.deliver(&origin(), &records(1, payloads), now_ms() + seconds * 1000).await
}

/// Code and record of what was refused.
pub fn refused(delivered: &Delivered) -> Vec<(usize, &'static str)> {
    delivered.refused.iter().map(|refused| (refused.record, refused.reason.code())).collect()
}

/// Why delivery stopped, and before which record.
pub fn undelivered(delivered: &Delivered) -> Option<(usize, String)> {
    delivered.undelivered.as_ref().map(|undelivered| (undelivered.record, undelivered.why.to_string()))
}
