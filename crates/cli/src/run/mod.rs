//! `tripline run`: files or streams through the real handlers into a lake.

mod delivered;
mod drill;
mod files;
mod functions;
mod kafka;
mod mapping;
mod on_failure;
mod positions;
mod retries;
mod status;
mod stream;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use tripline_lake::Role;
use tripline_lake::journal::entry::Totals;
use tripline_lake::publish::PublishedFile;
use tripline_search::{SearchCounts, Shown};
use tripline_stream::mapping::MappingSettings;

use crate::lake::{FormatArguments, LakeArguments, StoreArguments};
use crate::sinks::SinkArguments;
use crate::source;
use delivered::Delivered;
use drill::Drill;
use functions::{Functions, InvokeArguments, Local, LocalOptions, Publication, Remote};
use kafka::KafkaArguments;
use mapping::Mapping;
use on_failure::OnFailure;
use retries::{FILE_RETRIES, RetryArguments, STREAM_RETRIES};
use status::{Reporter, Status};
use stream::StreamArguments;
use summary::{Added, Published, Summary};

/// Arguments of `tripline run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArguments {
    /// Folder that holds the pipeline file.
    #[arg(long, value_name = "DIR", env = "TRIPLINE_PIPELINE", required_unless_present = "invoke")]
    pipeline: Option<PathBuf>,
    /// Where the lake is: a folder, file:///folder or s3://bucket/prefix.
    #[arg(long, value_name = "URL", env = "TRIPLINE_LAKE", required_unless_present = "invoke")]
    lake: Option<String>,
    #[command(flatten)]
    stores: StoreArguments,
    #[command(flatten)]
    sinks: SinkArguments,
    /// Files or folders: JSON lines of events, TLC trip records as CSV or Parquet, or saved Lambda events; all but
    /// Parquet plain or compressed with gzip, Zstandard or LZ4.
    #[arg(long, value_name = "PATH", required_unless_present_any = ["kinesis", "kafka"], num_args = 1..)]
    input: Vec<PathBuf>,
    #[command(flatten)]
    stream: StreamArguments,
    #[command(flatten)]
    kafka: KafkaArguments,
    /// Records in a batch at most, as in the event source mapping.
    #[arg(long, value_name = "RECORDS", default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch_size: u16,
    #[command(flatten)]
    retries: RetryArguments,
    #[command(flatten)]
    invoke: InvokeArguments,
    // The default: often enough that the journal stays small, seldom enough that files are large.
    /// Batches between two publish runs; the last one is at the end.
    #[arg(long, value_name = "BATCHES", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    publish_every: u64,
    /// Only fill the journal: `tripline publish` does the rest, at the same time or later.
    #[arg(long, conflicts_with_all = ["publish_every", "seed_faults"])]
    no_publish: bool,
    #[command(flatten)]
    format: FormatArguments,
    /// Epoch of all sources: another one where a stream or topic was made anew under its old name.
    #[arg(long, value_name = "EPOCH", default_value = "", env = "TRIPLINE_SOURCE_EPOCH")]
    source_epoch: String,
    /// Seconds between two status lines on standard error, where that is no terminal; 0: none.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    status_every: u64,
    /// Fault drill: deliver batches twice and re-cut, and let the functions die in between.
    #[arg(long, value_name = "SEED")]
    seed_faults: Option<u64>,
}

/// Runs the pipeline over files or a stream, publishes unless told not to, and prints what became of the
/// records. Exit code 1: some were given up, and lie at the on-failure destination.
///
/// # Errors
/// When an input or the lake cannot be used, or a batch fails for good.
pub async fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    let files =
        arguments.input.iter().map(|path| source::files(path)).collect::<Result<Vec<_>, _>>()?.concat();
    let mut run = arguments.start().await?;
    let before = run.committed().await?;
    let began = Instant::now();
    let reporter = Reporter::start(&run.mapping.status, Duration::from_secs(arguments.status_every));
    let RunArguments { stream, kafka, .. } = arguments;
    if stream.kinesis.is_some() || kafka.kafka.is_some() {
        arguments.refuse_loop().await?;
        run.stop_on_interrupt();
    }
    match (&stream.kinesis, &kafka.kafka) {
        (Some(name), _) => stream::kinesis(&mut run, stream, name).await?,
        (None, Some(brokers)) => kafka::poll(&mut run, kafka, stream, brokers).await?,
        (None, None) => run.files(&files).await?,
    }
    if run.publish_every.is_some() {
        run.publish().await?;
    }
    let after = run.committed().await?;
    drop(reporter);
    let elapsed = began.elapsed();
    let documents = run.documents().await;
    let delivered = &run.mapping.delivered;
    let totals = before.as_ref().zip(after.as_ref());
    let local = match &run.mapping.functions {
        Functions::Local(functions) => Some(functions),
        Functions::Remote(_) => None,
    };
    let added = totals.map(|(before, after)| Added::between(before, after));
    let summary = Summary {
        lake: arguments.lake.as_deref().unwrap_or_default(),
        pipeline: local.map(|functions| functions.pipeline()),
        read: run.read,
        added: local.map(|_| added.unwrap_or_else(|| Added::appended(delivered))),
        published: after.as_ref().zip(local).map(|(totals, functions)| Published {
            totals,
            files: &run.published,
            format: functions.format(),
        }),
        told: run.told.as_ref(),
        delivered,
        on_failure: run.mapping.on_failure.as_ref().map(OnFailure::location),
        documents: &documents,
        elapsed,
        notes: &run.notes,
    };
    summary.print();
    Ok(if delivered.given_up.0 == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl RunArguments {
    /// The mapping and its functions; nothing is read yet.
    async fn start(&self) -> anyhow::Result<Run> {
        let drill = self.seed_faults.map(Drill::new);
        let (functions, name) = self.functions(drill.as_ref()).await?;
        let on_failure = match &self.retries.on_failure {
            Some(url) => {
                let source = format!("{name} {:?} {:?}", self.stream.kinesis, self.kafka.topic);
                Some(OnFailure::new(self.stores.open(url).await?, &self.invoke.function, &source))
            }
            None => None,
        };
        let (search, publishes) = match &functions {
            Functions::Local(functions) => (functions.has_search(), !self.no_publish),
            Functions::Remote(functions) => (false, functions.publishes()),
        };
        let mapping = Mapping {
            functions,
            settings: MappingSettings {
                report_batch_item_failures: true,
                bisect_batch_on_function_error: self.retries.bisect_batch_on_function_error,
                ..MappingSettings::default()
            },
            limits: self.retries.limits(if self.input.is_empty() { STREAM_RETRIES } else { FILE_RETRIES }),
            on_failure,
            drill,
            delivered: Delivered { search: search.then(SearchCounts::default), ..Delivered::default() },
            status: Status::new(),
            stopped: Arc::default(),
        };
        Ok(Run {
            mapping,
            name,
            batch_size: usize::from(self.batch_size),
            publish_every: publishes.then_some(self.publish_every),
            batches: 0,
            unpublished_since: None,
            read: 0,
            published: Vec::new(),
            told: None,
            notes: Vec::new(),
        })
    }

    /// The functions, and what the pipeline or, where that is not known, the function is called.
    async fn functions(&self, drill: Option<&Drill>) -> anyhow::Result<(Functions, String)> {
        if let Some(url) = &self.invoke.invoke {
            let remote = Remote::new(url, &self.invoke)?;
            return Ok((Functions::Remote(Box::new(remote)), self.invoke.function.clone()));
        }
        let (Some(pipeline), Some(lake)) = (&self.pipeline, &self.lake) else {
            bail!("give --pipeline and --lake, or --invoke")
        };
        let (pipeline, lake, stores) = (pipeline.clone(), lake.clone(), self.stores.clone());
        let (pipeline, store) = LakeArguments { pipeline, lake, stores }.open().await?;
        let (format, name) = (self.format.of(&pipeline), pipeline.id.clone());
        let options = LocalOptions {
            pipeline,
            store,
            sinks: &self.sinks,
            format,
            source_epoch: self.source_epoch.clone(),
            mishaps: drill.map(Drill::mishaps),
        };
        Ok((Functions::Local(Box::new(Local::start(options).await?)), name))
    }

    /// A run that fed what it reads would go on for ever.
    async fn refuse_loop(&self) -> anyhow::Result<()> {
        let sinks = self.sinks.settings().await?;
        let name = |stream: &str| stream.rsplit('/').next().unwrap_or_default().to_owned();
        if let (Some(source), Some(sink)) = (&self.stream.kinesis, &sinks.kinesis)
            && sinks.names.contains(&Role::Kinesis)
            && name(source) == name(&sink.stream)
        {
            bail!(
                "the stream {source} is also the sink, TRIPLINE_KINESIS_STREAM: choose another one, or leave it out"
            );
        }
        if let (Some(brokers), Some((of_sink, topic))) = (&self.kafka.kafka, sinks.kafka_topic())
            && sinks.names.contains(&Role::Kafka)
            && self.kafka.topic.iter().any(|source| source == topic)
            && brokers.split(',').any(|broker| of_sink.split(',').any(|other| other.trim() == broker.trim()))
        {
            bail!(
                "the topic {topic} is also the sink, TRIPLINE_KAFKA_TOPIC: choose another one, or leave it out"
            );
        }
        Ok(())
    }
}

struct Run {
    mapping: Mapping,
    /// What the pipeline is called, or the function.
    #[cfg_attr(
        not(feature = "kafka"),
        expect(dead_code, reason = "only a consumer group is named after it")
    )]
    name: String,
    batch_size: usize,
    /// `None`: publishing is left to others.
    publish_every: Option<u64>,
    batches: u64,
    /// When the first batch came that is not published.
    unpublished_since: Option<Instant>,
    read: u64,
    published: Vec<PublishedFile>,
    /// What a function over HTTP says that it published.
    told: Option<(u64, u64)>,
    notes: Vec<String>,
}

impl Run {
    /// Lets an interrupt end the run after the try at hand; a second one ends the process.
    fn stop_on_interrupt(&self) {
        let stopped: Arc<AtomicBool> = Arc::clone(&self.mapping.stopped);
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                if stopped.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
    }

    /// Keeps what is to be told at the end, however often it happens.
    fn note_once(&mut self, note: &str) {
        if self.notes.iter().all(|known| known != note) {
            self.notes.push(note.to_owned());
        }
    }

    /// Counts records that were read.
    fn has_read(&mut self, records: u64) {
        self.read += records;
        self.mapping.status.read(self.read);
    }

    /// Publishes what has waited for it long enough.
    async fn publish_if_due(&mut self) -> anyhow::Result<()> {
        let is_due = self.unpublished_since.is_some_and(|since| since.elapsed() >= stream::PUBLISH_AFTER);
        if is_due && self.publish_every.is_some() {
            self.publish().await?;
        }
        Ok(())
    }

    async fn publish(&mut self) -> anyhow::Result<()> {
        self.unpublished_since = None;
        let Publication { files, count, rows, .. } = self.mapping.publish().await?;
        self.published.extend(files);
        if let Functions::Remote(_) = self.mapping.functions {
            let (files, before) = self.told.unwrap_or_default();
            self.told = Some((files + count, before + rows));
        }
        Ok(())
    }

    /// Counts a batch, and publishes where it is time.
    async fn is_delivered(&mut self) -> anyhow::Result<()> {
        self.batches += 1;
        self.unpublished_since.get_or_insert_with(Instant::now);
        if self.publish_every.is_some_and(|every| self.batches.is_multiple_of(every)) {
            self.publish().await?;
        }
        Ok(())
    }

    /// What the lake has published so far, where this run publishes into it.
    async fn committed(&self) -> anyhow::Result<Option<Totals>> {
        match &self.mapping.functions {
            Functions::Local(functions) if self.publish_every.is_some() => {
                functions.committed().await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// What the search cluster has.
    async fn documents(&mut self) -> Vec<Shown> {
        let Functions::Local(functions) = &self.mapping.functions else { return Vec::new() };
        // Everything is done by now: that it cannot be looked at is no failure.
        functions.shown().await.unwrap_or_else(|error| {
            self.notes.push(format!("{error:#}"));
            Vec::new()
        })
    }
}
