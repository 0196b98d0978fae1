//! Aggregated records: those of other implementations, our own, and what only looks like one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use serde::Deserialize;
use tripline_model::source::{Payload, Position};
use tripline_stream::kpl::{Aggregator, MAX_KEY_CHARACTERS, MAX_USER_RECORDS, UserRecord, user_records};
use tripline_stream::mapping::{PutRecord, ShardOrigin, write_event};
use tripline_stream::{Event, Source};

/// A record as a test owns it: partition key and data.
type Owned = (String, Vec<u8>);

#[derive(Deserialize)]
struct Vector {
    name: String,
    aggregate: String,
    records: Option<Vec<VectorRecord>>,
}

#[derive(Deserialize)]
struct VectorRecord {
    key: String,
    data: String,
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|digits| str::from_utf8(digits).unwrap());
    digits.map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect()
}

fn vectors() -> Vec<Vector> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kpl/vectors.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn read(data: &[u8]) -> Option<Vec<Owned>> {
    let own = |record: UserRecord<'_>| (record.partition_key.to_owned(), record.data.to_vec());
    user_records(data).map(|records| records.into_iter().map(own).collect())
}

fn aggregate<K: AsRef<str>, D: AsRef<[u8]>>(records: &[(K, D)]) -> Vec<u8> {
    let mut aggregator = Aggregator::default();
    for (key, data) in records {
        assert!(aggregator.push(&UserRecord { partition_key: key.as_ref(), data: data.as_ref() }));
    }
    let size = aggregator.size();
    let aggregate = aggregator.finish().unwrap();
    assert_eq!(aggregate.len(), size);
    aggregate
}

/// An event of records with these data, at positions from 1 on.
fn event(data: &[&[u8]]) -> Vec<u8> {
    let origin = ShardOrigin {
        source: "arn:aws:kinesis:us-east-2:123456789012:stream/trips".to_owned(),
        shard: "shardId-000000000000".to_owned(),
        invoke_identity_arn: String::new(),
    };
    let records: Vec<PutRecord> = (1..)
        .zip(data)
        .map(|(number, data)| PutRecord {
            sequence: Position::new(number),
            partition_key: format!("outer-{number}"),
            data: data.to_vec(),
            arrival_ms: Some(1_545_084_650_987 + i64::try_from(number).unwrap()),
        })
        .collect();
    write_event(&origin, &records)
}

#[test]
fn aggregates_of_aws_own_package_are_taken_apart_and_what_is_none_is_left_as_it_is() {
    let vectors = vectors();
    assert!(vectors.iter().filter(|vector| vector.records.is_some()).count() > 10);
    assert!(vectors.iter().filter(|vector| vector.records.is_none()).count() > 20);
    for Vector { name, aggregate, records } in vectors {
        let own = |records: Vec<VectorRecord>| -> Vec<Owned> {
            records.into_iter().map(|record| (record.key, hex(&record.data))).collect()
        };
        assert_eq!(read(&hex(&aggregate)), records.map(own), "{name}");
    }
}

#[test]
fn what_we_pack_is_what_aws_own_package_packs() {
    // Those without explicit hash keys, which are of no use to us, and without what it never writes.
    for name in ["one record", "keys that come again", "no data, and bytes of every value", "300 records"] {
        let vector = vectors().into_iter().find(|vector| vector.name == name).unwrap();
        let theirs = hex(&vector.aggregate);
        assert_eq!(aggregate(&read(&theirs).unwrap()), theirs, "{name}");
    }
}

#[test]
fn user_records_share_their_aggregate_s_place_and_arrival_and_have_their_own_keys() {
    let packed = aggregate(&[("a", "first"), ("b", "second"), ("a", "third")]);
    let body = event(&[b"alone", &packed, b"last"]);
    let mut arena = Vec::new();
    let event = Event::parse(&body, &mut arena, "").unwrap();
    assert_eq!(event.source, Source::Kinesis);
    assert_eq!((event.partitions[0].records.len(), event.partitions.len()), (5, 1));
    let records = &event.partitions[0].records;
    let places: Vec<_> =
        records.iter().map(|record| (record.position.as_u64().unwrap(), record.sub_position)).collect();
    assert_eq!(places, [(1, 0), (2, 0), (2, 1), (2, 2), (3, 0)]);
    let arrivals = records.iter().map(|record| record.arrival_ms.unwrap() - 1_545_084_650_987);
    assert_eq!(arrivals.collect::<Vec<_>>(), [1, 2, 2, 2, 3]);
    let contents: Vec<_> = records.iter().map(|record| (record.partition_key, record.payload)).collect();
    let expected =
        [("outer-1", "alone"), ("a", "first"), ("b", "second"), ("a", "third"), ("outer-3", "last")];
    assert_eq!(contents, expected.map(|(key, data)| (key, Payload::Bytes(data.as_bytes()))));
}

#[test]
fn what_only_looks_like_an_aggregate_is_a_record_with_its_bytes_and_the_outer_key() {
    for vector in vectors().into_iter().filter(|vector| vector.records.is_none()) {
        let data = hex(&vector.aggregate);
        let body = event(&[&data]);
        let mut arena = Vec::new();
        let event = Event::parse(&body, &mut arena, "").unwrap();
        assert_eq!(event.source, Source::Kinesis);
        let [record] = event.partitions[0].records.as_slice() else { panic!("{}", vector.name) };
        assert_eq!((record.sub_position, record.partition_key), (0, "outer-1"), "{}", vector.name);
        assert_eq!(record.payload, Payload::Bytes(&data), "{}", vector.name);
    }
}

#[test]
fn user_records_lie_where_their_aggregate_was_decoded() {
    let packed = aggregate(&[("key", "data"); 100]);
    let all = packed.as_ptr_range();
    for UserRecord { partition_key, data } in user_records(&packed).unwrap() {
        assert!(all.contains(&partition_key.as_ptr()) && all.contains(&data.as_ptr()));
    }
}

#[test]
fn an_aggregate_of_more_records_than_are_allowed_is_an_ordinary_record() {
    let record = UserRecord { partition_key: "", data: b"" };
    let mut aggregator = Aggregator::default();
    for _ in 0..MAX_USER_RECORDS {
        assert!(aggregator.push(&record));
    }
    assert!(!aggregator.push(&record), "nor do we make one");
    let full = aggregator.finish().unwrap();
    assert_eq!(user_records(&full).unwrap().len(), MAX_USER_RECORDS);
    let message = &full[4..full.len() - 16];
    for one_more in [b"\x1A\x04\x08\x00\x1A\x00".to_vec(), b"\x0A\x00".repeat(MAX_USER_RECORDS)] {
        assert_eq!(user_records(&wrapped(&[message, &one_more].concat())), None);
    }
    assert!(user_records(&wrapped(&[message, b"\x0A\x00"].concat())).is_some());
}

#[test]
fn a_key_is_no_longer_than_a_stream_s_in_characters() {
    let longest = "é".repeat(MAX_KEY_CHARACTERS);
    let read = read(&aggregate(&[(&longest, "")])).unwrap();
    assert_eq!(read[0].0, longest);
    let mut aggregator = Aggregator::default();
    assert!(!aggregator.push(&UserRecord { partition_key: &(longest + "e"), data: b"" }));
    assert_eq!(aggregator.finish(), None);
}

/// An aggregate of a message, sound or not.
fn wrapped(message: &[u8]) -> Vec<u8> {
    tripline_oracle::aggregate::wrap(message)
}

fn records() -> impl Strategy<Value = Vec<Owned>> {
    let key = prop_oneof!["[a-c]", "\\PC{0,20}"];
    let data = prop_oneof![
        9 => proptest::collection::vec(any::<u8>(), 0..200),
        1 => proptest::collection::vec(any::<u8>(), 16_370..16_400),
    ];
    proptest::collection::vec((key, data), 1..20)
}

/// A change of one byte: another one, one more, or one less.
type Change = (Index, u8, u8);

fn changed(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for &(at, byte, what) in changes {
        let at = at.index(bytes.len().max(1));
        match what {
            _ if bytes.is_empty() => bytes.push(byte),
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => _ = bytes.remove(at),
        }
    }
    bytes
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    proptest::collection::vec((any::<Index>(), any::<u8>(), 0..3_u8), 1..5)
}

proptest! {
    #[test]
    fn what_is_packed_is_unpacked(records in records()) {
        prop_assert_eq!(read(&aggregate(&records)), Some(records));
    }

    #[test]
    fn an_aggregate_that_is_cut_or_changed_is_an_ordinary_record(
        records in records(), changes in changes(), end in any::<Index>(),
    ) {
        let whole = aggregate(&records);
        prop_assert_eq!(read(&whole[..end.index(whole.len())]), None);
        let changed = changed(&whole, &changes);
        prop_assert!(changed == whole || read(&changed).is_none());
    }

    #[test]
    fn a_message_that_is_cut_or_changed_is_read_as_by_a_naive_reader_or_not_at_all(
        records in records(), changes in changes(), end in any::<Index>(),
    ) {
        let whole = aggregate(&records);
        let message = &whole[4..whole.len() - 16];
        for message in [message[..end.index(message.len() + 1)].to_vec(), changed(message, &changes)] {
            let aggregate = wrapped(&message);
            prop_assert_eq!(read(&aggregate), tripline_oracle::aggregate::read(&aggregate));
        }
    }

    #[test]
    fn any_bytes_as_a_message_are_read_as_by_a_naive_reader(
        message in proptest::collection::vec(prop_oneof![0..0x30_u8, any::<u8>()], 0..40),
    ) {
        let aggregate = wrapped(&message);
        prop_assert_eq!(read(&aggregate), tripline_oracle::aggregate::read(&aggregate));
    }
}
