//! Trips in the envelopes in which Lambda hands them over.

use tripline_model::source::Position;
use tripline_stream::kpl::{Aggregator, UserRecord};
use tripline_stream::mapping::kafka::{self, Cluster, TopicPartition, TopicRecord};
use tripline_stream::mapping::{PutRecord, ShardOrigin, write_event};

use super::Trips;

/// As many trips as fit the 6 MB of an invocation in a Kinesis event: 418 bytes of JSON cost 1,096 bytes there.
pub const FULL_EVENT_RECORDS: usize = 5_433;

/// 2018-12-17T22:44:10.987Z.
const ARRIVAL_MS: i64 = 1_545_084_650_987;

fn origin() -> ShardOrigin {
    ShardOrigin {
        source: "arn:aws:kinesis:us-east-1:123456789012:stream/taxi-trips".to_owned(),
        shard: "shardId-000000000000".to_owned(),
        invoke_identity_arn: "arn:aws:iam::123456789012:role/lambda-role".to_owned(),
    }
}

fn put(index: usize, data: Vec<u8>) -> PutRecord {
    let digits = format!("495903383714902566085596925384115719090060247536{index:08}");
    PutRecord {
        sequence: Position::from_digits(digits.as_bytes()).unwrap_or_default(),
        partition_key: format!("{:08x}", (index as u64 * 2_654_435_761) & 0xffff_ffff),
        data,
        arrival_ms: Some(ARRIVAL_MS + index as i64),
    }
}

/// A Kinesis event of so many trips, beginning with number `first` of the shard.
#[must_use]
pub fn kinesis_event(trips: &mut Trips, first: usize, records: usize) -> Vec<u8> {
    let puts: Vec<PutRecord> =
        (first..).zip(trips.take(records)).map(|(index, trip)| put(index, trip.into_bytes())).collect();
    write_event(&origin(), &puts)
}

/// A Kinesis event of so many records of about 100 bytes, beginning with number `first` of the shard.
#[must_use]
pub fn small_records(first: usize, records: usize) -> Vec<u8> {
    let data = |index: usize| {
        let second = index % 60;
        format!(
            r#"{{"trip_id":{},"pickup_datetime":"2018-01-05T08:00:{second:02}Z","pickup_location_id":{}}}"#,
            1_000_000_000 + index,
            1 + index % 265
        )
    };
    let numbers = (first..).take(records);
    let puts: Vec<PutRecord> = numbers.map(|index| put(index, data(index).into_bytes())).collect();
    write_event(&origin(), &puts)
}

/// A Kinesis event of so many trips, as many to a record as the Producer Library aggregates: 50 KiB. It begins with
/// number `first` of the shard.
#[must_use]
pub fn aggregated_event(trips: &mut Trips, first: usize, records: usize) -> Vec<u8> {
    const AGGREGATE_BYTES: usize = 50 << 10;
    let mut puts = Vec::new();
    let mut aggregator = Aggregator::default();
    let mut close = |aggregator: Aggregator| {
        if let Some(data) = aggregator.finish() {
            puts.push(put(first + puts.len(), data));
        }
    };
    for trip in trips.take(records) {
        let record = UserRecord { partition_key: "trip", data: trip.as_bytes() };
        if aggregator.size() + record.data.len() > AGGREGATE_BYTES || !aggregator.push(&record) {
            close(std::mem::take(&mut aggregator));
            let _ = aggregator.push(&record);
        }
    }
    close(aggregator);
    write_event(&origin(), &puts)
}

/// An MSK event of so many trips over so many partitions, beginning with offset `first` of each.
#[must_use]
pub fn msk_event(trips: &mut Trips, first: usize, records: usize, partitions: usize) -> Vec<u8> {
    let cluster = Cluster {
        arn: Some(
            "arn:aws:kafka:us-east-1:123456789012:cluster/taxi/7e2a9c1b-0000-4000-8000-000000000000-1"
                .to_owned(),
        ),
        bootstrap_servers: "b-1.taxi.example.kafka.us-east-1.amazonaws.com:9098".to_owned(),
    };
    let each = records.div_ceil(partitions.max(1));
    let partitions: Vec<TopicPartition> = (0..)
        .take(partitions)
        .map(|partition| {
            let records = (first as u64..).zip(trips.take(each)).map(|(offset, trip)| TopicRecord {
                offset,
                timestamp_ms: ARRIVAL_MS,
                key: Some(offset.to_string().into_bytes()),
                value: Some(trip.into_bytes()),
                ..TopicRecord::default()
            });
            TopicPartition { topic: "taxi-trips".to_owned(), partition, records: records.collect() }
        })
        .collect();
    kafka::write_event(&cluster, &partitions)
}
