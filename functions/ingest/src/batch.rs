//! One invocation: the event's records, lane by lane, into the journal.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, StreamExt as _};
use lambda_runtime::Diagnostic;
use tripline_lake::Lake;
use tripline_lake::Role;
use tripline_lake::clock::Clock;
use tripline_lake::journal::{Appended, JournalError};
use tripline_metrics::Metrics;
use tripline_model::batch::Counts;
use tripline_model::pipeline::{Pipeline, Target};
use tripline_model::source::{Position, SourcePartition, SourceRecord};
use tripline_search::{SearchCounts, Why};
use tripline_stream::PartitionRecords;
use tripline_stream::event::{EnvelopeError, Event};
use tripline_stream::response::BatchResponse;
use tripline_stream::sink::SentCounts;

use crate::mapping::{MappingCheck, MappingFault, Mappings};
use crate::objects::{ObjectError, Objects};
use crate::observe::observe;
use crate::sinks::{Cause, Place, Setback, Sinks, Taken};

/// Share of the remaining time that is kept for answering: one tenth, at most a second. A request
/// that is under way when it begins is given up, and the batch comes again.
const ANSWER_MARGIN: (i64, i64) = (10, 1_000);

/// Topic-partitions of one event that are taken at a time: while one waits for its sinks, another is
/// decoded.
const PARTITIONS_AT_ONCE: usize = 8;

/// What differs per deployment.
#[derive(Clone, Debug, Default)]
pub struct IngestOptions {
    /// Epoch of all sources, see [`SourcePartition::epoch`].
    pub source_epoch: String,
    /// The event source mapping has `ReportBatchItemFailures`. Without it a response that lists
    /// failures would be taken as success, so a partial failure must fail the invocation.
    pub partial_responses: bool,
    /// Where objects are read from that an invocation names; without it such an invocation fails.
    pub objects: Option<Arc<Objects>>,
    /// Where the function's own event source mappings can be seen; without it they are trusted.
    pub mappings: Option<Arc<dyn Mappings>>,
    /// Where metrics are told, if anywhere.
    pub metrics: Metrics,
}

/// The ingest function, started. Safe to use from concurrent invocations.
#[derive(Debug)]
pub struct Ingest {
    pipeline: Arc<Pipeline>,
    sinks: Sinks,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: IngestOptions,
    mapping_check: Option<MappingCheck>,
    /// Buffers for decoded payloads, one per concurrent invocation, kept between invocations.
    arenas: Mutex<Vec<Vec<u8>>>,
}

/// What a batch came to, over all its source partitions.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Records delivered.
    pub delivered: u64,
    /// Records that were in already and were dropped.
    pub duplicates: u64,
    /// What became of the records that were committed.
    pub counts: Counts,
    /// Dead letters by reason.
    pub dead_letter_reasons: BTreeMap<&'static str, u64>,
    /// Largest event time that was committed, milliseconds since 1970 UTC.
    pub event_time_max_ms: Option<i64>,
    /// Journal entries committed.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// PUTs sent.
    pub puts: u64,
    /// What the search sink did.
    pub search: SearchCounts,
    /// What other streams took.
    pub streams: BTreeMap<Target, SentCounts>,
    /// Dead letters of the sinks beside the lake that were committed.
    pub sink_dead_letters: u64,
    /// Source partitions in the batch.
    pub partitions: u64,
    /// How long each sink took for the source partition that it took longest for, in milliseconds.
    pub sink_millis: BTreeMap<Role, i64>,
}

/// What the invocation answers, and what it did.
#[derive(Clone, Debug)]
pub struct Answer {
    /// For the event source mapping.
    pub response: BatchResponse,
    /// For logs, metrics and tests.
    pub batch: Batch,
}

/// The invocation fails: the mapping delivers the whole batch again. What was committed stays and
/// is dropped as duplicate then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// The event cannot be read.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// What invokes the function would lose records.
    #[error(transparent)]
    Mapping(#[from] MappingFault),
    /// An invocation that names objects is not as it must be.
    #[error("the event is about objects, but {0}")]
    Objects(String),
    /// An object cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// Time ran out before all objects that an event names were in.
    #[error(
        "time ran out before {} in: the event must come again. Then the lake goes on where this ended, but other sinks \
         begin anew: for objects that take longer than an invocation invoke the function directly, or use \
         `tripline backfill`",
        left(objects)
    )]
    Unfinished {
        /// Their URLs.
        objects: Vec<String>,
    },
    /// Nothing of a source partition is known to be in.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The search cluster does not have every record, and none before them can be told apart.
    #[error(
        "{partition}: record {record} is not in the search cluster: {why}; what the lake has is dropped there when it comes again"
    )]
    Search {
        /// Where the record comes from.
        partition: SourcePartition,
        /// The first record that is not.
        record: Position,
        /// Why.
        why: Why,
    },
    /// A stream that events go on into does not have every record, and none before them can be told apart.
    #[error("{partition}: record {record} is not in the {} sink: {error}", target.name())]
    Stream {
        /// Where the record comes from.
        partition: SourcePartition,
        /// The first record that is not.
        record: Position,
        /// The sink.
        target: Target,
        /// Why.
        error: String,
    },
    /// A record is refused by the pipeline's policy, and the mapping takes no partial responses.
    #[error(
        "{partition}: record {record} is refused ({reason}) and fails the batch; records before it are in. Set the \
         mapping's ReportBatchItemFailures and TRIPLINE_PARTIAL_RESPONSES=true to retry from that record only"
    )]
    Refused {
        /// Where the record comes from.
        partition: SourcePartition,
        /// Its position.
        record: Position,
        /// Why it is refused.
        reason: String,
    },
}

fn left(objects: &[String]) -> String {
    let first = objects.first().map(String::as_str).unwrap_or_default();
    match objects.len() {
        1 => format!("{first} was"),
        more => format!("{first} and {} more were", more.saturating_sub(1)),
    }
}

/// As the invocation's error: without it the runtime would name a type of Rust's.
impl From<IngestError> for Diagnostic {
    fn from(error: IngestError) -> Self {
        Self { error_type: "IngestError".to_owned(), error_message: error.to_string() }
    }
}

impl Ingest {
    /// An ingest function that feeds a lake.
    #[must_use]
    pub fn new(pipeline: Arc<Pipeline>, lake: &Lake, options: IngestOptions) -> Self {
        Self::feeding(Sinks::lake(lake), pipeline, Arc::clone(&lake.environment().clock), options)
    }

    /// An ingest function that feeds these sinks.
    #[must_use]
    pub fn feeding(
        sinks: Sinks,
        pipeline: Arc<Pipeline>,
        clock: Arc<dyn Clock>,
        options: IngestOptions,
    ) -> Self {
        let mapping_check = options
            .mappings
            .clone()
            .map(|mappings| MappingCheck::new(mappings, Arc::clone(&clock), options.partial_responses));
        Self { pipeline, sinks, clock, options, mapping_check, arenas: Mutex::default() }
    }

    /// Brings the records of one source partition into the sinks, without an event around them.
    pub async fn take(&self, place: Place<'_>, records: &[SourceRecord<'_>], deadline_ms: i64) -> Taken {
        self.sinks.take(&self.pipeline, place, records, deadline_ms).await
    }

    /// Handles the event in `body`, to be answered before `deadline_ms` (milliseconds since 1970
    /// UTC).
    ///
    /// # Errors
    /// [`IngestError`]: the batch must be delivered again.
    pub async fn handle(&self, body: &[u8], deadline_ms: i64) -> Result<Answer, IngestError> {
        let began_ms = self.clock.now_ms();
        let result = self.event(body, self.stop_at(deadline_ms)).await;
        self.observe(&result, began_ms);
        result
    }

    /// When to stop working, so that there is time to answer.
    pub(crate) fn stop_at(&self, deadline_ms: i64) -> i64 {
        let left = deadline_ms.saturating_sub(self.clock.now_ms()).max(0);
        deadline_ms.saturating_sub((left / ANSWER_MARGIN.0).min(ANSWER_MARGIN.1))
    }

    pub(crate) async fn event(&self, body: &[u8], stop_at_ms: i64) -> Result<Answer, IngestError> {
        let mut arena = self.arenas.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let result = self.append_all(body, &mut arena, stop_at_ms).await;
        self.arenas.lock().unwrap_or_else(PoisonError::into_inner).push(arena);
        result
    }

    /// Leaves a log line and metrics of an invocation that began then.
    pub(crate) fn observe(&self, result: &Result<Answer, IngestError>, began_ms: i64) {
        observe(&self.options.metrics, result, began_ms, self.clock.now_ms());
    }

    async fn append_all(
        &self,
        body: &[u8],
        arena: &mut Vec<u8>,
        deadline_ms: i64,
    ) -> Result<Answer, IngestError> {
        let event = Event::parse(body, arena, &self.options.source_epoch)?;
        let partitions = &event.partitions;
        if let Some(check) = &self.mapping_check {
            for PartitionRecords { partition, .. } in partitions {
                check.check(&partition.source, partition.topic()).await?;
            }
        }
        let mut batch = Batch { partitions: partitions.len() as u64, ..Batch::default() };
        let mut takes = Vec::with_capacity(partitions.len());
        for PartitionRecords { partition, records } in partitions {
            takes.push(self.take(Place::of(partition), records, deadline_ms));
        }
        let taken: Vec<Taken> = stream::iter(takes).buffered(PARTITIONS_AT_ONCE).collect().await;
        let mut failed = Vec::new();
        for (PartitionRecords { partition, records }, taken) in partitions.iter().zip(taken) {
            batch.delivered += records.len() as u64;
            let setback = batch.add(taken);
            if let Some(Setback { from, cause }) = setback {
                let at = records.get(from).or(records.first());
                let record = at.map(|record| record.position).unwrap_or_default();
                failed.push(Failed { partition, record, from, cause });
            }
        }
        // Where nothing at all is in there is nothing to save by a partial response, and an error is what
        // alarms watch for.
        let whole = failed.len() == partitions.len() && failed.iter().all(Failed::is_whole);
        let mut failed = failed.into_iter();
        if (whole || !self.options.partial_responses)
            && let Some(first) = failed.next()
        {
            failed.for_each(|other| other.warn());
            return Err(first.into());
        }
        let failures = failed.map(|failed| {
            failed.warn();
            event.failure(failed.partition, failed.record)
        });
        Ok(Answer { response: BatchResponse { failures: failures.collect() }, batch })
    }
}

/// Records of a source partition that must come again.
pub(crate) struct Failed<'a> {
    pub(crate) partition: &'a SourcePartition,
    /// The first of them, and its index.
    pub(crate) record: Position,
    pub(crate) from: usize,
    pub(crate) cause: Cause,
}

impl Failed<'_> {
    /// Nothing of the source partition is in, and not because a record is refused.
    const fn is_whole(&self) -> bool {
        self.from == 0 && !matches!(self.cause, Cause::Refused(_))
    }

    /// Says why a part of a batch comes again.
    pub(crate) fn warn(&self) {
        let Self { partition, record, cause, .. } = self;
        match cause {
            Cause::Refused(reason) => tracing::warn!(%partition, %record, %reason, "record refused"),
            Cause::Journal(error) => tracing::error!(%partition, %record, %error, "source partition failed"),
            Cause::Search(why) => tracing::error!(%partition, %record, %why, "not in the search cluster"),
            Cause::Stream { target, error } => {
                tracing::error!(%partition, %record, sink = target.name(), %error, "not in the stream");
            }
        }
    }
}

impl From<Failed<'_>> for IngestError {
    fn from(Failed { partition, record, cause, .. }: Failed<'_>) -> Self {
        let partition = partition.clone();
        match cause {
            Cause::Journal(error) => error.into(),
            Cause::Refused(refusal) => Self::Refused { partition, record, reason: refusal.to_string() },
            Cause::Search(why) => Self::Search { partition, record, why },
            Cause::Stream { target, error } => Self::Stream { partition, record, target, error },
        }
    }
}

impl Batch {
    /// Adds what became of one source partition's records. Returns what must come again.
    pub(crate) fn add(&mut self, taken: Taken) -> Option<Setback> {
        let Taken { lake, search, streams, letters, millis, setback } = taken;
        self.duplicates += lake.duplicates;
        self.counts.add(&lake.counts);
        self.event_time_max_ms = self.event_time_max_ms.max(lake.event_time_max_ms);
        self.add_entry(&lake);
        for (reason, count) in lake.dead_letter_reasons {
            *self.dead_letter_reasons.entry(reason).or_default() += count;
        }
        self.search.add(&search);
        for (role, took) in millis {
            let longest = self.sink_millis.entry(role).or_default();
            *longest = took.max(*longest);
        }
        for (target, counts) in &streams {
            self.streams.entry(*target).or_default().add(counts);
        }
        for appended in &letters {
            self.sink_dead_letters += appended.counts.dead_letters;
            self.add_entry(appended);
        }
        setback
    }

    fn add_entry(&mut self, appended: &Appended) {
        self.entries += u64::from(appended.entry.is_some());
        self.bytes += appended.bytes as u64;
        self.puts += u64::from(appended.puts);
    }
}
