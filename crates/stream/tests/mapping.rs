//! The event source mapping that the laptop tool plays: nothing is lost, doubled or reordered.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::ops::Range;

use proptest::prelude::*;
use tripline_model::source::{Payload, Position};
use tripline_stream::mapping::{
    Batcher, INVOCATION_PAYLOAD_BYTES, MappingSettings, PutRecord, Reply, ShardOrigin, next_after,
    write_event,
};
use tripline_stream::response::{BatchItemFailure, ItemIdentifier};
use tripline_stream::{BatchResponse, Event, Source};

fn origin() -> ShardOrigin {
    ShardOrigin {
        source: "arn:aws:kinesis:us-east-2:123456789012:stream/trips".to_owned(),
        shard: "shardId-000000000006".to_owned(),
        invoke_identity_arn: "arn:aws:iam::123456789012:role/lambda-role".to_owned(),
    }
}

fn put(sequence: u64, data: &[u8]) -> PutRecord {
    PutRecord {
        sequence: Position::new(sequence),
        partition_key: "1".to_owned(),
        data: data.to_vec(),
        arrival_ms: None,
    }
}

fn shard(records: u64) -> Vec<PutRecord> {
    (1..=records).map(|sequence| put(sequence, b"{}")).collect()
}

const REPORTING: MappingSettings = MappingSettings {
    batch_size: 100,
    payload_bytes: INVOCATION_PAYLOAD_BYTES,
    report_batch_item_failures: true,
    bisect_batch_on_function_error: false,
};

const BISECTING: MappingSettings = MappingSettings { bisect_batch_on_function_error: true, ..REPORTING };

#[test]
fn the_event_is_written_byte_for_byte_as_lambda_sends_it() {
    let sequence = "49590338271490256608559692538361571095921575989136588898";
    let record = PutRecord {
        sequence: sequence.parse().unwrap(),
        partition_key: "a \"key\"\n".to_owned(),
        data: b"Hello, this is a test.".to_vec(),
        arrival_ms: Some(1_545_084_650_980),
    };
    let expected = format!(
        r#"{{"Records":[{{"kinesis":{{"kinesisSchemaVersion":"1.0","partitionKey":"a \"key\"\u000a","sequenceNumber":"{sequence}","data":"SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==","approximateArrivalTimestamp":1545084650.98}},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000006:{sequence}","eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/lambda-role","awsRegion":"us-east-2","eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/trips"}}]}}"#
    );
    assert_eq!(String::from_utf8(write_event(&origin(), [&record])).unwrap(), expected);
    assert_eq!(write_event(&origin(), []), br#"{"Records":[]}"#);
}

#[test]
fn a_file_is_a_source_of_the_local_region() {
    let origin = ShardOrigin { source: "file:///data/trips.csv".to_owned(), ..origin() };
    let event: serde_json::Value = serde_json::from_slice(&write_event(&origin, &shard(1))).unwrap();
    assert_eq!(event["Records"][0]["awsRegion"], "local");
    assert_eq!(event["Records"][0]["eventSourceARN"], "file:///data/trips.csv");
}

#[test]
fn a_batch_is_full_at_batch_size() {
    let mut batcher = Batcher::new(origin(), MappingSettings { batch_size: 2, ..REPORTING });
    let sizes: Vec<Option<usize>> =
        shard(5).into_iter().map(|record| batcher.push(record).map(|batch| batch.len())).collect();
    assert_eq!(sizes, [None, Some(2), None, Some(2), None]);
    assert_eq!(batcher.finish().map(|batch| batch.len()), Some(1));
    assert_eq!(batcher.finish(), None);
}

#[test]
fn a_record_over_the_payload_limit_is_a_batch_of_its_own() {
    let settings = MappingSettings { payload_bytes: 1_500, ..REPORTING };
    let batches = cut(vec![put(1, b""), put(2, &[0; 2_000]), put(3, b""), put(4, b"")], settings);
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 2]);
}

#[test]
fn after_an_error_the_whole_batch_is_sent_again_or_its_halves() {
    assert_eq!(next_after(&Reply::Error, &shard(5), &REPORTING), vec![0..5]);
    assert_eq!(next_after(&Reply::Error, &shard(5), &BISECTING), vec![0..2, 2..5]);
    assert_eq!(next_after(&Reply::Error, &shard(1), &BISECTING), vec![0..1]);
    assert_eq!(next_after(&Reply::Error, &[], &BISECTING), no_parts());
}

#[test]
fn after_a_partial_response_the_lowest_failure_and_all_after_it_are_sent_again() {
    let reply = Reply::Response(vec!["4".to_owned(), "2".to_owned(), "3".to_owned()]);
    let item = ItemIdentifier::SequenceNumber(Position::new(1));
    let first_failed = BatchResponse { failures: vec![BatchItemFailure { item }] };
    for settings in [REPORTING, BISECTING] {
        assert_eq!(next_after(&reply, &shard(5), &settings), vec![1..5]);
        assert_eq!(next_after(&Reply::from(&BatchResponse::success()), &shard(5), &settings), no_parts());
        assert_eq!(next_after(&Reply::from(&first_failed), &shard(5), &settings), vec![0..5]);
    }
}

#[test]
fn an_identifier_that_is_not_in_the_batch_means_the_whole_batch() {
    for identifiers in [vec!["6"], vec!["3", "6"], vec!["x"], vec!["3", ""]] {
        let reply = Reply::Response(identifiers.into_iter().map(str::to_owned).collect());
        assert_eq!(next_after(&reply, &shard(5), &REPORTING), vec![0..5]);
    }
    assert_eq!(next_after(&Reply::Unusable, &shard(5), &REPORTING), vec![0..5]);
}

#[test]
fn without_report_batch_item_failures_a_partial_response_is_success() {
    let settings = MappingSettings { report_batch_item_failures: false, ..REPORTING };
    assert_eq!(next_after(&Reply::Response(vec!["1".to_owned()]), &shard(5), &settings), no_parts());
    assert_eq!(next_after(&Reply::Unusable, &shard(5), &settings), no_parts());
    assert_eq!(next_after(&Reply::Error, &shard(5), &settings), vec![0..5]);
}

const fn no_parts() -> Vec<Range<usize>> {
    Vec::new()
}

fn cut(records: Vec<PutRecord>, settings: MappingSettings) -> Vec<Vec<PutRecord>> {
    let mut batcher = Batcher::new(origin(), settings);
    let mut batches: Vec<_> = records.into_iter().filter_map(|record| batcher.push(record)).collect();
    batches.extend(batcher.finish());
    batches
}

fn records() -> impl Strategy<Value = Vec<PutRecord>> {
    let arrival = proptest::option::of(prop_oneof![0_i64..4_102_444_800_000, any::<i64>()]);
    let record = (any::<u32>(), ".{0,8}", proptest::collection::vec(any::<u8>(), 0..300), arrival);
    proptest::collection::vec(record, 0..40).prop_map(|records| {
        let start: u128 = 49_590_338_271_490_256_608_559_692_538;
        let sequence =
            |index: usize, step: u32| format!("{}{:010}", start + index as u128, step).parse().unwrap();
        records
            .into_iter()
            .enumerate()
            .map(|(index, (step, partition_key, data, arrival_ms))| PutRecord {
                sequence: sequence(index, step),
                partition_key,
                data,
                arrival_ms,
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn what_is_written_is_what_is_read(records in records()) {
        let body = write_event(&origin(), &records);
        let oracle: serde_json::Value = serde_json::from_slice(&body).unwrap();
        prop_assert_eq!(oracle["Records"].as_array().unwrap().len(), records.len());
        let mut arena = Vec::new();
        let event = Event::parse(&body, &mut arena, "epoch").unwrap();
        assert_eq!(event.source, Source::Kinesis);
        let read: Vec<PutRecord> = event.partitions.iter().flat_map(|group| &group.records).map(|record| PutRecord {
            sequence: record.position,
            partition_key: record.partition_key.to_owned(),
            data: match record.payload { Payload::Bytes(bytes) => bytes.to_vec(), Payload::Undecodable(text) => panic!("{text:?}") },
            arrival_ms: record.arrival_ms,
        }).collect();
        prop_assert_eq!(read, records);
        for group in &event.partitions {
            prop_assert_eq!((&group.partition.source, &group.partition.partition), (&origin().source, &origin().shard));
            prop_assert_eq!(&group.partition.epoch, "epoch");
        }
    }

    #[test]
    fn batches_are_the_shard_cut_up_within_both_limits(
        records in records(), batch_size in 0_usize..10, payload_bytes in 0_usize..4_000,
    ) {
        let settings = MappingSettings { batch_size, payload_bytes, ..REPORTING };
        let batches = cut(records.clone(), settings);
        for (index, batch) in batches.iter().enumerate() {
            let size = write_event(&origin(), batch).len();
            prop_assert!(!batch.is_empty() && batch.len() <= batch_size.max(1));
            prop_assert!(size <= payload_bytes || batch.len() == 1, "{size}");
            // No batch is cut without need.
            if let Some(next) = batches.get(index + 1) {
                let with_next = write_event(&origin(), batch.iter().chain(next.first())).len();
                prop_assert!(batch.len() >= batch_size || with_next > payload_bytes);
            }
        }
        prop_assert_eq!(batches.concat(), records);
    }

    #[test]
    fn a_retry_plan_is_the_batch_from_somewhere_on_without_gaps(
        size in 0_u64..50, failed in proptest::collection::vec(0_u64..60, 0..5), kind in 0..3_u8, bisect in any::<bool>(),
    ) {
        let batch = shard(size);
        let reply = match kind {
            0 => Reply::Error,
            1 => Reply::Unusable,
            _ => Reply::Response(failed.iter().map(u64::to_string).collect()),
        };
        let plan = next_after(&reply, &batch, if bisect { &BISECTING } else { &REPORTING });
        let again: Vec<usize> = plan.iter().cloned().flatten().collect();
        let first = again.first().copied().unwrap_or(batch.len());
        prop_assert_eq!(&again, &(first..batch.len()).collect::<Vec<_>>());
        prop_assert!(plan.iter().all(|part| !part.is_empty()));
        // Whatever failed is sent again.
        match reply {
            Reply::Response(_) => {
                let in_batch = |sequence: &u64| (1..=size).contains(sequence);
                let expected = match failed.iter().min() {
                    None => batch.len(),
                    Some(_) if !failed.iter().all(in_batch) => 0,
                    Some(lowest) => *lowest as usize - 1,
                };
                prop_assert_eq!(first, expected);
            }
            _ => prop_assert_eq!(first, 0),
        }
    }

    #[test]
    fn a_batch_that_is_bisected_to_the_end_delivers_every_record_once_and_in_order(size in 1_u64..200, poison in 0_u64..200) {
        // The function fails on any batch with the poison in it; alone, it is given up.
        let records = shard(size);
        let mut due = next_after(&Reply::Error, &records, &REPORTING);
        let mut delivered = Vec::new();
        while let Some(part) = due.pop() {
            let batch = &records[part.clone()];
            let poisoned = batch.iter().any(|record| record.sequence == Position::new(poison));
            let reply = if poisoned && batch.len() > 1 { Reply::Error } else { Reply::Response(vec![]) };
            if reply != Reply::Error {
                delivered.extend(part.clone());
            }
            let next = next_after(&reply, batch, &BISECTING);
            due.extend(next.into_iter().rev().map(|half| part.start + half.start..part.start + half.end));
        }
        prop_assert_eq!(delivered, (0..records.len()).collect::<Vec<_>>());
    }
}
