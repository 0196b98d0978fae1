//! From a client's message to a record of an event.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rdkafka::message::{BorrowedMessage, Headers, Message, Timestamp};
use tripline_stream::mapping::kafka::{TimestampType, TopicRecord};

/// Copies a message.
pub(super) fn record(message: &BorrowedMessage<'_>) -> TopicRecord {
    let (timestamp_ms, timestamp_type) = match message.timestamp() {
        Timestamp::NotAvailable => (-1, TimestampType::CreateTime),
        Timestamp::CreateTime(ms) => (ms, TimestampType::CreateTime),
        Timestamp::LogAppendTime(ms) => (ms, TimestampType::LogAppendTime),
    };
    TopicRecord {
        offset: u64::try_from(message.offset()).unwrap_or_default(),
        timestamp_ms,
        timestamp_type,
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers(message),
    }
}

/// The client panics at a header whose name is no UTF-8, which the protocol does not allow: such a header is
/// left out, and the record is not.
fn headers(message: &BorrowedMessage<'_>) -> Vec<(String, Vec<u8>)> {
    let Some(headers) = message.headers() else { return Vec::new() };
    let header = |index| {
        let header = headers.try_get(index)?;
        Some((header.key.to_owned(), header.value.map(<[u8]>::to_vec).unwrap_or_default()))
    };
    let read = |index| {
        catch_unwind(AssertUnwindSafe(|| header(index))).unwrap_or_else(|_| {
            let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
            tracing::warn!(topic, partition, offset, "a header whose name is no UTF-8 is left out");
            None
        })
    };
    (0..headers.count()).filter_map(read).collect()
}

/// Bytes that a record adds to an event, at most: what [`write_event`] writes for it.
///
/// [`write_event`]: tripline_stream::mapping::kafka::write_event
pub(super) fn event_bytes(topic: &str, record: &TopicRecord) -> usize {
    // Names of members, and numbers at their longest.
    const FRAME: usize = 192;
    let base64 = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(4, |bytes| bytes.len().div_ceil(3) * 4 + 2);
    let headers = record.headers.iter().map(|(name, value)| {
        // A character's escape has six bytes at most.
        let digits: usize = value
            .iter()
            .map(|byte| {
                if *byte < 10 {
                    2
                } else if *byte < 100 {
                    3
                } else {
                    4
                }
            })
            .sum();
        name.bytes()
            .map(|byte| if byte < 0x20 || byte == b'"' || byte == b'\\' { 6 } else { 1 })
            .sum::<usize>()
            + digits
            + 8
    });
    FRAME + topic.len() + base64(&record.key) + base64(&record.value) + headers.sum::<usize>()
}

/// Bytes that a topic-partition adds to an event, its records apart.
pub(super) const fn partition_bytes(topic: &str) -> usize {
    topic.len() + 18
}

/// Bytes of an event around its partitions, at most.
pub(super) const ENVELOPE_BYTES: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_stream::mapping::kafka::{Cluster, TopicPartition, write_event};

    fn sized(record: &TopicRecord) -> (usize, usize) {
        let cluster = Cluster { arn: None, bootstrap_servers: String::new() };
        let partition = |records| TopicPartition { topic: "trips".to_owned(), partition: i32::MAX, records };
        let without = write_event(&cluster, &[partition(Vec::new())]).len();
        let with = write_event(&cluster, &[partition(vec![record.clone()])]).len();
        (with - without, event_bytes("trips", record))
    }

    #[test]
    fn a_record_is_never_longer_in_an_event_than_was_reckoned_and_not_much_shorter() {
        let bare = TopicRecord::default();
        let longest = TopicRecord {
            offset: u64::MAX,
            timestamp_ms: i64::MIN,
            timestamp_type: TimestampType::LogAppendTime,
            key: Some(vec![0; 10]),
            value: Some(vec![0; 1000]),
            headers: vec![
                ("plain".to_owned(), (0..=255).collect()),
                ("\u{1}\"\\é\u{7f}\u{2028}".to_owned(), Vec::new()),
                (String::new(), vec![255; 3]),
            ],
        };
        for record in [&bare, &longest] {
            let (exact, reckoned) = sized(record);
            assert!(exact <= reckoned && reckoned < exact + 200, "{exact} {reckoned}");
        }
    }
}
