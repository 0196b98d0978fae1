//! Records on their way into the sinks, without a mapping: in batches, each until it is taken.

use std::fmt;
use std::time::Duration;

use anyhow::bail;
use tripline_ingest::{Cause, Ingest, Place, Taken};
use tripline_lake::clock::{Clock, SystemClock};
use tripline_model::source::{Payload, SourceRecord};

use crate::text::grouped;

/// The time that a batch has, as Lambda's longest invocation.
pub(crate) const INVOCATION_MS: i64 = 15 * 60 * 1000;
/// Tries of a batch, and the wait before the second; each further one waits twice as long.
const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Records and bytes of a batch at most, as a mapping's are.
const BATCH_RECORDS: usize = 10_000;
const BATCH_BYTES: usize = 4 << 20;

/// What became of records that were sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) rows: u64,
    pub(crate) dead_letters: u64,
    pub(crate) duplicates: u64,
    pub(crate) documents: u64,
    /// Events that other streams took.
    pub(crate) forwarded: u64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} rows for the lake, {} documents, ",
            grouped(self.rows),
            grouped(self.documents)
        )?;
        if self.forwarded > 0 {
            write!(formatter, "{} events in other streams, ", grouped(self.forwarded))?;
        }
        write!(formatter, "{} dead letters", grouped(self.dead_letters))
    }
}

impl Outcome {
    pub(crate) const fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.dead_letters += other.dead_letters;
        self.duplicates += other.duplicates;
        self.documents += other.documents;
        self.forwarded += other.forwarded;
    }

    fn count(&mut self, taken: &Taken) {
        self.rows += taken.lake.counts.rows;
        self.dead_letters += taken.lake.counts.dead_letters;
        self.duplicates += taken.lake.duplicates;
        for letters in &taken.letters {
            self.dead_letters += letters.counts.dead_letters;
            self.duplicates += letters.duplicates;
        }
        self.documents += taken.search.created + taken.search.updated;
        self.forwarded += taken.streams.values().map(|counts| counts.taken).sum::<u64>();
    }
}

/// Brings records, in order, into an ingest function's sinks, in batches and until they are taken.
pub(crate) async fn send(
    ingest: &Ingest,
    place: Place<'_>,
    records: &[SourceRecord<'_>],
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    send_counted(ingest, place, records, &mut outcome).await?;
    Ok(outcome)
}

/// As [`send`], but `outcome` has what became of the records also where it fails.
pub(crate) async fn send_counted(
    ingest: &Ingest,
    place: Place<'_>,
    records: &[SourceRecord<'_>],
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    for batch in batches(records) {
        let mut rest = batch;
        let mut attempt = 1;
        while !rest.is_empty() {
            let taken = ingest.take(place, rest, SystemClock.now_ms() + INVOCATION_MS).await;
            outcome.count(&taken);
            let Some(setback) = taken.setback else { break };
            let why = match setback.cause {
                Cause::Refused(refusal) => bail!(
                    "{}: a record is refused ({refusal}), and the pipeline's policy is `fail`: set it to `dead-letter`",
                    place.lane
                ),
                Cause::Journal(error) => error.to_string(),
                Cause::Search(why) => why.to_string(),
                Cause::Stream { target, error } => format!("not in the {} sink: {error}", target.name()),
            };
            rest = rest.get(setback.from..).unwrap_or_default();
            if attempt == ATTEMPTS {
                bail!("{}: {why}; nothing is lost: the same command goes on from here", place.lane);
            }
            tokio::time::sleep(FIRST_WAIT * 2_u32.pow(attempt - 1)).await;
            attempt += 1;
        }
    }
    Ok(())
}

/// Cuts records into batches; those that share a position stay together.
fn batches<'a, 'r>(records: &'a [SourceRecord<'r>]) -> Vec<&'a [SourceRecord<'r>]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, record) in records.iter().enumerate() {
        let is_new =
            index == 0 || records.get(index - 1).is_some_and(|last| last.position != record.position);
        if is_new && index > start && (index - start >= BATCH_RECORDS || bytes >= BATCH_BYTES) {
            batches.extend(records.get(start..index));
            (start, bytes) = (index, 0);
        }
        let (Payload::Bytes(payload) | Payload::Undecodable(payload)) = record.payload;
        bytes += payload.len();
    }
    batches.extend(records.get(start..).filter(|rest| !rest.is_empty()));
    batches
}

#[cfg(test)]
mod tests {
    use tripline_model::source::{Payload, Position};

    use super::*;

    #[test]
    fn batches_are_all_records_in_order_and_parts_of_one_aggregate_stay_together() {
        let payload = vec![b'x'; 1 << 20];
        let record = |position| SourceRecord {
            position: Position::new(position),
            sub_position: 0,
            arrival_ms: None,
            partition_key: "",
            headers: "",
            payload: Payload::Bytes(&payload),
        };
        // The fifth and sixth share a position.
        let records: Vec<_> = [1, 2, 3, 4, 4, 5, 6].map(record).to_vec();
        let lengths: Vec<usize> = batches(&records).iter().map(|batch| batch.len()).collect();
        assert_eq!(lengths, [5, 2]);
        assert!(batches(&[]).is_empty());
    }
}
