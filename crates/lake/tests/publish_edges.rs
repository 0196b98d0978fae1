//! Publish at its edges: rivals, listings that miss something, lanes that cannot go on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use support::bench::*;
use support::*;
use tripline_lake::checkpoint;
use tripline_lake::journal::MIN_RETENTION;
use tripline_lake::layout::entry_key;
use tripline_lake::publish::PublishOptions;
use tripline_lake::store::{Condition, ObjectStore, Operation, Put};
use tripline_lake::{FailPoint, Role};

#[tokio::test]
async fn a_publisher_that_wakes_after_its_checkpoint_was_superseded_changes_nothing() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=20).await;
    // It pauses after its commit, before it completes the first upload; meanwhile that upload expires,
    // is built again by another, and more is published.
    let (rival, expiring) = (lake.clone(), store.clone());
    let paused = AtomicBool::new(false);
    let view = View::of(&store).before(move |operation, _| {
        if operation != Operation::CompleteUpload || paused.swap(true, Ordering::SeqCst) {
            return None;
        }
        let (rival, store) = (rival.clone(), expiring.clone());
        Some(Box::pin(async move {
            expire_uploads(&store);
            assert!(publish(&rival).await.rebuilt > 0);
            append(&rival, 21..=40).await;
            publish(&rival).await;
        }))
    });
    let report = publish(&open(view, &world).await).await;
    assert!(report.gave_way);
    read_lake(&store).await.assert_exactly(40);
    assert_clean(&store).await;
}

#[tokio::test]
async fn a_second_commit_also_needs_the_checkpoint_that_it_was_made_from() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=10).await;
    publish(&lake).await;
    append(&lake, 11..=20).await;
    let view = View::of(&store).with_rival(lake.clone(), |operation, key| {
        operation == Operation::Put && key == "_tripline/checkpoint.json"
    });
    let report = publish(&open(view, &world).await).await;
    assert!(report.gave_way);
    assert_eq!(report.commits, 0);
    read_lake(&store).await.assert_exactly(20);
    assert_clean(&store).await;
}

#[tokio::test]
async fn another_s_commit_of_the_same_generation_is_not_taken_for_ones_own() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=10).await;
    // The other commits and dies at once: its checkpoint has the generation that this run's would have.
    let (rival_store, rival_world) = (store.clone(), world.clone());
    let died = AtomicBool::new(false);
    let view = View::of(&store).before(move |operation, key| {
        let commits = operation == Operation::Put && key == "_tripline/checkpoint.json";
        let (store, world) = (rival_store.clone(), rival_world.clone());
        let rival = async move { die_at(FailPoint::PublishAfterCommit, &store, &world).await };
        let now = commits && !died.swap(true, Ordering::SeqCst);
        now.then(|| Box::pin(rival) as BoxFuture<'static, ()>)
    });
    let report = publish(&open(view, &world).await).await;
    assert!(report.gave_way);
    assert_eq!((report.commits, report.entries), (0, 0));
    assert!(read_lake(&store).await.rides.is_empty());
    publish(&lake).await;
    read_lake(&store).await.assert_exactly(10);
    assert_clean(&store).await;
}

#[tokio::test]
async fn an_entry_that_covers_records_again_stops_its_lane() {
    let (_, store, lake) = bench().await;
    append(&lake, 1..=5).await;
    // What another writer, of another protocol, might have put there.
    let (_, other_store, other) = bench().await;
    append(&other, 1..=3).await;
    append(&other, 4..=6).await;
    let key = entry_key(&folder("shard-0"), 2);
    let doubled = other_store.get(&key).await.unwrap().unwrap().body;
    assert!(matches!(store.put(&key, doubled, Condition::Absent).await.unwrap(), Put::Stored { .. }));
    let report = publish(&lake).await;
    assert_eq!((report.entries, report.stopped.len()), (1, 1));
    assert!(report.stopped[0].reason.contains("doubled"), "{}", report.stopped[0].reason);
    read_lake(&store).await.assert_exactly(5);
}

#[tokio::test]
async fn rows_of_two_schemas_in_one_partition_lie_in_two_files() {
    let (_, store, lake) = bench().await;
    let newer = pipeline_from(&PIPELINE.replace("schema_version = 1", "schema_version = 2").replace(
        "{ name = \"zone\", type = \"string\" },",
        "{ name = \"zone\", type = \"string\" },\n{ name = \"tip\", type = \"float64\" },",
    ));
    for (number, pipeline) in [(1, &pipeline()), (2, &newer)] {
        let records = Records::from(vec![(number, payload(3))]);
        let journal = lake.journal(Role::Lake);
        journal.append(pipeline, &shard("shard-0"), &records.borrow(), FAR).await.unwrap();
    }
    publish(&lake).await;
    assert_eq!(bodies(&store, "ride/area=north/hour=00/").await.len(), 2);
    assert_eq!(read_lake(&store).await.rides[&3], 2, "a position is a record, whatever its id");
    assert_clean(&store).await;
}

#[tokio::test]
async fn an_entry_that_a_listing_missed_is_no_hole() {
    let (world, store, lake) = bench().await;
    for numbers in [1..=3, 4..=6, 7..=9] {
        append(&lake, numbers).await;
    }
    // A listing is no snapshot: it may show a later entry and not one that was put while it ran.
    let listings = AtomicU64::new(0);
    let mut view = View::of(&store);
    view.list = Some(Arc::new(move |prefix, mut found| {
        if prefix.starts_with("_journal/") && listings.fetch_add(1, Ordering::SeqCst) == 0 {
            found.remove(0);
        }
        found
    }));
    let report = publish(&open(view, &world).await).await;
    assert!(report.stopped.is_empty(), "{:?}", report.stopped);
    read_lake(&store).await.assert_exactly(9);
}

#[tokio::test]
async fn an_entry_that_may_not_be_read_stops_its_lane_and_no_other() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=3).await;
    append_to(&lake.journal(Role::Lake), "shard-1", 4..=6).await.unwrap();
    let mut view = View::of(&store);
    view.denied = Some(entry_key(&folder("shard-0"), 1));
    let report = publish(&open(view, &world).await).await;
    assert_eq!((report.entries, report.stopped.len()), (1, 1));
    assert!(report.stopped[0].reason.contains("archived"), "{}", report.stopped[0].reason);
    publish(&lake).await;
    read_lake(&store).await.assert_exactly(6);
}

#[tokio::test]
async fn a_run_that_read_everything_says_so() {
    let (_, _, lake) = bench().await;
    for name in ["shard-0", "shard-1"] {
        append_to(&lake.journal(Role::Lake), name, 1..=3).await.unwrap();
    }
    let options = PublishOptions { max_raw_bytes: 1, ..PublishOptions::default() };
    for name in ["shard-0", "shard-1"] {
        lake.publisher(options.clone()).run(FAR).await.unwrap();
        append_to(&lake.journal(Role::Lake), name, 4..=6).await.unwrap();
        let report = lake.publisher(options.clone()).run(FAR).await.unwrap();
        assert_eq!((report.entries, report.more), (1, false), "{name}");
    }
}

#[tokio::test]
async fn a_lane_with_a_backlog_does_not_hold_up_the_others() {
    let (_, store, lake) = bench().await;
    let names = ["shard-0", "shard-1", "shard-2"];
    for name in names {
        for numbers in [1..=1, 2..=2, 3..=3, 4..=4, 5..=5, 6..=6] {
            append_to(&lake.journal(Role::Lake), name, numbers).await.unwrap();
        }
    }
    // Each run has time for one round, and a round has room for one entry.
    let options = PublishOptions { max_raw_bytes: 1, ..PublishOptions::default() };
    for _ in names {
        lake.publisher(options.clone()).run(0).await.unwrap();
    }
    let lanes = checkpoint::load(&store, "rides").await.unwrap().checkpoint.lanes;
    assert_eq!(lanes.len(), names.len(), "every lane has had its turn");
}

#[test]
fn bounds_that_would_break_the_protocol_or_publish_nothing_are_refused() {
    let wrong = [
        PublishOptions { retention: MIN_RETENTION - Duration::from_secs(1), ..PublishOptions::default() },
        PublishOptions { part_bytes: 1, ..PublishOptions::default() },
        PublishOptions { max_raw_bytes: 0, ..PublishOptions::default() },
        PublishOptions { max_files: 0, ..PublishOptions::default() },
    ];
    for options in wrong {
        assert!(options.check().is_err(), "{options:?}");
    }
    assert_eq!(PublishOptions::default().check(), Ok(()));
}

#[tokio::test]
async fn every_table_has_one_root_and_nothing_else_looks_like_a_file_of_it() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=20).await;
    die_at(FailPoint::PublishBeforeCommit, &store, &world).await;
    publish(&lake).await;
    append(&lake, 21..=25).await;
    assert_eq!(store.list_folders("").await.unwrap(), ["_journal", "_tripline", "dead_letter", "ride"]);
    for object in store.list("", None, 1000).await.unwrap() {
        let in_table = object.key.starts_with("ride/area=") || object.key.starts_with("dead_letter/year=");
        assert_eq!(object.key.ends_with(".parquet"), in_table, "{}", object.key);
    }
}

#[tokio::test]
async fn rows_without_a_partition_value_lie_where_hive_looks_for_them() {
    let (_, store, lake) = bench().await;
    let zones = ["null", "\"\"", "\"../../_tripline\"", "\"a/b=c\"", "\"North\""];
    let payloads = (1_u64..).zip(zones).map(|(number, zone)| {
        let text = format!(r#"{{"ride_id":{number},"at":{START_MS},"zone":{zone},"type":"ride"}}"#);
        (number, text.into_bytes())
    });
    let records = Records::from(payloads.collect());
    let journal = lake.journal(Role::Lake);
    journal.append(&pipeline(), &shard("shard-0"), &records.borrow(), FAR).await.unwrap();
    publish(&lake).await;
    let areas: Vec<String> = store.list_folders("ride/").await.unwrap();
    assert_eq!(areas, ["area=__HIVE_DEFAULT_PARTITION__", "area=a-b-c", "area=north", "area=tripline"]);
    assert_eq!(read_lake(&store).await.rides.len(), zones.len());
}

#[tokio::test]
async fn the_first_checkpoint_never_replaces_another() {
    let (_, store, lake) = bench().await;
    append(&lake, 1..=5).await;
    let nothing = checkpoint::load(&store, "rides").await.unwrap();
    assert!(nothing.tag.is_none());
    publish(&lake).await;
    let before = checkpoint::load(&store, "rides").await.unwrap().checkpoint;
    let mut first = nothing.checkpoint.clone();
    (first.generation, first.run) = (1, "another".to_owned());
    let late = checkpoint::commit(&store, &nothing, &first).await.unwrap();
    assert!(matches!(late, checkpoint::Commit::Lost));
    assert_eq!(checkpoint::load(&store, "rides").await.unwrap().checkpoint, before);
}
