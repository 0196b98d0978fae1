//! The journal: append a batch exactly once, whatever the source delivers again.
//!
//! The lane's next number is taken with one create-only PUT, and that PUT is the whole
//! transaction. A record at or below the tail's position is in already and is dropped; who loses
//! the race for a number reads the winner's entry, drops again and tries the next.

pub mod entry;
mod tail;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tripline_model::batch::{Counts, DecodedBatch};
use tripline_model::decode::{DecodeError, Decoder, Pushed, Refusal};
use tripline_model::pipeline::Pipeline;
use tripline_model::source::{Position, SourcePartition, SourceRecord};

use crate::checkpoint::CheckpointError;
use crate::environment::{Crash, Environment, FailPoint};
use crate::lane::{Lane, Role};
use crate::layout::entry_key;
use crate::store::{Condition, ObjectStore, Put, StoreError};
use entry::{EntryError, Origin, PackedEntry};
pub use tail::Tail;

/// A remembered tail older than this is looked up again. Together with the longest invocation
/// (15 minutes) and a margin of another 15 it stays below [`MIN_RETENTION`], so that the number of
/// a deleted entry is never used again.
pub const TAIL_AGE: Duration = Duration::from_secs(10 * 60);

/// The shortest time for which published entries must be kept.
pub const MIN_RETENTION: Duration = Duration::from_secs(60 * 60);

/// A duplicate carries the arrival time of its first delivery, which the lane has seen. Arrival
/// times of neighbours may be out of order by a little where a record was skipped and came back.
const ARRIVAL_SLACK_MS: i64 = 1_000;

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
    /// A listed entry was gone when it was read.
    #[error(
        "{location}/{key} was listed and is gone: nothing but publish may delete entries, and only old ones"
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
        lane: Lane,
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
        lane: Lane,
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
        lane: Lane,
        /// The record.
        record: Position,
        /// The lane's last position.
        last: Position,
    },
    /// Time ran out before the batch was known to be in.
    #[error("{lane}: time ran out before the store confirmed the batch; it will be delivered again")]
    Deadline {
        /// The lane.
        lane: Lane,
    },
    /// Stopped on purpose.
    #[error(transparent)]
    Crash(#[from] Crash),
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
        let lane = Lane::new(&pipeline.id, self.role, origin);
        check_order(&lane, records)?;
        self.environment.reach(FailPoint::AppendStart)?;
        let append =
            Append { journal: self, pipeline, origin, folder: lane.folder(), lane, records, deadline_ms };
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
            Some(known) => *known = tail,
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
                lane: lane.clone(),
                record: record.position,
                previous: previous.position,
            });
        }
    }
    Ok(())
}

struct Append<'a> {
    journal: &'a Journal,
    pipeline: &'a Pipeline,
    origin: &'a SourcePartition,
    lane: Lane,
    folder: String,
    records: &'a [SourceRecord<'a>],
    deadline_ms: i64,
}

/// The new records of a batch, decoded and packed for sending.
struct Prepared {
    start: usize,
    arrival_max_ms: Option<i64>,
    packed: Option<PackedEntry>,
    last: Position,
    appended: Appended,
}

impl Append<'_> {
    async fn run(&self) -> Result<Appended, JournalError> {
        let mut tail = self.tail().await?;
        let mut prepared: Option<Prepared> = None;
        let mut puts = 0;
        loop {
            let start = self.skip_known(&tail)?;
            if start == self.records.len() {
                self.journal.remember(&self.lane, tail);
                return Ok(Appended { duplicates: start as u64, puts, ..Appended::default() });
            }
            let ready = match prepared.take() {
                Some(ready) if ready.start == start => prepared.insert(ready),
                _ => prepared.insert(self.prepare(start, &tail)?),
            };
            let Some(packed) = ready.packed.as_mut() else {
                return Ok(Appended { puts, ..ready.appended.clone() });
            };
            let number = tail.number + 1;
            let body = packed
                .numbered(number, tail.arrival_max_ms)
                .map_err(|source| self.entry_error(number, source))?;
            let bytes = body.len();
            self.journal.environment.reach(FailPoint::AppendBeforePut)?;
            let sent_at_ms = self.journal.environment.now_ms();
            puts += 1;
            match self.put(number, body).await? {
                Put::Stored { .. } => {
                    self.journal.environment.reach(FailPoint::AppendAfterPut)?;
                    let arrival_max_ms = tail.arrival_max_ms.max(ready.arrival_max_ms);
                    let last = Some(ready.last);
                    // This entry is younger than the moment its PUT was sent, and so is all after it.
                    self.journal
                        .remember(&self.lane, Tail { number, last, arrival_max_ms, as_of_ms: sent_at_ms });
                    return Ok(Appended { entry: Some(number), bytes, puts, ..ready.appended.clone() });
                }
                Put::Refused => {
                    self.journal.environment.reach(FailPoint::AppendAfterRefusal)?;
                    tail = self.overtaken(tail, number).await?;
                }
            }
        }
    }

    async fn tail(&self) -> Result<Tail, JournalError> {
        match self.journal.remembered(&self.lane) {
            Some(tail) => Ok(tail),
            None => {
                self.in_time(tail::look_up(
                    &*self.journal.store,
                    &self.journal.environment,
                    &self.lane,
                    &self.folder,
                ))
                .await
            }
        }
    }

    /// Somebody else's entry, or our own whose answer was lost, has the number.
    async fn overtaken(&self, tail: Tail, number: u64) -> Result<Tail, JournalError> {
        let read = tail::read_entry(&*self.journal.store, &self.lane, &self.folder, number);
        match self.in_time(read).await? {
            Some(entry) => Ok(tail.after(&entry.header)),
            None => {
                // There and gone: our tail is older than retention. Never PUT again blindly.
                self.journal.forget(&self.lane);
                self.tail().await
            }
        }
    }

    /// How many records at the start are in already.
    fn skip_known(&self, tail: &Tail) -> Result<usize, JournalError> {
        let Some(last) = tail.last else { return Ok(0) };
        let known = self.records.partition_point(|record| record.position <= last);
        let newest_arrival = tail.arrival_max_ms.map(|arrival| arrival.saturating_add(ARRIVAL_SLACK_MS));
        let made_anew = self.records.iter().take(known).find(|record| {
            newest_arrival.is_some_and(|newest| record.arrival_ms.is_some_and(|arrival| arrival > newest))
        });
        match made_anew {
            Some(record) => {
                Err(JournalError::SourceMadeAnew { lane: self.lane.clone(), record: record.position, last })
            }
            None => Ok(known),
        }
    }

    fn prepare(&self, start: usize, tail: &Tail) -> Result<Prepared, JournalError> {
        let fresh = self.records.get(start..).unwrap_or_default();
        let decoded = decode(self.pipeline, self.origin, fresh, self.journal.environment.now_ms())
            .map_err(|source| JournalError::Decode { lane: self.lane.clone(), source })?;
        let duplicates = start as u64 + decoded.repeated;
        let refused = decoded.refused;
        let Some((first, last)) = decoded.range else {
            let appended = Appended { duplicates, refused, ..Appended::default() };
            return Ok(Prepared {
                start,
                arrival_max_ms: None,
                packed: None,
                last: Position::default(),
                appended,
            });
        };
        let origin = Origin {
            lane: &self.lane,
            range: (first, last),
            duplicates,
            arrival_max_ms: decoded.arrival_max_ms,
            written_at_ms: self.journal.environment.now_ms(),
        };
        let packed = PackedEntry::pack(&origin, &decoded.batch)
            .map_err(|source| self.entry_error(tail.number + 1, source))?;
        let appended = Appended {
            counts: decoded.batch.counts,
            dead_letter_reasons: decoded.batch.dead_letter_reasons,
            event_time_max_ms: decoded.batch.event_time_max_ms,
            duplicates,
            refused,
            ..Appended::default()
        };
        Ok(Prepared { start, arrival_max_ms: decoded.arrival_max_ms, packed: Some(packed), last, appended })
    }

    async fn put(&self, number: u64, body: bytes::Bytes) -> Result<Put, JournalError> {
        let key = entry_key(&self.folder, number);
        self.in_time(async { Ok(self.journal.store.put(&key, body, Condition::Absent).await?) }).await
    }

    /// Runs a request unless and until the deadline passes. A dropped request may still take
    /// effect at the store, as any lost one; none is sent afterwards.
    async fn in_time<T>(
        &self,
        request: impl Future<Output = Result<T, JournalError>>,
    ) -> Result<T, JournalError> {
        let deadline = || JournalError::Deadline { lane: self.lane.clone() };
        let left = self.deadline_ms.saturating_sub(self.journal.environment.now_ms());
        let left = u64::try_from(left).ok().filter(|&left| left > 0).ok_or_else(deadline)?;
        tokio::time::timeout(Duration::from_millis(left), request).await.map_err(|_| deadline())?
    }

    fn entry_error(&self, number: u64, source: EntryError) -> JournalError {
        let location = self.journal.store.location();
        JournalError::Entry { key: entry_key(&self.folder, number), location, source }
    }
}

struct Decoded {
    batch: DecodedBatch,
    /// First and last position in the batch; `None` when nothing was taken.
    range: Option<(Position, Position)>,
    arrival_max_ms: Option<i64>,
    repeated: u64,
    refused: Option<(Position, Refusal)>,
}

/// Decodes up to the first refused record. Records that share its position are not taken either:
/// an aggregate is in whole or not at all.
fn decode(
    pipeline: &Pipeline,
    origin: &SourcePartition,
    records: &[SourceRecord<'_>],
    now_ms: i64,
) -> Result<Decoded, DecodeError> {
    let (taken, decoded) = decode_prefix(pipeline, origin, records, now_ms)?;
    let Some((at, _)) = &decoded.refused else { return Ok(decoded) };
    let whole = records.iter().take(taken).take_while(|record| record.position < *at).count();
    if whole == taken {
        return Ok(decoded);
    }
    let refused = decoded.refused;
    let (_, before) = decode_prefix(pipeline, origin, records.get(..whole).unwrap_or_default(), now_ms)?;
    Ok(Decoded { refused, ..before })
}

fn decode_prefix(
    pipeline: &Pipeline,
    origin: &SourcePartition,
    records: &[SourceRecord<'_>],
    now_ms: i64,
) -> Result<(usize, Decoded), DecodeError> {
    let mut decoder = Decoder::new(pipeline, origin, now_ms);
    let mut taken = 0;
    let mut previous = None;
    let (mut repeated, mut refused, mut range, mut arrival_max_ms) = (0, None, None, None);
    for record in records {
        let place = (record.position, record.sub_position);
        if previous.is_some_and(|previous| place <= previous) {
            repeated += 1;
            taken += 1;
            continue;
        }
        previous = Some(place);
        if let Pushed::Refused(refusal) = decoder.push(record) {
            refused = Some((record.position, refusal));
            break;
        }
        taken += 1;
        range = Some((range.map_or(record.position, |(first, _)| first), record.position));
        arrival_max_ms = arrival_max_ms.max(record.arrival_ms);
    }
    let batch = decoder.finish()?;
    Ok((taken, Decoded { batch, range, arrival_max_ms, repeated, refused }))
}
