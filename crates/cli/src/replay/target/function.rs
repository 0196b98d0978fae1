//! A function that runs on this machine, by Lambda's invocation API, as `cargo lambda watch` has it.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::bail;
use async_trait::async_trait;
use futures_util::future::try_join_all;
use tokio::time::Instant;
use tripline_model::source::Position;
use tripline_stream::mapping::{
    Batcher, INVOCATION_PAYLOAD_BYTES, MappingSettings, PutRecord, Reply, ShardOrigin, next_after,
    write_event,
};
use xxhash_rust::xxh3::xxh3_64;

use super::{Capacity, Delivered, Target};
use crate::invoke::{FunctionClient, LONGEST_INVOCATION};
use crate::replay::stage::Item;

/// After a first failure; twice as long after each further one, up to the last.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The part of an answer that is told.
const TOLD: usize = 300;

/// How the function is invoked.
#[derive(Clone, Debug)]
pub(in crate::replay) struct FunctionOptions {
    /// `http://host:port`.
    pub(in crate::replay) url: String,
    pub(in crate::replay) name: String,
    /// What the events say that the stream is called.
    pub(in crate::replay) stream: String,
    pub(in crate::replay) shards: usize,
    pub(in crate::replay) batch_size: usize,
    pub(in crate::replay) give_up_after: Duration,
    /// Where the replay's sequence numbers begin: those of an earlier replay lie below.
    pub(in crate::replay) first_sequence: u64,
    /// When all its records arrived, so that one that is sent again is the same.
    pub(in crate::replay) arrival_ms: i64,
}

/// Invokes a function as the event source mapping of a Kinesis stream would.
#[derive(Debug)]
pub(in crate::replay) struct FunctionTarget {
    options: FunctionOptions,
    client: FunctionClient,
    settings: MappingSettings,
    origins: Vec<ShardOrigin>,
}

impl FunctionTarget {
    /// For a function at this URL. Nothing is asked of it yet.
    ///
    /// # Errors
    /// When the URL is none.
    pub(in crate::replay) fn new(options: FunctionOptions) -> anyhow::Result<Self> {
        let client = FunctionClient::new(&options.url, &options.name, LONGEST_INVOCATION)?;
        let settings = MappingSettings {
            batch_size: options.batch_size,
            payload_bytes: INVOCATION_PAYLOAD_BYTES,
            report_batch_item_failures: true,
            bisect_batch_on_function_error: true,
        };
        let source = match options.stream.starts_with("arn:") {
            true => options.stream.clone(),
            false => format!("arn:aws:kinesis:us-east-1:000000000000:stream/{}", options.stream),
        };
        let origins = (0..options.shards)
            .map(|shard| ShardOrigin {
                source: source.clone(),
                shard: format!("shardId-{shard:012}"),
                invoke_identity_arn: "arn:aws:iam::000000000000:role/replay".to_owned(),
            })
            .collect();
        Ok(Self { options, client, settings, origins })
    }

    fn record(&self, number: u64, key: &str, data: Vec<u8>) -> PutRecord {
        PutRecord {
            sequence: Position::new(self.options.first_sequence.saturating_add(number)),
            partition_key: key.to_owned(),
            data,
            arrival_ms: Some(self.options.arrival_ms),
        }
    }

    /// Delivers a shard's records in batches, each until the function says that it is done.
    async fn deliver(&self, origin: &ShardOrigin, records: Vec<PutRecord>) -> anyhow::Result<Delivered> {
        let mut batcher = Batcher::new(origin.clone(), self.settings);
        let mut batches = Vec::new();
        for record in records {
            batches.extend(batcher.push(record));
        }
        batches.extend(batcher.finish());
        let mut delivered = Delivered::default();
        for batch in batches {
            self.deliver_batch(origin, &batch, &mut delivered).await?;
        }
        Ok(delivered)
    }

    async fn deliver_batch(
        &self,
        origin: &ShardOrigin,
        batch: &[PutRecord],
        delivered: &mut Delivered,
    ) -> anyhow::Result<()> {
        let mut waiting = VecDeque::from([batch]);
        let (mut since, mut pause) = (Instant::now(), PAUSE);
        while let Some(part) = waiting.pop_front() {
            delivered.requests += 1;
            let (reply, told) = match self.client.invoke(write_event(origin, part)).await {
                Ok(body) => (Reply::read(&body), String::from_utf8_lossy(&body).into_owned()),
                Err(error) => (Reply::Error, error.to_string()),
            };
            let left = next_after(&reply, part, &self.settings);
            let rest: usize = left.iter().map(ExactSizeIterator::len).sum();
            if rest < part.len() {
                (since, pause) = (Instant::now(), PAUSE);
            }
            if rest > 0 {
                delivered.retried += rest as u64;
                if since.elapsed() >= self.options.give_up_after {
                    let first = part.first().map(|record| record.sequence.to_string()).unwrap_or_default();
                    let told: String = told.chars().take(TOLD).collect();
                    bail!(
                        "{} does not take the batch from sequence number {first} of {} on, tried for {} s: {told}",
                        self.name(),
                        origin.shard,
                        since.elapsed().as_secs()
                    );
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            for range in left.into_iter().rev() {
                if let Some(again) = part.get(range) {
                    waiting.push_front(again);
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Target for FunctionTarget {
    fn capacity(&self) -> Capacity {
        let shards = self.origins.len();
        Capacity {
            items: self.options.batch_size.saturating_mul(shards),
            bytes: INVOCATION_PAYLOAD_BYTES / 2 * shards,
            // A shard's batches go one after the other.
            in_flight: 1,
        }
    }

    fn name(&self) -> String {
        format!("the function '{}' at {}", self.options.name, self.options.url)
    }

    async fn send(&self, items: &[Item]) -> anyhow::Result<Delivered> {
        let mut shards: Vec<Vec<PutRecord>> = self.origins.iter().map(|_| Vec::new()).collect();
        for item in items {
            // Spread evenly, and the same key into the same shard.
            let place = xxh3_64(item.key.as_bytes()) % (shards.len() as u64).max(1);
            if let Some(shard) = usize::try_from(place).ok().and_then(|place| shards.get_mut(place)) {
                shard.push(self.record(item.number, &item.key, item.data.clone()));
            }
        }
        let deliveries =
            self.origins.iter().zip(shards).map(|(origin, records)| self.deliver(origin, records));
        let mut all = Delivered::default();
        for delivered in try_join_all(deliveries).await? {
            all.requests += delivered.requests;
            all.retried += delivered.retried;
        }
        Ok(all)
    }

    async fn watermark(&self, _: i64) -> anyhow::Result<u64> {
        bail!("--watermarks cannot be used with --function: leave one of them out")
    }
}
