//! What became of a run of records.

use tripline_model::decode::{Reason, Refusal};

/// What became of the records that were to be delivered.
#[derive(Clone, Debug, Default)]
pub struct Delivered {
    /// Records that have no document and are dead letters, in their order; all of them before
    /// [`undelivered`](Self::undelivered).
    pub refused: Vec<Refused>,
    /// From which record on they must be delivered again; `None`: all are safe.
    pub undelivered: Option<Undelivered>,
    /// What was done.
    pub counts: SearchCounts,
}

/// A record without a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its index among the records.
    pub record: usize,
    /// Why, as a code.
    pub reason: Reason,
    /// Why, in words: ours, or the cluster's where that refused it.
    pub error: String,
    /// The type that it told.
    pub event_type: Option<String>,
    /// It is no event, whatever the cluster says: the lake comes to the same verdict.
    pub malformed: bool,
}

/// The first record that is not known to be safe.
#[derive(Clone, Debug)]
pub struct Undelivered {
    /// Its index among the records.
    pub record: usize,
    /// What keeps it from being so.
    pub why: Why,
}

/// Why a record was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// The time was up before the cluster took it.
    #[error("the time was up before it was delivered; {last}")]
    TimeUp {
        /// What the cluster said last.
        last: String,
    },
    /// The cluster does not serve this function at all: nothing will be delivered until that is mended.
    #[error("the search cluster refuses every request: {reason}; {advice}")]
    Operator {
        /// What the cluster said.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// The record is refused, and the pipeline's policy is to fail.
    #[error("it is refused, and the pipeline's policy is `fail`: {0}")]
    Refused(Refusal),
}

/// What was done for a run of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SearchCounts {
    /// Records read.
    pub records: u64,
    /// Documents that are new.
    pub created: u64,
    /// Documents that replaced or changed one.
    pub updated: u64,
    /// Documents deleted.
    pub deleted: u64,
    /// Documents that were there already, or were to be deleted and were not there.
    pub noops: u64,
    /// Documents that gave way to a newer one of their id.
    pub conflicts: u64,
    /// Records refused, as no event or by the cluster.
    pub refused: u64,
    /// Of those, records that are no events.
    pub malformed: u64,
    /// Records left out by the pipeline's policy.
    pub ignored: u64,
    /// Watermark events and events of types without an index.
    pub without_document: u64,
    /// Dead letters that can be looked at in the cluster now.
    pub letters_shown: u64,
    /// Dead letters that cannot, and are in the lake alone.
    pub letters_not_shown: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests and items that the cluster refused for being busy.
    pub throttled: u64,
    /// Times that an item was sent once more.
    pub retried: u64,
    /// Items without ids sent once more although they may have been taken.
    pub possible_duplicates: u64,
    /// Bytes of requests before compression.
    pub bytes_raw: u64,
    /// Bytes of requests as they were sent.
    pub bytes_sent: u64,
}

impl SearchCounts {
    /// Adds another's counts.
    pub const fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.created += other.created;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.noops += other.noops;
        self.conflicts += other.conflicts;
        self.refused += other.refused;
        self.malformed += other.malformed;
        self.ignored += other.ignored;
        self.without_document += other.without_document;
        self.letters_shown += other.letters_shown;
        self.letters_not_shown += other.letters_not_shown;
        self.requests += other.requests;
        self.throttled += other.throttled;
        self.retried += other.retried;
        self.possible_duplicates += other.possible_duplicates;
        self.bytes_raw += other.bytes_raw;
        self.bytes_sent += other.bytes_sent;
    }
}
