//! Events of a Kinesis event source mapping.

use serde_json::{Map, Value};

use crate::{Reading, base64};

/// A record in the oracle's terms.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRecord {
    /// Stream ARN.
    pub source: String,
    /// Shard id.
    pub shard: String,
    /// Sequence number, without leading zeros.
    pub position: String,
    /// Partition key; empty where there is none.
    pub partition_key: String,
    /// The payload, or the data member as a value where it is not base64; null where there is none.
    pub payload: Result<Vec<u8>, Value>,
    /// The time of arrival as it stands; null where there is none.
    pub arrival: Value,
}

/// Digits that a position may have.
const LONGEST_POSITION: usize = 76;

/// The records of an event in their order.
#[must_use]
pub fn read(body: &[u8]) -> Reading<Vec<EventRecord>> {
    Reading::of(body, |event| event.get("Records")?.as_array()?.iter().map(record).collect())
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
