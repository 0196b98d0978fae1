//! Uploads that are lost after their commit are built again, once, as the same files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::bench::*;
use support::*;
use tripline_lake::checkpoint;
use tripline_lake::publish::{FileFormat, PublishError, PublishOptions};
use tripline_lake::store::{Call, FaultStore, Operation};
use tripline_lake::{FailPoint, Role};

#[tokio::test]
async fn a_lost_file_is_built_again_in_the_format_of_its_name() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=20).await;
    die_at(FailPoint::PublishAfterCommit, &store, &world).await;
    expire_uploads(&store);
    // The operator has changed the format since.
    let options = PublishOptions { format: FileFormat::JsonLines, ..PublishOptions::default() };
    let report = lake.publisher(options).run(FAR).await.unwrap();
    assert!(report.rebuilt > 0);
    read_lake(&store).await.assert_exactly(20);
    assert_clean(&store).await;
}

/// Two lanes of many entries, published: as they should be, or with every upload lost after the commit.
async fn published_files(lose: bool) -> BTreeMap<String, Bytes> {
    let (world, store, lake) = bench().await;
    for name in ["shard-0", "shard-1"] {
        for entry in 0..20 {
            append_to(&lake.journal(Role::Lake), name, entry * 2 + 1..=entry * 2 + 2).await.unwrap();
        }
    }
    if lose {
        die_at(FailPoint::PublishAfterCommit, &store, &world).await;
        expire_uploads(&store);
    }
    assert_eq!(publish(&lake).await.rebuilt > 0, lose);
    let mut files = bodies(&store, "ride/").await;
    files.extend(bodies(&store, "dead_letter/").await);
    files
}

#[tokio::test]
async fn a_file_that_is_built_again_is_the_one_that_was_lost() {
    let (again, first) = (published_files(true).await, published_files(false).await);
    let differ: Vec<_> = first.iter().filter(|(key, body)| again.get(*key) != Some(*body)).collect();
    let differ: Vec<_> = differ.into_iter().map(|(key, _)| key).collect();
    assert!(differ.is_empty() && again.len() == first.len(), "{differ:?}");
}

#[tokio::test]
async fn lost_files_are_built_again_in_one_pass_over_their_entries() {
    let (world, store, lake) = bench().await;
    for entry in 0..20 {
        append(&lake, entry * 5 + 1..=entry * 5 + 5).await;
    }
    die_at(FailPoint::PublishAfterCommit, &store, &world).await;
    expire_uploads(&store);
    let counting = FaultStore::counting(store.clone());
    let report = publish(&open(counting.clone(), &world).await).await;
    assert!(report.rebuilt > 5, "{}", report.rebuilt);
    let read = |call: &Call| call.operation == Operation::Get && call.key.starts_with("_journal/");
    assert_eq!(counting.calls().iter().filter(|call| read(call)).count(), 20);
    read_lake(&store).await.assert_exactly(100);
}

#[tokio::test]
async fn a_file_lost_beside_one_of_another_schema_leaves_a_clean_audit() {
    let (world, store, lake) = bench().await;
    let newer = pipeline_from(&PIPELINE.replace("schema_version = 1", "schema_version = 2"));
    let of_both = [pipeline(), newer];
    for number in 1..=6 {
        let records = Records::from(vec![(number, payload(3))]);
        let (journal, pipeline) = (lake.journal(Role::Lake), &of_both[number as usize % 2]);
        journal.append(pipeline, &shard("shard-0"), &records.borrow(), FAR).await.unwrap();
    }
    die_at(FailPoint::PublishAfterCommit, &store, &world).await;
    store.expire_upload(&store.uploads()[0].1);
    assert_eq!(publish(&lake).await.rebuilt, 1);
    assert_clean(&store).await;
}

#[tokio::test]
async fn of_two_publishers_that_rebuild_one_gives_way_and_rows_stay_single() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=20).await;
    die_at(FailPoint::PublishAfterCommit, &store, &world).await;
    expire_uploads(&store);
    // The slow one has built everything again when the other does all of it.
    let view = View::of(&store).with_rival(lake.clone(), |operation, key| {
        operation == Operation::Put && key == "_tripline/checkpoint.json"
    });
    let report = publish(&open(view, &world).await).await;
    assert!(report.gave_way);
    assert!(!store.uploads().is_empty(), "its uploads are left alone and never completed");
    read_lake(&store).await.assert_exactly(20);
    assert_clean(&store).await;
}

#[tokio::test]
async fn a_completion_that_is_answered_before_the_file_is_there_is_settled_by_the_file() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=20).await;
    // As beside another's completion that is still under way: no file at the first look.
    let looks = AtomicU64::new(0);
    let mut view = View::of(&store);
    view.head =
        Some(Arc::new(move |_, found| if looks.fetch_add(1, Ordering::SeqCst) == 0 { None } else { found }));
    let report = publish(&open(view, &world).await).await;
    assert_eq!(report.rebuilt, 1);
    assert!(checkpoint::load(&store, "rides").await.unwrap().checkpoint.pending.is_empty());
    read_lake(&store).await.assert_exactly(20);
    assert_clean(&store).await;
}

#[tokio::test]
async fn a_store_that_never_shows_a_completed_file_fails_the_run() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=20).await;
    let mut view = View::of(&store);
    view.head = Some(Arc::new(|_, _| None));
    let publisher = open(view, &world).await.publisher(PublishOptions::default());
    let result = tokio::time::timeout(Duration::from_secs(5), publisher.run(FAR)).await;
    let error = result.expect("it gives up").unwrap_err();
    assert!(matches!(error, PublishError::NeverVisible { .. }), "{error}");
    // Nothing is lost by it: with a better store the next run ends it.
    publish(&lake).await;
    read_lake(&store).await.assert_exactly(20);
}

#[tokio::test(start_paused = true)]
async fn files_are_made_visible_several_at_a_time() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=200).await;
    let view = View::of(&store).before(|operation, _| {
        let slow = operation == Operation::CompleteUpload;
        slow.then(|| Box::pin(tokio::time::sleep(Duration::from_secs(1))) as BoxFuture<'static, ()>)
    });
    let lake = open(view, &world).await;
    let began = tokio::time::Instant::now();
    let files = publish(&lake).await.files.len() as u64;
    assert!(files > 40, "{files}");
    assert!(began.elapsed().as_secs() < files / 4, "{files} files took {:?}", began.elapsed());
    read_lake(&store).await.assert_exactly(200);
}

#[tokio::test]
async fn a_publisher_raises_no_alarm_over_a_file_that_another_built_again_before_it_deleted_the_entries() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=3).await;
    die_at(FailPoint::PublishAfterCommit, &store, &world).await;
    expire_uploads(&store);
    world.clock.advance(8 * DAY_MS);
    let view = View::of(&store)
        .with_rival(lake, |operation, key| operation == Operation::Get && key.starts_with("_journal/"));
    let late = open(view, &world).await;
    let report = late.publisher(PublishOptions::default()).run(FAR).await.unwrap();
    assert!(report.gave_way);
    read_lake(&store).await.assert_exactly(3);
}
