//! Events of Kafka through the handler: each topic-partition is a lane of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use support::{Bench, FAR, kafka_sample, repository, strict_taxi};
use tripline_ingest::{Answer, IngestError};
use tripline_lake::journal::JournalError;
use tripline_lake::redrive::{Filter, Selection};

const FIRST: &str = "taxi-trips-0";
const SECOND: &str = "taxi-trips-1";

async fn handle(bench: &Bench, event: &Value, partial_responses: bool) -> Result<Answer, IngestError> {
    bench.ingest(partial_responses).handle(event.to_string().as_bytes(), FAR).await
}

fn records<'e>(event: &'e mut Value, partition: &str) -> &'e mut Vec<Value> {
    event["records"][partition].as_array_mut().unwrap()
}

#[tokio::test]
async fn topic_partitions_of_one_event_are_lanes_of_their_own() {
    let bench = Bench::new().await;
    let answer = handle(&bench, &kafka_sample("trips"), true).await.unwrap();
    assert!(answer.response.is_success());
    let batch = answer.batch;
    assert_eq!((batch.delivered, batch.counts.rows, batch.entries, batch.partitions), (20, 20, 2, 2));
    let entries = bench.entries().await;
    let mut lanes: Vec<_> = entries.iter().map(|entry| entry.header.lane.partition.clone()).collect();
    lanes.sort();
    assert_eq!(lanes, [FIRST, SECOND]);
    assert_eq!(bench.trips().await, 20);
}

#[tokio::test]
async fn a_batch_that_comes_again_cut_elsewhere_adds_only_what_is_new() {
    let bench = Bench::new().await;
    let whole = kafka_sample("trips");
    let mut start = whole.clone();
    records(&mut start, FIRST).truncate(4);
    records(&mut start, SECOND).truncate(1);
    let mut rest = whole.clone();
    records(&mut rest, FIRST).drain(..2);
    for (event, rows, duplicates) in [(&start, 5, 0), (&whole, 15, 5), (&rest, 0, 18), (&start, 0, 5)] {
        let batch = handle(&bench, event, true).await.unwrap().batch;
        assert_eq!((batch.counts.rows, batch.duplicates), (rows, duplicates));
    }
    assert_eq!(bench.trips().await, 20);
}

#[tokio::test]
async fn the_same_topic_of_another_cluster_is_another_source() {
    let bench = Bench::new().await;
    handle(&bench, &kafka_sample("trips"), true).await.unwrap();
    let mut other = kafka_sample("trips");
    other["eventSourceArn"] = json!("arn:aws:kafka:us-east-1:123456789012:cluster/other/1");
    assert_eq!(handle(&bench, &other, true).await.unwrap().batch.counts.rows, 20);
    assert_eq!(handle(&bench, &kafka_sample("self-managed"), true).await.unwrap().batch.counts.rows, 6);
    assert_eq!(bench.trips().await, 46);
}

#[tokio::test]
async fn a_refused_record_holds_back_only_its_own_topic_partition() {
    let bench = Bench::of(strict_taxi().path()).await;
    let mut event = kafka_sample("trips");
    records(&mut event, FIRST)[3]["value"] = json!("bm90IGpzb24=");
    let answer = handle(&bench, &event, true).await.unwrap();
    assert_eq!(
        serde_json::to_value(&answer.response).unwrap(),
        json!({"batchItemFailures": [{"itemIdentifier": {"partition": FIRST, "offset": 18}}]})
    );
    assert_eq!(answer.batch.counts.rows, 13);
    // The mapping delivers that topic-partition again from there; the record is good by now.
    let mut again = kafka_sample("trips");
    records(&mut again, FIRST).drain(..3);
    again["records"].as_object_mut().unwrap().remove(SECOND);
    assert_eq!(handle(&bench, &again, true).await.unwrap().batch.counts.rows, 7);
    assert_eq!(bench.trips().await, 20);
}

#[tokio::test]
async fn every_topic_partition_that_failed_is_named_once() {
    let bench = Bench::of(strict_taxi().path()).await;
    let mut event = kafka_sample("trips");
    for (partition, index) in [(FIRST, 3), (FIRST, 5), (SECOND, 0)] {
        records(&mut event, partition)[index]["value"] = json!("bm90IGpzb24=");
    }
    let response = handle(&bench, &event, true).await.unwrap().response;
    let failure =
        |partition: &str, offset: u64| json!({"itemIdentifier": {"partition": partition, "offset": offset}});
    assert_eq!(
        serde_json::to_value(&response).unwrap(),
        json!({"batchItemFailures": [failure(FIRST, 18), failure(SECOND, 15)]})
    );
}

#[tokio::test]
async fn without_partial_responses_the_whole_batch_fails_and_comes_again() {
    let bench = Bench::of(strict_taxi().path()).await;
    let mut event = kafka_sample("trips");
    records(&mut event, SECOND)[9]["value"] = json!("bm90IGpzb24=");
    let error = handle(&bench, &event, false).await.unwrap_err();
    assert!(matches!(error, IngestError::Refused { .. }), "{error}");
    let batch = handle(&bench, &kafka_sample("trips"), false).await.unwrap().batch;
    assert_eq!((batch.counts.rows, batch.duplicates), (1, 19));
    assert_eq!(bench.trips().await, 20);
}

#[tokio::test]
async fn where_nothing_is_in_the_invocation_fails() {
    let bench = Bench::new().await;
    let body = kafka_sample("trips").to_string();
    let error = bench.ingest(true).handle(body.as_bytes(), 1_000).await.unwrap_err();
    assert!(matches!(error, IngestError::Journal(JournalError::Deadline { .. })), "{error}");
}

#[tokio::test]
async fn json_behind_a_registrys_header_is_a_row_and_all_else_a_dead_letter_that_says_so() {
    let bench = Bench::new().await;
    let batch = handle(&bench, &kafka_sample("wire"), true).await.unwrap().batch;
    assert_eq!((batch.counts.rows, batch.counts.dead_letters), (3, 2));
    let reasons: Vec<_> = batch.dead_letter_reasons.into_iter().collect();
    assert_eq!(reasons, [("null-value", 1), ("wire-format", 1)]);
}

#[tokio::test]
async fn a_topic_made_anew_stops_its_lane_with_the_way_out() {
    let bench = Bench::new().await;
    handle(&bench, &kafka_sample("trips"), true).await.unwrap();
    let mut anew = kafka_sample("trips");
    for partition in [FIRST, SECOND] {
        for (offset, record) in records(&mut anew, partition).iter_mut().enumerate() {
            record["offset"] = json!(offset);
            record["timestamp"] = json!(record["timestamp"].as_i64().unwrap() + 86_400_000);
        }
    }
    let error = handle(&bench, &anew, false).await.unwrap_err();
    assert!(matches!(error, IngestError::Journal(JournalError::SourceMadeAnew { .. })), "{error}");
    assert!(error.to_string().contains("TRIPLINE_SOURCE_EPOCH"), "{error}");
    assert_eq!(bench.trips().await, 20);
}

#[tokio::test]
async fn a_producers_wild_clock_moves_neither_the_watermark_nor_stops_its_lane() {
    let bench = Bench::new().await;
    let mut event = kafka_sample("trips");
    let wild = json!({"type": "trip", "trip_id": 2041, "pickup_datetime": "2041-01-01T00:00:00.000Z", "pickup_location_id": 7});
    let record = &mut records(&mut event, FIRST)[0];
    record["value"] = json!(tripline_oracle::base64::encode(wild.to_string().as_bytes()));
    record["timestamp"] = json!(2_240_524_800_000_i64);
    for rows in [20, 0] {
        assert_eq!(handle(&bench, &event, true).await.unwrap().batch.counts.rows, rows);
    }
    let entries = bench.entries().await;
    let latest = entries.iter().filter_map(|entry| entry.header.event_time_max_ms).max();
    assert!(latest.is_some_and(|latest| latest < 1_600_000_000_000), "{latest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pollers_that_overlap_commit_each_record_once() {
    let bench = Bench::new().await;
    let warm = Arc::new(bench.ingest(true));
    let mut running = tokio::task::JoinSet::new();
    for cut in 0..8 {
        let mut event = kafka_sample("trips");
        records(&mut event, FIRST).truncate(10 - cut);
        records(&mut event, SECOND).truncate(3 + cut);
        let ingest = if cut % 2 == 0 { Arc::clone(&warm) } else { Arc::new(bench.ingest(true)) };
        running.spawn(async move { ingest.handle(event.to_string().as_bytes(), FAR).await });
    }
    while let Some(handled) = running.join_next().await {
        handled.unwrap().unwrap();
    }
    assert_eq!(bench.trips().await, 20);
}

#[tokio::test]
async fn events_as_the_generator_makes_them_are_told_by_their_topics_and_timestamps() {
    let bench = Bench::of(&repository().join("pipelines/adtech")).await;
    let mut event = kafka_sample("topics");
    // One of a topic that no event type has.
    event["records"]["others-0"] = event["records"]["clicks-0"].clone();
    let answer = handle(&bench, &event, true).await.unwrap();
    assert_eq!((answer.batch.counts.rows, answer.batch.counts.dead_letters), (3, 1));
    let tables = bench.audit().await.tables;
    assert_eq!(
        tables.into_iter().map(|(name, table)| (name, table.found.rows)).collect::<Vec<_>>(),
        [("clicks".to_owned(), 1), ("dead_letter".to_owned(), 1), ("impressions".to_owned(), 2)]
    );
    let folders =
        ["impressions/region=oceania/year=2019/month=04/day=01", "clicks/year=2019/month=04/day=01"];
    assert!(folders.iter().all(|folder| bench.folder.path().join(folder).is_dir()), "{folders:?}");
}

#[tokio::test]
async fn a_dead_letter_keeps_its_record_s_headers() {
    let bench = Bench::new().await;
    let mut event = kafka_sample("wire");
    for record in records(&mut event, FIRST) {
        record["headers"] = json!([{"producer": [116, 108, 99, 255]}]);
    }
    handle(&bench, &event, true).await.unwrap();
    bench.audit().await;
    let selection =
        Selection::preview(&**bench.lake.store(), Filter::default(), BTreeSet::new(), 0).await.unwrap();
    let mut letters = Vec::new();
    for round in selection.rounds() {
        for group in selection.letters(&**bench.lake.store(), &round).await.unwrap() {
            letters.extend(group.letters.into_iter().map(|letter| letter.headers));
        }
    }
    assert_eq!(letters, vec![r#"[{"producer":[116,108,99,255]}]"#; 2]);
}
