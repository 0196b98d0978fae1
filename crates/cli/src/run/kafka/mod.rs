//! A Kafka cluster as the source.

#[cfg(feature = "kafka")]
mod poll;

#[cfg(feature = "kafka")]
pub(super) use poll::poll;

#[cfg(not(feature = "kafka"))]
use super::{Run, stream::StreamArguments};

/// A cluster to read.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct KafkaArguments {
    /// Bootstrap servers of a Kafka cluster to read, as its event source mapping would. How to reach it is
    /// said by the functions' own variables, `TRIPLINE_KAFKA_…`.
    #[arg(long, value_name = "HOST:PORT,…", requires = "topic", conflicts_with_all = ["input", "kinesis", "seed_faults"])]
    pub(super) kafka: Option<String>,
    /// Topics to read.
    #[arg(long, value_name = "TOPIC", requires = "kafka", num_args = 1..)]
    pub(super) topic: Vec<String>,
    /// Consumer group, whose offsets tell where to go on; by default it is named after the pipeline.
    #[arg(long, value_name = "GROUP", requires = "kafka")]
    group: Option<String>,
}

#[cfg(not(feature = "kafka"))]
pub(super) async fn poll(
    _: &mut Run,
    _: &KafkaArguments,
    _: &StreamArguments,
    _: &str,
) -> anyhow::Result<()> {
    anyhow::bail!("this build cannot reach Kafka: build the tool with --features kafka")
}
