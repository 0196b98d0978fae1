//! `tripline run`: files or streams through the real handlers into a lake.

mod drill;
mod kafka;
mod mapping;
mod stream;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use tripline_lake::journal::entry::Totals;
use tripline_lake::{Role, checkpoint};
use tripline_stream::mapping::{Batcher, MappingSettings, PutRecord, ShardOrigin};

use crate::lake::{FormatArguments, LakeArguments};
use crate::sinks::SinkArguments;
use crate::source::{self, Entry, RecordSource, Source};
use crate::text::grouped;
use kafka::KafkaArguments;
use mapping::{ATTEMPTS, Delivered, Mapping, MappingOptions, STREAM_ATTEMPTS};
use stream::StreamArguments;
use summary::{Added, Published, Summary};

/// Arguments of `tripline run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArguments {
    #[command(flatten)]
    lake: LakeArguments,
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
    /// Fault drill: deliver batches twice and re-cut, and let the functions die in between.
    #[arg(long, value_name = "SEED")]
    seed_faults: Option<u64>,
}

/// Runs the pipeline over files or a stream, publishes unless told not to, and prints what became of the
/// records.
///
/// # Errors
/// When an input or the lake cannot be used, or a batch fails for good.
pub async fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    let (pipeline, store) = arguments.lake.open().await?;
    let files =
        arguments.input.iter().map(|path| source::files(path)).collect::<Result<Vec<_>, _>>()?.concat();
    let format = arguments.format.of(&pipeline);
    let attempts = if files.is_empty() { STREAM_ATTEMPTS } else { ATTEMPTS };
    let source_epoch = arguments.source_epoch.clone();
    let options = MappingOptions { format, seed: arguments.seed_faults, attempts, source_epoch };
    let mapping = Mapping::start(pipeline.clone(), store.clone(), options, &arguments.sinks).await?;
    let before = if arguments.no_publish { None } else { Some(committed(&mapping).await?) };
    let began = Instant::now();
    let mut run = Run {
        mapping,
        batch_size: usize::from(arguments.batch_size),
        publish_every: if arguments.no_publish { None } else { Some(arguments.publish_every) },
        batches: 0,
        unpublished_since: None,
        read: 0,
        notes: Vec::new(),
        bar: ProgressBar::hidden(),
        stopped: Arc::default(),
    };
    let RunArguments { stream, kafka, .. } = arguments;
    if stream.kinesis.is_some() || kafka.kafka.is_some() {
        arguments.refuse_loop().await?;
        run.bar = live();
        run.stop_on_interrupt();
    } else {
        run.bar = progress_bar(&files);
    }
    match (&stream.kinesis, &kafka.kafka) {
        (Some(name), _) => stream::kinesis(&mut run, stream, name).await?,
        (None, Some(brokers)) => kafka::poll(&mut run, kafka, stream, brokers).await?,
        (None, None) => run.files(&files).await?,
    }
    let after = match before {
        Some(_) => {
            run.bar.set_message("publishing");
            run.mapping.publish().await?;
            Some(committed(&run.mapping).await?)
        }
        None => None,
    };
    run.bar.finish_and_clear();
    let elapsed = began.elapsed();
    // Everything is done by now: that it cannot be looked at is no failure.
    let documents = run.mapping.shown().await.unwrap_or_else(|error| {
        run.notes.push(format!("{error:#}"));
        Vec::new()
    });
    let totals = before.as_ref().zip(after.as_ref());
    let summary = Summary {
        lake: &arguments.lake.lake,
        pipeline: &pipeline,
        read: run.read,
        added: totals.map_or_else(
            || Added::appended(&run.mapping.delivered),
            |(before, after)| Added::between(before, after),
        ),
        published: after.as_ref().map(|totals| Published { totals, files: &run.mapping.published, format }),
        delivered: &run.mapping.delivered,
        documents: &documents,
        elapsed,
        notes: &run.notes,
    };
    summary.print();
    Ok(ExitCode::SUCCESS)
}

impl RunArguments {
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

/// What the lake has published so far.
async fn committed(mapping: &Mapping) -> anyhow::Result<Totals> {
    let lake = mapping.lake();
    Ok(checkpoint::load(&**lake.store(), lake.pipeline()).await?.checkpoint.totals())
}

fn progress_bar(files: &[PathBuf]) -> ProgressBar {
    let bytes = files.iter().filter_map(|path| path.metadata().ok()).map(|file| file.len()).sum();
    let style =
        ProgressStyle::with_template("{bar:30} {percent:>3} %  {bytes}/{total_bytes}  {elapsed}  {wide_msg}");
    // Drawn to standard error, and only to a terminal.
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// A line that says how a stream is being read; as [`progress_bar`].
fn live() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {elapsed}  {wide_msg}");
    ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

struct Run {
    mapping: Mapping,
    batch_size: usize,
    publish_every: Option<u64>,
    batches: u64,
    /// When the first batch came that is not published.
    unpublished_since: Option<Instant>,
    read: u64,
    notes: Vec<String>,
    bar: ProgressBar,
    /// Somebody wants it to end.
    stopped: Arc<AtomicBool>,
}

impl Run {
    /// Lets an interrupt end the run after the batch at hand; a second one ends the process.
    fn stop_on_interrupt(&self) {
        let stopped = Arc::clone(&self.stopped);
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                if stopped.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Keeps what is to be told at the end, however often it happens.
    fn note_once(&mut self, note: &str) {
        if self.notes.iter().all(|known| known != note) {
            self.notes.push(note.to_owned());
        }
    }

    /// Says how it goes on.
    fn show(&self, place: &str) {
        let seconds = self.bar.elapsed().as_secs_f64().max(0.001);
        let Delivered { appended, duplicates, invocations, .. } = &self.mapping.delivered;
        self.bar.set_message(format!(
            "{place}: {} records, {} a second; {} new in the lake, {} duplicates, {} invocations",
            grouped(self.read),
            grouped((self.read as f64 / seconds) as u64),
            grouped(appended.records),
            grouped(*duplicates),
            grouped(*invocations)
        ));
        self.bar.tick();
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
        self.mapping.publish().await
    }

    /// Delivers files, one after the other.
    async fn files(&mut self, files: &[PathBuf]) -> anyhow::Result<()> {
        let bar = self.bar.clone();
        let mut bytes_before = 0;
        for path in files {
            bar.set_message(path.display().to_string());
            match source::open(path)? {
                Source::Records(records) => {
                    self.records(records, |read| bar.set_position(bytes_before + read)).await?;
                }
                Source::SavedEvent(event) => self.saved_event(&event.body).await?,
            }
            bytes_before += path.metadata().map_or(0, |file| file.len());
            bar.set_position(bytes_before);
        }
        Ok(())
    }

    /// Delivers a file's records as batches of one shard.
    async fn records(&mut self, mut records: RecordSource, progress: impl Fn(u64)) -> anyhow::Result<()> {
        let partition = records.source_partition();
        let origin = ShardOrigin {
            // The fingerprint keeps a file apart from another that had its name before.
            source: format!("{}#{}", partition.source, partition.epoch),
            shard: partition.partition.clone(),
            invoke_identity_arn: "local".to_owned(),
        };
        let settings = MappingSettings { batch_size: self.batch_size, ..self.mapping.settings() };
        let mut batcher = Batcher::new(origin.clone(), settings);
        while let Some(entry) = records.next() {
            match entry? {
                Entry::Record(record) => {
                    self.read += 1;
                    let record = PutRecord::from(record);
                    if let Some(batch) = batcher.push(record) {
                        self.batch(&origin, batch).await?;
                        progress(records.progress().bytes_read());
                    }
                }
                Entry::Oversize { position, bytes } => self.notes.push(format!(
                    "{}:{position}: left out, {bytes} bytes are more than a stream's record may have",
                    records.path().display()
                )),
            }
        }
        if let Some(batch) = batcher.finish() {
            self.batch(&origin, batch).await?;
        }
        if let Some(position) = records.unfinished() {
            self.notes.push(format!(
                "{}:{position}: left for the next run, the line has no end yet",
                records.path().display()
            ));
        }
        Ok(())
    }

    async fn batch(&mut self, origin: &ShardOrigin, batch: Vec<PutRecord>) -> anyhow::Result<()> {
        self.mapping.deliver(origin, batch).await?;
        self.is_delivered().await
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

    async fn saved_event(&mut self, body: &[u8]) -> anyhow::Result<()> {
        self.read += self.mapping.deliver_event(body).await?;
        self.batches += 1;
        Ok(())
    }
}
