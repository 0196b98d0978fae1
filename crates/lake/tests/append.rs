//! Append: whatever is delivered again, a record goes into the journal once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;

use support::*;
use tripline_lake::journal::{Appended, Journal, JournalError, TAIL_AGE};
use tripline_lake::publish::PublishOptions;
use tripline_lake::store::{Fault, FaultStore, MemoryStore, ObjectStore, Operation};
use tripline_lake::{Lake, Role};
use tripline_model::pipeline::Pipeline;
use tripline_model::source::{Payload, Position, SourceRecord};

struct Bench {
    pipeline: Pipeline,
    store: MemoryStore,
    world: World,
    lake: Lake,
}

async fn bench() -> Bench {
    bench_of(PIPELINE).await
}

async fn bench_of(pipeline: &str) -> Bench {
    let world = world(None);
    let store = MemoryStore::new(world.clock.clone());
    let pipeline = pipeline_from(pipeline);
    let lake = Lake::open(Arc::new(store.clone()), world.environment.clone(), &pipeline).await.unwrap();
    Bench { pipeline, store, world, lake }
}

impl Bench {
    fn journal(&self) -> Journal {
        self.lake.journal(Role::Lake)
    }

    async fn append(&self, journal: &Journal, numbers: std::ops::RangeInclusive<u64>) -> Appended {
        self.try_append(journal, &Records::range(numbers).borrow()).await.unwrap()
    }

    async fn try_append(
        &self,
        journal: &Journal,
        records: &[SourceRecord<'_>],
    ) -> Result<Appended, JournalError> {
        journal.append(&self.pipeline, &shard("shard-0"), records, FAR).await
    }

    async fn publish(&self) {
        self.lake.publisher(PublishOptions::default()).run(FAR).await.unwrap();
    }

    async fn assert_exactly(&self, last: u64) {
        self.publish().await;
        read_lake(&self.store).await.assert_exactly(last);
        assert_clean(&self.store).await;
    }
}

#[tokio::test]
async fn a_batch_costs_one_put_once_the_tail_is_known() {
    let bench = bench().await;
    let counting = FaultStore::counting(bench.store.clone());
    let lake =
        Lake::open(Arc::new(counting.clone()), bench.world.environment.clone(), &pipeline()).await.unwrap();
    let journal = lake.journal(Role::Lake);
    bench.append(&journal, 1..=5).await;
    let before = counting.calls().len();
    bench.append(&journal, 6..=9).await;
    let calls = counting.calls();
    assert_eq!(calls.len() - before, 1);
    assert_eq!(calls.last().unwrap().operation, Operation::Put);
}

#[tokio::test]
async fn a_redelivered_batch_adds_nothing() {
    let bench = bench().await;
    let journal = bench.journal();
    assert_eq!(bench.append(&journal, 1..=10).await.counts.records, 10);
    for journal in [journal, bench.journal()] {
        let again = bench.append(&journal, 1..=10).await;
        assert_eq!((again.entry, again.duplicates), (None, 10));
    }
    bench.assert_exactly(10).await;
}

#[tokio::test]
async fn a_recut_batch_adds_only_what_is_new() {
    let bench = bench().await;
    for numbers in [1..=6, 1..=3, 4..=6, 1..=9, 5..=12, 12..=12, 1..=20] {
        bench.append(&bench.journal(), numbers).await;
    }
    bench.assert_exactly(20).await;
}

#[tokio::test]
async fn two_writers_with_the_same_stale_tail_commit_each_record_once() {
    let bench = bench().await;
    let (zombie, retry) = (bench.journal(), bench.journal());
    bench.append(&zombie, 1..=3).await;
    bench.append(&retry, 1..=3).await;
    // Both now remember entry 1 as the tail.
    let first = bench.append(&zombie, 4..=8).await;
    let second = bench.append(&retry, 4..=10).await;
    assert_eq!((first.puts, second.puts), (1, 2));
    assert_eq!((second.duplicates, second.counts.records), (5, 2));
    bench.append(&zombie, 9..=14).await;
    bench.assert_exactly(14).await;
}

#[tokio::test]
async fn a_put_whose_reply_is_lost_is_recognised_as_done() {
    for fault in [Fault::LoseReply, Fault::FailBefore] {
        let bench = bench().await;
        let plan = move |call: &tripline_lake::store::Call| {
            (call.operation == Operation::Put && call.key.ends_with("01")).then_some(fault)
        };
        let once = std::sync::atomic::AtomicBool::new(false);
        let faulty = FaultStore::new(bench.store.clone(), move |call: &_| {
            plan(call).filter(|_| !once.swap(true, std::sync::atomic::Ordering::SeqCst))
        });
        let lake = Lake::open(Arc::new(faulty), bench.world.environment.clone(), &pipeline()).await.unwrap();
        let journal = lake.journal(Role::Lake);
        bench.append(&journal, 1..=4).await;
        bench.append(&journal, 5..=6).await;
        bench.assert_exactly(6).await;
    }
}

#[tokio::test]
async fn a_cold_writer_trusts_the_checkpoint_once_entries_are_deleted() {
    let bench = bench().await;
    bench.append(&bench.journal(), 1..=9).await;
    bench.publish().await;
    bench.world.clock.advance(8 * 24 * HOUR_MS);
    bench.publish().await;
    assert!(
        bench.store.list("_journal/", None, 10).await.unwrap().is_empty(),
        "the sweep deletes old entries"
    );
    let again = bench.append(&bench.journal(), 1..=9).await;
    assert_eq!((again.entry, again.duplicates), (None, 9));
    let next = bench.append(&bench.journal(), 8..=12).await;
    assert_eq!((next.entry, next.duplicates), (Some(2), 2));
    bench.assert_exactly(12).await;
}

#[tokio::test]
async fn a_remembered_tail_is_looked_up_again_when_it_is_old() {
    let bench = bench().await;
    let sleeper = bench.journal();
    bench.append(&sleeper, 1..=3).await;
    bench.append(&bench.journal(), 4..=6).await;
    bench.publish().await;
    bench.world.clock.advance(8 * 24 * HOUR_MS);
    bench.publish().await;
    // The sleeper remembers entry 1; number 2 was used and deleted, and must not be used again.
    let woken = bench.append(&sleeper, 4..=9).await;
    assert_eq!((woken.entry, woken.duplicates, woken.puts), (Some(3), 3, 1));
    bench.assert_exactly(9).await;
}

#[tokio::test]
async fn a_tail_counts_its_age_from_before_the_look_up_and_by_wall_clock() {
    let bench = bench().await;
    let counting = FaultStore::counting(bench.store.clone());
    let lake =
        Lake::open(Arc::new(counting.clone()), bench.world.environment.clone(), &pipeline()).await.unwrap();
    let journal = lake.journal(Role::Lake);
    bench.append(&journal, 1..=1).await;
    let looked_up = |calls: usize| {
        counting.calls()[calls..].iter().filter(|call| call.operation == Operation::List).count()
    };
    let before = counting.calls().len();
    bench.world.clock.advance(TAIL_AGE.as_millis() as i64 - 1);
    bench.append(&journal, 1..=1).await;
    assert_eq!(looked_up(before), 0);
    bench.world.clock.advance(1);
    bench.append(&journal, 1..=1).await;
    assert_eq!(looked_up(before), 1);
    // A clock that went backwards tells nothing about age.
    bench.world.clock.advance(-HOUR_MS);
    bench.append(&journal, 1..=1).await;
    assert_eq!(looked_up(before), 2);
}

#[tokio::test]
async fn records_that_arrive_later_than_the_lane_but_lie_before_its_end_stop_it() {
    let bench = bench().await;
    bench.append(&bench.journal(), 1..=9).await;
    let records = Records::range(1..=3);
    let mut late = records.borrow();
    for record in &mut late {
        record.arrival_ms = Some(START_MS + HOUR_MS);
    }
    let error = bench.try_append(&bench.journal(), &late).await.unwrap_err();
    assert!(matches!(error, JournalError::SourceMadeAnew { .. }), "{error}");
    assert!(error.to_string().contains("TRIPLINE_SOURCE_EPOCH"), "{error}");
    // The same holds once the entries are deleted and only the checkpoint knows.
    bench.publish().await;
    bench.world.clock.advance(8 * 24 * HOUR_MS);
    bench.publish().await;
    assert!(bench.try_append(&bench.journal(), &late).await.is_err());
    // A rewind carries the old arrival times: it is dropped.
    assert_eq!(bench.append(&bench.journal(), 1..=9).await.duplicates, 9);
}

#[tokio::test]
async fn another_epoch_starts_over() {
    let bench = bench().await;
    bench.append(&bench.journal(), 1..=9).await;
    let records = Records::range(10..=12);
    let mut origin = shard("shard-0");
    origin.epoch = "2".into();
    let appended = bench.journal().append(&bench.pipeline, &origin, &records.borrow(), FAR).await.unwrap();
    assert_eq!(appended.entry, Some(1));
    bench.assert_exactly(12).await;
}

#[tokio::test]
async fn a_batch_out_of_order_is_refused_whole() {
    let bench = bench().await;
    let records = Records::from(vec![(1, payload(1)), (3, payload(3)), (2, payload(2))]);
    let error = bench.try_append(&bench.journal(), &records.borrow()).await.unwrap_err();
    assert!(error.to_string().contains("ParallelizationFactor"), "{error}");
    assert!(bench.store.list("_journal/", None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_record_repeated_within_a_batch_counts_once() {
    let bench = bench().await;
    let numbers = [1, 1, 2, 3, 3, 3];
    let records = Records::from(numbers.iter().map(|&number| (number, payload(number))).collect());
    let appended = bench.try_append(&bench.journal(), &records.borrow()).await.unwrap();
    assert_eq!((appended.counts.records, appended.duplicates), (3, 3));
    bench.assert_exactly(3).await;
}

#[tokio::test]
async fn a_refused_record_leaves_the_records_before_it_in_and_the_rest_out() {
    let bench = bench_of(&PIPELINE.replace("type_field", "on_malformed = \"fail\"\ntype_field")).await;
    let appended = bench.append(&bench.journal(), 1..=10).await;
    assert_eq!(appended.counts.records, 6);
    assert_eq!(appended.refused.unwrap().0, Position::new(7));
    // The retry begins at the refused record.
    let again = bench.append(&bench.journal(), 7..=10).await;
    assert_eq!((again.entry, again.counts.records), (None, 0));
    // Once the record is good, everything goes in.
    let mended: Vec<_> = (7..=10).map(|n| (n, payload(if n == 7 { 8 } else { n }))).collect();
    let healed = bench.try_append(&bench.journal(), &Records::from(mended).borrow()).await.unwrap();
    assert_eq!(healed.counts.records, 4);
}

#[tokio::test]
async fn an_aggregate_with_a_refused_part_is_left_out_whole() {
    let bench = bench_of(&PIPELINE.replace("type_field", "on_malformed = \"fail\"\ntype_field")).await;
    let payloads: Vec<Vec<u8>> = vec![payload(1), payload(2), payload(3), payload(7), payload(4)];
    let records: Vec<SourceRecord<'_>> = payloads
        .iter()
        .zip([(1, 0), (2, 0), (2, 1), (2, 2), (3, 0)])
        .map(|(payload, (position, sub_position))| SourceRecord {
            position: Position::new(position),
            sub_position,
            arrival_ms: None,
            partition_key: "",
            headers: "",
            payload: Payload::Bytes(payload),
        })
        .collect();
    let appended = bench.try_append(&bench.journal(), &records).await.unwrap();
    assert_eq!(appended.counts.records, 1, "records 2.0 and 2.1 go with 2.2");
    assert_eq!(appended.refused.unwrap().0, Position::new(2));
}

#[tokio::test]
async fn the_parts_of_an_aggregate_are_in_once_however_often_it_comes() {
    let bench = bench().await;
    let payloads: Vec<Vec<u8>> = (1..=6).map(payload).collect();
    let record = |number: usize, position, sub_position| SourceRecord {
        position: Position::new(position),
        sub_position,
        arrival_ms: None,
        partition_key: "",
        headers: "",
        payload: Payload::Bytes(&payloads[number - 1]),
    };
    let aggregate = [record(2, 2, 0), record(3, 2, 1), record(4, 2, 2)];
    // Twice within a batch, and then with a batch that is cut before it.
    let batch = [&[record(1, 1, 0)], &aggregate[..], &aggregate, &[record(5, 3, 0)]].concat();
    let appended = bench.try_append(&bench.journal(), &batch).await.unwrap();
    assert_eq!((appended.counts.records, appended.duplicates), (5, 3));
    let batch = [&aggregate[..], &[record(5, 3, 0), record(6, 4, 0)]].concat();
    let appended = bench.try_append(&bench.journal(), &batch).await.unwrap();
    assert_eq!((appended.counts.records, appended.duplicates), (1, 4));
    bench.assert_exactly(6).await;
}

#[tokio::test]
async fn nothing_is_sent_after_the_deadline() {
    let bench = bench().await;
    let counting = FaultStore::counting(bench.store.clone());
    let lake =
        Lake::open(Arc::new(counting.clone()), bench.world.environment.clone(), &pipeline()).await.unwrap();
    let journal = lake.journal(Role::Lake);
    let before = counting.calls().len();
    let now = START_MS + HOUR_MS;
    let records = Records::range(1..=3);
    let error = journal.append(&bench.pipeline, &shard("shard-0"), &records.borrow(), now).await.unwrap_err();
    assert!(matches!(error, JournalError::Deadline { .. }), "{error}");
    assert_eq!(counting.calls().len(), before);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_fails_the_batch_at_the_deadline() {
    let bench = bench().await;
    let lake = {
        let hanging = FaultStore::new(bench.store.clone(), |call: &tripline_lake::store::Call| {
            (call.operation == Operation::Put && call.key.starts_with("_journal"))
                .then_some(Fault::CrashBefore)
        });
        Lake::open(Arc::new(hanging), bench.world.environment.clone(), &pipeline()).await.unwrap()
    };
    let records = Records::range(1..=3);
    let deadline = START_MS + HOUR_MS + 5_000;
    let append = lake.journal(Role::Lake);
    let result = append.append(&bench.pipeline, &shard("shard-0"), &records.borrow(), deadline).await;
    assert!(matches!(result, Err(JournalError::Deadline { .. })), "{result:?}");
}

#[tokio::test]
async fn a_lake_of_another_pipeline_is_refused_before_anything_is_written() {
    let bench = bench().await;
    let before = bench.store.list("", None, 100).await.unwrap();
    let other = pipeline_from(&PIPELINE.replace("\"rides\"", "\"adtech\""));
    let error =
        Lake::open(Arc::new(bench.store.clone()), bench.world.environment.clone(), &other).await.unwrap_err();
    assert!(error.to_string().contains("rides"), "{error}");
    assert_eq!(bench.store.list("", None, 100).await.unwrap(), before);
}

#[tokio::test]
async fn shards_have_lanes_of_their_own() {
    let bench = bench().await;
    let records = Records::range(1..=3);
    for name in ["shard-0", "shard-1"] {
        let appended =
            bench.journal().append(&bench.pipeline, &shard(name), &records.borrow(), FAR).await.unwrap();
        assert_eq!((appended.entry, appended.counts.records), (Some(1), 3));
    }
}
