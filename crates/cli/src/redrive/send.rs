//! Records on their way once more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use tripline_ingest::{Cause, Ingest, IngestOptions, Place, Taken};
use tripline_lake::Lake;
use tripline_lake::clock::{Clock, SystemClock};
use tripline_model::pipeline::Pipeline;
use tripline_model::source::{Payload, SourceRecord};

use crate::search::SearchArguments;

/// The time that a batch has, as Lambda's longest invocation.
const INVOCATION_MS: i64 = 15 * 60 * 1000;
/// Tries of a batch, and the wait before the second; each further one waits twice as long.
const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Records and bytes of a batch at most, as a mapping's are.
const BATCH_RECORDS: usize = 10_000;
const BATCH_BYTES: usize = 4 << 20;

/// The pipeline with each choice of sinks that a redrive needs.
pub(super) struct Senders {
    /// Every sink that there is.
    pub(super) all: Ingest,
    /// The lake, where it is a sink.
    pub(super) lake: Option<Ingest>,
    /// The search cluster, where there is one, for records that the lake gets by another way.
    pub(super) search: Option<Ingest>,
    /// The search cluster, where there is one, for records that the lake has.
    pub(super) search_again: Option<Ingest>,
    /// Names of the sinks.
    pub(super) names: BTreeSet<String>,
}

impl Senders {
    pub(super) async fn new(
        pipeline: &Arc<Pipeline>,
        lake: &Lake,
        search: &SearchArguments,
    ) -> anyhow::Result<Self> {
        let choices = search.connect(pipeline, lake.environment()).await?;
        let feeding = |sinks| {
            let clock = Arc::clone(&lake.environment().clock);
            Ingest::feeding(sinks, Arc::clone(pipeline), clock, IngestOptions::default())
        };
        Ok(Self {
            all: feeding(choices.all(lake)),
            lake: choices.lake(lake).map(feeding),
            search: choices.search(lake).map(feeding),
            search_again: choices.search_again(lake).map(feeding),
            names: choices.names(),
        })
    }
}

/// What became of records that were sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    pub(super) rows: u64,
    pub(super) dead_letters: u64,
    pub(super) duplicates: u64,
    pub(super) documents: u64,
}

impl Outcome {
    pub(super) const fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.dead_letters += other.dead_letters;
        self.duplicates += other.duplicates;
        self.documents += other.documents;
    }

    const fn count(&mut self, taken: &Taken) {
        self.rows += taken.lake.counts.rows;
        self.dead_letters += taken.lake.counts.dead_letters + taken.letters.counts.dead_letters;
        self.duplicates += taken.lake.duplicates + taken.letters.duplicates;
        self.documents += taken.search.created + taken.search.updated;
    }
}

/// Brings records, in order, into an ingest function's sinks, in batches and until they are taken.
pub(super) async fn send(
    ingest: &Ingest,
    place: Place<'_>,
    records: &[SourceRecord<'_>],
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    for batch in batches(records) {
        let mut rest = batch;
        let mut attempt = 1;
        while !rest.is_empty() {
            let taken = ingest.take(place, rest, SystemClock.now_ms() + INVOCATION_MS).await;
            outcome.count(&taken);
            let Some(setback) = taken.setback else { break };
            let why = match setback.cause {
                Cause::Refused(refusal) => bail!(
                    "{}: a record is refused ({refusal}), and the pipeline's policy is `fail`: set it to `dead-letter` for \
                     a redrive",
                    place.lane
                ),
                Cause::Journal(error) => error.to_string(),
                Cause::Search(why) => why.to_string(),
            };
            rest = rest.get(setback.from..).unwrap_or_default();
            if attempt == ATTEMPTS {
                bail!("{}: {why}; nothing is lost: the same command goes on from here", place.lane);
            }
            tokio::time::sleep(FIRST_WAIT * 2_u32.pow(attempt - 1)).await;
            attempt += 1;
        }
    }
    Ok(outcome)
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
            payload: Payload::Bytes(&payload),
        };
        // The fifth and sixth share a position.
        let records: Vec<_> = [1, 2, 3, 4, 4, 5, 6].map(record).to_vec();
        let lengths: Vec<usize> = batches(&records).iter().map(|batch| batch.len()).collect();
        assert_eq!(lengths, [5, 2]);
        assert!(batches(&[]).is_empty());
    }
}
