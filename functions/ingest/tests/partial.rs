//! Partial failures: what is answered, what is in, and what the next try does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use support::{Bench, Sample, strict_taxi};
use tripline_ingest::{Answer, IngestError};
use tripline_stream::response::BatchResponse;

/// The sequence numbers that an answer asks to be delivered again.
fn retried_from(answer: &Answer) -> Vec<String> {
    let response = serde_json::to_value(&answer.response).unwrap();
    let failures = response["batchItemFailures"].as_array().unwrap();
    failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_refused_record_is_named_and_what_lies_before_it_is_in() {
    let strict = strict_taxi();
    let bench = Bench::of(strict.path()).await;
    let poison = Sample::of("poison");
    let answer = bench.handle(&poison).await;
    // Good and bad records take turns, beginning with a good one.
    assert_eq!(retried_from(&answer), [poison.sequence(1)]);
    assert_eq!((answer.batch.counts.rows, answer.batch.counts.dead_letters), (1, 0));
    // The mapping goes on from there, and the record is still bad.
    let again = bench.handle(&poison.cut(1..)).await;
    assert_eq!(retried_from(&again), [poison.sequence(1)]);
    assert_eq!((again.batch.counts.records, again.batch.entries), (0, 0));
    assert_eq!(bench.trips().await, 1);
}

#[tokio::test]
async fn a_retry_from_the_refused_record_works_once_the_pipeline_takes_it() {
    let strict = strict_taxi();
    let mut bench = Bench::of(strict.path()).await;
    let poison = Sample::of("poison");
    bench.handle(&poison).await;
    bench.pipeline = Bench::new().await.pipeline;
    // From the refused record as the mapping does, or the whole batch as after an error.
    for (batch, duplicates, records) in [(poison.cut(1..), 0, 15), (poison.clone(), 16, 0)] {
        let answer = bench.handle(&batch).await;
        assert!(answer.response.is_success());
        assert_eq!((answer.batch.duplicates, answer.batch.counts.records), (duplicates, records));
    }
    let audit = bench.audit().await;
    assert_eq!((audit.tables["trip"].found.rows, audit.tables["dead_letter"].found.rows), (8, 8));
}

#[tokio::test]
async fn without_partial_responses_a_refused_record_is_an_error_and_never_a_response() {
    let strict = strict_taxi();
    let bench = Bench::of(strict.path()).await;
    let poison = Sample::of("poison");
    for _ in 0..2 {
        let error = bench.try_handle(&poison, false).await.unwrap_err();
        assert!(matches!(error, IngestError::Refused { .. }), "{error}");
        let text = error.to_string();
        for part in [&poison.sequence(1), "shardId-000000000001", "not-json", "ReportBatchItemFailures"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        assert!(!text.contains("not json at all"), "no payload in a message: {text}");
    }
    assert_eq!(bench.trips().await, 1, "what lies before it is in, once");
}

#[tokio::test]
async fn a_refused_record_takes_its_whole_aggregate_along_which_is_what_is_named() {
    let strict = strict_taxi();
    let mut bench = Bench::of(strict.path()).await;
    // Good records have even indices. The last but one of the second aggregate is bad.
    let packed = Sample::of("poison").packed(&[&[0, 2], &[4, 6, 1, 8], &[10, 12]]);
    let answer = bench.handle(&packed).await;
    assert_eq!(retried_from(&answer), [packed.sequence(1)]);
    assert_eq!((answer.batch.delivered, answer.batch.counts.records), (8, 2));
    // The mapping goes on from the aggregate, and nothing of it is in.
    let again = bench.handle(&packed.cut(1..)).await;
    assert_eq!(retried_from(&again), [packed.sequence(1)]);
    assert_eq!((again.batch.duplicates, again.batch.entries), (0, 0));
    let error = bench.try_handle(&packed, false).await.unwrap_err();
    assert!(error.to_string().contains(&packed.sequence(1)), "{error}");
    assert_eq!(bench.trips().await, 2);
    // Once the pipeline takes it, all of it comes in, and so does what lies behind it.
    bench.pipeline = Bench::new().await.pipeline;
    let healed = bench.handle(&packed.cut(1..)).await;
    assert!(healed.response.is_success());
    assert_eq!((healed.batch.counts.rows, healed.batch.counts.dead_letters), (5, 1));
    assert_eq!(bench.trips().await, 7);
}

#[tokio::test]
async fn of_several_source_partitions_only_the_failed_one_comes_again() {
    let strict = strict_taxi();
    let bench = Bench::of(strict.path()).await;
    let (trips, poison) = (Sample::of("trips"), Sample::of("poison"));
    let event = trips.and(&poison).and(&trips.in_shard(7));
    let answer = bench.handle(&event).await;
    assert_eq!(retried_from(&answer), [poison.sequence(1)]);
    assert_eq!((answer.batch.partitions, answer.batch.delivered), (3, 56));
    assert_eq!((answer.batch.counts.rows, answer.batch.entries), (41, 3));
    assert_eq!(bench.trips().await, 41);
}

#[tokio::test]
async fn a_source_partition_that_cannot_be_appended_is_named_by_its_first_record() {
    let bench = Bench::new().await;
    let trips = Sample::of("trips");
    let disordered = trips.cut(..5).reversed().in_shard(9);
    let event = disordered.and(&trips);
    let answer = bench.handle(&event).await;
    assert_eq!(retried_from(&answer), [disordered.sequence(0)]);
    assert_eq!(answer.batch.counts.rows, 20);
    // Where partial responses are not honoured, and where there is nothing else to save, it is an
    // error. The other partition's records are in all the same, and no second time.
    for (event, partial_responses) in [(&event, false), (&disordered, true)] {
        let error = bench.try_handle(event, partial_responses).await.unwrap_err();
        assert!(error.to_string().contains("ParallelizationFactor"), "{error}");
    }
    assert_eq!(bench.trips().await, 20);
}

#[tokio::test]
async fn success_is_an_empty_list_of_failures() {
    let bench = Bench::new().await;
    for partial_responses in [true, false] {
        let answer = bench.try_handle(&Sample::of("poison"), partial_responses).await.unwrap();
        assert_eq!(answer.response, BatchResponse::success());
        assert_eq!(serde_json::to_string(&answer.response).unwrap(), r#"{"batchItemFailures":[]}"#);
    }
}
