//! Append: the race for a lane's next number.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tripline_model::source::{Position, SourcePartition, SourceRecord};

use super::decode::Content;
use super::entry::{EntryError, Origin, PackedEntry};
use super::tail::{Tail, look_up, read_entry};
use super::{Appended, Journal, JournalError, checks};
use crate::environment::FailPoint;
use crate::lane::Lane;
use crate::layout::entry_key;
use crate::store::{Condition, Put};

/// A duplicate carries the arrival time of its first delivery, which the lane has seen. Arrival
/// times of neighbours may be out of order by a little where a record was skipped and came back.
const ARRIVAL_SLACK_MS: i64 = 1_000;

/// How often an entry is looked for whose number is taken. With waits of up to two seconds in between
/// this outlasts a slow PUT.
const UNSEEN_LOOKS: u32 = 6;

/// One call of [`Journal::append`] or [`Journal::append_dead_letters`].
pub(super) struct Append<'a> {
    pub(super) journal: &'a Journal,
    pub(super) content: Content<'a>,
    pub(super) origin: &'a SourcePartition,
    pub(super) lane: Lane,
    pub(super) folder: String,
    pub(super) records: &'a [SourceRecord<'a>],
    pub(super) deadline_ms: i64,
}

/// The new records of a batch, decoded and packed for sending.
struct Prepared {
    start: usize,
    arrival_max_ms: Option<i64>,
    packed: Option<PackedEntry>,
    /// First and last position in the entry.
    range: (Position, Position),
    /// The entry can hold no more, and there is more.
    full: bool,
    appended: Appended,
}

impl Append<'_> {
    pub(super) async fn run(&self) -> Result<Appended, JournalError> {
        let mut tail = self.tail().await?;
        let mut prepared: Option<Prepared> = None;
        let mut done = Appended::default();
        // Records before this were put into an entry by this call, and are no duplicates of others.
        let mut own = 0;
        loop {
            let start = self.skip_known(&tail)?;
            if start == self.records.len() {
                self.journal.remember(&self.lane, tail);
                done.duplicates += (start - own) as u64;
                return self.answer(&tail, done);
            }
            let ready = match prepared.take() {
                Some(ready) if ready.start == start => prepared.insert(ready),
                _ => prepared.insert(self.prepare(own, start, &tail)?),
            };
            let Some(packed) = ready.packed.as_mut() else {
                done.add(&ready.appended);
                return self.answer(&tail, done);
            };
            checks::follows(&tail, ready.range).map_err(JournalError::invariant(&self.lane))?;
            let number = tail.number + 1;
            let body = packed
                .numbered(number, tail.arrival_max_ms)
                .map_err(|source| self.entry_error(number, source))?;
            let bytes = body.len();
            self.journal.environment.reach(FailPoint::AppendBeforePut)?;
            let sent_at_ms = self.journal.environment.now_ms();
            done.puts += 1;
            match self.put(number, body).await? {
                Put::Stored { .. } => {
                    self.journal.environment.reach(FailPoint::AppendAfterPut)?;
                    let arrival_max_ms = tail.arrival_max_ms.max(ready.arrival_max_ms);
                    let last = Some(ready.range.1);
                    // This entry is younger than the moment its PUT was sent, and so is all after it.
                    tail = Tail { number, last, arrival_max_ms, as_of_ms: sent_at_ms };
                    self.journal.remember(&self.lane, tail);
                    done.add(&ready.appended);
                    done.entry = Some(number);
                    done.bytes += bytes;
                    if !ready.full {
                        return self.answer(&tail, done);
                    }
                    own = self.records.partition_point(|record| record.position <= ready.range.1);
                }
                Put::Refused => {
                    self.journal.environment.reach(FailPoint::AppendAfterRefusal)?;
                    tail = self.overtaken(tail, number).await?;
                }
            }
        }
    }

    fn answer(&self, tail: &Tail, done: Appended) -> Result<Appended, JournalError> {
        checks::answer(tail, self.records, &done).map_err(JournalError::invariant(&self.lane))?;
        Ok(done)
    }

    async fn tail(&self) -> Result<Tail, JournalError> {
        match self.journal.remembered(&self.lane) {
            Some(tail) => Ok(tail),
            None => self.look_up().await,
        }
    }

    async fn look_up(&self) -> Result<Tail, JournalError> {
        let Journal { store, environment, .. } = self.journal;
        self.in_time(look_up(&**store, environment, &self.lane, &self.folder)).await
    }

    /// Somebody else's entry, or our own whose answer was lost, has the number.
    async fn overtaken(&self, tail: Tail, number: u64) -> Result<Tail, JournalError> {
        let Journal { store, environment, .. } = self.journal;
        for attempt in 0..UNSEEN_LOOKS {
            if let Some(entry) = self.in_time(read_entry(&**store, &self.lane, &self.folder, number)).await? {
                return tail.after(&entry.header).map_err(JournalError::invariant(&self.lane));
            }
            // There and gone: our tail is older than retention. Or not there yet: some servers refuse a
            // number while the PUT that takes it is still under way. Never PUT again blindly, and not at
            // all where the number is unknown to the store.
            self.journal.forget(&self.lane);
            let found = self.look_up().await?;
            if found.number >= number {
                return Ok(found);
            }
            let pause = environment.backoff(attempt);
            let wait = async {
                tokio::time::sleep(pause).await;
                Ok(())
            };
            self.in_time(wait).await?;
        }
        Err(JournalError::Vanished { key: entry_key(&self.folder, number), location: store.location() })
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
            Some(record) => Err(JournalError::SourceMadeAnew {
                lane: Box::new(self.lane.clone()),
                record: record.position,
                last,
            }),
            None => Ok(known),
        }
    }

    /// Decodes and packs the records from `start` on; those between `own` and `start` are duplicates.
    fn prepare(&self, own: usize, start: usize, tail: &Tail) -> Result<Prepared, JournalError> {
        let decoded = self
            .content
            .decode(self.origin, self.records, start, self.journal.environment.now_ms())
            .map_err(|source| JournalError::Decode { lane: Box::new(self.lane.clone()), source })?;
        let duplicates = (start - own) as u64 + decoded.repeated;
        let refused = decoded.refused;
        let Some((first, last)) = decoded.range else {
            let appended = Appended { duplicates, refused, ..Appended::default() };
            return Ok(Prepared {
                start,
                arrival_max_ms: None,
                packed: None,
                range: (Position::default(), Position::default()),
                full: false,
                appended,
            });
        };
        checks::outcomes(&decoded.batch).map_err(JournalError::invariant(&self.lane))?;
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
        let (arrival_max_ms, full) = (decoded.arrival_max_ms, decoded.full);
        Ok(Prepared { start, arrival_max_ms, packed: Some(packed), range: (first, last), full, appended })
    }

    async fn put(&self, number: u64, body: Bytes) -> Result<Put, JournalError> {
        let key = entry_key(&self.folder, number);
        self.in_time(async { Ok(self.journal.store.put(&key, body, Condition::Absent).await?) }).await
    }

    /// Runs a request unless and until the deadline passes. A dropped request may still take
    /// effect at the store, as any lost one; none is sent afterwards, not even a repeated one: the
    /// wall clock is asked at every step, as the timer may stand still in a frozen process.
    async fn in_time<T>(
        &self,
        request: impl Future<Output = Result<T, JournalError>>,
    ) -> Result<T, JournalError> {
        let deadline = || JournalError::Deadline { lane: Box::new(self.lane.clone()) };
        let left = || self.deadline_ms.saturating_sub(self.journal.environment.now_ms());
        let timer = u64::try_from(left()).ok().filter(|&left| left > 0).ok_or_else(deadline)?;
        let mut request = pin!(request);
        let step =
            poll_fn(
                |context| {
                    if left() > 0 { request.as_mut().poll(context) } else { Poll::Ready(Err(deadline())) }
                },
            );
        tokio::time::timeout(Duration::from_millis(timer), step).await.map_err(|_| deadline())?
    }

    fn entry_error(&self, number: u64, source: EntryError) -> JournalError {
        let location = self.journal.store.location();
        JournalError::Entry { key: entry_key(&self.folder, number), location, source }
    }
}
