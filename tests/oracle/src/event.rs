//! Events of event source mappings, Kinesis' and Kafka's.

use serde_json::{Map, Value};

use crate::{Reading, base64};

/// A record in the oracle's terms.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRecord {
    /// Stream ARN.
    pub source: String,
    /// Shard id, or topic-partition.
    pub shard: String,
    /// Sequence number, without leading zeros, or offset.
    pub position: String,
    /// Partition key; empty where there is none.
    pub partition_key: String,
    /// The payload, or the data member as a value where it is not base64; null where there is none.
    pub payload: Result<Vec<u8>, Value>,
    /// Kinesis: the time of arrival as it stands; null where there is none. Kafka: its milliseconds.
    pub arrival: Value,
}

/// Digits that a position may have.
const LONGEST_POSITION: usize = 76;

/// The records of an event in their order; those of Kafka, whose order among topic-partitions says
/// nothing, by topic-partition.
#[must_use]
pub fn read(body: &[u8]) -> Reading<Vec<EventRecord>> {
    Reading::of(body, |event| match event.get("Records") {
        Some(records) => records.as_array()?.iter().map(record).collect(),
        None => kafka(&event),
    })
}

fn kafka(event: &Value) -> Option<Vec<EventRecord>> {
    let text = |name: &str| event.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let source = match (event.get("eventSource")?.as_str()?, text("eventSourceArn")) {
        ("aws:kafka" | "SelfManagedKafka", Some(arn)) => arn.to_owned(),
        ("SelfManagedKafka", None) => {
            let mut servers: Vec<&str> = text("bootstrapServers")?.split(',').map(str::trim).collect();
            servers.sort_unstable();
            format!("kafka://{}", servers.join(","))
        }
        _ => return None,
    };
    let mut read = Vec::new();
    for (shard, records) in event.get("records")?.as_object()? {
        if shard.is_empty() {
            return None;
        }
        for record in records.as_array()? {
            read.push(kafka_record(&source, shard, record.as_object()?)?);
        }
    }
    Some(read)
}

fn kafka_record(source: &str, shard: &str, record: &Map<String, Value>) -> Option<EventRecord> {
    let key = record.get("key").and_then(Value::as_str).unwrap_or_default();
    let decoded = base64::decode(key).and_then(|bytes| String::from_utf8(bytes).ok());
    Some(EventRecord {
        source: source.to_owned(),
        shard: shard.to_owned(),
        position: record.get("offset")?.as_u64()?.to_string(),
        partition_key: decoded.unwrap_or_else(|| key.to_owned()),
        payload: match record.get("value").unwrap_or(&Value::Null) {
            Value::Null => Ok(Vec::new()),
            value => value.as_str().and_then(base64::decode).ok_or_else(|| value.clone()),
        },
        arrival: record.get("timestamp").and_then(Value::as_i64).filter(|ms| *ms >= 0).into(),
    })
}

fn record(record: &Value) -> Option<EventRecord> {
    let record = record.as_object()?;
    if record.get("eventSource").and_then(Value::as_str).is_some_and(|source| source != "aws:kinesis") {
        return None;
    }
    let kinesis = record.get("kinesis")?.as_object()?;
    let text = |object: &Map<String, Value>, name: &str| object.get(name)?.as_str().map(str::to_owned);
    let (shard, _) = record.get("eventID")?.as_str()?.split_once(':')?;
    let source = text(record, "eventSourceARN")?;
    if shard.is_empty() || source.is_empty() {
        return None;
    }
    let data = kinesis.get("data").unwrap_or(&Value::Null);
    Some(EventRecord {
        source,
        shard: shard.to_owned(),
        position: position(&text(kinesis, "sequenceNumber")?)?,
        partition_key: text(kinesis, "partitionKey").unwrap_or_default(),
        arrival: kinesis.get("approximateArrivalTimestamp").cloned().unwrap_or_default(),
        payload: data.as_str().and_then(base64::decode).ok_or_else(|| data.clone()),
    })
}

fn position(digits: &str) -> Option<String> {
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let significant = digits.trim_start_matches('0');
    let value = if significant.is_empty() { "0" } else { significant };
    (is_number && significant.len() <= LONGEST_POSITION).then(|| value.to_owned())
}
