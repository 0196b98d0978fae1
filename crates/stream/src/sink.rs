//! Sinks that are streams themselves: events go on into them as they came.
//!
//! Such a sink promises at least once. Whoever reads it drops what comes twice by the event's
//! [`source`](Outgoing::source), which is the same at every delivery.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tripline_model::forward::Outgoing;

/// A stream that events are sent to. Safe for concurrent use.
#[async_trait]
pub trait StreamSink: fmt::Debug + Send + Sync {
    /// Sends these events and returns when the fate of each is known, after `within` at the latest: what is
    /// under way then is [`Fate::Open`].
    async fn send(&self, events: &[Outgoing<'_>], within: Duration) -> Sent;
}

/// What became of events that were to be sent.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// The fate of each, in their order.
    pub fates: Vec<Fate>,
    /// What was done.
    pub counts: SentCounts,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The stream has it.
    Taken,
    /// The stream will never take it, whatever is done: it is too large, say.
    Refused {
        /// Why, in words; never the payload.
        error: String,
    },
    /// It is not known to be in the stream, and must be sent again.
    Open {
        /// What keeps it out, in words, and what to do.
        error: String,
    },
}

/// What was done for a run of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SentCounts {
    /// Events that the stream has.
    pub taken: u64,
    /// Events that it will never take.
    pub refused: u64,
    /// Requests sent, where the sink makes them itself.
    pub requests: u64,
    /// Times that an event was sent once more.
    pub retried: u64,
    /// Times that an event was put off for the stream's limits.
    pub throttled: u64,
    /// Bytes of keys and payloads that were taken.
    pub bytes: u64,
}

impl SentCounts {
    /// Adds another's counts.
    pub const fn add(&mut self, other: &Self) {
        self.taken += other.taken;
        self.refused += other.refused;
        self.requests += other.requests;
        self.retried += other.retried;
        self.throttled += other.throttled;
        self.bytes += other.bytes;
    }
}
