//! The journal: append a batch exactly once, whatever the source delivers again.
//!
//! The lane's next number is taken with one create-only PUT, and that PUT is the whole
//! transaction. A record at or below the tail's position is in already and is dropped; who loses
//! the race for a number reads the winner's entry, drops again and tries the next.

mod append;
mod checks;
pub(crate) mod damage;
mod decode;
pub mod entry;
mod listed;
mod section;
mod tail;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tripline_model::batch::Counts;
use tripline_model::decode::{DeadLetter, DecodeError, Notes, Refusal};
use tripline_model::pipeline::Pipeline;
use tripline_model::source::{Position, SourcePartition, SourceRecord};

use crate::checkpoint::CheckpointError;
use crate::environment::{Crash, Environment, FailPoint};
use crate::invariants::{Invariant, Violation, require_of_store};
use crate::lane::{Lane, Role};
use crate::store::{ObjectStore, StoreError};
use append::Append;
use decode::Content;
use entry::EntryError;
pub(crate) use listed::entries;
pub use tail::Tail;
pub(crate) use tail::read_entry;

/// A remembered tail older than this is looked up again. Together with the longest invocation
/// (15 minutes) and a margin of another 15 it stays below [`MIN_RETENTION`], so that the number of
/// a deleted entry is never used again.
pub const TAIL_AGE: Duration = Duration::from_secs(10 * 60);

/// The shortest time for which published entries must be kept.
pub const MIN_RETENTION: Duration = Duration::from_secs(60 * 60);

/// A batch could not be appended, or not all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The store failed for good.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The checkpoint, which says where a lane stands, cannot be used.
    #[error(transparent)]
    Checkpoint(CheckpointError),
    /// An entry cannot be read or built.
    #[error("{location}/{key}: {source}; the lane stops here until the object is restored")]
    Entry {
        /// Where the lake is.
        location: String,
        /// Key of the entry.
        key: String,
        /// What is wrong.
        source: EntryError,
    },
    /// An entry that was listed, or whose number is taken, is not there.
    #[error(
        "{location}/{key} was listed or refused as taken, and is not there: nothing but publish may delete entries, \
         and only old ones"
    )]
    Vanished {
        /// Where the lake is.
        location: String,
        /// Key of the entry.
        key: String,
    },
    /// Columns could not be built.
    #[error("{lane}: the batch cannot be decoded: {source}")]
    Decode {
        /// The lane.
        lane: Box<Lane>,
        /// Why.
        source: DecodeError,
    },
    /// A batch is not in the order of its source partition.
    #[error(
        "{lane}: record {record} comes after {previous}; records of a source partition must come in order: \
         set the event source mapping's ParallelizationFactor to 1"
    )]
    OutOfOrder {
        /// The lane.
        lane: Box<Lane>,
        /// The record that comes too late.
        record: Position,
        /// The one before it.
        previous: Position,
    },
    /// A record that should be in already arrived later than everything that is in.
    #[error(
        "{lane}: record {record} lies before {last}, which is in already, but arrived later: the source was made \
         anew under its old name; set another source epoch (TRIPLINE_SOURCE_EPOCH) to start over with it"
    )]
    SourceMadeAnew {
        /// The lane.
        lane: Box<Lane>,
        /// The record.
        record: Position,
        /// The lane's last position.
        last: Position,
    },
    /// Time ran out before the batch was known to be in.
    #[error("{lane}: time ran out before the store confirmed the batch; it will be delivered again")]
    Deadline {
        /// The lane.
        lane: Box<Lane>,
    },
    /// Going on would lose or double records.
    #[error("{lane}: {violation}; the batch was not acknowledged")]
    Invariant {
        /// The lane.
        lane: Box<Lane>,
        /// What does not hold.
        violation: Violation,
    },
    /// Stopped on purpose.
    #[error(transparent)]
    Crash(#[from] Crash),
}

impl JournalError {
    fn invariant(lane: &Lane) -> impl Fn(Violation) -> Self + '_ {
        |violation| Self::Invariant { lane: Box::new(lane.clone()), violation }
    }
}

/// What became of a batch.
#[derive(Clone, Debug, Default)]
pub struct Appended {
    /// Number of the entry that was committed; `None` when nothing was new.
    pub entry: Option<u64>,
    /// Bytes of the entry.
    pub bytes: usize,
    /// What became of the records that are in the entry.
    pub counts: Counts,
    /// Dead letters by reason.
    pub dead_letter_reasons: Vec<(&'static str, u64)>,
    /// Largest event time in the entry, milliseconds since 1970 UTC.
    pub event_time_max_ms: Option<i64>,
    /// Records that were in already.
    pub duplicates: u64,
    /// The first record that the pipeline's policy refuses: it and those after it are not in.
    pub refused: Option<(Position, Refusal)>,
    /// PUTs of the entry that were sent.
    pub puts: u32,
}

impl Appended {
    /// Adds what became of another batch.
    pub fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.duplicates += other.duplicates;
        self.event_time_max_ms = self.event_time_max_ms.max(other.event_time_max_ms);
        self.refused.clone_from(&other.refused);
        for &(reason, count) in &other.dead_letter_reasons {
            match self.dead_letter_reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, sum)) => *sum += count,
                None => self.dead_letter_reasons.push((reason, count)),
            }
        }
    }
}

/// Appends batches to the lanes of one pipeline and role. Safe to share between concurrent
/// invocations.
#[derive(Debug)]
pub struct Journal {
    store: Arc<dyn ObjectStore>,
    environment: Environment,
    role: Role,
    tails: Mutex<HashMap<Lane, Tail>>,
}

impl Journal {
    /// A journal that remembers no tail yet.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, environment: Environment, role: Role) -> Self {
        Self { store, environment, role, tails: Mutex::default() }
    }

    /// Wall-clock time by which deadlines are meant, milliseconds since 1970 UTC.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.environment.now_ms()
    }

    /// Commits the records that are not in yet, in one entry, before `deadline_ms` (milliseconds
    /// since 1970 UTC). When it returns `Ok`, every record before `refused` is in exactly once.
    ///
    /// # Errors
    /// [`JournalError`]: the batch is not known to be in and must be delivered again. That it may
    /// be in all the same does no harm.
    pub async fn append(
        &self,
        pipeline: &Pipeline,
        origin: &SourcePartition,
        records: &[SourceRecord<'_>],
        deadline_ms: i64,
    ) -> Result<Appended, JournalError> {
        self.run(&pipeline.id, origin, Content::Events(pipeline, None), records, deadline_ms).await
    }

    /// As [`append`](Self::append); leaves notes on the records for those who make documents of them.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub async fn append_noting(
        &self,
        pipeline: &Pipeline,
        origin: &SourcePartition,
        records: &[SourceRecord<'_>],
        notes: &OnceLock<Notes>,
        deadline_ms: i64,
    ) -> Result<Appended, JournalError> {
        self.run(&pipeline.id, origin, Content::Events(pipeline, Some(notes)), records, deadline_ms).await
    }

    /// Commits dead letters that are not in yet, as [`append`](Self::append) does events: a lane's
    /// records in order, each at most once however often the batch that they come from is delivered.
    ///
    /// # Errors
    /// [`JournalError`]: they are not known to be in.
    pub async fn append_dead_letters(
        &self,
        pipeline: &Pipeline,
        origin: &SourcePartition,
        letters: &[DeadLetter<'_>],
        deadline_ms: i64,
    ) -> Result<Appended, JournalError> {
        let records: Vec<SourceRecord<'_>> = letters.iter().map(|letter| letter.record).collect();
        self.run(&pipeline.id, origin, Content::DeadLetters(letters), &records, deadline_ms).await
    }

    async fn run(
        &self,
        pipeline: &str,
        origin: &SourcePartition,
        content: Content<'_>,
        records: &[SourceRecord<'_>],
        deadline_ms: i64,
    ) -> Result<Appended, JournalError> {
        let lane = Lane::new(pipeline, self.role, origin);
        check_order(&lane, records)?;
        self.environment.reach(FailPoint::AppendStart)?;
        let append =
            Append { journal: self, content, origin, folder: lane.folder(), lane, records, deadline_ms };
        append.run().await
    }

    fn remembered(&self, lane: &Lane) -> Option<Tail> {
        let tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        tails.get(lane).copied().filter(|tail| self.is_fresh(tail))
    }

    fn is_fresh(&self, tail: &Tail) -> bool {
        // Wall-clock time: a frozen function's monotonic clock may stand still.
        let age = self.environment.now_ms() - tail.as_of_ms;
        (0..i64::try_from(TAIL_AGE.as_millis()).unwrap_or(i64::MAX)).contains(&age)
    }

    /// Remembers a tail unless a concurrent invocation knows a further one.
    fn remember(&self, lane: &Lane, tail: Tail) {
        let mut tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        match tails.get_mut(lane) {
            Some(known) if known.number > tail.number => {}
            Some(known) => {
                let forward = known.last <= tail.last && known.arrival_max_ms <= tail.arrival_max_ms;
                let details = || format!("{lane}: {tail}, after {known}");
                match require_of_store(Invariant::TailForward, forward, details) {
                    Ok(()) => *known = tail,
                    // One of the two is wrong: the store tells.
                    Err(_) => drop(tails.remove(lane)),
                }
            }
            None => {
                tails.insert(lane.clone(), tail);
            }
        }
    }

    fn forget(&self, lane: &Lane) {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner).remove(lane);
    }
}

/// Equal positions are redeliveries inside the batch or parts of one aggregate; a lower one means
/// that order is lost, and with it what "at or below the tail" says.
fn check_order(lane: &Lane, records: &[SourceRecord<'_>]) -> Result<(), JournalError> {
    for (previous, record) in records.iter().zip(records.iter().skip(1)) {
        if record.position < previous.position {
            return Err(JournalError::OutOfOrder {
                lane: Box::new(lane.clone()),
                record: record.position,
                previous: previous.position,
            });
        }
    }
    Ok(())
}
