//! Records on their way once more.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use tripline_ingest::{Cause, Ingest, IngestOptions, Place, Taken};
use tripline_lake::clock::{Clock, SystemClock};
use tripline_lake::{Lake, Role};
use tripline_model::decode::Stage;
use tripline_model::pipeline::Pipeline;
use tripline_model::source::{Payload, SourceRecord};

use crate::sinks::SinkArguments;
use crate::text::grouped;

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
    /// Each by itself, for records that the others get by another way.
    pub(super) single: BTreeMap<Role, Ingest>,
    /// The sink of each stage by itself, for records that the others have.
    again: BTreeMap<Stage, Ingest>,
    /// Names of the sinks.
    pub(super) names: BTreeSet<String>,
}

impl Senders {
    pub(super) async fn new(
        pipeline: &Arc<Pipeline>,
        lake: &Lake,
        sinks: &SinkArguments,
    ) -> anyhow::Result<Self> {
        let connected = sinks.connect(pipeline, lake.environment()).await?.connected;
        let feeding = |sinks| {
            let clock = Arc::clone(&lake.environment().clock);
            Ingest::feeding(sinks, Arc::clone(pipeline), clock, IngestOptions::default())
        };
        let single = |&role: &Role| Some((role, feeding(connected.only(role, lake)?)));
        let again = |stage| Some((stage, feeding(connected.again(stage, lake)?)));
        Ok(Self {
            all: feeding(connected.all(lake)),
            single: connected.names().iter().filter_map(single).collect(),
            again: Stage::ALL.into_iter().filter_map(again).collect(),
            names: connected.names().iter().map(Role::to_string).collect(),
        })
    }

    /// Who sends dead letters of a stage again: to every sink, or to the one that refused them.
    ///
    /// # Errors
    /// When that one is not there: what became of the letters, and what to do.
    pub(super) fn of_stage(&self, stage: Stage) -> anyhow::Result<&Ingest> {
        let how = match stage {
            Stage::Decode => return Ok(&self.all),
            Stage::Search => "were refused by the search cluster: say where it is with --opensearch",
            Stage::Kinesis => "were refused by a Kinesis stream: name it in TRIPLINE_KINESIS_STREAM",
            Stage::Kafka => "were refused by a Kafka topic: name it in TRIPLINE_KAFKA_BROKERS and …_TOPIC",
        };
        self.again.get(&stage).ok_or_else(|| anyhow!("{how}, or leave them out with --stage decode"))
    }
}

/// What became of records that were sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    pub(super) rows: u64,
    pub(super) dead_letters: u64,
    pub(super) duplicates: u64,
    pub(super) documents: u64,
    /// Events that other streams took.
    pub(super) forwarded: u64,
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
    pub(super) const fn add(&mut self, other: &Self) {
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
