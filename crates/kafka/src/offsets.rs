//! What a topic holds, asked without joining any group.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;

use crate::connection::{Connection, Context, cannot_make};
use crate::error::KafkaError;
use crate::options::KafkaOptions;

/// It is in no group, whose changes it would hear of.
impl ConsumerContext for Context {}

/// The offsets of a topic-partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// The partition.
    pub partition: i32,
    /// The oldest offset that it still has.
    pub low: u64,
    /// The offset that its next record will have.
    pub high: u64,
}

/// How long a topic keeps its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// By time; `None`: without end.
    pub retention: Option<Duration>,
    /// It drops records of whose key there is a newer one.
    pub compacts: bool,
}

/// Asks the cluster for a topic's settings.
///
/// # Errors
/// [`KafkaError::Options`] with everything that is wrong with the options; [`KafkaError::Refused`] when the cluster
/// does not say.
pub async fn topic_settings(
    options: &KafkaOptions,
    topic: &str,
    patience: Duration,
) -> Result<TopicSettings, KafkaError> {
    let connection = Connection::new(options, Vec::new())?;
    let admin: AdminClient<Context> =
        AdminClient::from_config_and_context(&connection.config, connection.context())
            .map_err(|error| cannot_make(&error))?;
    let refused = |code: Code| KafkaError::Refused { reason: connection.explain(code, topic, None) };
    let timeouts = AdminOptions::new().request_timeout(Some(patience)).operation_timeout(Some(patience));
    let asked = admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &timeouts).await;
    let answers = asked.map_err(|error| refused(error.rdkafka_error_code().unwrap_or(Code::Fail)))?;
    let told = answers.into_iter().next().unwrap_or(Err(Code::Fail)).map_err(refused)?;
    let value = |name: &str| told.get(name).and_then(|entry| entry.value.clone());
    let retention = value("retention.ms").and_then(|value| value.parse().ok());
    Ok(TopicSettings {
        retention: retention.map(Duration::from_millis),
        compacts: value("cleanup.policy").is_some_and(|policy| policy.contains("compact")),
    })
}

/// The offsets of each partition of a topic. Blocks for `patience` at most at each of its questions.
///
/// # Errors
/// [`KafkaError::Options`] with everything that is wrong with the options; [`KafkaError::Refused`] when the topic
/// is not there, or the cluster does not say.
pub fn offsets(options: &KafkaOptions, topic: &str, patience: Duration) -> Result<Vec<Offsets>, KafkaError> {
    let connection = Connection::new(options, Vec::new())?;
    let mut config = connection.config.clone();
    // To ask must not be to create.
    config.set("allow.auto.create.topics", "false");
    let consumer: BaseConsumer<Context> =
        BaseConsumer::from_config_and_context(&config, connection.context())
            .map_err(|error| cannot_make(&error))?;
    let refused = |code: Code| {
        // What was heard of the connections says more than that nobody answered.
        let trouble = consumer.context().trouble();
        let (code, detail) = trouble.map_or((code, None), |trouble| (trouble.code, Some(trouble.detail)));
        KafkaError::Refused { reason: connection.explain(code, topic, detail.as_deref()) }
    };
    let failed = |error: ClientError| refused(error.rdkafka_error_code().unwrap_or(Code::Fail));
    // A token is made when the client is polled.
    let _ = consumer.poll(Duration::ZERO);
    let metadata = consumer.fetch_metadata(Some(topic), patience).map_err(failed)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let error =
        found.map_or(Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART), |found| found.error());
    if let Some(error) = error {
        return Err(KafkaError::Refused { reason: connection.explain(error.into(), topic, None) });
    }
    let mut all = Vec::new();
    for partition in found.into_iter().flat_map(|found| found.partitions()) {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), patience).map_err(failed)?;
        let offset = |offset: i64| u64::try_from(offset).unwrap_or_default();
        all.push(Offsets { partition: partition.id(), low: offset(low), high: offset(high) });
    }
    all.sort_by_key(|offsets| offsets.partition);
    Ok(all)
}
