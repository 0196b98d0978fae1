#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod records;

use std::path::Path;
use std::sync::LazyLock;

use crate::batch::{DecodedBatch, Section};
use crate::decode::{Decoder, Pushed};
use crate::pipeline::Pipeline;
use crate::source::{Payload, Position, SourcePartition, SourceRecord};

/// 2018-01-02T03:04:05Z.
pub(crate) const NOW: i64 = 1_514_862_245_000;

/// A record that holds this makes the decoder panic when half of its row is there.
pub(crate) const PANIC: &str = "\"panic\": \"please\"";

/// Called by the decoder in tests only.
pub(crate) fn panic_if_asked_to(payload: &[u8]) {
    assert!(!payload.windows(PANIC.len()).any(|part| part == PANIC.as_bytes()), "as asked");
}

/// The taxi pipeline.
pub(crate) static TAXI: LazyLock<Pipeline> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/taxi");
    Pipeline::load(&dir).unwrap_or_else(|error| panic!("{error}"))
});

/// A pipeline in a folder without tables.
pub(crate) fn pipeline(text: &str) -> Pipeline {
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("pipeline.toml"), text).unwrap();
    Pipeline::load(dir.path()).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn origin() -> SourcePartition {
    SourcePartition {
        source: "arn:stream".to_owned(),
        epoch: "1".to_owned(),
        partition: "shard-0".to_owned(),
    }
}

pub(crate) fn record(position: u64, payload: &[u8]) -> SourceRecord<'_> {
    SourceRecord {
        position: Position::new(position),
        sub_position: 0,
        arrival_ms: Some(NOW),
        partition_key: "key",
        headers: "",
        payload: Payload::Bytes(payload),
    }
}

pub(crate) fn decode<T: AsRef<[u8]>>(pipeline: &Pipeline, payloads: &[T]) -> (Vec<Pushed>, DecodedBatch) {
    let mut decoder = Decoder::new(pipeline, &origin(), NOW);
    let numbered = payloads.iter().enumerate();
    let pushed =
        numbered.map(|(index, payload)| decoder.push(&record(index as u64, payload.as_ref()))).collect();
    (pushed, decoder.finish().unwrap())
}

fn text_of(section: &Section, column: &str, row: usize) -> String {
    use arrow_array::cast::AsArray;
    section.rows.column_by_name(column).unwrap().as_string::<i32>().value(row).to_owned()
}
