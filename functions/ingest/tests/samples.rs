//! The sample events through the handler: what each of them comes to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;

use support::{Bench, FAR, Sample};
use tripline_ingest::IngestError;
use tripline_lake::journal::JournalError;

#[tokio::test]
async fn trips_become_rows() {
    let bench = Bench::new().await;
    let answer = bench.handle(&Sample::of("trips")).await;
    let batch = &answer.batch;
    assert!(answer.response.is_success());
    assert_eq!((batch.delivered, batch.counts.rows, batch.counts.dead_letters), (20, 20, 0));
    assert_eq!((batch.duplicates, batch.entries, batch.puts, batch.partitions), (0, 1, 1, 1));
    assert_eq!(batch.counts.unknown_fields, 0, "the pipeline names every member of the trips");
    assert!(batch.bytes > 0);
    assert_eq!(bench.trips().await, 20);
}

#[tokio::test]
async fn a_batch_that_comes_again_adds_nothing() {
    let bench = Bench::new().await;
    let warm = bench.ingest(true);
    let body = Sample::of("trips").body();
    warm.handle(&body, FAR).await.unwrap();
    for ingest in [warm, bench.ingest(true)] {
        let again = ingest.handle(&body, FAR).await.unwrap();
        assert!(again.response.is_success());
        assert_eq!((again.batch.delivered, again.batch.duplicates, again.batch.entries), (20, 20, 0));
        assert_eq!(again.batch.puts, 0);
    }
    assert_eq!(bench.trips().await, 20);
}

#[tokio::test]
async fn a_batch_that_is_cut_elsewhere_adds_only_what_is_new() {
    let bench = Bench::new().await;
    bench.handle(&Sample::of("trips")).await;
    let recut = bench.handle(&Sample::of("recut")).await.batch;
    assert_eq!((recut.delivered, recut.duplicates, recut.counts.rows), (20, 10, 10));
    assert_eq!(bench.trips().await, 30);
}

#[tokio::test]
async fn every_kind_of_bad_record_is_a_dead_letter_with_its_reason() {
    let bench = Bench::new().await;
    let answer = bench.handle(&Sample::of("poison")).await;
    assert!(answer.response.is_success());
    assert_eq!((answer.batch.counts.rows, answer.batch.counts.dead_letters), (8, 8));
    let reasons: Vec<_> = answer.batch.dead_letter_reasons.into_iter().collect();
    let expected = [
        "bad-datetime",
        "missing-field",
        "not-json",
        "not-utf8",
        "trailing-data",
        "undecodable-payload",
        "unknown-type",
        "wrong-type",
    ];
    assert_eq!(reasons, expected.map(|reason| (reason, 1)));
    assert_eq!(bench.audit().await.tables["dead_letter"].found.rows, 8);
}

#[tokio::test]
async fn a_record_is_known_by_its_position_and_not_by_its_content() {
    let bench = Bench::new().await;
    let batch = bench.handle(&Sample::of("duplicates")).await.batch;
    // One record came twice. One trip was sent twice by its producer, which makes two records.
    assert_eq!((batch.delivered, batch.duplicates, batch.counts.rows), (12, 1, 11));
    assert_eq!(bench.trips().await, 11);
}

#[tokio::test]
async fn late_trips_are_rows_and_a_wild_clock_does_not_move_the_watermark() {
    let bench = Bench::new().await;
    let batch = bench.handle(&Sample::of("late")).await.batch;
    assert_eq!((batch.delivered, batch.counts.rows, batch.counts.watermarks), (15, 13, 2));
    assert_eq!(batch.counts.dead_letters, 0);
    // 2019-03-31T18:00:00Z, which the last watermark event says; one trip is of 2041.
    assert_eq!(bench.entries().await[0].header.event_time_max_ms, Some(1_554_055_200_000));
    assert_eq!(bench.trips().await, 13);
    let partitions = bench.lake.store().list("trip/", None, 1_000).await.unwrap();
    assert!(partitions.iter().any(|file| file.key.contains("/year=2041/")), "it is a row all the same");
}

#[tokio::test]
async fn aggregated_trips_are_the_rows_that_they_are_alone() {
    let (alone, aggregated) = (Bench::new().await, Bench::new().await);
    let sample = Sample::of("aggregated");
    assert!(sample.len() < 20);
    alone.handle(&Sample::of("trips")).await;
    let batch = aggregated.handle(&sample).await.batch;
    assert_eq!((batch.delivered, batch.counts.rows, batch.duplicates), (20, 20, 0));
    let rows = async |bench: &Bench| bench.entries().await[0].sections().unwrap()[0].rows.clone();
    assert_eq!(rows(&aggregated).await, rows(&alone).await);
    // However they come again, each is there once.
    for again in [sample.cut(1..), sample.cut(..2), sample] {
        let again = aggregated.handle(&again).await.batch;
        assert_eq!((again.entries, again.duplicates), (0, again.delivered));
    }
    assert_eq!(aggregated.trips().await, 20);
}

#[tokio::test]
async fn an_empty_event_succeeds_and_writes_nothing() {
    let bench = Bench::new().await;
    let answer = bench.handle(&Sample::of("empty")).await;
    assert!(answer.response.is_success());
    assert_eq!((answer.batch.delivered, answer.batch.partitions), (0, 0));
    assert!(bench.entries().await.is_empty());
}

#[tokio::test]
async fn a_deadline_that_has_passed_is_an_error_and_nothing_is_written() {
    let bench = Bench::new().await;
    for partial_responses in [true, false] {
        let ingest = bench.ingest(partial_responses);
        let result = ingest.handle(&Sample::of("trips").body(), 1_000).await;
        assert!(matches!(result, Err(IngestError::Journal(JournalError::Deadline { .. }))), "{result:?}");
        // The function is none the worse for it.
        assert!(bench.entries().await.is_empty());
    }
    bench.handle(&Sample::of("trips")).await;
    assert_eq!(bench.trips().await, 20);
}

#[tokio::test]
async fn a_body_that_is_no_event_is_an_error_that_says_what_it_is() {
    let bench = Bench::new().await;
    let trips = Sample::of("trips").body();
    let deep = "[".repeat(200_000);
    let bodies: [&[u8]; 14] = [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\"text\"",
        b"\xff\xfe",
        b"{\"Records\":{}}",
        b"{\"Records\":[1]}",
        b"{\"Records\":[{\"eventSource\":\"aws:sqs\"}]}",
        b"{\"Records\":[{\"eventSource\":\"aws:kinesis\",\"kinesis\":{}}]}",
        b"{\"eventSource\":\"aws:kafka\",\"records\":{}}",
        b"{\"version\":\"0\",\"source\":\"aws.events\",\"detail\":{}}",
        &trips[..trips.len() - 2],
        deep.as_bytes(),
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let result = bench.ingest(true).handle(body, FAR).await;
        assert!(matches!(result, Err(IngestError::Envelope(_))), "{shown}: {result:?}");
    }
    assert!(bench.entries().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn overlapping_invocations_for_one_shard_commit_each_record_once() {
    let bench = Bench::new().await;
    let whole = Sample::of("trips").and(&Sample::of("recut").cut(10..));
    // One warm function with concurrent invocations, and cold ones beside it.
    let warm = Arc::new(bench.ingest(true));
    let mut running = tokio::task::JoinSet::new();
    for round in 0..12 {
        let ingest = if round % 3 == 0 { Arc::new(bench.ingest(true)) } else { Arc::clone(&warm) };
        // What the records before the cut came to is unknown to the mapping: it starts at the first.
        let body = whole.cut(..10 + 5 * (round % 5)).body();
        running.spawn(async move { ingest.handle(&body, FAR).await });
    }
    let (mut rows, mut duplicates, mut delivered) = (0, 0, 0);
    while let Some(answer) = running.join_next().await {
        let answer = answer.unwrap().unwrap();
        assert!(answer.response.is_success());
        rows += answer.batch.counts.rows;
        duplicates += answer.batch.duplicates;
        delivered += answer.batch.delivered;
    }
    assert_eq!((rows, rows + duplicates), (30, delivered));
    assert_eq!(bench.trips().await, 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn overlapping_invocations_for_different_shards_keep_their_records_apart() {
    let bench = Bench::new().await;
    let ingest = Arc::new(bench.ingest(true));
    let mut running = tokio::task::JoinSet::new();
    for shard in 0..8 {
        let ingest = Arc::clone(&ingest);
        let length = 10 + shard as usize;
        let body = Sample::of("trips").cut(..length).in_shard(shard).body();
        running.spawn(async move { (length as u64, ingest.handle(&body, FAR).await) });
    }
    while let Some(answer) = running.join_next().await {
        let (length, answer) = answer.unwrap();
        assert_eq!(answer.unwrap().batch.counts.rows, length);
    }
    let audit = bench.audit().await;
    let records: Vec<u64> = audit.lanes.iter().map(|lane| lane.totals.records).collect();
    assert_eq!(records, (10..18).collect::<Vec<u64>>());
}
