//! Reading a stream as Lambda's event source mapping does, for use without Lambda.
//!
//! [`StreamReader::shards`] tells the shards whose reading may begin; a [`ShardReader`] for each reads on
//! where it is. A shard that was split or merged ends, and its children begin when it is said to be
//! [finished](StreamReader::finish): once its records are dealt with, as theirs come after them.
//!
//! The role needs `kinesis:ListShards`, `kinesis:GetShardIterator`, `kinesis:GetRecords` and, for a stream that is
//! not named by its ARN, `kinesis:DescribeStreamSummary`; and for a stream
//! that is encrypted with a customer's key `kms:Decrypt` on the key.

mod facts;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Record, Shard, ShardIteratorType};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use tokio::time::Instant;
use tripline_model::source::Position;
use tripline_stream::mapping::PutRecord;

pub use facts::StreamFacts;

use crate::error::KinesisError;
use crate::ledger::Outcome;
use crate::lineage::{Lineage, Listed, Place};
use crate::options::KinesisOptions;
use crate::patience::backoff;
use crate::stream::{AwsStream, failed};
use crate::verdict::Verdict;

/// Records in an answer at most (API reference, `GetRecords`).
const MOST_RECORDS: i32 = 10_000;

const ALLOW: &str = "allow the role kinesis:ListShards, kinesis:GetShardIterator and kinesis:GetRecords on the \
                     stream, and kms:Decrypt on its key";

/// Where the reading of a stream begins, under Lambda's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest records that the stream has.
    TrimHorizon,
    /// With what comes from now on.
    Latest,
}

/// A stream cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// For now: try again.
    #[error("cannot {action} the Kinesis stream '{stream}' now: {told}")]
    Busy {
        /// What was tried.
        action: &'static str,
        /// The stream.
        stream: String,
        /// What Kinesis said, or why nothing.
        told: String,
    },
    /// Until somebody mends this.
    #[error("cannot {action} the Kinesis stream '{stream}': {told}")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// The stream.
        stream: String,
        /// What Kinesis said, and what to do.
        told: String,
    },
}

/// Reads a stream.
#[derive(Debug)]
pub struct StreamReader {
    source: Arc<Source>,
    start: Start,
    after: BTreeMap<String, Position>,
    lineage: Lineage,
}

/// Reads a shard.
#[derive(Debug)]
pub struct ShardReader {
    source: Arc<Source>,
    shard: String,
    place: Place,
    /// When its reading began.
    since: SystemTime,
    /// It has had an iterator.
    began: bool,
    iterator: Option<String>,
    ended: bool,
}

/// What a shard had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Polled {
    /// Its next records, in their order; none when there are no more for now. A second's wait is Lambda's
    /// then.
    pub records: Vec<PutRecord>,
    /// How far behind the shard's newest record this is.
    pub behind: Option<Duration>,
    /// Nothing comes after these: the shard was split or merged.
    pub ended: bool,
}

#[derive(Debug)]
struct Source {
    stream: AwsStream,
    name: String,
    timeout: Duration,
}

impl StreamReader {
    /// A reader of the stream. Nothing is asked of it yet. What the options say of records and of requests
    /// under way is the sink's. `after` are the positions of shards up to which they have been read before.
    ///
    /// # Errors
    /// [`KinesisError`] with everything that is wrong with the options.
    pub async fn connect(
        options: &KinesisOptions,
        start: Start,
        after: BTreeMap<String, Position>,
    ) -> Result<Self, KinesisError> {
        let mut faults = options.faults();
        let stream = AwsStream::connect(options, &mut faults).await;
        let Some(stream) = stream.filter(|_| faults.is_empty()) else {
            return Err(KinesisError::new(&options.stream, faults));
        };
        let source = Source { stream, name: options.stream.clone(), timeout: options.request_timeout };
        Ok(Self { source: Arc::new(source), start, after, lineage: Lineage::default() })
    }

    /// Readers for the shards whose reading may begin and has not yet. To be asked at the beginning, when a
    /// shard is finished, and now and then.
    ///
    /// # Errors
    /// [`ReadError`] when the stream does not tell its shards within `within`.
    pub async fn shards(&mut self, within: Duration) -> Result<Vec<ShardReader>, ReadError> {
        let start = Instant::now();
        let listed = self.source.list(within).await?;
        self.lineage.learn(listed, self.start, &self.after);
        let mut readers = Vec::new();
        for (shard, place) in self.lineage.ready() {
            let source = Arc::clone(&self.source);
            let mut reader = ShardReader {
                source,
                shard,
                place,
                since: SystemTime::now(),
                iterator: None,
                began: false,
                ended: false,
            };
            // What comes from now on is what comes after this.
            if place == Place::Latest {
                reader.begin(within.saturating_sub(start.elapsed())).await?;
            }
            readers.push(reader);
        }
        for reader in &readers {
            self.lineage.begin(&reader.shard);
        }
        Ok(readers)
    }

    /// The stream's ARN, by which Lambda's events name it.
    ///
    /// # Errors
    /// [`ReadError`] when the stream does not tell it within `within`.
    pub async fn arn(&self, within: Duration) -> Result<String, ReadError> {
        match self.source.stream.id.arn() {
            Some(arn) => Ok(arn),
            None => Ok(self.source.describe(within).await?.stream_arn),
        }
    }

    /// The largest hash key of each open shard, ascending: a record belongs to the first of them that is not
    /// below the MD5 of its partition key. For those who must know where a record goes.
    ///
    /// # Errors
    /// [`ReadError`] when the stream does not tell its shards within `within`.
    pub async fn hash_key_ends(&self, within: Duration) -> Result<Vec<u128>, ReadError> {
        let listed = self.source.list_shards(within).await?;
        let open = listed.iter().filter(|shard| is_open(shard));
        let ends = open.filter_map(|shard| shard.hash_key_range.as_ref()?.ending_hash_key.parse().ok());
        let mut ends: Vec<u128> = ends.collect();
        ends.sort_unstable();
        Ok(ends)
    }

    /// Whether there are shards, as far as is known, whose reading has not begun.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.lineage.is_waiting()
    }

    /// Says that a shard has ended and its records are dealt with: its children may be read.
    pub fn finish(&mut self, shard: &str) {
        self.lineage.finish(shard);
    }
}

impl ShardReader {
    /// The shard's id.
    #[must_use]
    pub fn shard(&self) -> &str {
        &self.shard
    }

    /// The shard's next records: at most `limit`, of which Kinesis allows 10,000, and 10 MiB.
    ///
    /// # Errors
    /// [`ReadError`] when the shard does not answer within `within`. Nothing is lost then: the next call
    /// reads on.
    pub async fn poll(&mut self, limit: usize, within: Duration) -> Result<Polled, ReadError> {
        if self.ended {
            return Ok(Polled { ended: true, ..Polled::default() });
        }
        let limit = i32::try_from(limit).unwrap_or(MOST_RECORDS).clamp(1, MOST_RECORDS);
        let (source, start) = (Arc::clone(&self.source), Instant::now());
        let mut expired = false;
        loop {
            let left = within.saturating_sub(start.elapsed());
            let iterator = match self.iterator.clone() {
                Some(iterator) => iterator,
                None => self.begin(left).await?,
            };
            let left = within.saturating_sub(start.elapsed());
            let ask = || {
                let get = source.stream.client.get_records().shard_iterator(&iterator).limit(limit);
                get.set_stream_arn(source.stream.id.arn()).send()
            };
            let Some(answer) = source.ask("read", left, ask).await? else {
                self.iterator = None;
                if expired {
                    return Err(source.busy("read", "a new iterator has expired at once".to_owned()));
                }
                // It lives for five minutes; the place that it stood for is known.
                expired = true;
                continue;
            };
            let mut records = Vec::with_capacity(answer.records.len());
            for record in answer.records {
                records.push(source.record(record)?);
            }
            if let Some(last) = records.last() {
                self.place = Place::After(last.sequence);
            }
            self.ended = answer.next_shard_iterator.is_none();
            self.iterator = answer.next_shard_iterator;
            let behind = answer.millis_behind_latest.and_then(|millis| u64::try_from(millis).ok());
            return Ok(Polled { records, behind: behind.map(Duration::from_millis), ended: self.ended });
        }
    }

    async fn begin(&mut self, within: Duration) -> Result<String, ReadError> {
        let source = Arc::clone(&self.source);
        let id = &source.stream.id;
        let ask = || {
            let get = source.stream.client.get_shard_iterator().shard_id(&self.shard);
            let get = get.set_stream_name(id.name()).set_stream_arn(id.arn());
            let get = match self.place {
                Place::Oldest => get.shard_iterator_type(ShardIteratorType::TrimHorizon),
                Place::Latest if !self.began => get.shard_iterator_type(ShardIteratorType::Latest),
                // The iterator at the latest record has expired before there was one.
                Place::Latest => get
                    .shard_iterator_type(ShardIteratorType::AtTimestamp)
                    .timestamp(DateTime::from(self.since)),
                Place::After(position) => get
                    .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                    .starting_sequence_number(position.to_string()),
            };
            get.send()
        };
        let answer = source.ask("begin to read", within, ask).await?;
        let iterator = answer.and_then(|answer| answer.shard_iterator);
        let Some(iterator) = iterator else {
            return Err(source.busy("begin to read", "the answer has no iterator".to_owned()));
        };
        self.began = true;
        self.iterator = Some(iterator.clone());
        Ok(iterator)
    }
}

impl Source {
    fn busy(&self, action: &'static str, told: String) -> ReadError {
        ReadError::Busy { action, stream: self.name.clone(), told }
    }

    fn refused(&self, action: &'static str, told: String) -> ReadError {
        ReadError::Refused { action, stream: self.name.clone(), told }
    }

    /// Asks until there is an answer; `None` when the iterator has expired.
    async fn ask<T, E, F>(
        &self,
        action: &'static str,
        within: Duration,
        ask: impl Fn() -> F,
    ) -> Result<Option<T>, ReadError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let start = Instant::now();
        let mut last = "there was no time to ask".to_owned();
        for tries in 1_u32.. {
            let left = within.saturating_sub(start.elapsed());
            if left.is_zero() {
                break;
            }
            last = match tokio::time::timeout(left.min(self.timeout), ask()).await {
                Ok(Ok(answer)) => return Ok(Some(answer)),
                Ok(Err(error)) if error.code() == Some("ExpiredIteratorException") => return Ok(None),
                Ok(Err(error)) => match failed(&error) {
                    Outcome::Failed { verdict: Verdict::Stop { advice }, told } => {
                        let denied = error.code().is_some_and(|code| code.contains("AccessDenied"));
                        let advice = if denied { ALLOW } else { advice };
                        return Err(self.refused(action, format!("{told}; {advice}")));
                    }
                    Outcome::Failed { verdict: Verdict::Bad, told } => {
                        let advice = "was the stream made anew? Then what was read before is not in it";
                        return Err(self.refused(action, format!("{told}; {advice}")));
                    }
                    Outcome::Failed { told, .. } | Outcome::Silence { told } => told,
                    Outcome::Answers(_) => "nothing".to_owned(),
                },
                Err(_) => "there was no answer in time".to_owned(),
            };
            let wait = backoff(tries);
            if wait >= within.saturating_sub(start.elapsed()) {
                break;
            }
            tokio::time::sleep(wait).await;
        }
        Err(self.busy(action, last))
    }

    async fn list(&self, within: Duration) -> Result<Vec<Listed>, ReadError> {
        Ok(self.list_shards(within).await?.into_iter().map(listed_as).collect())
    }

    async fn list_shards(&self, within: Duration) -> Result<Vec<Shard>, ReadError> {
        let start = Instant::now();
        let (mut listed, mut page): (Vec<Shard>, Option<String>) = (Vec::new(), None);
        loop {
            let ask = || {
                let id = &self.stream.id;
                // A further page has the stream in its token, and must not have its name.
                let name = if page.is_none() { id.name() } else { None };
                let list = self.stream.client.list_shards().set_stream_name(name);
                list.set_stream_arn(id.arn()).set_next_token(page.clone()).send()
            };
            let left = within.saturating_sub(start.elapsed());
            let Some(answer) = self.ask("list the shards of", left, ask).await? else {
                return Err(self.busy("list the shards of", "the listing has expired".to_owned()));
            };
            listed.extend(answer.shards.unwrap_or_default());
            page = answer.next_token;
            if page.is_none() {
                return Ok(listed);
            }
        }
    }

    fn record(&self, record: Record) -> Result<PutRecord, ReadError> {
        let sequence = record.sequence_number.parse().map_err(|error| {
            let number = &record.sequence_number;
            self.refused(
                "read",
                format!(
                    "the sequence number '{number}' is {error}; use a server that answers as Kinesis does"
                ),
            )
        })?;
        let arrival = record.approximate_arrival_timestamp.and_then(|at| at.to_millis().ok());
        Ok(PutRecord {
            sequence,
            partition_key: record.partition_key.unwrap_or_default(),
            data: record.data.into_inner(),
            arrival_ms: arrival,
        })
    }
}

fn listed_as(shard: Shard) -> Listed {
    let open = is_open(&shard);
    let parents = [shard.parent_shard_id, shard.adjacent_parent_shard_id];
    Listed { shard: shard.shard_id, parents: parents.into_iter().flatten().collect(), open }
}

fn is_open(shard: &Shard) -> bool {
    shard.sequence_number_range.as_ref().is_none_or(|range| range.ending_sequence_number.is_none())
}
