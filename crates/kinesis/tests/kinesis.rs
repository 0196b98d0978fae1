//! The sink and a real Kinesis server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use tripline_kinesis::{KinesisOptions, KinesisSink, RECORD_BYTES};
use tripline_model::forward::Outgoing;
use tripline_stream::sink::{Fate, Sent, StreamSink};
use tripline_test_support::{KinesisServer, StreamRecord, or_left_out};

const MINUTE: Duration = Duration::from_secs(60);

fn options(endpoint: &str, stream: &str) -> KinesisOptions {
    let credentials = Credentials::new("AKIDTEST", "secrettest", None, None, "tests");
    KinesisOptions {
        endpoint: Some(endpoint.to_owned()),
        region: Some("us-east-1".to_owned()),
        credentials: Some(SharedCredentialsProvider::new(credentials)),
        ..KinesisOptions::new(stream)
    }
}

async fn sink(options: KinesisOptions) -> KinesisSink {
    KinesisSink::connect(options).await.unwrap()
}

fn event(record: usize, payload: String) -> Outgoing<'static> {
    Outgoing {
        record,
        event_type: "trip",
        key: format!("key-{}", record % 97),
        payload: Cow::Owned(payload.into_bytes()),
        source: format!("arn:aws:kinesis:x:1:stream/in/shard-0/{record}"),
        headers: "",
    }
}

fn events(count: usize, bytes: usize) -> Vec<Outgoing<'static>> {
    let payload =
        |record| format!("{{\"id\":\"{record}\",\"ünï\":\"\\u00fc\",\"x\":\"{}\"}}", "y".repeat(bytes));
    (0..count).map(|record| event(record, payload(record))).collect()
}

/// What the stream must hold for them.
fn expected(events: &[Outgoing<'_>]) -> BTreeSet<(String, Vec<u8>)> {
    events.iter().map(|event| (event.key.clone(), event.with_source("tripline_source"))).collect()
}

/// What it holds; each record once.
fn held(records: &[StreamRecord]) -> BTreeSet<(String, Vec<u8>)> {
    let held: BTreeSet<_> = records.iter().map(|record| (record.key.clone(), record.data.clone())).collect();
    assert_eq!(held.len(), records.len(), "a record is there twice");
    held
}

fn all_taken(sent: &Sent, count: usize) {
    let not = sent.fates.iter().find(|fate| **fate != Fate::Taken);
    assert!(sent.fates.len() == count && not.is_none(), "{not:?}");
    assert_eq!((sent.counts.taken, sent.counts.refused), (count as u64, 0));
}

fn open(sent: &Sent) -> &str {
    let errors: Vec<&str> = sent
        .fates
        .iter()
        .map(|fate| match fate {
            Fate::Open { error } => error.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    errors[0]
}

#[tokio::test]
async fn events_come_back_byte_for_byte_and_in_the_order_of_their_shards() {
    let Some(server) = KinesisServer::shared_for("events come back") else { return };
    server.create_stream("back", 3).unwrap();
    // One request at a time, so that the order is that of the run.
    let options = KinesisOptions { max_in_flight: 1, ..options(server.endpoint(), "back") };
    let events = events(1_700, 100);
    let sent = sink(options).await.send(&events, MINUTE).await;
    all_taken(&sent, events.len());
    assert_eq!((sent.counts.requests, sent.counts.retried, sent.counts.throttled), (4, 0, 0));

    let records = server.records("back").unwrap();
    assert_eq!(held(&records), expected(&events));
    let bytes: usize = records.iter().map(|record| record.key.len() + record.data.len()).sum();
    assert_eq!(sent.counts.bytes, bytes as u64);
    let order: BTreeMap<Vec<u8>, usize> =
        events.iter().map(|event| (event.with_source("tripline_source"), event.record)).collect();
    let mut shards: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for record in &records {
        shards.entry(&record.shard).or_default().push(order[&record.data]);
    }
    assert_eq!(shards.len(), 3);
    for (shard, records) in shards {
        assert!(records.is_sorted(), "{shard} is out of order");
    }
}

#[tokio::test]
async fn events_stay_as_they_are_where_no_member_is_to_carry_their_source() {
    let Some(server) = KinesisServer::shared_for("events stay as they are") else { return };
    server.create_stream("plain", 1).unwrap();
    let options = KinesisOptions { source_member: None, ..options(server.endpoint(), "plain") };
    let events = vec![event(0, " { \"a\" : 1 } ".to_owned())];
    all_taken(&sink(options).await.send(&events, MINUTE).await, 1);
    assert_eq!(server.records("plain").unwrap()[0].data, b" { \"a\" : 1 } ");
}

#[tokio::test]
async fn what_is_over_a_shard_s_limits_comes_later_and_once() {
    let server = KinesisServer::start(&[("KINESIS_LIMITS", "1")]);
    let Some(server) = or_left_out("over a shard's limits", server) else { return };
    server.create_stream("limits", 2).unwrap();
    let events = events(5_000, 50);
    let sent = sink(options(server.endpoint(), "limits")).await.send(&events, MINUTE).await;
    all_taken(&sent, events.len());
    assert!(sent.counts.throttled > 0 && sent.counts.retried >= sent.counts.throttled, "{:?}", sent.counts);
    assert_eq!(held(&server.records("limits").unwrap()), expected(&events));
}

#[tokio::test]
async fn only_the_records_that_failed_are_sent_again() {
    let server = KinesisServer::start(&[("KINESIS_FAIL", "0.1")]);
    let Some(server) = or_left_out("records that failed", server) else { return };
    server.create_stream("fail", 2).unwrap();
    let events = events(3_000, 50);
    let sent = sink(options(server.endpoint(), "fail")).await.send(&events, MINUTE).await;
    all_taken(&sent, events.len());
    // A tenth, and a tenth of those, and so on.
    assert!((200..500).contains(&sent.counts.retried), "{:?}", sent.counts);
    assert_eq!(sent.counts.throttled, 0);
    assert_eq!(held(&server.records("fail").unwrap()), expected(&events));
}

#[tokio::test]
async fn a_record_that_is_too_large_is_refused_and_the_others_are_taken() {
    let Some(server) = KinesisServer::shared_for("a record that is too large") else { return };
    server.create_stream("large", 2).unwrap();
    let mut events = events(12, RECORD_BYTES / 2);
    events[7] = event(7, format!("{{\"x\":\"{}\"}}", "y".repeat(RECORD_BYTES)));
    let sent = sink(options(server.endpoint(), "large")).await.send(&events, MINUTE).await;
    let Fate::Refused { error } = &sent.fates[7] else { panic!("{:?}", sent.fates) };
    assert!(error.contains("MaxRecordSizeInKiB") && error.len() < 300, "{error}");
    assert_eq!((sent.counts.taken, sent.counts.refused), (11, 1));
    events.remove(7);
    assert_eq!(held(&server.records("large").unwrap()), expected(&events));
}

#[tokio::test]
async fn a_record_larger_than_the_stream_allows_is_found_and_the_others_are_taken() {
    let Some(server) = KinesisServer::shared_for("larger than the stream allows") else { return };
    server.create_stream("allows", 2).unwrap();
    let mut events = events(400, 20);
    events[123] = event(123, format!("{{\"x\":\"{}\"}}", "y".repeat(RECORD_BYTES)));
    let options = KinesisOptions { max_record_bytes: 2 << 20, ..options(server.endpoint(), "allows") };
    let sent = sink(options).await.send(&events, MINUTE).await;
    let Fate::Refused { error } = &sent.fates[123] else { panic!("{:?}", sent.fates[123]) };
    assert!(error.contains("record size") && error.len() < 600, "{error}");
    assert_eq!((sent.counts.taken, sent.counts.refused), (399, 1));
    events.remove(123);
    assert_eq!(held(&server.records("allows").unwrap()), expected(&events));
}

#[tokio::test]
async fn a_stream_that_does_not_exist_is_told_at_once() {
    let Some(server) = KinesisServer::shared_for("a stream that does not exist") else { return };
    let start = Instant::now();
    let sent = sink(options(server.endpoint(), "nowhere")).await.send(&events(2_000, 20), MINUTE).await;
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let error = open(&sent);
    assert!(error.contains("ResourceNotFoundException") && error.contains("or create it"), "{error}");
    assert!(error.starts_with("the Kinesis stream 'nowhere': "), "{error}");
}

#[tokio::test]
async fn events_stay_open_when_the_server_dies() {
    let Some(server) = or_left_out("the server dies", KinesisServer::start(&[])) else { return };
    server.create_stream("dies", 1).unwrap();
    let sink = sink(options(server.endpoint(), "dies")).await;
    all_taken(&sink.send(&events(10, 20), MINUTE).await, 10);
    server.kill().unwrap();
    let (start, within) = (Instant::now(), Duration::from_secs(2));
    let sent = sink.send(&events(10, 20), within).await;
    assert!(start.elapsed() < within + Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(open(&sent).contains("dispatch failure") && sent.counts.retried > 0, "{sent:?}");
}

#[tokio::test]
async fn what_does_not_answer_is_given_up_in_time() {
    // It accepts connections, and that is all.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let (start, within) = (Instant::now(), Duration::from_millis(700));
    let options =
        KinesisOptions { request_timeout: Duration::from_millis(300), ..options(&endpoint, "silent") };
    let sent = sink(options).await.send(&events(3, 20), within).await;
    assert!(start.elapsed() < within + Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(open(&sent).contains("no answer within"), "{sent:?}");
}

#[tokio::test]
async fn a_stream_that_cannot_be_is_refused_with_all_that_is_wrong() {
    let options = KinesisOptions { max_in_flight: 0, ..KinesisOptions::new("a b") };
    let error = KinesisSink::connect(options).await.unwrap_err().to_string();
    assert!(error.contains("'a b'") && error.contains("its ARN") && error.contains("64 requests"), "{error}");
}
