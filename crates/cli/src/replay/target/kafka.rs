//! A Kafka topic.

use std::time::Duration;

use anyhow::bail;
use async_trait::async_trait;
use tripline_kafka::KafkaSink;
use tripline_settings::{environment_variables, kafka_cluster};

use super::sink::{Packed, put};
use super::{Capacity, Delivered, Target};
use crate::replay::stage::Item;

/// What a chunk is: the producer makes batches of it by partition.
const CHUNK: Capacity = Capacity { items: 5_000, bytes: 4 << 20, in_flight: 1 };

/// Sends events into a Kafka topic.
#[derive(Debug)]
pub(in crate::replay) struct KafkaTarget {
    sink: KafkaSink,
    in_flight: usize,
    give_up_after: Duration,
}

impl KafkaTarget {
    /// A target at these bootstrap servers, reached as the variables `TRIPLINE_KAFKA_…` say.
    ///
    /// # Errors
    /// With everything that is wrong with the options.
    pub(in crate::replay) fn connect(
        brokers: &str,
        topic: &str,
        in_flight: usize,
        give_up_after: Duration,
    ) -> anyhow::Result<Self> {
        let options = kafka_cluster(brokers, environment_variables())?;
        Ok(Self { sink: KafkaSink::connect(&options, topic)?, in_flight, give_up_after })
    }
}

#[async_trait]
impl Target for KafkaTarget {
    fn capacity(&self) -> Capacity {
        Capacity { in_flight: self.in_flight, ..CHUNK }
    }

    fn name(&self) -> String {
        format!("the Kafka topic '{}'", self.sink.topic())
    }

    async fn send(&self, items: &[Item]) -> anyhow::Result<Delivered> {
        put(&self.sink, items.iter().map(Packed::alone).collect(), self.give_up_after).await
    }

    async fn watermark(&self, _: i64) -> anyhow::Result<u64> {
        bail!(
            "watermarks go to every partition, which a Kafka producer does not choose: leave --watermarks out"
        )
    }
}
