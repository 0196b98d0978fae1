//! Lambda's side of a Kafka event source mapping: its events, byte for byte, and what it delivers again after an
//! answer.

use super::{MappingSettings, push_escaped};
use crate::reply::{FailedOffset, Reply};

/// A cluster, as events name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The ARN of an Amazon MSK cluster; `None` for one that is self-managed.
    pub arn: Option<String>,
    /// `host:port`, separated by commas.
    pub bootstrap_servers: String,
}

/// What a topic says of its records' times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// When the producer made the record: Kafka's default.
    #[default]
    CreateTime,
    /// When the broker appended it.
    LogAppendTime,
}

/// A record of a topic-partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicRecord {
    /// Its offset; ascending within the topic-partition, not always without gaps.
    pub offset: u64,
    /// Milliseconds since 1970 UTC; -1 where there is none.
    pub timestamp_ms: i64,
    /// What the timestamp is of.
    pub timestamp_type: TimestampType,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers, in their order; a name may come twice.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Records of one topic-partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPartition {
    /// Topic.
    pub topic: String,
    /// Partition, from 0.
    pub partition: i32,
    /// In the order of their offsets.
    pub records: Vec<TopicRecord>,
}

/// Writes the event that Lambda sends for these records.
#[must_use]
pub fn write_event(cluster: &Cluster, partitions: &[TopicPartition]) -> Vec<u8> {
    let mut event = match &cluster.arn {
        Some(arn) => {
            let mut event = br#"{"eventSource":"aws:kafka","eventSourceArn":""#.to_vec();
            push_escaped(&mut event, arn);
            event
        }
        None => br#"{"eventSource":"SelfManagedKafka"#.to_vec(),
    };
    event.extend_from_slice(br#"","bootstrapServers":""#);
    push_escaped(&mut event, &cluster.bootstrap_servers);
    event.extend_from_slice(br#"","records":{"#);
    push_separated(&mut event, partitions, |event, TopicPartition { topic, partition, records }| {
        event.push(b'"');
        push_escaped(event, topic);
        event.extend_from_slice(format!("-{partition}\":[").as_bytes());
        push_separated(event, records, |event, record| push_record(event, topic, *partition, record));
        event.push(b']');
    });
    event.extend_from_slice(b"}}");
    event
}

/// As [`next_after`](super::next_after), for records of topics. A partial response tells of each topic-partition
/// the lowest offset that failed; bisecting halves the records of all of them together.
#[must_use]
pub fn next_after(
    reply: &Reply<FailedOffset>,
    batch: &[TopicPartition],
    settings: &MappingSettings,
) -> Vec<Vec<TopicPartition>> {
    let failed = match reply {
        Reply::Error if settings.bisect_batch_on_function_error => return halves(batch),
        Reply::Error => return vec![batch.to_vec()],
        Reply::Response(_) | Reply::Unusable if !settings.report_batch_item_failures => return Vec::new(),
        Reply::Unusable => return vec![batch.to_vec()],
        Reply::Response(failed) => failed,
    };
    let mut firsts = vec![None; batch.len()];
    for FailedOffset { partition, offset } in failed {
        let place = |known: &TopicPartition| {
            let is_named = format!("{}-{}", known.topic, known.partition) == *partition;
            let at = known.records.iter().position(|record| record.offset == *offset);
            at.filter(|_| is_named)
        };
        let found = batch.iter().map(place).zip(&mut firsts).find_map(|(at, first)| Some((at?, first)));
        match found {
            Some((at, first)) => *first = Some(first.map_or(at, |known: usize| known.min(at))),
            None => return vec![batch.to_vec()],
        }
    }
    let rest = |(partition, first): (&TopicPartition, Option<usize>)| split(partition, first?).1;
    let left: Vec<TopicPartition> = batch.iter().zip(firsts).filter_map(rest).collect();
    if left.is_empty() { Vec::new() } else { vec![left] }
}

fn halves(batch: &[TopicPartition]) -> Vec<Vec<TopicPartition>> {
    let records: usize = batch.iter().map(|partition| partition.records.len()).sum();
    let mut left = records / 2;
    let (mut one, mut other) = (Vec::new(), Vec::new());
    for partition in batch {
        let taken = left.min(partition.records.len());
        left -= taken;
        let (front, back) = split(partition, taken);
        one.extend(front);
        other.extend(back);
    }
    [one, other].into_iter().filter(|half| !half.is_empty()).collect()
}

/// The first records of a topic-partition, and the others; `None` where there are none.
pub(super) fn split(
    partition: &TopicPartition,
    at: usize,
) -> (Option<TopicPartition>, Option<TopicPartition>) {
    let (front, back) = partition.records.split_at(at.min(partition.records.len()));
    let part = |records: &[TopicRecord]| {
        let TopicPartition { topic, partition, .. } = partition;
        let part = TopicPartition { topic: topic.clone(), partition: *partition, records: records.to_vec() };
        Some(part).filter(|part| !part.records.is_empty())
    };
    (part(front), part(back))
}

fn push_record(event: &mut Vec<u8>, topic: &str, partition: i32, record: &TopicRecord) {
    let TopicRecord { offset, timestamp_ms, timestamp_type, key, value, headers } = record;
    let timestamp_type = match timestamp_type {
        TimestampType::CreateTime => "CREATE_TIME",
        TimestampType::LogAppendTime => "LOG_APPEND_TIME",
    };
    event.extend_from_slice(br#"{"topic":""#);
    push_escaped(event, topic);
    let numbers = format!(
        r#"","partition":{partition},"offset":{offset},"timestamp":{timestamp_ms},"timestampType":"{timestamp_type}","key":"#
    );
    event.extend_from_slice(numbers.as_bytes());
    push_base64(event, key.as_deref());
    event.extend_from_slice(br#","value":"#);
    push_base64(event, value.as_deref());
    event.extend_from_slice(br#","headers":["#);
    push_separated(event, headers, |event, (name, bytes)| {
        event.extend_from_slice(b"{\"");
        push_escaped(event, name);
        event.extend_from_slice(b"\":[");
        push_separated(event, bytes, |event, byte| event.extend_from_slice(byte.to_string().as_bytes()));
        event.extend_from_slice(b"]}");
    });
    event.extend_from_slice(b"]}");
}

fn push_base64(event: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else { return event.extend_from_slice(b"null") };
    event.push(b'"');
    base64_simd::STANDARD.encode_append(bytes, event);
    event.push(b'"');
}

fn push_separated<T>(event: &mut Vec<u8>, items: &[T], push: impl Fn(&mut Vec<u8>, &T)) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            event.push(b',');
        }
        push(event, item);
    }
}
