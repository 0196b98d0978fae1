//! Where events go.

mod function;
#[cfg(feature = "kafka")]
mod kafka;
mod kinesis;
mod lines;
mod sink;

use std::fmt::Debug;

use async_trait::async_trait;

use super::stage::Item;

pub(super) use function::{FunctionOptions, FunctionTarget};
#[cfg(feature = "kafka")]
pub(super) use kafka::KafkaTarget;
pub(super) use kinesis::{KinesisTarget, KinesisTargetOptions};
pub(super) use lines::LinesTarget;

/// What a target takes at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity {
    /// Items in a chunk at most.
    pub(super) items: usize,
    /// Bytes of keys and data in a chunk at most; an item that has more goes by itself.
    pub(super) bytes: usize,
    /// Chunks under way at once.
    pub(super) in_flight: usize,
}

/// What became of a chunk, all of whose items the target has, or will never take.
#[derive(Clone, Debug, Default)]
pub(super) struct Delivered {
    /// Items that the target will never take.
    pub(super) refused: u64,
    /// Why, for one of them.
    pub(super) refusal: Option<String>,
    /// Requests made.
    pub(super) requests: u64,
    /// Times that something was sent once more.
    pub(super) retried: u64,
    /// Times that the target asked for less.
    pub(super) throttled: u64,
}

/// A target. Chunks are sent side by side, as many as its [`Capacity`] says.
#[async_trait]
pub(super) trait Target: Debug + Send + Sync {
    /// What it takes at once.
    fn capacity(&self) -> Capacity;

    /// What it is called in messages.
    fn name(&self) -> String;

    /// Returns when the target has every item, durably as far as it can say so, or will never take it.
    ///
    /// # Errors
    /// When it cannot be had: what stands in its way, and what to do. Some of the items may be there.
    async fn send(&self, items: &[Item]) -> anyhow::Result<Delivered>;

    /// Tells every partition of the target that what comes after this is later than `at_ms`, but for late
    /// events. Returns how many records that took.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    async fn watermark(&self, at_ms: i64) -> anyhow::Result<u64>;
}

/// A watermark as the reference tools send it.
fn watermark_event(at_ms: i64) -> Vec<u8> {
    format!(r#"{{"watermark":"{}","type":"watermark"}}"#, tripline_model::time::rfc3339(at_ms)).into_bytes()
}

/// Takes everything and does nothing.
#[derive(Debug)]
pub(super) struct Nowhere;

#[async_trait]
impl Target for Nowhere {
    fn capacity(&self) -> Capacity {
        Capacity { items: 10_000, bytes: 16 << 20, in_flight: 1 }
    }

    fn name(&self) -> String {
        "nowhere, as asked".to_owned()
    }

    async fn send(&self, _: &[Item]) -> anyhow::Result<Delivered> {
        Ok(Delivered::default())
    }

    async fn watermark(&self, _: i64) -> anyhow::Result<u64> {
        Ok(0)
    }
}
