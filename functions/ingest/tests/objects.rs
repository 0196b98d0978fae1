//! Objects on a real S3 server through the handler: notifications and direct invocations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use support::{Bench, FAR, Sample};
use tripline_ingest::{Ingest, IngestError, IngestOptions, Malformed, Objects, ObjectsDone, Response, Sinks};
use tripline_kinesis::{KinesisOptions, KinesisSink};
use tripline_lake::clock::Clock;
use tripline_lake::store::{Condition, ObjectStore as _, Put};
use tripline_model::pipeline::Target;
use tripline_search::{SearchOptions, SearchSink};
use tripline_test_support::{KinesisServer, S3Server};

/// A function that reads the server's objects.
fn ingest(bench: &Bench, server: &S3Server) -> Ingest {
    at(bench, server, Arc::clone(&bench.lake.environment().clock))
}

fn at(bench: &Bench, server: &S3Server, clock: Arc<dyn Clock>) -> Ingest {
    feeding(bench, server, clock, Sinks::lake(&bench.lake))
}

fn feeding(bench: &Bench, server: &S3Server, clock: Arc<dyn Clock>, sinks: Sinks) -> Ingest {
    let objects = Some(Arc::new(Objects::new(server.options(), bench.lake.store().location())));
    let options = IngestOptions { objects, ..IngestOptions::default() };
    Ingest::feeding(sinks, Arc::clone(&bench.pipeline), clock, options)
}

async fn put(server: &S3Server, key: &str, body: Vec<u8>) {
    let store = server.store("").await.unwrap();
    store.delete(key).await.unwrap();
    let put = store.put(key, body.into(), Condition::Absent).await.unwrap();
    assert!(matches!(put, Put::Stored { .. }), "{key}");
}

/// Trips as lines, each with an id of its own.
fn lines(ids: std::ops::Range<u64>) -> Vec<u8> {
    let trip = Sample::of("trips").payloads().remove(0);
    ids.map(|id| {
        let mut trip = trip.clone();
        trip["trip_id"] = id.into();
        format!("{trip}\n")
    })
    .collect::<String>()
    .into_bytes()
}

fn notification(server: &S3Server, key: &str) -> Vec<u8> {
    let s3 = json!({"bucket": {"name": server.bucket()}, "object": {"key": key, "size": 1, "eTag": "0"}});
    let record =
        json!({"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3});
    json!({ "Records": [record] }).to_string().into_bytes()
}

fn direct(server: &S3Server, keys: &[&str]) -> Vec<u8> {
    let urls: Vec<String> = keys.iter().map(|key| format!("s3://{}/{key}", server.bucket())).collect();
    json!({"backfill": {"objects": urls}}).to_string().into_bytes()
}

fn done(response: Response) -> ObjectsDone {
    match response {
        Response::Objects(done) => done,
        Response::Batch(batch) => panic!("{batch:?}"),
    }
}

#[tokio::test]
async fn a_notification_brings_an_object_in_once_whatever_its_compression_and_its_key() {
    let test = "a_notification_brings_an_object_in_once_whatever_its_compression_and_its_key";
    let Some(server) = S3Server::shared_for(test) else { return };
    let bench = Bench::new().await;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&lines(0..30)).unwrap();
    put(server, "note/a b.json.gz", gzip.finish().unwrap()).await;
    let event = notification(server, "note/a+b.json.gz");
    let first = done(ingest(&bench, server).invoke(&event, FAR).await.unwrap());
    assert_eq!((first.records, first.duplicates, first.left.len()), (30, 0, 0));
    let bridge = json!({"source": "aws.s3", "detail-type": "Object Created",
        "detail": {"bucket": {"name": server.bucket()}, "object": {"key": "note/a b.json.gz"}}});
    let again = done(ingest(&bench, server).invoke(bridge.to_string().as_bytes(), FAR).await.unwrap());
    assert_eq!((again.records, again.duplicates), (30, 30));
    assert_eq!(bench.trips().await, 30);
}

#[tokio::test]
async fn an_object_that_is_written_anew_under_its_name_is_another_source() {
    let test = "an_object_that_is_written_anew_under_its_name_is_another_source";
    let Some(server) = S3Server::shared_for(test) else { return };
    let bench = Bench::new().await;
    for (ids, rows) in [(0..10, 10), (100..105, 15), (0..10, 15)] {
        put(server, "anew.jsonl", lines(ids)).await;
        ingest(&bench, server).invoke(&notification(server, "anew.jsonl"), FAR).await.unwrap();
        assert_eq!(bench.trips().await, rows);
    }
}

#[tokio::test]
async fn the_trip_records_of_a_csv_file_and_bad_lines_come_in_as_from_a_stream() {
    let test = "the_trip_records_of_a_csv_file_and_bad_lines_come_in_as_from_a_stream";
    let Some(server) = S3Server::shared_for(test) else { return };
    let bench = Bench::new().await;
    let sample = support::taxi().join("sample/green_tripdata_2019-03_sample.csv");
    let csv: Vec<String> =
        std::fs::read_to_string(sample).unwrap().lines().take(21).map(str::to_owned).collect();
    put(server, "csv/green.csv", csv.join("\n").into_bytes()).await;
    put(server, "csv/bad.jsonl", [b"no json\n", lines(0..3).as_slice()].concat()).await;
    let asked = direct(server, &["csv/green.csv", "csv/bad.jsonl"]);
    let answer = done(ingest(&bench, server).invoke(&asked, FAR).await.unwrap());
    assert_eq!((answer.records, answer.dead_letters, answer.done.len()), (24, 1, 2));
    assert_eq!(bench.trips().await, 23);
}

#[tokio::test]
async fn what_cannot_be_read_is_told_with_the_reason_and_the_others_are_in() {
    let test = "what_cannot_be_read_is_told_with_the_reason_and_the_others_are_in";
    let Some(server) = S3Server::shared_for(test) else { return };
    let bench = Bench::new().await;
    put(server, "bad/trips.parquet", b"PAR1....PAR1".to_vec()).await;
    let mut cut = GzEncoder::new(Vec::new(), Compression::fast());
    cut.write_all(&lines(0..1_000)).unwrap();
    let cut = cut.finish().unwrap();
    put(server, "bad/cut.json.gz", cut[..cut.len() / 2].to_vec()).await;
    put(server, "bad/good.jsonl", lines(2_000..2_010)).await;
    let expected = [
        ("bad/trips.parquet", "tripline backfill"),
        ("bad/cut.json.gz", "cannot be read"),
        ("bad/absent.json", "s3:GetObject"),
    ];
    let asked = direct(server, &[expected[0].0, expected[1].0, expected[2].0, "bad/good.jsonl"]);
    let answer = done(ingest(&bench, server).invoke(&asked, FAR).await.unwrap());
    assert_eq!((answer.done.len(), answer.left.len()), (1, 0), "{answer:?}");
    for ((key, told), failed) in expected.into_iter().zip(&answer.failed) {
        assert!(failed.reason.contains(told) && failed.reason.contains(key), "{failed:?}");
        assert!(failed.rest.object.ends_with(key), "{failed:?}");
        let event = notification(server, key);
        let error = ingest(&bench, server).invoke(&event, FAR).await.unwrap_err().to_string();
        assert!(error.contains(told) && error.contains(key), "{error}");
    }
    assert!(answer.failed[1].rest.from.is_some_and(|row| row > 1), "{answer:?}");
    assert_eq!(bench.trips().await, answer.records, "what lies before the cut is in");
    let error = ingest(&bench, server).invoke(br#"{"backfill":{"objects":["x"]}}"#, FAR).await.unwrap_err();
    assert!(matches!(&error, IngestError::Objects(_)), "{error}");
}

#[tokio::test]
async fn objects_of_the_lake_are_left_out_of_notifications_and_refused_to_who_names_them() {
    let test = "objects_of_the_lake_are_left_out_of_notifications_and_refused_to_who_names_them";
    let Some(server) = S3Server::shared_for(test) else { return };
    let bench = Bench::new().await;
    put(server, "own/_journal/1.json", lines(0..5)).await;
    put(server, "own-input/1.json", lines(0..5)).await;
    let lake = format!("s3://{}/own", server.bucket());
    let objects = Some(Arc::new(Objects::new(server.options(), lake)));
    let options = IngestOptions { objects, ..IngestOptions::default() };
    let ingest = Ingest::new(Arc::clone(&bench.pipeline), &bench.lake, options);
    for (key, rows) in [("own/_journal/1.json", 0), ("own-input/1.json", 5)] {
        let answer = done(ingest.invoke(&notification(server, key), FAR).await.unwrap());
        assert_eq!(answer.records, rows, "{answer:?}");
    }
    let answer = done(ingest.invoke(&direct(server, &["own/_journal/1.json"]), FAR).await.unwrap());
    assert!(answer.failed[0].reason.contains("own/_journal/1.json lies in the lake"), "{answer:?}");
    assert_eq!(bench.trips().await, 5);
}

/// How long an invocation may take by that clock: some batches.
const SHORT_MS: i64 = 10_000;

/// A second passes whenever it is looked at.
#[derive(Debug)]
struct Hasty(AtomicI64);

impl Clock for Hasty {
    fn now_ms(&self) -> i64 {
        self.0.fetch_add(1_000, Ordering::SeqCst)
    }
}

#[tokio::test]
async fn the_deadline_stops_an_object_between_batches_and_the_retry_goes_on_there() {
    let test = "the_deadline_stops_an_object_between_batches_and_the_retry_goes_on_there";
    let Some(server) = S3Server::shared_for(test) else { return };
    let bench = Bench::new().await;
    // Batches are 10,000 rows.
    put(server, "long/1.jsonl", lines(0..35_000)).await;
    put(server, "long/2.jsonl", lines(40_000..40_010)).await;
    let asked = direct(server, &["long/1.jsonl", "long/2.jsonl"]);
    let (hasty, deadline_ms) = hasty(&bench, server);
    let first = done(hasty.invoke(&asked, deadline_ms).await.unwrap());
    assert_eq!((first.done.len(), first.left.len()), (0, 2));
    assert!((10_000..35_000).contains(&first.records), "{first:?}");
    let second = done(ingest(&bench, server).invoke(&asked, FAR).await.unwrap());
    assert_eq!((second.done.len(), second.left.len()), (2, 0));
    assert_eq!((second.records, second.duplicates), (35_010, first.records));
    assert_eq!(bench.trips().await, 35_010);
}

async fn stream(server: &KinesisServer, stream: &str) -> Arc<KinesisSink> {
    let keys = Credentials::new(server.access_key(), server.secret_key(), None, None, "tests");
    let options = KinesisOptions {
        stream: stream.to_owned(),
        region: Some(server.region().to_owned()),
        endpoint: Some(server.endpoint().to_owned()),
        credentials: Some(SharedCredentialsProvider::new(keys)),
        ..KinesisOptions::default()
    };
    Arc::new(KinesisSink::connect(options).await.unwrap())
}

#[tokio::test]
async fn a_direct_invocation_goes_on_where_one_ended_in_every_sink_and_not_in_an_object_written_anew() {
    let test = "a direct invocation goes on where one ended";
    let Some(server) = S3Server::shared_for(test) else { return };
    let Some(streams) = KinesisServer::shared_for(test) else { return };
    streams.create_stream("trips-filled", 1).unwrap();
    let bench = Bench::new().await;
    let sink = stream(streams, "trips-filled").await;
    let sinks = || {
        let lake = Sinks::lake(&bench.lake);
        lake.with_stream(Target::Kinesis, Arc::clone(&sink) as _, &bench.lake, Malformed::Elsewhere)
    };
    // Batches are 4 MiB.
    let long = lines(0..500);
    let padding = format!(",\"padding\":\"{}\"}}\n", "x".repeat(50_000));
    put(server, "rest/1.jsonl", String::from_utf8(long).unwrap().replace("}\n", &padding).into_bytes()).await;
    put(server, "rest/2.jsonl", lines(1_000..1_010)).await;
    let now_ms = bench.lake.environment().clock.now_ms();
    let hasty = feeding(&bench, server, Arc::new(Hasty(AtomicI64::new(now_ms))), sinks());
    let asked = direct(server, &["rest/1.jsonl", "rest/2.jsonl"]);
    let first = done(hasty.invoke(&asked, now_ms + SHORT_MS).await.unwrap());
    assert!((1..500).contains(&first.records), "{first:?}");
    let clock = Arc::clone(&bench.lake.environment().clock);
    let patient = feeding(&bench, server, Arc::clone(&clock), sinks());
    let asked = json!({"backfill": {"objects": first.left}}).to_string();
    let second = done(patient.invoke(asked.as_bytes(), FAR).await.unwrap());
    assert_eq!((second.done.len(), second.duplicates, first.records + second.records), (2, 0, 510));
    assert_eq!(streams.records("trips-filled").unwrap().len(), 510, "none was forwarded twice");
    assert_eq!(bench.trips().await, 510);

    put(server, "rest/1.jsonl", lines(2_000..2_005)).await;
    let third = done(patient.invoke(asked.as_bytes(), FAR).await.unwrap());
    assert_eq!(third.records - third.duplicates, 5, "{third:?}");
}

#[tokio::test]
async fn a_sink_that_is_away_until_time_is_up_leaves_the_object_and_one_that_refuses_fails_it() {
    let test = "a_sink_that_is_away_until_time_is_up_leaves_the_object_and_one_that_refuses_fails_it";
    let Some(server) = S3Server::shared_for(test) else { return };
    let Some(streams) = KinesisServer::shared_for(test) else { return };
    let bench = Bench::new().await;
    put(server, "away/1.jsonl", lines(0..10)).await;
    let environment = bench.lake.environment();
    let clock = Arc::clone(&environment.clock);
    let search = {
        let (clock, entropy) = (clock.clone(), environment.entropy.clone());
        let environment = tripline_search::Environment::new(move || clock.now_ms(), move || entropy.next());
        // Nobody listens there.
        let options = SearchOptions::new("http://127.0.0.1:9");
        SearchSink::connect(Arc::clone(&bench.pipeline), options, environment).await.unwrap()
    };
    let sinks = Sinks::lake(&bench.lake).with_search(search, &bench.lake, Malformed::Elsewhere);
    let away = feeding(&bench, server, Arc::clone(&clock), sinks);
    let asked = direct(server, &["away/1.jsonl"]);
    let answer = done(away.invoke(&asked, clock.now_ms() + 3_000).await.unwrap());
    assert_eq!((answer.left.len(), answer.failed.len()), (1, 0), "{answer:?}");

    let sink = stream(streams, "trips-nowhere").await;
    let sinks =
        Sinks::lake(&bench.lake).with_stream(Target::Kinesis, sink, &bench.lake, Malformed::Elsewhere);
    let refusing = feeding(&bench, server, clock, sinks);
    let answer = done(refusing.invoke(&asked, FAR).await.unwrap());
    assert!(answer.failed[0].reason.contains("trips-nowhere"), "{answer:?}");
    assert_eq!(bench.trips().await, 10, "the lake has them all the same");
}

#[tokio::test]
async fn a_notification_that_time_does_not_suffice_for_fails_so_that_it_comes_again() {
    let test = "a_notification_that_time_does_not_suffice_for_fails_so_that_it_comes_again";
    let Some(server) = S3Server::shared_for(test) else { return };
    let bench = Bench::new().await;
    put(server, "short/1.jsonl", lines(0..25_000)).await;
    let event = notification(server, "short/1.jsonl");
    let (hasty, deadline_ms) = hasty(&bench, server);
    let error = hasty.invoke(&event, deadline_ms).await.unwrap_err();
    let IngestError::Unfinished { objects } = &error else { panic!("{error}") };
    assert_eq!(objects, &[format!("s3://{}/short/1.jsonl", server.bucket())]);
    let answer = done(ingest(&bench, server).invoke(&event, FAR).await.unwrap());
    assert!(answer.duplicates > 0 && answer.records == 25_000, "{answer:?}");
    assert_eq!(bench.trips().await, 25_000);
}

/// A function whose time runs fast, and when it is up.
fn hasty(bench: &Bench, server: &S3Server) -> (Ingest, i64) {
    let now_ms = bench.lake.environment().clock.now_ms();
    (at(bench, server, Arc::new(Hasty(AtomicI64::new(now_ms)))), now_ms + SHORT_MS)
}

#[tokio::test]
async fn a_mapping_s_event_is_answered_as_before_and_what_is_neither_is_refused_as_before() {
    let bench = Bench::new().await;
    let response = bench.ingest(true).invoke(&Sample::of("trips").body(), FAR).await.unwrap();
    let answer: Value = serde_json::to_value(&response).unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let error =
        bench.ingest(true).invoke(br#"{"Records":[{"eventSource":"aws:sqs"}]}"#, FAR).await.unwrap_err();
    assert!(matches!(error, IngestError::Envelope(_)), "{error}");
}
