//! The sink, against a real broker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{Read, create, event, events, read_all};
use tripline_kafka::{KafkaOptions, KafkaSink, Sasl, Security, Token, TokenSource};
use tripline_model::forward::Outgoing;
use tripline_stream::sink::{Fate, StreamSink};
use tripline_test_support::{Kafka, or_left_out};

const LONG: Duration = Duration::from_secs(30);

fn is_taken(fate: &Fate) -> bool {
    *fate == Fate::Taken
}

/// Why the one event that was sent is open.
fn open(fates: &[Fate]) -> &str {
    match fates {
        [Fate::Open { error }, ..] => error,
        other => panic!("{other:?}"),
    }
}

fn assert_is(read: &Read, event: &Outgoing<'_>) {
    assert_eq!(read.key, event.key.as_bytes());
    assert_eq!(read.payload, *event.payload);
    let headers = [("tripline-event-type", event.event_type), ("tripline-source", event.source.as_str())];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    // Those that its record came with go on as well.
    let headers: BTreeMap<_, _> = headers.into_iter().chain(event.headers()).collect();
    assert_eq!(read.headers, headers);
}

#[tokio::test]
async fn ten_thousand_events_are_in_the_topic_byte_for_byte_and_in_their_order_by_key() {
    let Some(kafka) = Kafka::shared_for("ten_thousand_events") else { return };
    let servers = kafka.bootstrap_servers();
    create(&servers, "ten-thousand", 4, &[]).await;
    let sink = KafkaSink::connect(&KafkaOptions::new(&servers), "ten-thousand").unwrap();
    let events = events(10_000);
    for batch in events.chunks(2_500) {
        let sent = sink.send(batch, LONG).await;
        assert!(sent.fates.len() == batch.len() && sent.fates.iter().all(is_taken), "{:?}", sent.counts);
        assert_eq!((sent.counts.taken, sent.counts.retried), (2_500, 0));
        let bytes: usize = batch.iter().map(|event| event.key.len() + event.payload.len()).sum();
        assert_eq!(sent.counts.bytes, bytes as u64);
    }
    let read = read_all(&servers, "ten-thousand");
    let by_source: BTreeMap<String, &Read> = read.iter().map(|read| (read.source(), read)).collect();
    assert_eq!((read.len(), by_source.len()), (10_000, 10_000));
    for event in &events {
        assert_is(by_source[&event.source], event);
    }
    let mut last: BTreeMap<&[u8], (i32, usize)> = BTreeMap::new();
    for read in &read {
        let index = read.source().rsplit('/').next().unwrap().parse().unwrap();
        if let Some((partition, earlier)) = last.insert(&read.key, (read.partition, index)) {
            assert!(partition == read.partition && earlier < index, "{earlier} before {index}");
        }
    }
    assert_eq!(last.len(), 100);
}

#[tokio::test]
async fn a_broker_killed_and_started_again_in_the_middle_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(kafka) = or_left_out("a_broker_killed", Kafka::start_in(folder.path(), None)) else { return };
    let servers = kafka.bootstrap_servers();
    create(&servers, "killed", 4, &[]).await;
    let path = folder.path().to_owned();
    let restarted = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(400));
        let killed = kafka.kill().unwrap();
        std::thread::sleep(Duration::from_millis(500));
        Kafka::start_in(&path, Some(killed)).unwrap()
    });
    let sink = KafkaSink::connect(&KafkaOptions::new(&servers), "killed").unwrap();
    let events = events(10_000);
    let mut opened = 0;
    for batch in events.chunks(100) {
        let mut todo = batch.to_vec();
        while !todo.is_empty() {
            let sent = sink.send(&todo, Duration::from_secs(3)).await;
            let open = sent.fates.iter().zip(&todo).filter(|(fate, _)| !is_taken(fate));
            todo = open.map(|(_, event)| event.clone()).collect();
            opened += todo.len();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let _kafka = restarted.join().unwrap();
    let read = read_all(&servers, "killed");
    let mut by_source: BTreeMap<String, Vec<&Read>> = BTreeMap::new();
    for read in &read {
        by_source.entry(read.source()).or_default().push(read);
    }
    assert_eq!(by_source.len(), 10_000);
    for event in &events {
        // What is there twice is the same.
        for read in &by_source[&event.source] {
            assert_is(read, event);
        }
    }
    eprintln!("{} records for 10000 events, {opened} of them open at first", read.len());
    assert!(opened > 0, "the broker was down at no time");
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_nothing_else_though_batches_are_too_large_too() {
    let Some(kafka) = Kafka::shared_for("what_is_too_large") else { return };
    let servers = kafka.bootstrap_servers();
    create(&servers, "small", 1, &[("max.message.bytes", "4000")]).await;
    let large = |index: usize, bytes: usize| {
        // Not to be compressed to less.
        let mut state = index as u64 + 1;
        let noise = (0..bytes).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            b'a' + (state >> 59) as u8 % 26
        });
        Outgoing { payload: Cow::Owned(noise.collect()), ..event(index) }
    };
    let mut events: Vec<_> = (0..40).map(|index| large(index, 1_000)).collect();
    events[7] = large(7, 20_000);
    events[20] = large(20, 2_000_000);
    let sink = KafkaSink::connect(&KafkaOptions::new(&servers), "small").unwrap();
    let sent = sink.send(&events, LONG).await;
    for (index, fate) in sent.fates.iter().enumerate() {
        match fate {
            Fate::Refused { error } if index == 7 || index == 20 => {
                assert!(error.contains("max.message.bytes"), "{error}");
                assert!(error.contains("TRIPLINE_KAFKA_MESSAGE_BYTES"), "{error}");
            }
            fate => assert!(is_taken(fate) && index != 7 && index != 20, "{index}: {fate:?}"),
        }
    }
    assert_eq!((sent.counts.taken, sent.counts.refused), (38, 2));
    // Whoever says what the topic takes has no event sent twice.
    let mut options = KafkaOptions::new(&servers);
    options.message_bytes = 3_800;
    let sink = KafkaSink::connect(&options, "small").unwrap();
    let sent = sink.send(&events, LONG).await;
    assert_eq!((sent.counts.taken, sent.counts.refused, sent.counts.retried), (38, 2, 0));
    let sources: BTreeSet<String> = read_all(&servers, "small").iter().map(Read::source).collect();
    assert_eq!(sources.len(), 38);
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_said_soon_and_used_once_it_is() {
    let kafka = Kafka::start("auto.create.topics.enable=false");
    let Some(kafka) = or_left_out("a_topic_that_is_not_there", kafka) else { return };
    let servers = kafka.bootstrap_servers();
    let sink = KafkaSink::connect(&KafkaOptions::new(&servers), "nowhere").unwrap();
    let began = Instant::now();
    let sent = sink.send(&events(3), LONG).await;
    assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());
    assert!(open(&sent.fates).contains("topic nowhere is not there"), "{}", open(&sent.fates));
    create(&servers, "nowhere", 1, &[]).await;
    let sent = sink.send(&events(3), LONG).await;
    assert!(sent.fates.iter().all(is_taken), "{:?}", sent.fates);
}

#[tokio::test]
async fn what_has_no_time_left_is_open_in_time_and_not_sent_later() {
    let folder = tempfile::tempdir().unwrap();
    let Some(kafka) = or_left_out("what_has_no_time_left", Kafka::start_in(folder.path(), None)) else {
        return;
    };
    let servers = kafka.bootstrap_servers();
    create(&servers, "late", 1, &[]).await;
    let sink = KafkaSink::connect(&KafkaOptions::new(&servers), "late").unwrap();
    assert!(sink.send(&events(1), LONG).await.fates.iter().all(is_taken));
    let killed = kafka.kill().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    let sent = sink.send(&events(50), Duration::from_secs(2)).await;
    assert!(began.elapsed() < Duration::from_millis(2_100), "{:?}", began.elapsed());
    assert!(sent.fates.iter().all(|fate| matches!(fate, Fate::Open { .. })));
    assert!(open(&sent.fates).contains(&servers), "{}", open(&sent.fates));
    // A caller that stops waiting.
    let _ = tokio::time::timeout(Duration::from_millis(300), sink.send(&events(50), LONG)).await;
    let _kafka = Kafka::start_in(folder.path(), Some(killed)).unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(read_all(&servers, "late").len(), 1);
    let sent = sink.send(&events(50), LONG).await;
    assert!(sent.fates.iter().all(is_taken), "{:?}", sent.fates[0]);
    assert_eq!(read_all(&servers, "late").len(), 51);
}

#[tokio::test]
async fn batches_side_by_side_that_have_different_times_do_not_lose_each_other_s_events() {
    let Some(kafka) = Kafka::shared_for("batches_side_by_side") else { return };
    let servers = kafka.bootstrap_servers();
    create(&servers, "beside", 4, &[]).await;
    let sink = KafkaSink::connect(&KafkaOptions::new(&servers), "beside").unwrap();
    let all = events(4_000);
    let (hasty, patient) = all.split_at(2_000);
    let (hasty, patient) = tokio::join!(sink.send(hasty, Duration::from_millis(1)), sink.send(patient, LONG));
    assert!(patient.fates.iter().all(is_taken), "{:?}", patient.counts);
    let sources: BTreeSet<String> = read_all(&servers, "beside").iter().map(Read::source).collect();
    for (fate, event) in hasty.fates.iter().chain(&patient.fates).zip(&all) {
        assert!(!is_taken(fate) || sources.contains(&event.source));
    }
}

#[derive(Debug)]
struct Unsecured;

impl TokenSource for Unsecured {
    fn token(&self) -> Result<Token, String> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = format!(r#"{{"sub":"tests","iat":{seconds},"exp":{}}}"#, seconds + 600);
        let encode = |text: &str| base64_simd::URL_SAFE_NO_PAD.encode_to_string(text.as_bytes());
        Ok(Token {
            token: format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(&claims)),
            principal: "tests".to_owned(),
            expires_ms: i64::try_from((seconds + 600) * 1000).unwrap(),
        })
    }
}

#[derive(Debug)]
struct NoTokens;

impl TokenSource for NoTokens {
    fn token(&self) -> Result<Token, String> {
        Err("no AWS credentials were found".to_owned())
    }
}

fn scram(password: &str) -> Security {
    Security::SaslTls(Sasl::Scram512 { user: Kafka::USER.to_owned(), password: password.to_owned() })
}

#[tokio::test]
async fn credentials_and_certificates_decide_who_gets_in_and_the_rest_is_told_why_in_time() {
    let Some(kafka) = or_left_out("credentials_and_certificates", Kafka::start_with_sasl()) else { return };
    let with = |servers: String, security: Security, has_ca: bool| KafkaOptions {
        security,
        ca: has_ca.then(|| kafka.ca()),
        ..KafkaOptions::new(servers)
    };
    let user =
        |password: &str| Sasl::Scram256 { user: Kafka::USER.to_owned(), password: password.to_owned() };
    let insecure =
        KafkaOptions { allow_insecure: true, ..with(kafka.scram_servers(), scram(Kafka::PASSWORD), false) };
    for options in [
        with(kafka.scram_servers(), scram(Kafka::PASSWORD), true),
        with(kafka.scram_servers(), Security::SaslTls(user(Kafka::PASSWORD)), true),
        with(kafka.token_servers(), Security::SaslTls(Sasl::Token(Arc::new(Unsecured))), true),
        insecure,
    ] {
        let sink = KafkaSink::connect(&options, "secured").unwrap();
        let sent = sink.send(&events(10), LONG).await;
        assert!(sent.fates.iter().all(is_taken), "{options:?}: {:?}", sent.fates[0]);
    }
    for (options, expected) in [
        (with(kafka.scram_servers(), scram("wrong"), true), "do not let the user test in"),
        (with(kafka.scram_servers(), scram(Kafka::PASSWORD), false), "TLS with the brokers"),
        (
            with(kafka.token_servers(), Security::SaslTls(Sasl::Token(Arc::new(NoTokens))), true),
            "no AWS credentials were found",
        ),
    ] {
        let sink = KafkaSink::connect(&options, "secured").unwrap();
        // Told again as well, though the client says it once.
        for _ in 0..2 {
            let began = Instant::now();
            let sent = sink.send(&events(2), LONG).await;
            assert!(began.elapsed() < Duration::from_secs(10), "{expected}: {:?}", began.elapsed());
            assert!(open(&sent.fates).contains(expected), "{}", open(&sent.fates));
            assert!(!open(&sent.fates).contains("wrong"), "{}", open(&sent.fates));
        }
    }
    assert_eq!(read_all(&kafka.bootstrap_servers(), "secured").len(), 40);
}
