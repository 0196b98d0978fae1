//! The functions in this process, over the lake and the sinks that the options name.

use std::sync::Arc;

use anyhow::bail;
use tripline_ingest::{Ingest, IngestError, IngestOptions};
use tripline_lake::clock::{Clock as _, SystemClock};
use tripline_lake::environment::Mishaps;
use tripline_lake::event_time::EventTimeRules;
use tripline_lake::journal::JournalError;
use tripline_lake::journal::entry::Totals;
use tripline_lake::publish::{FileFormat, PublishError, PublishOptions};
use tripline_lake::store::ObjectStore;
use tripline_lake::{Environment, Lake, Role, checkpoint};
use tripline_model::pipeline::Pipeline;
use tripline_search::Shown;

use super::{Outcome, Publication};
use crate::publish::RIVAL_PAUSE;
use crate::run::delivered::Delivered;
use crate::sinks::{SinkArguments, SinkChoices};

/// The time that a function has for a batch, as Lambda's longest.
const INVOCATION_MS: i64 = 15 * 60 * 1000;

/// What the functions are to work with.
pub(in crate::run) struct LocalOptions<'a> {
    pub(in crate::run) pipeline: Arc<Pipeline>,
    pub(in crate::run) store: Arc<dyn ObjectStore>,
    pub(in crate::run) sinks: &'a SinkArguments,
    pub(in crate::run) format: FileFormat,
    /// Epoch of all sources.
    pub(in crate::run) source_epoch: String,
    /// What befalls them in a drill.
    pub(in crate::run) mishaps: Option<Arc<dyn Mishaps>>,
}

/// Both functions.
#[derive(Debug)]
pub(in crate::run) struct Local {
    pipeline: Arc<Pipeline>,
    store: Arc<dyn ObjectStore>,
    environment: Environment,
    lake: Lake,
    sinks: SinkChoices,
    format: FileFormat,
    source_epoch: String,
    ingest: Ingest,
}

impl Local {
    pub(in crate::run) async fn start(options: LocalOptions<'_>) -> anyhow::Result<Self> {
        let LocalOptions { pipeline, store, sinks, format, source_epoch, mishaps } = options;
        let mut environment = Environment::default();
        if let Some(mishaps) = mishaps {
            environment.mishaps = mishaps;
        }
        let lake = Lake::open(Arc::clone(&store), environment.clone(), &pipeline).await?;
        let sinks = sinks.connect(&pipeline, &environment).await?;
        let ingest = start_ingest(&pipeline, &lake, &sinks, &source_epoch);
        Ok(Self { pipeline, store, environment, lake, sinks, format, source_epoch, ingest })
    }

    pub(in crate::run) fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    pub(in crate::run) const fn lake(&self) -> &Lake {
        &self.lake
    }

    pub(in crate::run) const fn format(&self) -> FileFormat {
        self.format
    }

    /// Epoch of all sources.
    pub(in crate::run) fn source_epoch(&self) -> &str {
        &self.source_epoch
    }

    /// Whether the lake is the only sink.
    pub(in crate::run) fn is_lake_alone(&self) -> bool {
        *self.sinks.connected.names() == [Role::Lake].into()
    }

    /// Whether there is a search cluster.
    pub(in crate::run) fn has_search(&self) -> bool {
        self.sinks.connected.names().contains(&Role::Search)
    }

    /// What the search cluster has, if there is one.
    pub(in crate::run) async fn shown(&self) -> anyhow::Result<Vec<Shown>> {
        self.sinks.shown(&self.pipeline, &self.environment).await
    }

    /// What the lake has published so far.
    pub(in crate::run) async fn committed(&self) -> anyhow::Result<Totals> {
        Ok(checkpoint::load(&*self.store, self.lake.pipeline()).await?.checkpoint.totals())
    }

    pub(super) async fn invoke(&mut self, event: &[u8], counts: &mut Delivered) -> anyhow::Result<Outcome> {
        match self.ingest.handle(event, SystemClock.now_ms() + INVOCATION_MS).await {
            Ok(answer) => {
                counts.add(&answer.batch);
                Ok(Outcome::Answered(Box::new(answer)))
            }
            Err(IngestError::Journal(JournalError::Crash(_))) => {
                self.revive(counts).await?;
                Ok(Outcome::Died)
            }
            Err(error) => Ok(error.into()),
        }
    }

    pub(super) async fn publish(&mut self, counts: &mut Delivered) -> anyhow::Result<Publication> {
        let mut publication = Publication::default();
        loop {
            let event_time = EventTimeRules::of(&self.pipeline);
            let options = PublishOptions { format: self.format, event_time, ..PublishOptions::default() };
            match self.lake.publisher(options).run(i64::MAX).await {
                Ok(report) => {
                    publication.count += report.files.len() as u64;
                    publication.rows += report.files.iter().map(|file| file.rows).sum::<u64>();
                    publication.files.extend(report.files);
                    publication.watermark_ms = report.watermark_ms;
                    if let Some(lane) = report.stopped.first() {
                        bail!("lane {} stands still at entry {}: {}", lane.folder, lane.entry, lane.reason);
                    }
                    if !report.gave_way {
                        return Ok(publication);
                    }
                    tokio::time::sleep(RIVAL_PAUSE).await;
                }
                Err(PublishError::Crash(_)) => self.revive(counts).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A fresh process in place of one that died: nothing is remembered.
    async fn revive(&mut self, counts: &mut Delivered) -> anyhow::Result<()> {
        counts.deaths += 1;
        self.lake = Lake::open(Arc::clone(&self.store), self.environment.clone(), &self.pipeline).await?;
        self.ingest = start_ingest(&self.pipeline, &self.lake, &self.sinks, &self.source_epoch);
        Ok(())
    }
}

fn start_ingest(pipeline: &Arc<Pipeline>, lake: &Lake, sinks: &SinkChoices, epoch: &str) -> Ingest {
    let source_epoch = epoch.to_owned();
    let options = IngestOptions { source_epoch, partial_responses: true, ..IngestOptions::default() };
    let clock = Arc::clone(&lake.environment().clock);
    Ingest::feeding(sinks.connected.all(lake), Arc::clone(pipeline), clock, options)
}
