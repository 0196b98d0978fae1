//! A Kinesis stream.

use std::borrow::Cow;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use md5::{Digest as _, Md5};
use tripline_kinesis::read::Start;
use tripline_kinesis::{KinesisOptions, KinesisSink, StreamReader};
use tripline_stream::kpl::{Aggregator, UserRecord};

use super::sink::{Packed, put};
use super::{Capacity, Delivered, Target, watermark_event};
use crate::replay::stage::Item;

/// Records of a request at most (API reference, `PutRecords`), which a chunk is to be one of.
const REQUEST_RECORDS: usize = 500;
const REQUEST_BYTES: usize = 5 << 20;
/// How large an aggregate becomes at most, as with the Kinesis Producer Library.
const AGGREGATE_BYTES: usize = 51_200;
/// Of an item in an aggregate, beyond its key and data.
const AGGREGATE_OVERHEAD: usize = 32;
/// How long the stream may take to tell its shards.
const LIST: Duration = Duration::from_secs(20);

/// How events go into a stream.
#[derive(Clone, Debug)]
pub(in crate::replay) struct KinesisTargetOptions {
    pub(in crate::replay) stream: KinesisOptions,
    /// Pack events as the Kinesis Producer Library does.
    pub(in crate::replay) aggregate: bool,
    /// The stream's shards are needed: for watermarks.
    pub(in crate::replay) watermarks: bool,
    /// Keys have no meaning: all of an aggregate may have one.
    pub(in crate::replay) random_keys: bool,
    /// Give up when the stream has taken nothing of a chunk for so long.
    pub(in crate::replay) give_up_after: Duration,
}

/// Sends events into a Kinesis stream.
#[derive(Debug)]
pub(in crate::replay) struct KinesisTarget {
    options: KinesisTargetOptions,
    sink: KinesisSink,
    /// The last hash keys of the open shards, ascending, where they are needed.
    shards: Vec<u128>,
}

impl KinesisTarget {
    /// Connects to the stream.
    ///
    /// # Errors
    /// When its options are wrong, or it does not tell its shards where they are needed.
    pub(in crate::replay) async fn connect(options: KinesisTargetOptions) -> anyhow::Result<Self> {
        let sink = KinesisSink::connect(options.stream.clone()).await?;
        let mut shards = Vec::new();
        if options.watermarks || options.aggregate && !options.random_keys {
            let reader = StreamReader::connect(&options.stream, Start::Latest, Default::default()).await?;
            shards = reader.hash_key_ends(LIST).await?;
        }
        Ok(Self { options, sink, shards })
    }

    /// The shard that a key belongs to, by its place among them.
    fn shard(&self, key: &str) -> usize {
        let hash = hash_key(key);
        self.shards.iter().position(|end| hash <= *end).unwrap_or_default()
    }

    fn pack<'i>(&self, items: &'i [Item]) -> Vec<Packed<'i>> {
        if !self.options.aggregate {
            return items.iter().map(Packed::alone).collect();
        }
        // An aggregate goes where its own key leads, and readers drop what belongs to another shard: so all
        // of it has one key, or keys of one shard.
        let count = if self.options.random_keys { 1 } else { self.shards.len().max(1) };
        let mut open: Vec<Vec<&'i Item>> = (0..count).map(|_| Vec::new()).collect();
        let mut bytes = vec![0; count];
        let mut packed = Vec::new();
        for item in items {
            let shard = if count == 1 { 0 } else { self.shard(&item.key) };
            let (Some(group), Some(size)) = (open.get_mut(shard), bytes.get_mut(shard)) else { continue };
            let more = item.bytes() + AGGREGATE_OVERHEAD;
            if *size + more > AGGREGATE_BYTES {
                packed.extend(self.aggregate(std::mem::take(group)));
                *size = 0;
            }
            *size += more;
            group.push(item);
        }
        for group in open {
            packed.extend(self.aggregate(group));
        }
        packed
    }

    /// One record of several items; an item alone stays as it is.
    fn aggregate<'i>(&self, items: Vec<&'i Item>) -> Vec<Packed<'i>> {
        let (Some(first), true) = (items.first().copied(), items.len() > 1) else {
            return items.into_iter().map(Packed::alone).collect();
        };
        let mut aggregator = Aggregator::default();
        let all_in = items.iter().all(|item| {
            let partition_key = if self.options.random_keys { &first.key } else { &item.key };
            aggregator.push(&UserRecord { partition_key, data: &item.data })
        });
        match aggregator.finish() {
            Some(data) if all_in => {
                vec![Packed { key: &first.key, data: Cow::Owned(data), items: items.len() as u64 }]
            }
            _ => items.into_iter().map(Packed::alone).collect(),
        }
    }
}

fn hash_key(key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(key.as_bytes()).into())
}

#[async_trait]
impl Target for KinesisTarget {
    fn capacity(&self) -> Capacity {
        let in_flight = self.options.stream.max_in_flight;
        if self.options.aggregate {
            // Some aggregates for each shard.
            let items = 5_000 * self.shards.len().clamp(1, 10);
            return Capacity { items, bytes: REQUEST_BYTES * 4 / 5, in_flight };
        }
        Capacity { items: REQUEST_RECORDS, bytes: REQUEST_BYTES, in_flight }
    }

    fn name(&self) -> String {
        format!("the Kinesis stream '{}'", self.options.stream.stream)
    }

    async fn send(&self, items: &[Item]) -> anyhow::Result<Delivered> {
        put(&self.sink, self.pack(items), self.options.give_up_after).await
    }

    async fn watermark(&self, at_ms: i64) -> anyhow::Result<u64> {
        let event = watermark_event(at_ms);
        let mut keys = Vec::with_capacity(self.shards.len());
        for shard in 0..self.shards.len() {
            // A key that leads there: records of PutRecords have no hash key of their own here.
            let found =
                (0_u32..1_000_000).map(|n| format!("watermark-{n}")).find(|key| self.shard(key) == shard);
            keys.push(found.context("no partition key leads to one of the shards: leave --watermarks out")?);
        }
        let packed = keys.iter().map(|key| Packed { key, data: Cow::Borrowed(&event), items: 1 }).collect();
        put(&self.sink, packed, self.options.give_up_after).await?;
        Ok(keys.len() as u64)
    }
}
