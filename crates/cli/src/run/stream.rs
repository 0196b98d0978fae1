//! A stream as the source: read until it is stopped, or until all that was there is in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::future::join_all;
use tripline_kinesis::KinesisOptions;
use tripline_kinesis::read::{Polled, ReadError, ShardReader, Start, StreamReader};
use tripline_lake::clock::{Clock as _, SystemClock};
use tripline_model::source::Position;
use tripline_stream::mapping::{Batcher, MappingSettings, PutRecord, ShardOrigin};

use super::Run;
use super::functions::Functions;
use super::positions::{load, of_lake, save};
use super::status::{Lag, PartState};

/// A request to the stream waits for an answer so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a shard: it allows five a second, and others read too.
const PAUSE: Duration = Duration::from_millis(250);
/// The same where it had nothing new.
const IDLE_PAUSE: Duration = Duration::from_secs(1);
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
    /// Where to begin a stream or topic that has not been read before.
    #[arg(long, value_name = "WHERE", value_enum, default_value_t = Begin::TrimHorizon, conflicts_with = "input")]
    pub(super) start: Begin,
    /// Seconds that a batch waits to be full.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=300), conflicts_with = "input")]
    pub(super) window: u64,
    /// Stop when each shard or topic-partition has been read to its end once, instead of going on until the run
    /// is interrupted.
    #[arg(long, conflicts_with = "input")]
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
    /// All that it had at some look has been read.
    is_caught_up: bool,
    /// When it may be looked at again.
    not_before: Instant,
}

/// A stream that is being read.
struct Reading<'r> {
    run: &'r mut Run,
    arguments: &'r StreamArguments,
    stream: StreamReader,
    arn: String,
    settings: MappingSettings,
    shards: Vec<Shard>,
    positions: BTreeMap<String, Position>,
    /// When the reading began, milliseconds since 1970 UTC.
    began_ms: i64,
}

/// Reads the stream into the run's mapping.
pub(super) async fn kinesis(run: &mut Run, arguments: &StreamArguments, stream: &str) -> anyhow::Result<()> {
    ensure!(
        arguments.start == Begin::TrimHorizon || arguments.positions.is_some(),
        "--start latest needs --positions FILE: without it the next run would begin anew, and what comes between the \
         two would be skipped"
    );
    let (options, start) = (arguments.options(stream), arguments.start.into());
    let arn = StreamReader::connect(&options, start, BTreeMap::new()).await?.arn(PATIENCE).await?;
    let positions = match (&arguments.positions, &run.mapping.functions) {
        (Some(file), _) => load(file)?,
        (None, Functions::Local(functions)) if functions.is_lake_alone() => of_lake(functions, &arn).await?,
        (None, _) => BTreeMap::new(),
    };
    let stream = StreamReader::connect(&options, start, positions.clone()).await?;
    let settings = MappingSettings { batch_size: run.batch_size, ..run.mapping.settings };
    let began_ms = SystemClock.now_ms();
    Reading { run, arguments, stream, arn, settings, shards: Vec::new(), positions, began_ms }.go().await
}

impl Reading<'_> {
    async fn go(mut self) -> anyhow::Result<()> {
        let mut look_at = Instant::now();
        loop {
            if Instant::now() >= look_at {
                self.look_for_shards().await?;
                look_at = Instant::now() + LOOK_FOR_SHARDS;
            }
            let is_last = self.run.mapping.is_stopped();
            let Some(ended) = self.poll(is_last).await? else { return Ok(()) };
            if is_last {
                return Ok(());
            }
            if !ended.is_empty() {
                ended.iter().for_each(|shard| self.stream.finish(shard));
                self.shards.retain(|shard| !ended.iter().any(|ended| ended == shard.reader.shard()));
                // Their children may be read now.
                look_at = Instant::now();
            }
            let is_read = !self.stream.is_waiting() && self.shards.iter().all(|shard| shard.is_caught_up);
            if self.arguments.until_end && ended.is_empty() && !self.shards.is_empty() && is_read {
                return Ok(());
            }
            self.run.publish_if_due().await?;
            let next = self.shards.iter().map(|shard| shard.not_before).chain([look_at]).min();
            tokio::time::sleep_until(next.unwrap_or(look_at).into()).await;
        }
    }

    async fn look_for_shards(&mut self) -> anyhow::Result<()> {
        let readers = match self.stream.shards(PATIENCE).await {
            Ok(readers) => readers,
            // It is waited for, as by Lambda.
            Err(error @ ReadError::Busy { .. }) => {
                self.run.note_once(&error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        for reader in readers {
            let origin = ShardOrigin {
                source: self.arn.clone(),
                shard: reader.shard().to_owned(),
                invoke_identity_arn: "local".to_owned(),
            };
            let batcher = Batcher::new(origin.clone(), self.settings);
            let (gathering_since, is_caught_up, not_before) = (None, false, Instant::now());
            self.run.mapping.status.part(reader.shard(), |_| {});
            self.shards.push(Shard { reader, origin, batcher, gathering_since, is_caught_up, not_before });
        }
        Ok(())
    }

    /// Looks at every shard whose time it is, and delivers what is due. Returns the shards that have ended;
    /// `None` when the run is stopped before a batch is done.
    async fn poll(&mut self, is_last: bool) -> anyhow::Result<Option<Vec<String>>> {
        let (now, batch_size) = (Instant::now(), self.run.batch_size);
        let due = self.shards.iter_mut().map(async |shard| match shard.not_before <= now {
            true => Some(shard.reader.poll(batch_size, PATIENCE).await),
            false => None,
        });
        let polled = join_all(due).await;
        let mut ended = Vec::new();
        for (index, polled) in polled.into_iter().enumerate() {
            let polled = match polled {
                None => Polled::default(),
                Some(Ok(polled)) => {
                    let Some(shard) = self.shards.get_mut(index) else { continue };
                    // What came after the beginning need not be read to know that all before it was.
                    let is_new = |record: &PutRecord| record.arrival_ms.is_some_and(|ms| ms >= self.began_ms);
                    let is_empty =
                        polled.records.is_empty() && polled.behind.is_none_or(|behind| behind.is_zero());
                    shard.is_caught_up |=
                        polled.ended || is_empty || polled.records.last().is_some_and(is_new);
                    let pause = if polled.records.is_empty() { IDLE_PAUSE } else { PAUSE };
                    shard.not_before = Instant::now() + pause;
                    self.run.mapping.status.part(shard.reader.shard(), |part| {
                        part.lag = polled.behind.map(Lag::Time).or(part.lag);
                        part.records += polled.records.len() as u64;
                        part.state = if is_empty { PartState::Idle } else { PartState::Reading };
                    });
                    polled
                }
                Some(Err(error @ ReadError::Busy { .. })) => {
                    self.run.note_once(&error.to_string());
                    continue;
                }
                Some(Err(error)) => return Err(error.into()),
            };
            if !self.take(index, polled.records, polled.ended || is_last).await? {
                return Ok(None);
            }
            if polled.ended
                && let Some(shard) = self.shards.get(index)
            {
                self.run.mapping.status.part(shard.reader.shard(), |part| part.state = PartState::Ended);
                ended.push(shard.reader.shard().to_owned());
            }
        }
        Ok(Some(ended))
    }

    /// Takes a shard's records in, and delivers what is full or has waited long enough; all of it `at_once`.
    /// Returns false when the run is stopped before a batch is done: nothing may be delivered behind it.
    async fn take(&mut self, index: usize, records: Vec<PutRecord>, at_once: bool) -> anyhow::Result<bool> {
        self.run.has_read(records.len() as u64);
        for record in records {
            let Some(shard) = self.shards.get_mut(index) else { return Ok(true) };
            shard.gathering_since.get_or_insert_with(Instant::now);
            if let Some(batch) = shard.batcher.push(record) {
                // The record may be the first of the next batch.
                shard.gathering_since = (!shard.batcher.is_empty()).then(Instant::now);
                if !self.deliver(index, &batch).await? {
                    return Ok(false);
                }
            }
        }
        let Some(shard) = self.shards.get_mut(index) else { return Ok(true) };
        let window = Duration::from_secs(self.arguments.window);
        let is_due = shard.gathering_since.is_some_and(|since| since.elapsed() >= window);
        if (at_once || is_due || shard.is_caught_up && self.arguments.until_end)
            && let Some(batch) = shard.batcher.finish()
        {
            shard.gathering_since = None;
            return self.deliver(index, &batch).await;
        }
        Ok(true)
    }

    /// Delivers a shard's batch. Returns whether it is done: it is not if the run is stopped before.
    async fn deliver(&mut self, index: usize, batch: &[PutRecord]) -> anyhow::Result<bool> {
        let (Some(shard), Some(last)) = (self.shards.get(index), batch.last()) else { return Ok(true) };
        let name = shard.reader.shard();
        self.run.mapping.status.part(name, |part| part.state = PartState::Delivering);
        if !self.run.deliver(&shard.origin, batch).await? {
            return Ok(false);
        }
        self.run.mapping.status.part(name, |part| {
            part.position = last.sequence.to_string();
            part.state = PartState::Reading;
        });
        self.positions.insert(name.to_owned(), last.sequence);
        if let Some(file) = &self.arguments.positions {
            save(file, &self.positions)?;
        }
        Ok(true)
    }
}
