//! How a mapping goes on with a batch: what comes again, what is given up, and what is kept of that.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::borrow::Cow;

use serde_json::{Value, json};
use tripline_model::source::Position;
use tripline_stream::Event;
use tripline_stream::mapping::delivery::{Answer, Batch, Condition, Delivery, ShardBatch, TopicBatch};
use tripline_stream::mapping::kafka::{Cluster, TopicPartition, TopicRecord};
use tripline_stream::mapping::on_failure::{InvocationRecord, RequestContext, ResponseContext};
use tripline_stream::mapping::{INVOCATION_PAYLOAD_BYTES, MappingSettings, PutRecord, ShardOrigin};

const REPORTING: MappingSettings = MappingSettings {
    batch_size: 100,
    payload_bytes: INVOCATION_PAYLOAD_BYTES,
    report_batch_item_failures: true,
    bisect_batch_on_function_error: false,
};
const BISECTING: MappingSettings = MappingSettings { bisect_batch_on_function_error: true, ..REPORTING };
/// 2019-11-14T00:38:06.021Z
const NOW_MS: i64 = 1_573_691_886_021;

fn cluster() -> Cluster {
    Cluster { arn: None, bootstrap_servers: "b-1:9092,b-2:9092".to_owned() }
}

/// Topic-partitions of `trips`, with records at these offsets, a second apart.
fn partitions(offsets: &[(i32, &[u64])]) -> Vec<TopicPartition> {
    let record = |&offset: &u64| TopicRecord {
        offset,
        timestamp_ms: i64::try_from(offset).unwrap() * 1_000,
        value: Some(b"{}".to_vec()),
        ..TopicRecord::default()
    };
    let partition = |&(partition, offsets): &(i32, &[u64])| TopicPartition {
        topic: "trips".to_owned(),
        partition,
        records: offsets.iter().map(record).collect(),
    };
    offsets.iter().map(partition).collect()
}

fn offsets(batch: &TopicBatch<'_>) -> Vec<(i32, Vec<u64>)> {
    let of = |partition: &TopicPartition| {
        (partition.partition, partition.records.iter().map(|record| record.offset).collect())
    };
    batch.partitions.iter().map(of).collect()
}

/// What comes again of the offsets 5, 6, 7 of one topic-partition and 1, 2 of another.
fn again(answer: Answer<'_>, settings: &MappingSettings) -> Vec<Vec<(i32, Vec<u64>)>> {
    let (cluster, partitions) = (cluster(), partitions(&[(0, &[5, 6, 7]), (1, &[1, 2])]));
    let batch = TopicBatch { cluster: &cluster, partitions: Cow::Borrowed(&partitions) };
    batch.next_after(answer, settings).iter().map(offsets).collect()
}

fn failures(items: &Value) -> Vec<u8> {
    let list: Vec<Value> =
        items.as_array().unwrap().iter().map(|item| json!({ "itemIdentifier": item })).collect();
    json!({ "batchItemFailures": list }).to_string().into_bytes()
}

#[test]
fn topics_come_again_each_from_the_lowest_offset_that_failed() {
    let named = failures(&json!([
        {"partition": "trips-0", "offset": 7},
        {"partition": "trips-0", "offset": 6},
        {"offset": 2, "partition": "trips-1"}
    ]));
    assert_eq!(again(Answer::Body(&named), &REPORTING), [vec![(0, vec![6, 7]), (1, vec![2])]]);
    let one = failures(&json!([{"partition": "trips-1", "offset": 1}]));
    assert_eq!(again(Answer::Body(&one), &REPORTING), [vec![(1, vec![1, 2])]]);
    for done in [&b""[..], b"null", b"{}", br#"{"batchItemFailures":[]}"#] {
        assert!(again(Answer::Body(done), &REPORTING).is_empty());
    }
}

#[test]
fn an_answer_that_names_what_is_not_in_the_batch_is_about_all_of_it() {
    let whole = [vec![(0, vec![5, 6, 7]), (1, vec![1, 2])]];
    for strange in [
        json!(["7"]),
        json!([{"partition": "trips-0", "offset": 8}]),
        json!([{"partition": "trips-2", "offset": 7}]),
        json!([{"partition": "trips-0"}]),
        json!([{"partition": "trips-0", "offset": "7"}]),
        json!([{"partition": "trips-0", "offset": 6}, null]),
    ] {
        assert_eq!(again(Answer::Body(&failures(&strange)), &REPORTING), whole, "{strange}");
    }
    assert_eq!(again(Answer::Error, &REPORTING), whole);
    let silent = MappingSettings { report_batch_item_failures: false, ..REPORTING };
    assert!(again(Answer::Body(b"[]"), &silent).is_empty());
}

#[test]
fn a_batch_of_topics_is_halved_over_all_of_them() {
    let halves = [vec![(0, vec![5, 6])], vec![(0, vec![7]), (1, vec![1, 2])]];
    assert_eq!(again(Answer::Error, &BISECTING), halves);
}

/// Goes on with a batch of which this record always fails; returns what was given up, and the invocations.
fn with_poison(poison: u64, settings: &MappingSettings, most: Option<u32>) -> (Vec<Vec<u64>>, u32) {
    let origin = origin();
    let records: Vec<PutRecord> = (0..16).map(put).collect();
    let mut delivery = Delivery::new(ShardBatch { origin: &origin, records: &records });
    let sequences = |batch: &ShardBatch<'_>| -> Vec<u64> {
        batch.records.iter().filter_map(|record| record.sequence.as_u64()).collect()
    };
    let (mut given_up, mut invocations) = (Vec::new(), 0);
    while let Some((part, retried)) = delivery.next_part() {
        invocations += 1;
        assert!(invocations < 1_000);
        let answer = if sequences(&part).contains(&poison) { Answer::Error } else { Answer::Body(b"") };
        let left = part.next_after(answer, settings);
        given_up.extend(delivery.again(left, retried, most).iter().map(sequences));
    }
    assert_eq!(delivery.rest().count(), 0);
    (given_up, invocations)
}

#[test]
fn a_batch_is_given_up_after_its_retries_and_splitting_it_is_none() {
    assert_eq!(with_poison(11, &REPORTING, Some(2)), (vec![(0..16).collect()], 3));
    // Four splits, each with a half that goes well, and the record by itself three times.
    assert_eq!(with_poison(11, &BISECTING, Some(2)), (vec![vec![11]], 4 + 4 + 3));
    assert_eq!(with_poison(11, &BISECTING, Some(0)), (vec![vec![11]], 4 + 4 + 1));
}

#[test]
fn what_is_too_old_is_cut_off_the_front_of_each_source_partition() {
    let (cluster, partitions) = (cluster(), partitions(&[(0, &[5, 6, 9, 3]), (1, &[8]), (2, &[1])]));
    let batch = TopicBatch { cluster: &cluster, partitions: Cow::Borrowed(&partitions) };
    let (aged, rest) = batch.split_older(7_000);
    assert_eq!(offsets(&aged), [(0, vec![5, 6]), (2, vec![1])]);
    assert_eq!(offsets(&rest), [(0, vec![9, 3]), (1, vec![8])]);
    let (aged, rest) = rest.split_older(7_000);
    assert_eq!((aged.records(), rest.records()), (0, 3));

    let (origin, records) = (origin(), [put(5), put(6), put(9)]);
    let batch = ShardBatch { origin: &origin, records: &records };
    let (aged, rest) = batch.split_older(NOW_MS + 7_000);
    assert_eq!((aged.records(), rest.records()), (2, 1));
    // A source that does not know when its records came has none that are old.
    let records = [PutRecord { arrival_ms: None, ..put(5) }];
    let batch = ShardBatch { origin: &origin, records: &records };
    assert_eq!(batch.split_older(i64::MAX).0.records(), 0);
}

fn origin() -> ShardOrigin {
    ShardOrigin {
        source: "arn:aws:kinesis:us-east-2:123456789012:stream/trips".to_owned(),
        shard: "shardId-000000000001".to_owned(),
        invoke_identity_arn: "local".to_owned(),
    }
}

fn put(sequence: u64) -> PutRecord {
    PutRecord {
        sequence: Position::new(sequence),
        partition_key: "1".to_owned(),
        data: b"{}".to_vec(),
        arrival_ms: Some(NOW_MS + i64::try_from(sequence).unwrap() * 1_000),
    }
}

/// The record of a batch that was given up, as it is written, and its key.
fn written(batch: &impl Batch, condition: Condition, response: Option<ResponseContext>) -> (Value, String) {
    let event = batch.event();
    let request = RequestContext {
        request_id: "c9b8fa9f-5a7f-4000-af9c-0c604cde93a5".to_owned(),
        function_arn: "arn:aws:lambda:us-east-2:123456789012:function:ingest",
        condition,
        approximate_invoke_count: 3,
    };
    let text = str::from_utf8(&event).unwrap();
    let record = InvocationRecord::new(request, response, batch.info(&event), text, NOW_MS);
    let key = record.key("6ad2f5a8-0000-8000-8000-000000000000", "9d1f");
    let mut written = serde_json::to_value(&record).unwrap();
    let payload = written.as_object_mut().unwrap().remove("payload").unwrap();
    // The event as a text, which an ingest function reads as its mapping's.
    assert_eq!(payload.as_str().unwrap().as_bytes(), event);
    let mut arena = Vec::new();
    let partitions = Event::parse(&event, &mut arena, "").unwrap().partitions;
    let records: usize = partitions.iter().map(|partition| partition.records.len()).sum();
    assert_eq!(records, batch.records());
    (written, key)
}

#[test]
fn a_shards_batch_is_kept_in_lambdas_form() {
    let (origin, records) = (origin(), [put(5), put(6)]);
    let batch = ShardBatch { origin: &origin, records: &records };
    let response = Some(ResponseContext::new(true));
    let (written, key) = written(&batch, Condition::RetryAttemptsExhausted, response);
    assert_eq!(
        key,
        "aws/lambda/6ad2f5a8-0000-8000-8000-000000000000/shardId-000000000001/2019/11/14/2019-11-14T00.38.06-9d1f"
    );
    let expected = json!({
        "requestContext": {
            "requestId": "c9b8fa9f-5a7f-4000-af9c-0c604cde93a5",
            "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:ingest",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 3
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2019-11-14T00:38:06.021Z",
        "KinesisBatchInfo": {
            "shardId": "shardId-000000000001",
            "startSequenceNumber": "5",
            "endSequenceNumber": "6",
            "approximateArrivalOfFirstRecord": "2019-11-14T00:38:11.021Z",
            "approximateArrivalOfLastRecord": "2019-11-14T00:38:12.021Z",
            "batchSize": 2,
            "streamArn": "arn:aws:kinesis:us-east-2:123456789012:stream/trips"
        }
    });
    assert_eq!(written, expected);
}

#[test]
fn a_batch_of_topics_is_kept_in_lambdas_form() {
    let (cluster, partitions) = (cluster(), partitions(&[(0, &[5, 6]), (1, &[1])]));
    let batch = TopicBatch { cluster: &cluster, partitions: Cow::Borrowed(&partitions) };
    let (written, key) = written(&batch, Condition::MaximumPayloadSizeExceeded, None);
    assert!(key.starts_with("aws/lambda/6ad2f5a8-0000-8000-8000-000000000000/trips-0/2019/11/14/"), "{key}");
    assert_eq!(written["requestContext"]["condition"], "MaximumPayloadSizeExceeded");
    assert_eq!(written["responseContext"], Value::Null);
    let info = |first: &str, last: &str, times: (i64, i64)| {
        json!({
            "firstRecordOffset": first,
            "lastRecordOffset": last,
            "firstRecordTimestamp": tripline_model::time::rfc3339(times.0),
            "lastRecordTimestamp": tripline_model::time::rfc3339(times.1)
        })
    };
    let expected = json!({
        "batchSize": 3,
        "bootstrapServers": "b-1:9092,b-2:9092",
        "payloadSize": batch.event().len(),
        "recordsInfo": {"trips-0": info("5", "6", (5_000, 6_000)), "trips-1": info("1", "1", (1_000, 1_000))}
    });
    assert_eq!(written["KafkaBatchInfo"], expected);
}

#[test]
fn a_file_is_a_folder_of_a_plain_name() {
    let origin = ShardOrigin { shard: "a file/of \"trips\"".to_owned(), ..origin() };
    let records = [put(1)];
    let batch = ShardBatch { origin: &origin, records: &records };
    let (_, key) = written(&batch, Condition::RecordAgeExceeded, None);
    assert_eq!(key.split('/').nth(3), Some("a-file-of--trips-"));
}
