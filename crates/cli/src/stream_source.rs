//! A stream or topics beside a lake: how the options name them.

use tripline_kinesis::KinesisOptions;

/// Requests to a stream or cluster wait for an answer so long.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(15);

/// The source that the lake is fed from.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SourceArguments {
    /// The Kinesis stream that feeds the lake, by its name or ARN.
    #[arg(long, value_name = "STREAM")]
    pub(crate) kinesis: Option<String>,
    /// Region of the stream.
    #[arg(long, value_name = "REGION", requires = "kinesis")]
    kinesis_region: Option<String>,
    /// URL of a Kinesis-compatible server.
    #[arg(long, value_name = "URL", requires = "kinesis")]
    kinesis_endpoint: Option<String>,
    /// Bootstrap servers of the Kafka cluster that feeds the lake. How to reach it is said by the functions' own
    /// variables, `TRIPLINE_KAFKA_…`.
    #[arg(long, value_name = "HOST:PORT,…", requires = "topic", conflicts_with = "kinesis")]
    pub(crate) kafka: Option<String>,
    /// Topics that feed the lake.
    #[arg(long, value_name = "TOPIC", requires = "kafka", num_args = 1..)]
    pub(crate) topic: Vec<String>,
}

impl SourceArguments {
    /// How to reach the stream, if there is one.
    pub(crate) fn stream(&self) -> Option<KinesisOptions> {
        self.kinesis.as_ref().map(|stream| KinesisOptions {
            region: self.kinesis_region.clone(),
            endpoint: self.kinesis_endpoint.clone(),
            ..KinesisOptions::new(stream)
        })
    }
}
