//! Records of one position, however batches of them are cut, repeated, raced for and refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;
use support::*;
use tripline_lake::journal::Journal;
use tripline_lake::publish::PublishOptions;
use tripline_lake::store::MemoryStore;
use tripline_lake::{Lake, Role};
use tripline_model::pipeline::Pipeline;
use tripline_model::source::{Payload, Position, SourceRecord};

const BAD: &[u8] = b"not json";

/// A shard: at each position some records, of which some are bad.
type Shard = Vec<Vec<bool>>;

/// Two batches that are delivered at the same time; each begins no later than where the shard stands.
type Delivery = [(Index, Index); 2];

fn shards() -> impl Strategy<Value = Shard> {
    let record = prop::bool::weighted(0.15);
    prop::collection::vec(prop::collection::vec(record, 1..5), 1..10)
}

/// The records at each position, with their payloads; bad ones are mended on request.
fn payloads(shard: &Shard, mended: bool) -> Vec<Vec<Vec<u8>>> {
    let mut number = 0;
    let payload = |&is_bad: &bool| {
        number += 1;
        let text = format!(r#"{{"ride_id":{number},"at":{START_MS},"zone":"north","type":"ride"}}"#);
        if is_bad && !mended { BAD.to_vec() } else { text.into_bytes() }
    };
    let flat: Vec<Vec<u8>> = shard.iter().flatten().map(payload).collect();
    let mut rest = flat.into_iter();
    shard.iter().map(|records| rest.by_ref().take(records.len()).collect()).collect()
}

fn batch(payloads: &[Vec<Vec<u8>>], range: Range<usize>) -> Vec<SourceRecord<'_>> {
    let mut records = Vec::new();
    for index in range {
        records.extend((0..).zip(&payloads[index]).map(|(sub_position, payload)| SourceRecord {
            position: Position::new(100 + index as u64),
            sub_position,
            arrival_ms: Some(START_MS + index as i64),
            partition_key: "key",
            headers: "",
            payload: Payload::Bytes(payload),
        }));
    }
    records
}

/// Delivers a batch and says where the shard stands after it.
async fn deliver(
    journal: &Journal,
    pipeline: &Pipeline,
    payloads: &[Vec<Vec<u8>>],
    range: Range<usize>,
) -> usize {
    let records = batch(payloads, range.clone());
    let appended = journal.append(pipeline, &shard("shard-0"), &records, FAR).await.unwrap();
    let Some((at, _)) = appended.refused else {
        assert_eq!(appended.counts.records + appended.duplicates, records.len() as u64);
        return range.end;
    };
    let index = usize::try_from(at.as_u64().unwrap()).unwrap() - 100;
    assert!(payloads[index].iter().any(|payload| payload == BAD), "{at} is refused for another's fault");
    let before = records.iter().filter(|record| record.position < at).count();
    assert_eq!(appended.counts.records + appended.duplicates, before as u64);
    index
}

async fn play(shard: Shard, deliveries: Vec<Delivery>, refuses: bool) {
    let world = world(None);
    let store = MemoryStore::new(world.clock.clone());
    let lake = Lake::open(Arc::new(store.clone()), world.environment.clone(), &pipeline()).await.unwrap();
    let strict = PIPELINE.replace("type_field", "on_malformed = \"fail\"\ntype_field");
    let pipeline = if refuses { pipeline_from(&strict) } else { pipeline() };
    let received = payloads(&shard, false);
    let warm = lake.journal(Role::Lake);
    let mut next = 0;
    for delivery in deliveries {
        let [one, other] = delivery.map(|(start, length)| {
            let start = start.index(next.min(shard.len() - 1) + 1);
            start..start + 1 + length.index(shard.len() - start)
        });
        let cold = lake.journal(Role::Lake);
        let (one, other) = tokio::join!(
            deliver(&warm, &pipeline, &received, one),
            deliver(&cold, &pipeline, &received, other)
        );
        next = next.max(one).max(other);
    }
    // In the end bad records are sent anew, or not refused any more.
    let mended = payloads(&shard, refuses);
    if next < shard.len() {
        assert_eq!(deliver(&warm, &pipeline, &mended, next..shard.len()).await, shard.len());
    }
    assert_eq!(deliver(&warm, &pipeline, &mended, 0..shard.len()).await, shard.len());
    lake.publisher(PublishOptions::default()).run(FAR).await.unwrap();
    let seen = read_lake(&store).await;
    let good = (1..).zip(shard.iter().flatten()).filter(|(_, is_bad)| refuses || !**is_bad);
    assert_eq!(seen.rides, good.map(|(number, _)| (number, 1)).collect());
    let bad = (100..).zip(&shard).map(|(position, records)| {
        (position.to_string(), records.iter().filter(|is_bad| **is_bad && !refuses).count() as u32)
    });
    assert_eq!(seen.dead_letters, bad.filter(|(_, count)| *count > 0).collect());
    assert_clean(&store).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_record_of_every_aggregate_is_in_once(
        shard in shards(),
        deliveries in prop::collection::vec(any::<Delivery>(), 0..8),
        refuses in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(play(shard, deliveries, refuses));
    }
}
