//! `tripline backfill`: many files, objects or a query's rows into a lake, each row once.
//!
//! Rows do not come as events: they go into the same stages that an event's records go into, as a function's
//! back-fill does. A file is a lane, and the number of a row its position, as `tripline run` has them; an object's lane
//! is the one that the function gives it. So it does not matter which of them takes a file in, nor how often.

mod feed;
mod postgres;
mod tls;
mod work;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use tripline_ingest::{Ingest, IngestOptions};
use tripline_lake::{Environment, Lake};

use crate::input::{expand, refuse_those_below};
use crate::lake::{FormatArguments, LakeArguments};
use crate::objects::{BucketOptions, Buckets};
use crate::sinks::SinkArguments;
use crate::text::{grouped, size};
use feed::Source;
use work::{Sum, Work};

/// Arguments of `tripline backfill`.
#[derive(Clone, Debug, clap::Args)]
pub struct BackfillArguments {
    #[command(flatten)]
    lake: LakeArguments,
    #[command(flatten)]
    sinks: SinkArguments,
    /// Files, folders, patterns, or s3://bucket/prefix: JSON lines of events, TLC trip records as CSV or Parquet; all
    /// but Parquet plain or compressed with gzip, Zstandard or LZ4.
    #[arg(long, value_name = "PATH", required_unless_present = "postgres", num_args = 1..)]
    input: Vec<String>,
    /// PostgreSQL database to ask with --query, as postgres://user@host/database; PGPASSWORD may hold the password.
    #[arg(long, value_name = "URL", requires = "query", conflicts_with = "input", hide_env_values = true)]
    postgres: Option<String>,
    /// Query whose rows are events, each an object of its columns. Its order must be the same every time, by a key
    /// whose new rows come last: `SELECT … ORDER BY id`.
    #[arg(long, value_name = "SQL", requires = "postgres")]
    query: Option<String>,
    /// Name of the query's rows as a source; without it, the database's URL.
    #[arg(long, value_name = "NAME", requires = "postgres")]
    source_name: Option<String>,
    /// Region of the buckets that are read.
    #[arg(long, value_name = "REGION")]
    bucket_region: Option<String>,
    /// Read buckets without credentials, as public ones allow.
    #[arg(long)]
    no_sign_request: bool,
    /// Files worked on at a time; without it, as many as there are processors.
    #[arg(long, value_name = "FILES", value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: Option<u16>,
    /// Rows that are committed together at most.
    #[arg(long, value_name = "ROWS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rows_per_range: u32,
    /// Ranges of rows between two publish runs; the last one is at the end.
    #[arg(long, value_name = "RANGES", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    publish_every: u64,
    /// Only fill the journal: `tripline publish` does the rest, at the same time or later.
    #[arg(long, conflicts_with = "publish_every")]
    no_publish: bool,
    /// Say what would be read, and do nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: FormatArguments,
    /// Epoch of all sources, as the functions have it.
    #[arg(long, value_name = "EPOCH", default_value = "", env = "TRIPLINE_SOURCE_EPOCH")]
    source_epoch: String,
}

impl BackfillArguments {
    fn buckets(&self) -> Buckets {
        let (region, endpoint) = (self.bucket_region.clone(), self.lake.stores.s3_endpoint.clone());
        Buckets::new(BucketOptions { region, endpoint, unsigned: self.no_sign_request })
    }

    async fn sources(&self, lake: &str, buckets: &Buckets) -> anyhow::Result<Vec<Source>> {
        if let (Some(url), Some(query)) = (&self.postgres, &self.query) {
            let query = postgres::Query::new(url, query, self.source_name.as_deref())?;
            return Ok(vec![Source::Query(Box::new(query))]);
        }
        let inputs = expand(&self.input, buckets).await?;
        refuse_those_below(lake, &inputs)?;
        Ok(inputs.into_iter().map(Source::File).collect())
    }

    fn at_once(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, Into::into);
        self.parallel.map_or_else(processors, usize::from)
    }
}

/// Brings the rows into the sinks, publishes unless told not to, and prints what became of them. Exit code 1: a file
/// could not be read as a whole, or a lane stands still.
///
/// # Errors
/// When the lake or another sink cannot be used. What is in stays, and the same command goes on from there.
pub async fn run(arguments: &BackfillArguments) -> anyhow::Result<ExitCode> {
    let (pipeline, store) = arguments.lake.open().await?;
    let buckets = Arc::new(arguments.buckets());
    let sources = arguments.sources(&store.location(), &buckets).await?;
    let bytes: u64 = sources.iter().map(Source::bytes).sum();
    if arguments.dry_run {
        for source in &sources {
            println!("{}   {}", source.name(), size(source.bytes()));
        }
        println!("{} would be read, {}; nothing was written", files(sources.len()), size(bytes));
        return Ok(ExitCode::SUCCESS);
    }
    let lake = Lake::open(store, Environment::default(), &pipeline).await?;
    let connected = arguments.sinks.connect(&pipeline, lake.environment()).await?.connected;
    let options = IngestOptions { source_epoch: arguments.source_epoch.clone(), ..IngestOptions::default() };
    let clock = Arc::clone(&lake.environment().clock);
    let ingest = Ingest::feeding(connected.all(&lake), Arc::clone(&pipeline), clock, options);
    let options = arguments.format.publish_options(&pipeline);
    let (began, count) = (Instant::now(), sources.len());
    let work = Work {
        ingest: Arc::new(ingest),
        buckets,
        source_epoch: arguments.source_epoch.clone(),
        rows: usize::try_from(arguments.rows_per_range)?,
        at_once: arguments.at_once().min(count),
        publisher: (!arguments.no_publish).then(|| lake.publisher(options)),
        publish_every: arguments.publish_every,
    };
    let at_once = work.at_once;
    let mut sum = work.run(sources, bytes).await;
    for note in &sum.notes {
        println!("note: {note}");
    }
    println!("files done          {:>12}   of {}, {}", grouped(sum.done), grouped(count as u64), size(bytes));
    print(&sum);
    if arguments.no_publish {
        println!("not published yet   `tripline publish` does it");
    }
    let seconds = began.elapsed().as_secs_f64();
    let rate = grouped((sum.records as f64 / seconds.max(0.001)) as u64);
    println!("time                {seconds:>10.2} s   {rate} records/s, {} at a time", files(at_once));
    println!("lake                {}", arguments.lake.lake);
    if let Some(fault) = sum.fault.take() {
        return Err(fault.context("the back-fill ended before its time"));
    }
    Ok(if sum.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn files(count: usize) -> String {
    format!("{} file{}", grouped(count as u64), if count == 1 { "" } else { "s" })
}

fn print(sum: &Sum) {
    let line = |label: &str, count: u64| println!("{label:<20}{:>12}", grouped(count));
    line("records read", sum.records);
    line("  new rows", sum.outcome.rows);
    line("  new dead letters", sum.outcome.dead_letters);
    line("duplicates dropped", sum.outcome.duplicates);
    if sum.records > 0 && sum.outcome.duplicates == sum.records {
        println!("nothing new: every record was in the lake already");
    }
    if sum.outcome.documents > 0 {
        line("documents indexed", sum.outcome.documents);
    }
    if sum.outcome.forwarded > 0 {
        line("records forwarded", sum.outcome.forwarded);
    }
    if sum.files > 0 {
        println!("files written       {:>12}   {}", grouped(sum.files), size(sum.file_bytes));
    }
}
