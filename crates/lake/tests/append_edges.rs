//! Append at its edges: what another process, a sleep or a clock that lies can do to it between two calls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::bench::*;
use support::*;
use tripline_lake::Role;
use tripline_lake::checkpoint;
use tripline_lake::clock::ManualClock;
use tripline_lake::journal::{JournalError, TAIL_AGE};
use tripline_lake::layout::entry_key;
use tripline_lake::store::{Call, Fault, FaultStore, ObjectStore, Operation, Put};
use tripline_model::source::{Payload, Position, SourceRecord};

#[tokio::test]
async fn a_look_up_that_a_publisher_overtakes_never_uses_a_number_again() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=9).await;
    // Nobody has published for longer than retention: entries are deleted as soon as they are
    // published, here between the look-up's reading of the checkpoint and its listing.
    world.clock.advance(8 * DAY_MS);
    let view = View::of(&store).with_rival(lake.clone(), |operation, key| {
        operation == Operation::List && key.starts_with("_journal/")
    });
    let appended = append(&open(view, &world).await, 8..=12).await;
    assert_eq!((appended.entry, appended.duplicates), (Some(2), 2));
    assert!(store.head(&entry_key(&folder("shard-0"), 1)).await.unwrap().is_none(), "the rival swept");
    publish(&lake).await;
    read_lake(&store).await.assert_exactly(12);
    assert_clean(&store).await;
}

#[tokio::test]
async fn a_number_that_was_taken_and_is_gone_leads_to_another_look_up() {
    let (world, store, lake) = bench().await;
    // This writer's clock stands still, so its tail stays young for ever.
    let mut stuck = world.clone();
    stuck.environment.clock = Arc::new(ManualClock::at(START_MS + HOUR_MS));
    let view = View::of(&store).with_rival(lake.clone(), |operation, key| {
        operation == Operation::Get && key.ends_with("/00000000000000000002")
    });
    let sleeper = open(view, &stuck).await.journal(Role::Lake);
    append_to(&sleeper, "shard-0", 1..=3).await.unwrap();
    append(&lake, 4..=6).await;
    world.clock.advance(8 * DAY_MS);
    // Number 2 is refused and then swept before it is read.
    let woken = append_to(&sleeper, "shard-0", 4..=9).await.unwrap();
    assert_eq!((woken.entry, woken.duplicates, woken.puts), (Some(3), 3, 2));
    publish(&lake).await;
    read_lake(&store).await.assert_exactly(9);
    assert_clean(&store).await;
}

#[tokio::test(start_paused = true)]
async fn a_number_that_is_refused_and_never_there_is_not_tried_for_ever() {
    let (world, store, _) = bench().await;
    let mut view = View::of(&store);
    view.put = Some(Arc::new(|key, answer| if key.starts_with("_journal/") { Put::Refused } else { answer }));
    let hidden = store.clone();
    let view = view.before(move |operation, key| {
        let (store, key) = (hidden.clone(), key.to_owned());
        let take = operation == Operation::Get && key.starts_with("_journal/");
        take.then(|| Box::pin(async move { store.delete(&key).await.unwrap() }) as BoxFuture<'static, ()>)
    });
    let lake = open(view, &world).await;
    let journal = lake.journal(Role::Lake);
    let result = tokio::time::timeout(Duration::from_secs(5), append_to(&journal, "shard-0", 1..=3)).await;
    let error = result.expect("it gives up").unwrap_err();
    assert!(matches!(error, JournalError::Vanished { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_number_that_is_refused_before_its_entry_can_be_seen_is_waited_for() {
    let (world, store, rival) = bench().await;
    // A server answers beside a rival's PUT that is still under way: the number is taken, there is nothing
    // to read and nothing to list; at the third look the rival's entry is there.
    let mut view = View::of(&store);
    view.put = Some(Arc::new(|key, answer| if key.ends_with("1") { Put::Refused } else { answer }));
    let (hidden, looks) = (store.clone(), AtomicU64::new(0));
    let view = view.before(move |operation, key| {
        if operation != Operation::Get || !key.starts_with("_journal/") {
            return None;
        }
        let (store, rival, key) = (hidden.clone(), rival.clone(), key.to_owned());
        Some(match looks.fetch_add(1, Ordering::SeqCst) {
            0 => Box::pin(async move { store.delete(&key).await.unwrap() }),
            2 => Box::pin(async move { drop(append(&rival, 1..=2).await) }),
            _ => return None,
        })
    });
    let lake = open(view, &world).await;
    let appended = append(&lake, 1..=4).await;
    assert_eq!((appended.entry, appended.duplicates, appended.puts), (Some(2), 2, 2));
    publish(&lake).await;
    read_lake(&store).await.assert_exactly(4);
    assert_clean(&store).await;
}

#[tokio::test]
async fn a_slow_look_up_makes_the_tail_older() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=3).await;
    let (clock, look_ups) = (world.clock.clone(), Arc::new(AtomicU64::new(0)));
    let counted = look_ups.clone();
    let view = View::of(&store).before(move |operation, key| {
        // Its first reading.
        if operation == Operation::Get && key == "_tripline/checkpoint.json" {
            counted.fetch_add(1, Ordering::SeqCst);
            clock.advance(i64::try_from(TAIL_AGE.as_millis()).unwrap() - 1);
        }
        None
    });
    let lake = open(view, &world).await;
    let journal = lake.journal(Role::Lake);
    look_ups.store(0, Ordering::SeqCst);
    // Nothing is new, so that the tail is as old as its look-up.
    for (pass, wanted) in [(0, 1), (0, 1), (1, 2)] {
        world.clock.advance(pass);
        append_to(&journal, "shard-0", 1..=3).await.unwrap();
        assert_eq!(look_ups.load(Ordering::SeqCst), wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_put_is_not_repeated_after_the_deadline_by_wall_clock() {
    let (world, store, _) = bench().await;
    // The process is frozen for an hour while its first PUT fails; monotonic time stands still.
    let clock = world.clock.clone();
    let frozen = FaultStore::new(store.clone(), move |call: &Call| {
        (call.operation == Operation::Put && call.key.starts_with("_journal/")).then(|| {
            clock.advance(HOUR_MS);
            Fault::FailBefore
        })
    });
    let lake = open(frozen.clone(), &world).await;
    let records = Records::range(1..=3);
    let deadline = START_MS + HOUR_MS + 60_000;
    let journal = lake.journal(Role::Lake);
    let result = journal.append(&pipeline(), &shard("shard-0"), &records.borrow(), deadline).await;
    assert!(matches!(result, Err(JournalError::Deadline { .. })), "{result:?}");
    let put = |call: &&Call| call.operation == Operation::Put && call.key.starts_with("_journal/");
    assert_eq!(frozen.calls().iter().filter(put).count(), 1);
}

#[tokio::test]
async fn a_batch_of_more_partitions_than_an_entry_can_have_becomes_several_entries() {
    let (_, store, lake) = bench().await;
    let by_number = pipeline_from(&PIPELINE.replace("field = \"zone\"", "field = \"ride_id\""));
    let last = 65_600;
    let payloads = (1..=last).map(|n| (n, format!(r#"{{"ride_id":{n},"at":{START_MS},"type":"ride"}}"#)));
    let records = Records::from(payloads.map(|(n, text)| (n, text.into_bytes())).collect());
    let append = async || {
        let journal = lake.journal(Role::Lake);
        journal.append(&by_number, &shard("shard-0"), &records.borrow(), FAR).await.unwrap()
    };
    let appended = append().await;
    assert_eq!((appended.entry, appended.puts), (Some(2), 2));
    assert_eq!((appended.counts.records, appended.counts.rows, appended.duplicates), (last, last, 0));
    let again = append().await;
    assert_eq!((again.entry, again.counts.records, again.duplicates), (None, 0, last));
    assert_eq!(store.list("_journal/", None, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn concurrent_invocations_of_one_process_commit_each_record_once() {
    let (world, store, _) = bench().await;
    // Behind a store that yields, so that they interleave at every call.
    let lake = open(FaultStore::counting(store.clone()), &world).await;
    let journal = lake.journal(Role::Lake);
    let ranges = [1..=20, 1..=5, 6..=20, 4..=12, 1..=20];
    let appends = ranges.map(|numbers| append_to(&journal, "shard-0", numbers));
    for appended in futures_util::future::join_all(appends).await {
        appended.unwrap();
    }
    append_to(&journal, "shard-0", 1..=20).await.unwrap();
    publish(&lake).await;
    read_lake(&store).await.assert_exactly(20);
    assert_clean(&store).await;
}

#[tokio::test]
async fn positions_compare_as_integers_however_many_digits_they_have() {
    let (_, store, lake) = bench().await;
    let sequences =
        ["9", "10", "99", "100", &format!("4{}", "9".repeat(55)), &format!("1{}", "0".repeat(56))];
    let payloads: Vec<Vec<u8>> = [1, 2, 3, 4, 5, 6].map(payload).into();
    let records: Vec<SourceRecord<'_>> = sequences
        .iter()
        .zip(&payloads)
        .map(|(sequence, payload)| SourceRecord {
            position: sequence.parse().unwrap(),
            sub_position: 0,
            arrival_ms: Some(START_MS),
            partition_key: "",
            headers: "",
            payload: Payload::Bytes(payload),
        })
        .collect();
    for cut in 1..=records.len() {
        let journal = lake.journal(Role::Lake);
        let appended = journal.append(&pipeline(), &shard("shard-0"), &records[..cut], FAR).await.unwrap();
        assert_eq!((appended.counts.records, appended.duplicates), (1, cut as u64 - 1));
    }
    publish(&lake).await;
    let again = lake.journal(Role::Lake).append(&pipeline(), &shard("shard-0"), &records, FAR).await.unwrap();
    assert_eq!((again.entry, again.duplicates), (None, 6));
    read_lake(&store).await.assert_exactly(6);
    assert_clean(&store).await;
}

#[tokio::test]
async fn a_rewind_is_dropped_and_counted_also_where_the_mapping_had_skipped_records() {
    let (_, store, lake) = bench().await;
    append(&lake, 1..=3).await;
    // The mapping gave 4 to 6 up; they come back by a rewind, with their old arrival times.
    append(&lake, 7..=9).await;
    let rewound = append(&lake, 1..=12).await;
    assert_eq!((rewound.entry, rewound.duplicates, rewound.counts.records), (Some(3), 9, 3));
    publish(&lake).await;
    let rides: Vec<u64> = read_lake(&store).await.rides.into_keys().collect();
    assert_eq!(rides, [1, 2, 3, 8, 9, 10, 11, 12]);
    assert_clean(&store).await;
}

#[tokio::test]
async fn a_record_that_arrived_no_later_than_the_lane_is_a_duplicate_whichever_entry_covers_it() {
    let (world, store, lake) = bench().await;
    // Arrival times of neighbours are not in order: the lane's latest is in an early entry.
    let early = Records::range(1..=1);
    let mut first = early.borrow();
    first[0].arrival_ms = Some(START_MS + HOUR_MS);
    lake.journal(Role::Lake).append(&pipeline(), &shard("shard-0"), &first, FAR).await.unwrap();
    append(&lake, 2..=5).await;
    let mut repeated = first.clone();
    repeated[0].arrival_ms = Some(START_MS + HOUR_MS);
    let duplicates = async || {
        let journal = lake.journal(Role::Lake);
        journal.append(&pipeline(), &shard("shard-0"), &repeated, FAR).await.unwrap().duplicates
    };
    assert_eq!(duplicates().await, 1);
    publish(&lake).await;
    world.clock.advance(8 * DAY_MS);
    publish(&lake).await;
    assert!(store.list("_journal/", None, 1).await.unwrap().is_empty());
    assert_eq!(duplicates().await, 1, "the checkpoint knows the latest arrival of all entries too");
}

// Publish.

#[tokio::test]
async fn a_lane_that_was_idle_for_a_year_is_still_known() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=5).await;
    for _ in 0..12 {
        world.clock.advance(30 * DAY_MS);
        append_to(&lake.journal(Role::Lake), "shard-1", 6..=9).await.unwrap();
        publish(&lake).await;
    }
    let again = append(&lake, 1..=5).await;
    assert_eq!((again.entry, again.duplicates), (None, 5));
    read_lake(&store).await.assert_exactly(9);
}

#[tokio::test]
async fn a_position_is_the_last_record_taken_not_the_first_refused() {
    let (_, store, lake) = bench().await;
    let strict = pipeline_from(&PIPELINE.replace("type_field", "on_malformed = \"fail\"\ntype_field"));
    let records = Records::range(1..=10);
    let journal = lake.journal(Role::Lake);
    let appended = journal.append(&strict, &shard("shard-0"), &records.borrow(), FAR).await.unwrap();
    assert_eq!(appended.refused.unwrap().0, Position::new(7));
    publish(&lake).await;
    let lanes = checkpoint::load(&store, "rides").await.unwrap().checkpoint.lanes;
    assert_eq!(lanes[&folder("shard-0")].last, Position::new(6));
    // Record 7 and those after it are still to come, whatever is done about it.
    assert_eq!(append(&lake, 7..=10).await.counts.records, 4);
    publish(&lake).await;
    read_lake(&store).await.assert_exactly(10);
}
