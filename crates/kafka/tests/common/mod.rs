//! Clients of the tests' own, so that what is tested does not vouch for itself.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tripline_model::forward::Outgoing;

pub(crate) const ASK: Duration = Duration::from_secs(20);

/// A record as it lies in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) headers: BTreeMap<String, Vec<u8>>,
}

impl Read {
    pub(crate) fn source(&self) -> String {
        String::from_utf8(self.headers["tripline-source"].clone()).unwrap()
    }
}

pub(crate) fn events(count: usize) -> Vec<Outgoing<'static>> {
    (0..count).map(event).collect()
}

/// An event with bytes that text-minded code would spoil, one of a hundred keys.
pub(crate) fn event(index: usize) -> Outgoing<'static> {
    let payload = format!("{{\"n\":{index},\"name\":\"Zoë \\u0000 {}\"}}", "x".repeat(index % 97));
    Outgoing {
        record: index,
        event_type: if index.is_multiple_of(2) { "trip" } else { "click" },
        key: format!("key-{}-é", index % 100),
        payload: Cow::Owned(payload.into_bytes()),
        source: format!("stream/shard-1/{index}"),
        headers: if index.is_multiple_of(3) { r#"[{"producer":[116,108,99,255]}]"# } else { "" },
    }
}

pub(crate) async fn create(servers: &str, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
    // By their own timestamps some records are decades old: a broker would delete them within seconds of its start.
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1)).set("retention.ms", "-1");
    for (name, value) in settings {
        new = new.set(name, value);
    }
    let created =
        admin.create_topics([&new], &AdminOptions::new().operation_timeout(Some(ASK))).await.unwrap();
    created[0].as_ref().unwrap();
}

/// Puts values into a partition, with a key, a header and a timestamp each.
pub(crate) fn fill(servers: &str, topic: &str, partition: i32, values: impl IntoIterator<Item = String>) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("enable.idempotence", "true")
        .create()
        .unwrap();
    for value in values {
        let headers = OwnedHeaders::new().insert(Header { key: "h", value: Some(value.as_bytes()) });
        let record = BaseRecord::to(topic)
            .partition(partition)
            .payload(&value)
            .key("k")
            .timestamp(1_234)
            .headers(headers);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.poll(Duration::ZERO);
    }
    producer.flush(ASK).unwrap();
}

/// All that a topic holds at the moment.
pub(crate) fn read_all(servers: &str, topic: &str) -> Vec<Read> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "tests-reader")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), ASK).unwrap();
    let mut left = BTreeMap::new();
    let mut assignment = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), ASK).unwrap();
        if high > low {
            left.insert(partition.id(), high);
            assignment.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
        }
    }
    consumer.assign(&assignment).unwrap();
    let (mut read, end) = (Vec::new(), Instant::now() + Duration::from_secs(60));
    while !left.is_empty() {
        assert!(Instant::now() < end, "read {} records, {left:?} are not read to the end", read.len());
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
        if left.get(&message.partition()).is_some_and(|high| message.offset() + 1 >= *high) {
            left.remove(&message.partition());
        }
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_owned(), header.value.unwrap().to_vec())).collect()
        });
        read.push(Read {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().unwrap().to_vec(),
            payload: message.payload().unwrap().to_vec(),
            headers: headers.unwrap_or_default(),
        });
    }
    read
}
