//! A stream as the source: read until it is stopped, or until all that was there is in.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::future::join_all;
use tripline_kinesis::KinesisOptions;
use tripline_kinesis::read::{Polled, ReadError, ShardReader, Start, StreamReader};
use tripline_lake::{Role, checkpoint};
use tripline_model::source::Position;
use tripline_stream::mapping::{Batcher, MappingSettings, PutRecord, ShardOrigin};

use super::Run;

/// A request to the stream waits for an answer so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a stream that has nothing new: each shard allows five a second, and others read too.
const PAUSE: Duration = Duration::from_millis(500);
/// Between two looks for shards that are new.
const LOOK_FOR_SHARDS: Duration = Duration::from_secs(30);
/// What was read is published after this time, if not before.
pub(super) const PUBLISH_AFTER: Duration = Duration::from_secs(60);

/// A stream to read, and how.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct StreamArguments {
    /// A Kinesis stream to read, by its name or ARN, as its event source mapping would.
    #[arg(long, value_name = "STREAM", conflicts_with_all = ["input", "seed_faults"])]
    pub(super) kinesis: Option<String>,
    /// Region of the stream.
    #[arg(long, value_name = "REGION", requires = "kinesis")]
    kinesis_region: Option<String>,
    /// URL of a Kinesis-compatible server.
    #[arg(long, value_name = "URL", requires = "kinesis")]
    kinesis_endpoint: Option<String>,
    /// Keeps in this file how far each shard is read, and goes on from there. Without it, a run that feeds
    /// the lake alone goes on where the lake is, and others begin at --start.
    #[arg(long, value_name = "FILE", requires = "kinesis")]
    positions: Option<PathBuf>,
    /// Where to begin a shard, or a topic-partition, that has not been read before.
    #[arg(long, value_name = "WHERE", value_enum, default_value_t = Begin::TrimHorizon)]
    pub(super) start: Begin,
    /// Seconds that a batch waits to be full.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=300))]
    pub(super) window: u64,
    /// Stop when all that was there is in, instead of going on until the run is interrupted.
    #[arg(long)]
    pub(super) until_end: bool,
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Begin {
    /// With the oldest records that there are.
    TrimHorizon,
    /// With what comes from now on.
    Latest,
}

impl From<Begin> for Start {
    fn from(begin: Begin) -> Self {
        match begin {
            Begin::TrimHorizon => Self::TrimHorizon,
            Begin::Latest => Self::Latest,
        }
    }
}

impl StreamArguments {
    fn options(&self, stream: &str) -> KinesisOptions {
        KinesisOptions {
            region: self.kinesis_region.clone(),
            endpoint: self.kinesis_endpoint.clone(),
            ..KinesisOptions::new(stream)
        }
    }
}

/// A shard that is being read.
struct Shard {
    reader: ShardReader,
    origin: ShardOrigin,
    batcher: Batcher,
    /// When the batch's first record came.
    gathering_since: Option<Instant>,
    /// It had nothing more at the last look.
    is_caught_up: bool,
}

/// Reads the stream into the run's mapping.
pub(super) async fn kinesis(run: &mut Run, arguments: &StreamArguments, stream: &str) -> anyhow::Result<()> {
    let options = arguments.options(stream);
    let arn =
        StreamReader::connect(&options, arguments.start.into(), BTreeMap::new()).await?.arn(PATIENCE).await?;
    let mut positions = match &arguments.positions {
        Some(file) => load(file)?,
        None if run.mapping.is_lake_alone() => of_lake(run, &arn).await?,
        None => BTreeMap::new(),
    };
    let mut stream = StreamReader::connect(&options, arguments.start.into(), positions.clone()).await?;
    let settings = MappingSettings { batch_size: run.batch_size, ..run.mapping.settings() };
    let window = Duration::from_secs(arguments.window);
    let mut shards: Vec<Shard> = Vec::new();
    let mut looked_at: Option<Instant> = None;
    loop {
        if looked_at.is_none_or(|at| at.elapsed() >= LOOK_FOR_SHARDS) {
            for reader in stream.shards(PATIENCE).await? {
                let origin = ShardOrigin {
                    source: arn.clone(),
                    shard: reader.shard().to_owned(),
                    invoke_identity_arn: "local".to_owned(),
                };
                let batcher = Batcher::new(origin.clone(), settings);
                shards.push(Shard { reader, origin, batcher, gathering_since: None, is_caught_up: false });
            }
            looked_at = Some(Instant::now());
        }
        let stopped = run.is_stopped();
        let polled =
            join_all(shards.iter_mut().map(|shard| shard.reader.poll(run.batch_size, PATIENCE))).await;
        let (mut idle, mut ended) = (true, Vec::new());
        for (shard, polled) in shards.iter_mut().zip(polled) {
            let Polled { records, behind, ended: is_end } = match polled {
                Ok(polled) => polled,
                // It is waited for, as by Lambda.
                Err(error @ ReadError::Busy { .. }) => {
                    run.note_once(&error.to_string());
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            idle &= records.is_empty();
            shard.is_caught_up = is_end || records.is_empty() && behind.is_none_or(|behind| behind.is_zero());
            run.read += records.len() as u64;
            for record in records {
                shard.gathering_since.get_or_insert_with(Instant::now);
                if let Some(batch) = shard.batcher.push(record) {
                    shard.deliver(run, batch, &mut positions).await?;
                }
            }
            let is_due = shard.gathering_since.is_some_and(|since| since.elapsed() >= window);
            if (is_due || is_end || stopped || shard.is_caught_up && arguments.until_end)
                && let Some(batch) = shard.batcher.finish()
            {
                shard.deliver(run, batch, &mut positions).await?;
            }
            if is_end {
                ended.push(shard.reader.shard().to_owned());
            }
            if let Some(file) = &arguments.positions {
                save(file, &positions)?;
            }
        }
        if stopped {
            return Ok(());
        }
        for shard in &ended {
            stream.finish(shard);
            // Its children may be read now.
            looked_at = None;
        }
        shards.retain(|shard| !ended.iter().any(|ended| ended == shard.reader.shard()));
        if arguments.until_end && ended.is_empty() && shards.iter().all(|shard| shard.is_caught_up) {
            return Ok(());
        }
        run.publish_if_due().await?;
        run.show(&format!("{} shards", shards.len()));
        if idle && ended.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Shard {
    async fn deliver(
        &mut self,
        run: &mut Run,
        batch: Vec<PutRecord>,
        positions: &mut BTreeMap<String, Position>,
    ) -> anyhow::Result<()> {
        let last = batch.last().map(|record| record.sequence);
        run.batch(&self.origin, batch).await?;
        self.gathering_since = None;
        if let Some(last) = last {
            positions.insert(self.reader.shard().to_owned(), last);
        }
        Ok(())
    }
}

/// How far the lake is in each shard of a stream.
async fn of_lake(run: &Run, arn: &str) -> anyhow::Result<BTreeMap<String, Position>> {
    let lake = run.mapping.lake();
    let loaded = checkpoint::load(&**lake.store(), lake.pipeline()).await?;
    let lanes = loaded.checkpoint.lanes.into_values();
    let of_stream = lanes.filter(|position| position.lane.role == Role::Lake && position.lane.source == arn);
    Ok(of_stream.map(|position| (position.lane.partition, position.last)).collect())
}

fn load(file: &Path) -> anyhow::Result<BTreeMap<String, Position>> {
    let place = || format!("cannot read the positions in {}", file.display());
    let text = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        text => text.with_context(place)?,
    };
    let texts: HashMap<String, String> = serde_json::from_str(&text).with_context(place)?;
    let parsed = texts.into_iter().map(|(shard, sequence)| Ok((shard, sequence.parse()?)));
    parsed.collect::<anyhow::Result<_>>().with_context(place)
}

/// Replaces the file as a whole, so that a run that dies leaves the old one or the new one.
fn save(file: &Path, positions: &BTreeMap<String, Position>) -> anyhow::Result<()> {
    let texts: BTreeMap<&String, String> =
        positions.iter().map(|(shard, position)| (shard, position.to_string())).collect();
    let next = file.with_extension("next");
    let written = std::fs::write(&next, serde_json::to_string_pretty(&texts)?);
    written
        .and_then(|()| std::fs::rename(&next, file))
        .with_context(|| format!("cannot write the positions to {}", file.display()))
}
