//! The event source mapping's side: batches are delivered until the function says they are done.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tripline_ingest::{Answer, Batch, Ingest, IngestError, IngestOptions};
use tripline_lake::clock::{Clock, SystemClock};
use tripline_lake::journal::JournalError;
use tripline_lake::publish::{FileFormat, PublishError, PublishOptions, PublishedFile};
use tripline_lake::store::ObjectStore;
use tripline_lake::{Environment, Lake, Role};
use tripline_model::batch::Counts;
use tripline_model::pipeline::{Pipeline, Target};
use tripline_search::{SearchCounts, Shown};
use tripline_stream::mapping::{MappingSettings, PutRecord, Reply, ShardOrigin, next_after, write_event};
use tripline_stream::sink::SentCounts;

use super::drill::Drill;
use crate::publish::RIVAL_PAUSE;
use crate::sinks::{SinkArguments, SinkChoices};

/// Tries of a file's batch before the run is given up; Lambda would send it to the on-failure destination.
pub(super) const ATTEMPTS: u32 = 5;
/// Tries of a stream's: some minutes, as it can wait for a sink that is away.
pub(super) const STREAM_ATTEMPTS: u32 = 60;
/// Between the first try and the second; longer between later ones, up to the second.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// The time that a function has for a batch, as Lambda's longest.
const INVOCATION_MS: i64 = 15 * 60 * 1000;

/// How the mapping behaves.
#[derive(Clone, Debug)]
pub(super) struct MappingOptions {
    pub(super) format: FileFormat,
    /// Seed of a fault drill.
    pub(super) seed: Option<u64>,
    /// Tries of one batch.
    pub(super) attempts: u32,
    /// Epoch of all sources.
    pub(super) source_epoch: String,
}

/// Waits before a try once more.
pub(super) async fn pause(attempt: u32) {
    let (first, longest) = RETRY_PAUSES;
    tokio::time::sleep((first * attempt).min(longest)).await;
}

/// What was delivered, over all invocations.
#[derive(Clone, Debug, Default)]
pub(super) struct Delivered {
    pub(super) invocations: u64,
    pub(super) duplicates: u64,
    pub(super) deaths: u64,
    /// What the answers say was appended. An entry whose writer died is not among it.
    pub(super) appended: Counts,
    pub(super) dead_letter_reasons: BTreeMap<&'static str, u64>,
    /// What the search sink did; `None` where there is none.
    pub(super) search: Option<SearchCounts>,
    /// What other streams took.
    pub(super) streams: BTreeMap<Target, SentCounts>,
}

impl Delivered {
    fn add(&mut self, batch: &Batch) {
        self.duplicates += batch.duplicates;
        self.appended.add(&batch.counts);
        if let Some(search) = &mut self.search {
            search.add(&batch.search);
        }
        for (target, counts) in &batch.streams {
            self.streams.entry(*target).or_default().add(counts);
        }
        for (reason, count) in &batch.dead_letter_reasons {
            *self.dead_letter_reasons.entry(reason).or_default() += count;
        }
    }
}

/// A local event source mapping with the functions behind it.
pub(super) struct Mapping {
    pipeline: Arc<Pipeline>,
    store: Arc<dyn ObjectStore>,
    options: MappingOptions,
    environment: Environment,
    drill: Option<Drill>,
    lake: Lake,
    sinks: SinkChoices,
    ingest: Ingest,
    pub(super) delivered: Delivered,
    pub(super) published: Vec<PublishedFile>,
}

impl Mapping {
    pub(super) async fn start(
        pipeline: Arc<Pipeline>,
        store: Arc<dyn ObjectStore>,
        options: MappingOptions,
        search: &SinkArguments,
    ) -> anyhow::Result<Self> {
        let drill = options.seed.map(Drill::new);
        let mut environment = Environment::default();
        if let Some(drill) = &drill {
            environment.mishaps = drill.mishaps();
        }
        let lake = Lake::open(Arc::clone(&store), environment.clone(), &pipeline.id).await?;
        let sinks = search.connect(&pipeline, &environment).await?;
        let ingest = start_ingest(&pipeline, &lake, &sinks, &options.source_epoch);
        let search = sinks.connected.names().contains(&Role::Search).then(SearchCounts::default);
        let (delivered, published) = (Delivered { search, ..Delivered::default() }, Vec::new());
        Ok(Self { pipeline, store, options, environment, drill, lake, sinks, ingest, delivered, published })
    }

    pub(super) fn lake(&self) -> &Lake {
        &self.lake
    }

    /// Epoch of all sources.
    pub(super) fn source_epoch(&self) -> &str {
        &self.options.source_epoch
    }

    /// Whether the lake is the only sink.
    pub(super) fn is_lake_alone(&self) -> bool {
        *self.sinks.connected.names() == [Role::Lake].into()
    }

    /// What the search cluster has, if there is one.
    pub(super) async fn shown(&self) -> anyhow::Result<Vec<Shown>> {
        self.sinks.shown(&self.pipeline, &self.environment).await
    }

    pub(super) fn settings(&self) -> MappingSettings {
        MappingSettings {
            report_batch_item_failures: true,
            bisect_batch_on_function_error: true,
            ..MappingSettings::default()
        }
    }

    /// Delivers a batch, in pieces and again where the function's answers ask for it, and, in a
    /// drill, where they do not.
    pub(super) async fn deliver(
        &mut self,
        origin: &ShardOrigin,
        batch: Vec<PutRecord>,
    ) -> anyhow::Result<()> {
        let cuts = match &mut self.drill {
            Some(drill) => drill.cuts(batch.len()),
            None => std::iter::once(0..batch.len()).collect(),
        };
        for cut in cuts {
            self.deliver_until_done(origin, batch.get(cut).unwrap_or_default()).await?;
        }
        Ok(())
    }

    async fn deliver_until_done(&mut self, origin: &ShardOrigin, batch: &[PutRecord]) -> anyhow::Result<()> {
        let settings = self.settings();
        let mut waiting = VecDeque::from([(batch, 1)]);
        while let Some((part, attempt)) = waiting.pop_front() {
            let outcome = self.invoke(&write_event(origin, part)).await?;
            let reply = match &outcome {
                Outcome::Answered(answer) => Reply::from(&answer.response),
                Outcome::Failed(_) => {
                    pause(attempt).await;
                    Reply::Error
                }
                Outcome::Died => Reply::Error,
            };
            let first = part.first().map(|record| record.sequence.to_string()).unwrap_or_default();
            let left = next_after(&reply, part, &settings);
            // A death on purpose is no attempt: the drill must not end in giving up.
            let attempt = if matches!(outcome, Outcome::Died) { attempt } else { attempt + 1 };
            if attempt > self.options.attempts && !left.is_empty() {
                let attempts = self.options.attempts;
                let place =
                    format!("{}: the batch from position {first} on failed {attempts} times", origin.source);
                match outcome {
                    Outcome::Failed(error) => return Err(error).context(place),
                    _ => {
                        bail!("{place}: the function refuses records (see on_malformed in the pipeline file)")
                    }
                }
            }
            for range in left.into_iter().rev() {
                if let Some(rest) = part.get(range) {
                    waiting.push_front((rest, attempt));
                }
            }
        }
        Ok(())
    }

    /// Delivers a saved event as it is. Returns the number of its records.
    pub(super) async fn deliver_event(&mut self, body: &[u8]) -> anyhow::Result<u64> {
        for _ in 0..ATTEMPTS * 4 {
            match self.invoke(body).await? {
                Outcome::Answered(answer) if answer.response.is_success() => {
                    return Ok(answer.batch.delivered);
                }
                Outcome::Answered(_) => bail!("the function refuses records of the saved event"),
                Outcome::Failed(error) => return Err(error.into()),
                Outcome::Died => {}
            }
        }
        bail!("the drill killed the function too often")
    }

    /// Invokes the function once.
    pub(super) async fn invoke(&mut self, body: &[u8]) -> anyhow::Result<Outcome> {
        self.delivered.invocations += 1;
        match self.ingest.handle(body, SystemClock.now_ms() + INVOCATION_MS).await {
            Ok(answer) => {
                self.delivered.add(&answer.batch);
                Ok(Outcome::Answered(answer))
            }
            Err(IngestError::Journal(JournalError::Crash(_))) => {
                self.revive().await?;
                Ok(Outcome::Died)
            }
            Err(error) => Ok(Outcome::Failed(error)),
        }
    }

    /// Publishes everything that is in the journal.
    pub(super) async fn publish(&mut self) -> anyhow::Result<()> {
        loop {
            let options = PublishOptions { format: self.options.format, ..PublishOptions::default() };
            match self.lake.publisher(options).run(i64::MAX).await {
                Ok(report) => {
                    self.published.extend(report.files);
                    if let Some(lane) = report.stopped.first() {
                        bail!("lane {} stands still at entry {}: {}", lane.folder, lane.entry, lane.reason);
                    }
                    if !report.gave_way {
                        return Ok(());
                    }
                    tokio::time::sleep(RIVAL_PAUSE).await;
                }
                Err(PublishError::Crash(_)) => self.revive().await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A fresh process in place of one that died: nothing is remembered.
    async fn revive(&mut self) -> anyhow::Result<()> {
        self.delivered.deaths += 1;
        self.lake = Lake::open(Arc::clone(&self.store), self.environment.clone(), &self.pipeline.id).await?;
        self.ingest = start_ingest(&self.pipeline, &self.lake, &self.sinks, &self.options.source_epoch);
        Ok(())
    }
}

pub(super) enum Outcome {
    Answered(Answer),
    Failed(IngestError),
    Died,
}

fn start_ingest(pipeline: &Arc<Pipeline>, lake: &Lake, sinks: &SinkChoices, epoch: &str) -> Ingest {
    let source_epoch = epoch.to_owned();
    let options = IngestOptions { source_epoch, partial_responses: true, ..IngestOptions::default() };
    let clock = Arc::clone(&lake.environment().clock);
    Ingest::feeding(sinks.connected.all(lake), Arc::clone(pipeline), clock, options)
}
