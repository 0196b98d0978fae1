//! How long a mapping goes on with a batch: its parts in their order, retries, age, giving up.
//!
//! Rules from the AWS Lambda documentation: "Retain discarded batch records for a Kinesis Data Streams event
//! source" and "Configuring error handling controls for Kafka event sources".

use std::borrow::Cow;
use std::collections::VecDeque;

use serde::Serialize;

use super::kafka::{self, Cluster, TopicPartition};
use super::on_failure::BatchInfo;
use super::{MappingSettings, PutRecord, ShardOrigin, next_after, write_event};
use crate::reply::Reply;
use crate::response::BatchResponse;

/// Why a mapping gives records up, as its on-failure destination is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Condition {
    /// `MaximumRetryAttempts`.
    RetryAttemptsExhausted,
    /// `MaximumRecordAgeInSeconds`.
    RecordAgeExceeded,
    /// A record is larger than an invocation may be.
    MaximumPayloadSizeExceeded,
}

/// What an invocation came to.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// It failed: an error, a crash or a time-out.
    Error,
    /// The bytes that it answered.
    Body(&'a [u8]),
    /// The same, before they were written.
    Response(&'a BatchResponse),
}

/// Records that are delivered together.
pub trait Batch: Sized {
    /// How many there are.
    fn records(&self) -> usize;

    /// The event that delivers them.
    fn event(&self) -> Vec<u8>;

    /// The parts that are to be delivered after an answer, as by [`next_after`].
    fn next_after(&self, answer: Answer<'_>, settings: &MappingSettings) -> Vec<Self>;

    /// Cuts off what stands at the front of each source partition and arrived before `oldest_ms`: returns it, and
    /// the rest.
    fn split_older(self, oldest_ms: i64) -> (Self, Self);

    /// What an on-failure destination is told of them; `event` delivers them.
    fn info(&self, event: &[u8]) -> BatchInfo;

    /// Where they are, for messages: their source and the first position.
    fn place(&self) -> String;
}

/// The parts of one batch that are not done, in the order of their delivery.
#[derive(Clone, Debug)]
pub struct Delivery<B> {
    due: VecDeque<(B, u32)>,
}

impl<B> Delivery<B> {
    /// A batch that has not been tried.
    #[must_use]
    pub fn new(batch: B) -> Self {
        Self { due: VecDeque::from([(batch, 0)]) }
    }

    /// The part whose turn it is, and how often it was retried.
    pub fn next_part(&mut self) -> Option<(B, u32)> {
        self.due.pop_front()
    }

    /// Takes what is left of a part that was retried so often. Returns what is to be given up, as
    /// `MaximumRetryAttempts` (`None`: -1) is used up. Splitting a batch does not count as a retry.
    #[must_use]
    pub fn again(&mut self, left: Vec<B>, retried: u32, most: Option<u32>) -> Vec<B> {
        let retried = if left.len() > 1 { retried } else { retried.saturating_add(1) };
        if most.is_some_and(|most| retried > most) {
            return left;
        }
        self.put_back(left, retried);
        Vec::new()
    }

    /// Takes parts that were not tried, or whose try does not count.
    pub fn put_back(&mut self, parts: Vec<B>, retried: u32) {
        for part in parts.into_iter().rev() {
            self.due.push_front((part, retried));
        }
    }

    /// What is not done.
    pub fn rest(self) -> impl Iterator<Item = B> {
        self.due.into_iter().map(|(part, _)| part)
    }
}

/// Records of a shard.
#[derive(Clone, Copy, Debug)]
pub struct ShardBatch<'a> {
    /// The shard.
    pub origin: &'a ShardOrigin,
    /// In the order of their sequence numbers.
    pub records: &'a [PutRecord],
}

impl Batch for ShardBatch<'_> {
    fn records(&self) -> usize {
        self.records.len()
    }

    fn event(&self) -> Vec<u8> {
        write_event(self.origin, self.records)
    }

    fn next_after(&self, answer: Answer<'_>, settings: &MappingSettings) -> Vec<Self> {
        let reply = match answer {
            Answer::Error => Reply::Error,
            Answer::Body(body) => Reply::read(body),
            Answer::Response(response) => Reply::from(response),
        };
        let parts = next_after(&reply, self.records, settings).into_iter();
        parts.filter_map(|range| Some(Self { records: self.records.get(range)?, ..*self })).collect()
    }

    fn split_older(self, oldest_ms: i64) -> (Self, Self) {
        let is_young = |record: &PutRecord| record.arrival_ms.is_none_or(|arrival| arrival >= oldest_ms);
        let aged = self.records.iter().position(is_young).unwrap_or(self.records.len());
        let (aged, rest) = self.records.split_at(aged);
        (Self { records: aged, ..self }, Self { records: rest, ..self })
    }

    fn info(&self, _: &[u8]) -> BatchInfo {
        BatchInfo::of_shard(self.origin, self.records)
    }

    fn place(&self) -> String {
        let first = self.records.first().map(|record| record.sequence.to_string()).unwrap_or_default();
        format!("{}: the batch from position {first} on", self.origin.source)
    }
}

/// Records of topics.
#[derive(Clone, Debug)]
pub struct TopicBatch<'a> {
    /// Their cluster.
    pub cluster: &'a Cluster,
    /// By topic-partition; none is without records.
    pub partitions: Cow<'a, [TopicPartition]>,
}

impl TopicBatch<'_> {
    fn of(&self, partitions: Vec<TopicPartition>) -> Self {
        Self { cluster: self.cluster, partitions: Cow::Owned(partitions) }
    }
}

impl Batch for TopicBatch<'_> {
    fn records(&self) -> usize {
        self.partitions.iter().map(|partition| partition.records.len()).sum()
    }

    fn event(&self) -> Vec<u8> {
        kafka::write_event(self.cluster, &self.partitions)
    }

    fn next_after(&self, answer: Answer<'_>, settings: &MappingSettings) -> Vec<Self> {
        let reply = match answer {
            Answer::Error => Reply::Error,
            Answer::Body(body) => Reply::read_offsets(body),
            Answer::Response(response) => Reply::offsets_of(response),
        };
        let parts = kafka::next_after(&reply, &self.partitions, settings).into_iter();
        parts.map(|part| self.of(part)).collect()
    }

    fn split_older(self, oldest_ms: i64) -> (Self, Self) {
        let is_aged = |ms: i64| ms >= 0 && ms < oldest_ms;
        let front = |partition: &TopicPartition| {
            partition.records.iter().take_while(|record| is_aged(record.timestamp_ms)).count()
        };
        if self.partitions.iter().all(|partition| front(partition) == 0) {
            return (self.of(Vec::new()), self);
        }
        let (aged, rest): (Vec<_>, Vec<_>) =
            self.partitions.iter().map(|partition| kafka::split(partition, front(partition))).unzip();
        let filled = |parts: Vec<Option<TopicPartition>>| self.of(parts.into_iter().flatten().collect());
        (filled(aged), filled(rest))
    }

    fn info(&self, event: &[u8]) -> BatchInfo {
        BatchInfo::of_topics(self.cluster, &self.partitions, event.len())
    }

    fn place(&self) -> String {
        let first = self.partitions.first();
        let offset = first.and_then(|partition| partition.records.first()).map(|record| record.offset);
        let name = first.map(|first| format!("{}-{}", first.topic, first.partition)).unwrap_or_default();
        format!("{name}: the batch from offset {} on", offset.unwrap_or_default())
    }
}
