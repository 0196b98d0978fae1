//! `tripline replay`: events of files, in the order of their times and at their pace, into a stream.

mod checkpoint;
mod engine;
mod event;
mod input;
mod order;
mod pace;
mod report;
mod stage;
mod target;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum;
use tokio::time::Instant;
use tripline_kinesis::KinesisOptions;
use tripline_model::time;
use xxhash_rust::xxh3::xxh3_128;

use crate::input::{Input, expand};
use crate::objects::{BucketOptions, Buckets};
use checkpoint::Checkpoint;
use engine::{Engine, EngineOptions, Outcome};
use input::{Order, ReadOptions, ReadStats};
use pace::Pacer;
use report::{Summary, Teller, rate};
use stage::{KeyRule, Stage, StageOptions};
use target::{
    FunctionOptions, FunctionTarget, KinesisTarget, KinesisTargetOptions, LinesTarget, Nowhere, Target,
};

/// Prefix of the reference tool's data in its bucket.
const REFERENCE_BUCKET: &str = "aws-bigdata-blog";
const REFERENCE_PREFIX: &str = "artifacts/kinesis-analytics-taxi-consumer/taxi-trips.json.lz4/";

/// Arguments of `tripline replay`.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("to").args(["stream_name", "kafka", "output", "function", "dry_run"]).required(true))]
pub struct ReplayArguments {
    /// Files, folders, patterns, or s3://bucket/prefix: JSON lines of events, TLC trip records as CSV or
    /// Parquet; all but Parquet plain or compressed (.gz, .lz4, .zst).
    #[arg(long, value_name = "PATH", num_args = 1.., required_unless_present = "bucket", help_heading = "Source")]
    input: Vec<String>,
    /// Bucket to read from, with --prefix.
    #[arg(long, visible_alias = "bucket-name", value_name = "NAME", help_heading = "Source")]
    bucket: Option<String>,
    /// Prefix of the objects in --bucket.
    #[arg(
        long,
        visible_alias = "object-prefix",
        value_name = "PREFIX",
        requires = "bucket",
        help_heading = "Source"
    )]
    prefix: Option<String>,
    /// Region of the buckets.
    #[arg(long, value_name = "REGION", help_heading = "Source")]
    bucket_region: Option<String>,
    /// Read buckets without credentials, as public ones allow.
    #[arg(long, help_heading = "Source")]
    no_sign_request: bool,
    /// URL of an S3-compatible server; without it, AWS's.
    #[arg(long, value_name = "URL", env = "TRIPLINE_S3_ENDPOINT", help_heading = "Source")]
    s3_endpoint: Option<String>,

    /// Kinesis stream to send to, by its name or its ARN.
    #[arg(long, visible_aliases = ["stream", "stream-arn"], value_name = "NAME", help_heading = "Target")]
    stream_name: Option<String>,
    /// Region of the stream, where its ARN does not tell it.
    #[arg(long, value_name = "REGION", help_heading = "Target")]
    stream_region: Option<String>,
    /// URL of another Kinesis server, or of a VPC endpoint.
    #[arg(long, value_name = "URL", env = "TRIPLINE_KINESIS_ENDPOINT", help_heading = "Target")]
    endpoint: Option<String>,
    /// Bootstrap servers of a Kafka cluster to send to; the functions' own variables, `TRIPLINE_KAFKA_…`, say
    /// how to reach it.
    #[arg(long, value_name = "HOST:PORT,…", requires = "topic", conflicts_with_all = ["stream_name", "watermarks", "aggregate"], help_heading = "Target")]
    kafka: Option<String>,
    /// Topic to send to.
    #[arg(long, value_name = "TOPIC", requires = "kafka", help_heading = "Target")]
    topic: Option<String>,
    /// File to write events into, one a line; - is standard output.
    #[arg(long, value_name = "FILE", help_heading = "Target")]
    output: Option<PathBuf>,
    /// URL of functions that run here, as cargo lambda watch serves them: invoke one as the mapping of a
    /// Kinesis stream would.
    #[arg(long, value_name = "URL", help_heading = "Target")]
    function: Option<String>,
    /// Name of the function.
    #[arg(long, value_name = "NAME", default_value = "ingest", help_heading = "Target")]
    function_name: String,
    /// Shards of the function's stream.
    #[arg(long, value_name = "SHARDS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000), help_heading = "Target")]
    shards: u16,
    /// Records of an invocation at most.
    #[arg(long, value_name = "RECORDS", default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(1..=10_000), help_heading = "Target")]
    batch_size: u16,
    /// Read, put in order and count, and send nothing.
    #[arg(long, help_heading = "Target")]
    dry_run: bool,

    /// Member that tells an event's time, and by which events are put in order.
    #[arg(
        long,
        visible_alias = "timestamp-attribute-name",
        value_name = "NAME",
        default_value = "dropoff_datetime",
        help_heading = "Order and pace"
    )]
    timestamp_attribute: String,
    /// How many times faster than they happened events are sent; 0 is as fast as possible.
    #[arg(long, value_name = "FACTOR", default_value_t = 6480.0, value_parser = speedup, help_heading = "Order and pace")]
    speedup: f64,
    /// Longest time without an event that is waited for; a longer one, as wild clocks make it, is cut to it.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = speedup, help_heading = "Order and pace")]
    max_wait: f64,
    /// Begin with the events of this time, such as 2018-01-01T00:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = instant, help_heading = "Order and pace")]
    seek: Option<i64>,
    /// Stop after so many events.
    #[arg(long, value_name = "EVENTS", help_heading = "Order and pace")]
    limit: Option<u64>,
    /// How events are put in order.
    #[arg(long, value_enum, default_value_t = OrderArgument::Window, help_heading = "Order and pace")]
    order: OrderArgument,
    /// Events that --order window looks ahead.
    #[arg(
        long,
        visible_alias = "reader-buffer-size",
        value_name = "EVENTS",
        default_value_t = 100_000,
        help_heading = "Order and pace"
    )]
    buffer_size: usize,
    /// Files that --order window merges at a time.
    #[arg(long, value_name = "FILES", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000), help_heading = "Order and pace")]
    open_files: u16,
    /// Memory that --order full sorts in, before it goes on on disk.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536), help_heading = "Order and pace")]
    sort_memory: u32,
    /// Folder that --order full sorts in; without it, the one for temporary files.
    #[arg(long, value_name = "DIR", help_heading = "Order and pace")]
    sort_dir: Option<PathBuf>,

    /// What partition keys are: random, payload (a hash of the event), or the name of a member.
    #[arg(long, value_name = "KEY", default_value = "random", help_heading = "Records")]
    partition_key: String,
    /// Pack events as the Kinesis Producer Library does.
    #[arg(long, requires = "stream_name", help_heading = "Records")]
    aggregate: bool,
    /// Send watermark events, once a second or after 20,000 records, to every shard.
    #[arg(long, conflicts_with_all = ["function", "dry_run"], help_heading = "Records")]
    watermarks: bool,
    /// End each record with a line feed, as the reference tool does.
    #[arg(long, help_heading = "Records")]
    newline: bool,
    /// Leave the events' times as they are, or move each event's times to now.
    #[arg(long, value_enum, default_value_t = AdaptTime::Original, help_heading = "Records")]
    adapt_time: AdaptTime,
    /// Bytes of a record at most: more where the stream's MaxRecordSizeInKiB allows it.
    #[arg(long, value_name = "BYTES", default_value_t = tripline_kinesis::RECORD_BYTES, help_heading = "Records")]
    record_bytes: usize,
    /// Requests to the stream under way at once; 1 keeps the order of what is taken at once.
    #[arg(long, value_name = "REQUESTS", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64), help_heading = "Records")]
    in_flight: u16,
    /// Give up when the target has taken nothing for so long.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, help_heading = "Records")]
    give_up_after: u64,

    /// Share of events that are held back, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share, help_heading = "Faults on purpose")]
    late_share: f64,
    /// Event time by which late events and duplicates are held back at most.
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Faults on purpose")]
    late_by: u32,
    /// Share of events that are sent twice.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share, help_heading = "Faults on purpose")]
    duplicate_share: f64,
    /// Share of events before which something is sent that is no event.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share, help_heading = "Faults on purpose")]
    poison_share: f64,
    /// Chooses the events, and random partition keys: the same seed, the same replay.
    #[arg(long, value_name = "SEED", default_value_t = 0, help_heading = "Faults on purpose")]
    seed: u64,

    /// File that remembers how far the replay is; the same command goes on from there.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run", help_heading = "Progress")]
    checkpoint: Option<PathBuf>,
    /// Tell statistics that often; 0 is never.
    #[arg(
        long,
        visible_alias = "statistics",
        value_name = "MILLISECONDS",
        default_value_t = 20_000,
        help_heading = "Progress"
    )]
    statistics_frequency: u64,
    /// Print the final count as JSON.
    #[arg(long, help_heading = "Progress")]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OrderArgument {
    /// Merge files, and put right what is off by no more than --buffer-size events.
    Window,
    /// Sort all events before the first is sent.
    Full,
    /// As they are in the files, one file after the other.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AdaptTime {
    /// As they are.
    Original,
    /// To when the event is due: what is late stays late.
    Now,
}

fn speedup(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("give a number from 0 on".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("give a number from 0 to 1".to_owned()),
    }
}

fn instant(text: &str) -> Result<i64, String> {
    time::parse(text.as_bytes()).map_err(|error| error.to_string())
}

/// Replays, and prints what became of the events.
///
/// # Errors
/// When a source or the target cannot be used. What was sent by then is told on standard error, and kept
/// in the checkpoint.
pub async fn run(arguments: &ReplayArguments) -> anyhow::Result<ExitCode> {
    let inputs = expand(&arguments.sources(), &Buckets::new(arguments.buckets())).await?;
    let (files, bytes) = (inputs.len() as u64, inputs.iter().map(Input::bytes).sum());
    let fingerprint = arguments.fingerprint(&inputs);
    let found = match &arguments.checkpoint {
        Some(path) => Checkpoint::load(path, &fingerprint)?,
        None => None,
    };
    let goes_on = found.is_some();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall_ms = i64::try_from(wall.as_millis()).unwrap_or(i64::MAX);
    let checkpoint = found.unwrap_or_else(|| Checkpoint::new(fingerprint, wall_ms));
    if checkpoint.complete {
        eprintln!(
            "the replay is complete, by the checkpoint {}; remove it to replay again",
            arguments.checkpoint.as_deref().unwrap_or_else(|| "".as_ref()).display()
        );
        let mut summary =
            Summary { files, target: "the target, earlier".to_owned(), complete: true, ..Summary::default() };
        counted(&mut summary, &checkpoint, checkpoint.counts.records());
        arguments.print(&summary)?;
        return Ok(ExitCode::SUCCESS);
    }
    let before = checkpoint.counts.records();
    let target = arguments.target(goes_on, &checkpoint).await?;
    let stop = stop_on_signals()?;
    let stats = Arc::new(ReadStats::default());
    let input = input::start(inputs, arguments.read_options(), Arc::clone(&stats))
        .context("cannot start a thread that reads")?;
    let speedup = if arguments.dry_run { 0.0 } else { arguments.speedup };
    let longest_wait = Duration::try_from_secs_f64(arguments.max_wait).unwrap_or(Duration::MAX);
    let stage =
        Stage::new(arguments.stage_options(checkpoint.next), Pacer::new(speedup, longest_wait), wall_ms);
    let options = EngineOptions {
        statistics: Duration::from_millis(arguments.statistics_frequency),
        watermarks: arguments.watermarks,
        unpaced: speedup == 0.0,
        checkpoint: arguments.checkpoint.clone(),
        stop,
    };
    let read = Arc::clone(&stats);
    let mut teller = Teller::new(bytes, move || read.bytes_read());
    let engine = Engine::new(stage, Arc::clone(&target), input, checkpoint, options, Instant::now());
    let outcome = engine.run(&mut teller).await;
    teller.end();
    let summary = summarised(&outcome, &stats, files, before, target.name());
    arguments.print(&summary)?;
    if let Some(refusal) = &outcome.delivered.refusal {
        eprintln!("refused, one of {}: {refusal}", outcome.delivered.refused);
    }
    if let Some(error) = outcome.error {
        return Err(error.context(arguments.how_to_go_on()));
    }
    if outcome.stopped {
        eprintln!("{}", arguments.how_to_go_on());
    }
    let is_well = !outcome.stopped && outcome.delivered.refused == 0 && summary.oversize == 0;
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Set by the first Ctrl-C or SIGTERM; the second ends the process.
fn stop_on_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // In this order: the one that shuts down must look before the other one sets.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .context("cannot listen for signals")?;
    }
    Ok(stop)
}

fn summarised(outcome: &Outcome, stats: &ReadStats, files: u64, before: u64, target: String) -> Summary {
    let of_run = outcome.counts.records();
    let elapsed = outcome.telling.elapsed;
    let mut summary = Summary {
        target,
        complete: outcome.checkpoint.complete,
        files,
        read: outcome.events,
        watermarks: outcome.watermarks,
        skipped: stats.skipped.load(Ordering::Relaxed),
        untimed: stats.untimed.load(Ordering::Relaxed),
        unordered: stats.unordered.load(Ordering::Relaxed),
        oversize: stats.oversize.load(Ordering::Relaxed),
        requests: outcome.delivered.requests,
        retried: outcome.delivered.retried,
        throttled: outcome.delivered.throttled,
        gaps_cut: outcome.cut.0,
        up_to: outcome.telling.latest_ms.map(time::rfc3339),
        seconds: elapsed.as_secs_f64(),
        records_a_second: rate(of_run, elapsed),
        ..Summary::default()
    };
    counted(&mut summary, &outcome.checkpoint, before);
    summary
}

fn counted(summary: &mut Summary, checkpoint: &Checkpoint, before: u64) {
    let counts = checkpoint.counts;
    summary.records = counts.records();
    summary.events = counts.events;
    summary.late = counts.late;
    summary.duplicates = counts.duplicates;
    summary.poison = counts.poison;
    summary.refused = counts.refused;
    summary.bytes = counts.bytes;
    summary.before = before;
}

impl ReplayArguments {
    fn sources(&self) -> Vec<String> {
        let mut sources = self.input.clone();
        if let Some(bucket) = &self.bucket {
            let default = if bucket == REFERENCE_BUCKET { REFERENCE_PREFIX } else { "" };
            sources.push(format!("s3://{bucket}/{}", self.prefix.as_deref().unwrap_or(default)));
        }
        sources
    }

    fn buckets(&self) -> BucketOptions {
        let (region, endpoint) = (self.bucket_region.clone(), self.s3_endpoint.clone());
        BucketOptions { region, endpoint, unsigned: self.no_sign_request }
    }

    fn order(&self) -> Order {
        match self.order {
            OrderArgument::None => Order::Unsorted,
            OrderArgument::Window => {
                Order::Window { events: self.buffer_size, open_files: usize::from(self.open_files) }
            }
            OrderArgument::Full => Order::Full {
                memory: usize::try_from(self.sort_memory).unwrap_or(usize::MAX).saturating_mul(1 << 20),
                folder: self.sort_dir.clone().unwrap_or_else(std::env::temp_dir),
            },
        }
    }

    fn read_options(&self) -> ReadOptions {
        ReadOptions {
            attribute: self.timestamp_attribute.clone(),
            order: self.order(),
            seek_ms: self.seek,
            limit: self.limit,
            buckets: self.buckets(),
        }
    }

    fn stage_options(&self, first: u64) -> StageOptions {
        StageOptions {
            seed: self.seed,
            late: self.late_share,
            duplicates: self.duplicate_share,
            poison: self.poison_share,
            late_by_ms: u64::from(self.late_by) * 1_000,
            key: match self.partition_key.as_str() {
                "random" => KeyRule::Random,
                "payload" => KeyRule::Payload,
                member => KeyRule::Attribute(member.to_owned()),
            },
            attribute: self.timestamp_attribute.clone(),
            adapt: self.adapt_time == AdaptTime::Now,
            newline: self.newline,
            first,
        }
    }

    async fn target(&self, goes_on: bool, checkpoint: &Checkpoint) -> anyhow::Result<Arc<dyn Target>> {
        let give_up_after = Duration::from_secs(self.give_up_after);
        if self.dry_run {
            return Ok(Arc::new(Nowhere));
        }
        if let Some(url) = &self.function {
            let began = u64::try_from(checkpoint.began_ms).unwrap_or_default();
            let options = FunctionOptions {
                url: url.clone(),
                name: self.function_name.clone(),
                stream: "replay".to_owned(),
                shards: usize::from(self.shards),
                batch_size: usize::from(self.batch_size),
                give_up_after,
                // A million records a millisecond are more than there can be.
                first_sequence: began.saturating_mul(1_000_000),
                arrival_ms: checkpoint.began_ms,
            };
            return Ok(Arc::new(FunctionTarget::new(options)?));
        }
        if let Some(path) = &self.output {
            if path.as_os_str() == "-" {
                return Ok(Arc::new(LinesTarget::standard_output()));
            }
            return Ok(Arc::new(LinesTarget::file(path, goes_on)?));
        }
        if let (Some(brokers), Some(topic)) = (&self.kafka, &self.topic) {
            return self.kafka_target(brokers, topic, give_up_after);
        }
        let Some(stream) = &self.stream_name else {
            bail!("give --stream-name, --kafka, --output, --function or --dry-run");
        };
        ensure!(!stream.is_empty(), "--stream-name is empty: give the stream's name or ARN");
        let options = KinesisTargetOptions {
            stream: KinesisOptions {
                region: self.stream_region.clone(),
                endpoint: self.endpoint.clone().filter(|endpoint| !endpoint.is_empty()),
                source_member: None,
                max_record_bytes: self.record_bytes,
                max_in_flight: usize::from(self.in_flight),
                ..KinesisOptions::new(stream)
            },
            aggregate: self.aggregate,
            watermarks: self.watermarks,
            random_keys: self.partition_key == "random",
            give_up_after,
        };
        Ok(Arc::new(KinesisTarget::connect(options).await?))
    }

    #[cfg(feature = "kafka")]
    fn kafka_target(
        &self,
        brokers: &str,
        topic: &str,
        give_up_after: Duration,
    ) -> anyhow::Result<Arc<dyn Target>> {
        let in_flight = usize::from(self.in_flight);
        Ok(Arc::new(target::KafkaTarget::connect(brokers, topic, in_flight, give_up_after)?))
    }

    #[cfg(not(feature = "kafka"))]
    fn kafka_target(&self, _: &str, _: &str, _: Duration) -> anyhow::Result<Arc<dyn Target>> {
        bail!("this build cannot reach Kafka: build the tool with --features kafka")
    }

    /// Of the files, and of the options on which depends what is sent and where.
    fn fingerprint(&self, inputs: &[Input]) -> String {
        let mut text = String::new();
        for input in inputs {
            text.push_str(&format!("{} {}\n", input.name(), input.bytes()));
        }
        let order = match self.order() {
            // How it is sorted changes nothing.
            Order::Full { .. } => "full".to_owned(),
            order => format!("{order:?}"),
        };
        text.push_str(&format!("{order} {:?} {:?} {}\n", self.seek, self.limit, self.timestamp_attribute));
        let shares = [self.late_share, self.duplicate_share, self.poison_share];
        text.push_str(&format!("{shares:?} {} {} {}\n", self.late_by, self.seed, self.partition_key));
        text.push_str(&format!("{:?} {:?}\n", self.stream_name, self.output));
        text.push_str(&format!("{:?} {:?}\n", self.kafka, self.topic));
        text.push_str(&format!("{:?} {} {}\n", self.function, self.function_name, self.shards));
        format!("{:032x}", xxh3_128(text.as_bytes()))
    }

    fn how_to_go_on(&self) -> String {
        match &self.checkpoint {
            Some(path) => format!(
                "the replay stopped before its end; the same command goes on from the checkpoint {}",
                path.display()
            ),
            None => "the replay stopped before its end; with --checkpoint FILE it could go on".to_owned(),
        }
    }

    /// To standard output, unless that is the target.
    fn print(&self, summary: &Summary) -> anyhow::Result<()> {
        let text = if self.json { serde_json::to_string_pretty(summary)? + "\n" } else { summary.text() };
        if self.output.as_deref().is_some_and(|path| path.as_os_str() == "-") {
            eprint!("{text}");
        } else {
            print!("{text}");
        }
        Ok(())
    }
}
