//! The poller, against a real broker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use common::{create, fill};
use tokio::time::timeout;
use tripline_kafka::{Batch, Done, FailedAt, KafkaError, KafkaOptions, KafkaPoller, PollSettings, Start};
use tripline_stream::mapping::kafka::{Cluster, TimestampType, TopicRecord, write_event};
use tripline_test_support::{Kafka, or_left_out};

const LONG: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(300);

fn settings(batch_size: usize) -> PollSettings {
    PollSettings { batch_size, window: Duration::from_millis(50), ..PollSettings::default() }
}

fn poller(servers: &str, group: &str, topic: &str, start: Start, settings: PollSettings) -> KafkaPoller {
    let mut options = KafkaOptions::new(servers);
    options.extra.insert("session.timeout.ms".to_owned(), "6000".to_owned());
    options.extra.insert("heartbeat.interval.ms".to_owned(), "500".to_owned());
    KafkaPoller::subscribe(&options, group, &[topic.to_owned()], start, settings).unwrap()
}

async fn next(poller: &mut KafkaPoller) -> Batch {
    timeout(LONG, poller.next_batch()).await.expect("no batch came").unwrap()
}

fn values(batch: &Batch) -> Vec<String> {
    let records = batch.partitions().iter().flat_map(|partition| &partition.records);
    records.map(|record| String::from_utf8(record.value.clone().unwrap()).unwrap()).collect()
}

/// Polls until all that was there at start is done, and counts how often each value was done.
async fn drain(poller: &mut KafkaPoller) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    let end = Instant::now() + LONG;
    while !poller.end_reached() {
        assert!(Instant::now() < end, "{poller:?}");
        let Ok(batch) = timeout(MOMENT, poller.next_batch()).await else { continue };
        let batch = batch.unwrap();
        for value in values(&batch) {
            *seen.entry(value).or_default() += 1;
        }
        let done = poller.done(batch, &[]).await.unwrap();
        assert_eq!(done, Done::default());
    }
    seen
}

fn fill_evenly(servers: &str, topic: &str, count: usize) {
    for partition in 0..4 {
        let mine = (0..count).filter(|index| index % 4 == partition);
        fill(servers, topic, i32::try_from(partition).unwrap(), mine.map(|index| format!("v{index}")));
    }
}

#[tokio::test]
async fn records_come_as_they_are_with_keys_headers_and_times() {
    let Some(kafka) = Kafka::shared_for("records_come_as_they_are") else { return };
    let servers = kafka.bootstrap_servers();
    create(&servers, "as-they-are", 1, &[]).await;
    create(&servers, "appended", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    fill(&servers, "as-they-are", 0, ["a".to_owned(), "b".to_owned()]);
    fill(&servers, "appended", 0, ["c".to_owned()]);
    let topics = ["as-they-are".to_owned(), "appended".to_owned()];
    let options = KafkaOptions::new(&servers);
    let mut poller =
        KafkaPoller::subscribe(&options, "as-are", &topics, Start::TrimHorizon, settings(100)).unwrap();
    let mut all: BTreeMap<String, Vec<TopicRecord>> = BTreeMap::new();
    while all.values().map(Vec::len).sum::<usize>() < 3 {
        // Also while the group has the partitions of one topic alone.
        assert!(!poller.end_reached());
        let batch = next(&mut poller).await;
        for partition in batch.partitions() {
            all.entry(partition.topic.clone()).or_default().extend(partition.records.clone());
        }
        poller.done(batch, &[]).await.unwrap();
    }
    let record = |offset, value: &str| TopicRecord {
        offset,
        timestamp_ms: 1_234,
        timestamp_type: TimestampType::CreateTime,
        key: Some(b"k".to_vec()),
        value: Some(value.as_bytes().to_vec()),
        headers: vec![("h".to_owned(), value.as_bytes().to_vec())],
    };
    assert_eq!(all["as-they-are"], [record(0, "a"), record(1, "b")]);
    let [appended] = all["appended"].as_slice() else { panic!("{all:?}") };
    assert!(
        appended.timestamp_type == TimestampType::LogAppendTime && appended.timestamp_ms > 1_600_000_000_000
    );
    assert_eq!(poller.lag().await.unwrap(), Some(0));
    fill(&servers, "appended", 0, ["d".to_owned()]);
    assert_eq!(poller.lag().await.unwrap(), Some(1));
    poller.close().await;
}

#[tokio::test]
async fn all_that_was_there_is_done_once_and_a_later_member_of_the_group_goes_on_from_there() {
    let Some(kafka) = Kafka::shared_for("all_that_was_there") else { return };
    let servers = kafka.bootstrap_servers();
    create(&servers, "there", 4, &[]).await;
    fill_evenly(&servers, "there", 5_000);
    let mut first = poller(&servers, "there", "there", Start::TrimHorizon, settings(700));
    let seen = drain(&mut first).await;
    assert!(seen.len() == 5_000 && seen.values().all(|times| *times == 1));
    first.close().await;
    fill(&servers, "there", 2, ["later".to_owned()]);
    // Where a group has an offset, it goes on from it whatever the start.
    let mut second = poller(&servers, "there", "there", Start::Latest, settings(700));
    assert_eq!(drain(&mut second).await, BTreeMap::from([("later".to_owned(), 1)]));
    // A group without offsets begins where it is told.
    let mut latest = poller(&servers, "latest", "there", Start::Latest, settings(700));
    assert_eq!(drain(&mut latest).await, BTreeMap::new());
    fill(&servers, "there", 3, ["latest".to_owned()]);
    assert_eq!(values(&next(&mut latest).await), ["latest"]);
}

#[tokio::test]
async fn batches_keep_to_their_bounds_of_records_bytes_and_time() {
    let Some(kafka) = Kafka::shared_for("batches_keep_to_their_bounds") else { return };
    let servers = kafka.bootstrap_servers();
    create(&servers, "bounds", 4, &[]).await;
    fill_evenly(&servers, "bounds", 1_000);
    let mut by_count = poller(&servers, "by-count", "bounds", Start::TrimHorizon, settings(100));
    let mut counts = Vec::new();
    while counts.iter().sum::<usize>() < 1_000 {
        let batch = next(&mut by_count).await;
        counts.push(batch.records());
        by_count.done(batch, &[]).await.unwrap();
    }
    assert!(counts.iter().all(|count| *count <= 100), "{counts:?}");
    create(&servers, "heavy", 2, &[]).await;
    for partition in 0..2 {
        fill(&servers, "heavy", partition, (0..40).map(|index| format!("{index}{}", "x".repeat(3_000))));
    }
    fill(&servers, "heavy", 0, ["y".repeat(200_000), "z".to_owned()]);
    let bounds = PollSettings { payload_bytes: 40_000, ..settings(10_000) };
    let mut by_bytes = poller(&servers, "by-bytes", "heavy", Start::TrimHorizon, bounds);
    let cluster = Cluster { arn: None, bootstrap_servers: servers.clone() };
    let (mut seen, mut alone) = (0, 0);
    while seen < 82 {
        let batch = next(&mut by_bytes).await;
        let bytes = write_event(&cluster, batch.partitions()).len();
        assert!(bytes <= 40_000 || batch.records() == 1, "{bytes}");
        alone += usize::from(bytes > 40_000);
        seen += batch.records();
        by_bytes.done(batch, &[]).await.unwrap();
    }
    assert_eq!((seen, alone), (82, 1));
    let slow = PollSettings { window: Duration::from_secs(1), ..settings(10_000) };
    let mut by_time = poller(&servers, "by-time", "bounds", Start::Latest, slow);
    drain(&mut by_time).await;
    fill(&servers, "bounds", 0, ["first".to_owned()]);
    let began = Instant::now();
    fill(&servers, "bounds", 1, ["second".to_owned()]);
    let batch = next(&mut by_time).await;
    assert_eq!(values(&batch).into_iter().collect::<BTreeSet<_>>().len(), 2);
    assert!(began.elapsed() > Duration::from_millis(500), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_failed_comes_again_from_its_offset_on_and_before_anything_later() {
    let Some(kafka) = Kafka::shared_for("what_failed_comes_again") else { return };
    let servers = kafka.bootstrap_servers();
    create(&servers, "fails", 2, &[]).await;
    for partition in 0..2 {
        fill(&servers, "fails", partition, (0..50).map(|index| format!("{partition}-{index}")));
    }
    let mut first = poller(&servers, "fails", "fails", Start::TrimHorizon, settings(100));
    let batch = next(&mut first).await;
    assert_eq!(batch.records(), 100);
    assert!(matches!(first.next_batch().await, Err(KafkaError::Unanswered)));
    let failed = |partition, offset| FailedAt { topic: "fails".to_owned(), partition, offset };
    first.done(batch, &[failed(0, 30), failed(0, 20)]).await.unwrap();
    let expected: Vec<String> = (20..50).map(|index| format!("0-{index}")).collect();
    let batch = next(&mut first).await;
    assert_eq!(values(&batch), expected);
    // Of a function that failed as a whole, everything.
    let everything = batch.all_failed();
    first.done(batch, &everything).await.unwrap();
    let batch = next(&mut first).await;
    assert_eq!(values(&batch), expected);
    // A place that the batch does not have stands for all of it.
    first.done(batch, &[failed(0, 999)]).await.unwrap();
    let batch = next(&mut first).await;
    assert_eq!(values(&batch), expected);
    first.done(batch, &[failed(0, 49)]).await.unwrap();
    assert!(!first.end_reached());
    let next_of = |poller: &KafkaPoller| {
        poller.assignment().iter().map(|state| (state.partition, state.next)).collect::<Vec<_>>()
    };
    assert_eq!(next_of(&first), [(0, Some(49)), (1, Some(50))]);
    // Handed out, and never answered: the next member gets it.
    assert_eq!(values(&next(&mut first).await), ["0-49"]);
    first.close().await;
    let mut second = poller(&servers, "fails", "fails", Start::TrimHorizon, settings(100));
    assert_eq!(drain(&mut second).await, BTreeMap::from([("0-49".to_owned(), 1)]));
}

#[tokio::test]
async fn counts_are_exact_though_the_broker_is_killed_and_started_again_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let kafka = Kafka::start_in(folder.path(), None);
    let Some(kafka) = or_left_out("counts_are_exact", kafka) else { return };
    let servers = kafka.bootstrap_servers();
    create(&servers, "restart", 4, &[]).await;
    fill_evenly(&servers, "restart", 6_000);
    let mut member = poller(&servers, "restart", "restart", Start::TrimHorizon, settings(200));
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut note = |batch: &Batch| {
        for value in values(batch) {
            *seen.entry(value).or_default() += 1;
        }
    };
    for _ in 0..5 {
        let batch = next(&mut member).await;
        note(&batch);
        member.done(batch, &[]).await.unwrap();
    }
    // Killed while a batch is out: its offsets are committed once the broker is back.
    let batch = next(&mut member).await;
    note(&batch);
    let killed = kafka.kill().unwrap();
    let path = folder.path().to_owned();
    let restarted = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(700));
        Kafka::start_in(&path, Some(killed)).unwrap()
    });
    let mut lost = member.done(batch, &[]).await.unwrap().lost;
    let end = Instant::now() + LONG;
    while !member.end_reached() {
        assert!(Instant::now() < end, "{member:?}");
        let Ok(batch) = timeout(MOMENT, member.next_batch()).await else { continue };
        let batch = batch.unwrap();
        note(&batch);
        lost.extend(member.done(batch, &[]).await.unwrap().lost);
    }
    let _kafka = restarted.join().unwrap();
    assert_eq!(seen.len(), 6_000);
    let again = seen.values().filter(|times| **times > 1).count();
    assert!(again == 0 || !lost.is_empty(), "{again} came again though no partition went away");
    member.close().await;
    let mut later = poller(&servers, "restart", "restart", Start::TrimHorizon, settings(200));
    assert_eq!(drain(&mut later).await, BTreeMap::new());
}

#[tokio::test]
async fn of_two_members_each_record_is_done_by_one_though_the_group_is_rebalanced_in_the_middle() {
    let Some(kafka) = Kafka::shared_for("of_two_members") else { return };
    let servers = kafka.bootstrap_servers();
    create(&servers, "rebalance", 4, &[]).await;
    fill_evenly(&servers, "rebalance", 4_000);
    let mut first = poller(&servers, "rebalance", "rebalance", Start::TrimHorizon, settings(100));
    let mut done: BTreeMap<String, usize> = BTreeMap::new();
    let mut note = |batch: &[(i32, String)], lost: &[(String, i32)]| {
        for (partition, value) in batch {
            if !lost.iter().any(|(_, lost)| lost == partition) {
                *done.entry(value.clone()).or_default() += 1;
            }
        }
    };
    let named = |batch: &Batch| -> Vec<(i32, String)> {
        let partitions = batch.partitions().iter();
        let named = partitions.flat_map(|partition| {
            let values = partition.records.iter().map(|record| record.value.clone().unwrap());
            values.map(|value| (partition.partition, String::from_utf8(value).unwrap()))
        });
        named.collect()
    };
    let batch = next(&mut first).await;
    let names = named(&batch);
    note(&names, &first.done(batch, &[]).await.unwrap().lost);
    // The second joins while the first has a batch out with records of all partitions, which takes long.
    let out = next(&mut first).await;
    let mut second = poller(&servers, "rebalance", "rebalance", Start::TrimHorizon, settings(100));
    let end = Instant::now() + LONG;
    while second.assignment().len() != 2 {
        assert!(Instant::now() < end, "{second:?} {first:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let names = named(&out);
    note(&names, &first.done(out, &[]).await.unwrap().lost);
    let mut counts = [0, 0];
    while !(first.end_reached() && second.end_reached()) {
        assert!(Instant::now() < end, "{first:?} {second:?}");
        for (index, member) in [&mut first, &mut second].into_iter().enumerate() {
            let Ok(batch) = timeout(Duration::from_millis(100), member.next_batch()).await else { continue };
            let batch = batch.unwrap();
            let names = named(&batch);
            counts[index] += names.len();
            note(&names, &member.done(batch, &[]).await.unwrap().lost);
        }
    }
    assert_eq!(done.len(), 4_000);
    assert!(
        done.values().all(|times| *times == 1),
        "done twice: {:?}",
        done.iter().find(|(_, times)| **times > 1)
    );
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    // One leaves, and the other has all partitions.
    first.close().await;
    while second.assignment().len() != 4 {
        assert!(Instant::now() < end, "{second:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    fill_evenly(&servers, "rebalance", 8);
    let mut again = 0;
    while again < 8 {
        let batch = next(&mut second).await;
        again += batch.records();
        second.done(batch, &[]).await.unwrap();
    }
}

#[tokio::test]
async fn a_slow_function_neither_loses_its_partitions_nor_a_batch_that_nobody_waited_for() {
    let Some(kafka) = Kafka::shared_for("a_slow_function") else { return };
    let servers = kafka.bootstrap_servers();
    create(&servers, "slow", 1, &[]).await;
    fill(&servers, "slow", 0, (0..12_000).map(|index| format!("v{index}")));
    let mut options = KafkaOptions::new(&servers);
    for (name, value) in
        [("session.timeout.ms", "6000"), ("max.poll.interval.ms", "6000"), ("heartbeat.interval.ms", "500")]
    {
        options.extra.insert(name.to_owned(), value.to_owned());
    }
    let topics = ["slow".to_owned()];
    let mut member =
        KafkaPoller::subscribe(&options, "slow", &topics, Start::TrimHorizon, settings(1_000)).unwrap();
    let batch = next(&mut member).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(member.done(batch, &[]).await.unwrap(), Done::default());
    // Futures dropped at any moment, also when a batch is on its way already.
    let mut seen = 1_000;
    let mut wait = 0;
    while seen < 12_000 {
        wait = (wait + 1) % 7;
        let Ok(batch) = timeout(Duration::from_millis(wait), member.next_batch()).await else { continue };
        let batch = batch.unwrap();
        assert_eq!(batch.partitions()[0].records[0].offset, seen);
        seen += batch.records() as u64;
        member.done(batch, &[]).await.unwrap();
    }
    assert!(member.end_reached());
}

#[tokio::test]
async fn the_end_of_a_topic_is_found_though_its_last_offset_is_no_record() {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    let Some(kafka) = Kafka::shared_for("the_end_of_a_topic") else { return };
    let servers = kafka.bootstrap_servers();
    create(&servers, "transactions", 1, &[]).await;
    let servers_of_it = servers.clone();
    let filled = tokio::task::spawn_blocking(move || {
        let producer: BaseProducer = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", &servers_of_it)
            .set("transactional.id", "tests")
            .create()
            .unwrap();
        producer.init_transactions(LONG).unwrap();
        for value in ["committed", "aborted"] {
            producer.begin_transaction().unwrap();
            producer
                .send(BaseRecord::to("transactions").key("k").payload(value))
                .map_err(|(error, _)| error)
                .unwrap();
            producer.flush(LONG).unwrap();
            if value == "committed" {
                producer.commit_transaction(LONG).unwrap();
            } else {
                producer.abort_transaction(LONG).unwrap();
            }
        }
    });
    filled.await.unwrap();
    let mut member = poller(&servers, "transactions", "transactions", Start::TrimHorizon, settings(10));
    assert_eq!(drain(&mut member).await, BTreeMap::from([("committed".to_owned(), 1)]));
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_said_and_read_once_it_is() {
    let Some(kafka) = Kafka::shared_for("a_topic_that_is_not_there") else { return };
    let servers = kafka.bootstrap_servers();
    let mut options = KafkaOptions::new(&servers);
    options.extra.insert("topic.metadata.refresh.interval.ms".to_owned(), "1000".to_owned());
    let topics = ["absent".to_owned()];
    let mut member =
        KafkaPoller::subscribe(&options, "absent", &topics, Start::TrimHorizon, settings(10)).unwrap();
    let refused = timeout(LONG, member.next_batch()).await.unwrap().unwrap_err().to_string();
    assert!(refused.contains("the topic absent is not there"), "{refused}");
    create(&servers, "absent", 1, &[]).await;
    fill(&servers, "absent", 0, ["here".to_owned()]);
    let end = Instant::now() + LONG;
    loop {
        assert!(Instant::now() < end);
        // It may be said once more, of before.
        if let Ok(batch) = timeout(LONG, member.next_batch()).await.unwrap() {
            assert_eq!(values(&batch), ["here"]);
            break;
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_options_is_said_at_once() {
    let options = KafkaOptions::new("nonsense");
    let topics = ["a/b".to_owned()];
    let error =
        KafkaPoller::subscribe(&options, "", &topics, Start::Latest, settings(1)).unwrap_err().to_string();
    for expected in ["host:port", "no topic's name", "no consumer group's name"] {
        assert!(error.contains(expected), "{expected} is not in: {error}");
    }
}
