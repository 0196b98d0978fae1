//! What a mapping writes to an on-failure destination on S3 for a batch that it gives up.
//!
//! The form is that of the AWS Lambda documentation: "Retain discarded batch records for a Kinesis Data Streams
//! event source" and "Capturing discarded batches for Amazon MSK and self-managed Apache Kafka event sources".

use std::collections::BTreeMap;

use serde::Serialize;
use tripline_model::time;

use super::delivery::Condition;
use super::kafka::{Cluster, TopicPartition};
use super::{PutRecord, ShardOrigin};

/// The record of an invocation whose batch is given up.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InvocationRecord<'a> {
    /// Whose batch it is, and why it is given up.
    pub request_context: RequestContext<'a>,
    /// What the last invocation came to; `None` where there was none.
    pub response_context: Option<ResponseContext>,
    version: &'static str,
    timestamp: String,
    #[serde(flatten)]
    info: BatchInfo,
    payload: &'a str,
}

/// Whose batch it is, and why it is given up.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestContext<'a> {
    /// Id of the last invocation.
    pub request_id: String,
    /// The function.
    pub function_arn: &'a str,
    /// Why.
    pub condition: Condition,
    /// How often the function was invoked with it.
    pub approximate_invoke_count: u32,
}

/// What the last invocation came to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseContext {
    status_code: u16,
    executed_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_error: Option<&'static str>,
}

impl ResponseContext {
    /// Of an invocation that answered, with an error or in part.
    #[must_use]
    pub fn new(is_error: bool) -> Self {
        let function_error = is_error.then_some("Unhandled");
        Self { status_code: 200, executed_version: "$LATEST", function_error }
    }
}

impl<'a> InvocationRecord<'a> {
    /// Of a batch that was given up at this time; `event` delivers it.
    #[must_use]
    pub fn new(
        request_context: RequestContext<'a>,
        response_context: Option<ResponseContext>,
        info: BatchInfo,
        event: &'a str,
        at_ms: i64,
    ) -> Self {
        let timestamp = time::rfc3339(at_ms);
        Self { request_context, response_context, version: "1.0", timestamp, info, payload: event }
    }

    /// Its object's key; `unique` is a UUID of its own.
    #[must_use]
    pub fn key(&self, mapping: &str, unique: &str) -> String {
        let day = self.timestamp.get(..10).unwrap_or_default();
        let second = self.timestamp.get(..19).unwrap_or_default();
        let (folders, second) = (day.replace('-', "/"), second.replace(':', "."));
        // Shards and topics are named by these characters alone, files are not.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let partition = self.info.partition().replace(|c| !is_plain(c), "-");
        format!("aws/lambda/{mapping}/{partition}/{folders}/{second}-{unique}")
    }
}

/// Which records the batch has.
#[derive(Clone, Debug, Serialize)]
pub enum BatchInfo {
    /// Of a shard.
    #[serde(rename = "KinesisBatchInfo")]
    Kinesis(KinesisBatchInfo),
    /// Of topics.
    #[serde(rename = "KafkaBatchInfo")]
    Kafka(KafkaBatchInfo),
}

/// A shard's records.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KinesisBatchInfo {
    shard_id: String,
    start_sequence_number: String,
    end_sequence_number: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    approximate_arrival_of_first_record: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approximate_arrival_of_last_record: Option<String>,
    batch_size: usize,
    stream_arn: String,
}

/// Records of topics.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaBatchInfo {
    batch_size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_source_arn: Option<String>,
    bootstrap_servers: String,
    payload_size: usize,
    records_info: BTreeMap<String, RecordsInfo>,
}

/// A topic-partition's records.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RecordsInfo {
    first_record_offset: String,
    last_record_offset: String,
    first_record_timestamp: String,
    last_record_timestamp: String,
}

impl BatchInfo {
    /// Of records of a shard.
    #[must_use]
    pub fn of_shard(origin: &ShardOrigin, records: &[PutRecord]) -> Self {
        let (first, last) = (records.first(), records.last());
        let sequence =
            |record: Option<&PutRecord>| record.map(|record| record.sequence.to_string()).unwrap_or_default();
        let arrival =
            |record: Option<&PutRecord>| record.and_then(|record| record.arrival_ms).map(time::rfc3339);
        Self::Kinesis(KinesisBatchInfo {
            shard_id: origin.shard.clone(),
            start_sequence_number: sequence(first),
            end_sequence_number: sequence(last),
            approximate_arrival_of_first_record: arrival(first),
            approximate_arrival_of_last_record: arrival(last),
            batch_size: records.len(),
            stream_arn: origin.source.clone(),
        })
    }

    /// Of records of topics, whose event has so many bytes.
    #[must_use]
    pub fn of_topics(cluster: &Cluster, partitions: &[TopicPartition], payload_size: usize) -> Self {
        let info = |partition: &TopicPartition| {
            let (first, last) = (partition.records.first()?, partition.records.last()?);
            let info = RecordsInfo {
                first_record_offset: first.offset.to_string(),
                last_record_offset: last.offset.to_string(),
                first_record_timestamp: time::rfc3339(first.timestamp_ms),
                last_record_timestamp: time::rfc3339(last.timestamp_ms),
            };
            Some((format!("{}-{}", partition.topic, partition.partition), info))
        };
        Self::Kafka(KafkaBatchInfo {
            batch_size: partitions.iter().map(|partition| partition.records.len()).sum(),
            event_source_arn: cluster.arn.clone(),
            bootstrap_servers: cluster.bootstrap_servers.clone(),
            payload_size,
            records_info: partitions.iter().filter_map(info).collect(),
        })
    }

    /// The shard, or the first topic-partition.
    fn partition(&self) -> &str {
        match self {
            Self::Kinesis(info) => &info.shard_id,
            Self::Kafka(info) => info.records_info.keys().next().map(String::as_str).unwrap_or_default(),
        }
    }
}
