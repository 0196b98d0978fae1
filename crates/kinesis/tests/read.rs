//! Reading a stream of a real Kinesis server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use serde_json::json;
use tripline_kinesis::read::{ReadError, ShardReader, Start};
use tripline_kinesis::{KinesisOptions, StreamReader};
use tripline_model::source::Position;
use tripline_test_support::KinesisServer;

const MINUTE: Duration = Duration::from_secs(60);

async fn reader(
    server: &KinesisServer,
    stream: &str,
    start: Start,
    after: BTreeMap<String, Position>,
) -> StreamReader {
    let credentials = Credentials::new(server.access_key(), server.secret_key(), None, None, "tests");
    let options = KinesisOptions {
        endpoint: Some(server.endpoint().to_owned()),
        region: Some(server.region().to_owned()),
        credentials: Some(SharedCredentialsProvider::new(credentials)),
        ..KinesisOptions::new(stream)
    };
    StreamReader::connect(&options, start, after).await.unwrap()
}

/// Puts records `from..to`: their data are their numbers, their keys come again.
fn put(server: &KinesisServer, stream: &str, from: usize, to: usize) {
    let record = |number: usize| {
        let data = base64(&number.to_string());
        json!({"Data": data, "PartitionKey": format!("key-{}", number % 17)})
    };
    let records: Vec<_> = (from..to).map(record).collect();
    server.call("PutRecords", &json!({"StreamName": stream, "Records": records})).unwrap();
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for bytes in text.as_bytes().chunks(3) {
        let at = |index: usize| u32::from(bytes.get(index).copied().unwrap_or_default());
        let number = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let value = (number >> (18 - 6 * digit)) & 63;
            encoded.push(if digit <= bytes.len() { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
    encoded
}

/// Reads a shard until it has nothing more; the numbers of its records, and whether it has ended.
async fn drain(shard: &mut ShardReader, limit: usize) -> (Vec<(String, usize)>, bool) {
    let mut numbers = Vec::new();
    let mut last = None;
    loop {
        let polled = shard.poll(limit, MINUTE).await.unwrap();
        assert!(polled.records.len() <= limit);
        for record in &polled.records {
            assert!(last < Some(record.sequence) && record.arrival_ms.is_some());
            last = Some(record.sequence);
            let number = String::from_utf8(record.data.clone()).unwrap().parse().unwrap();
            numbers.push((record.partition_key.clone(), number));
        }
        if polled.ended || polled.records.is_empty() {
            return (numbers, polled.ended);
        }
    }
}

fn in_order_by_key(numbers: &[(String, usize)]) {
    let mut last = BTreeMap::new();
    for (key, number) in numbers {
        assert!(last.insert(key, number).is_none_or(|last| last < number), "{key} {number} is out of order");
    }
}

#[tokio::test]
async fn a_stream_is_read_over_a_split_with_children_after_their_parent() {
    let Some(server) = KinesisServer::shared_for("over a split") else { return };
    server.create_stream("split", 2).unwrap();
    put(server, "split", 0, 300);
    server.split_shard("split", "shardId-000000000000").unwrap();
    put(server, "split", 300, 600);

    let mut reader = reader(server, "split", Start::TrimHorizon, BTreeMap::new()).await;
    let mut read = Vec::new();
    let mut first = reader.shards(MINUTE).await.unwrap();
    let ids: Vec<&str> = first.iter().map(ShardReader::shard).collect();
    assert_eq!(ids, ["shardId-000000000000", "shardId-000000000001"]);
    for (index, shard) in first.iter_mut().enumerate() {
        let (numbers, ended) = drain(shard, 50).await;
        assert_eq!(ended, index == 0);
        read.extend(numbers);
    }
    assert!(reader.shards(MINUTE).await.unwrap().is_empty());
    assert!(first[0].poll(50, MINUTE).await.unwrap().ended);
    reader.finish(first[0].shard());
    let mut children = reader.shards(MINUTE).await.unwrap();
    assert_eq!(children.len(), 2);
    for child in &mut children {
        let (numbers, ended) = drain(child, 10_000).await;
        assert!(!numbers.is_empty() && numbers.iter().all(|(_, number)| *number >= 300) && !ended);
        read.extend(numbers);
    }
    in_order_by_key(&read);
    let numbers: BTreeSet<usize> = read.iter().map(|(_, number)| *number).collect();
    assert_eq!((read.len(), numbers), (600, (0..600).collect()));
}

#[tokio::test]
async fn reading_goes_on_after_a_position() {
    let Some(server) = KinesisServer::shared_for("after a position") else { return };
    server.create_stream("after", 1).unwrap();
    put(server, "after", 0, 100);
    let mut whole = reader(server, "after", Start::TrimHorizon, BTreeMap::new()).await;
    let records = whole.shards(MINUTE).await.unwrap()[0].poll(40, MINUTE).await.unwrap().records;
    assert_eq!(records.len(), 40);
    let after = BTreeMap::from([("shardId-000000000000".to_owned(), records[39].sequence)]);
    let mut rest = reader(server, "after", Start::Latest, after).await;
    let (numbers, _) = drain(&mut rest.shards(MINUTE).await.unwrap()[0], 1000).await;
    assert_eq!(
        numbers.into_iter().map(|(_, number)| number).collect::<Vec<_>>(),
        (40..100).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn the_latest_records_are_those_that_come_from_now_on() {
    let Some(server) = KinesisServer::shared_for("the latest records") else { return };
    server.create_stream("latest", 1).unwrap();
    put(server, "latest", 0, 10);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut reader = reader(server, "latest", Start::Latest, BTreeMap::new()).await;
    let mut shards = reader.shards(MINUTE).await.unwrap();
    put(server, "latest", 10, 20);
    let (numbers, _) = drain(&mut shards[0], 1000).await;
    assert_eq!(
        numbers.into_iter().map(|(_, number)| number).collect::<Vec<_>>(),
        (10..20).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_stream_that_does_not_exist_is_refused_with_what_to_do() {
    let Some(server) = KinesisServer::shared_for("no stream to read") else { return };
    let mut reader = reader(server, "nothing", Start::Latest, BTreeMap::new()).await;
    let error = reader.shards(MINUTE).await.unwrap_err();
    assert!(matches!(error, ReadError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("or create it"), "{error}");
}
