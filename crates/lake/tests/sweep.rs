//! What the journal no longer needs is deleted, in order, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use support::bench::*;
use support::*;
use tripline_lake::FailPoint;
use tripline_lake::layout::entry_key;
use tripline_lake::publish::PublishOptions;
use tripline_lake::store::{Condition, FaultStore, ObjectStore, Operation, Put};

#[tokio::test]
async fn a_publisher_whose_entries_another_published_and_deleted_raises_no_alarm() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=3).await;
    world.clock.advance(8 * DAY_MS);
    let view = View::of(&store)
        .with_rival(lake, |operation, key| operation == Operation::Get && key.starts_with("_journal/"));
    let report = publish(&open(view, &world).await).await;
    assert!(report.stopped.is_empty(), "{:?}", report.stopped);
    assert!(report.gave_way);
    read_lake(&store).await.assert_exactly(3);
}

#[tokio::test]
async fn entries_are_kept_for_an_hour_whatever_the_options_say() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=3).await;
    let options = PublishOptions { retention: Duration::ZERO, ..PublishOptions::default() };
    let deleted = async || lake.publisher(options.clone()).run(FAR).await.unwrap().deleted;
    world.clock.advance(HOUR_MS);
    assert_eq!(deleted().await, 0);
    world.clock.advance(1);
    assert_eq!(deleted().await, 1);
    read_lake(&store).await.assert_exactly(3);
}

#[tokio::test]
async fn a_lane_whose_entries_are_all_deleted_costs_no_request() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=3).await;
    world.clock.advance(8 * DAY_MS);
    assert_eq!(publish(&lake).await.deleted, 1);
    let counting = FaultStore::counting(store.clone());
    publish(&open(counting.clone(), &world).await).await;
    let calls = counting.calls();
    assert!(calls.iter().all(|call| !call.key.starts_with("_journal/lake-")), "{calls:?}");
}

#[tokio::test]
async fn the_sweep_ends_before_the_deadline() {
    let (world, store, lake) = bench().await;
    for number in 1..=5 {
        append(&lake, number..=number).await;
    }
    world.clock.advance(8 * DAY_MS);
    let clock = world.clock.clone();
    let view = View::of(&store).before(move |operation, _| {
        if operation == Operation::Delete {
            clock.advance(2_000);
        }
        None
    });
    let lake = open(view, &world).await;
    let now = tripline_lake::clock::Clock::now_ms(&world.clock);
    let report = lake.publisher(PublishOptions::default()).run(now + 10_000).await.unwrap();
    assert!((1..5).contains(&report.deleted), "{}", report.deleted);
    assert_eq!(publish(&lake).await.deleted, 5 - report.deleted);
    read_lake(&store).await.assert_exactly(5);
}

#[tokio::test]
async fn entries_go_in_ascending_order_and_one_that_stays_keeps_all_after_it() {
    let (world, store, lake) = bench().await;
    for number in 1..=5 {
        append(&lake, number..=number).await;
    }
    publish(&lake).await;
    world.clock.advance(8 * DAY_MS);
    // Number 3 looks young, as after a restore.
    let third = entry_key(&folder("shard-0"), 3);
    let body = store.get(&third).await.unwrap().unwrap().body;
    store.delete(&third).await.unwrap();
    let put = store.put(&third, body, Condition::Absent).await.unwrap();
    assert!(matches!(put, Put::Stored { .. }));
    let counting = FaultStore::counting(store.clone());
    let report = publish(&open(counting.clone(), &world).await).await;
    assert_eq!(report.deleted, 2);
    let deleted: Vec<String> = counting
        .calls()
        .into_iter()
        .filter(|call| call.operation == Operation::Delete && call.key.starts_with("_journal/"))
        .map(|call| call.key)
        .collect();
    assert_eq!(deleted, [1, 2].map(|number| entry_key(&folder("shard-0"), number)));
}

#[tokio::test]
async fn a_publisher_that_was_overtaken_deletes_only_what_it_has_seen_complete() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=5).await;
    publish(&lake).await;
    append(&lake, 6..=10).await;
    world.clock.advance(8 * DAY_MS);
    // The slow one read the journal before entry 2 was there. When it begins to sweep, another has
    // committed that entry and died before completing its files.
    let (rival_store, rival_world) = (store.clone(), world.clone());
    let lane = format!("_journal/{}/", folder("shard-0"));
    let listings = AtomicU64::new(0);
    let mut view = View::of(&store).before(move |operation, key| {
        let sweeps =
            operation == Operation::List && key == lane && listings.fetch_add(1, Ordering::SeqCst) == 1;
        let (store, world) = (rival_store.clone(), rival_world.clone());
        let rival = async move { die_at(FailPoint::PublishAfterCommit, &store, &world).await };
        sweeps.then(|| Box::pin(rival) as BoxFuture<'static, ()>)
    });
    let read = AtomicBool::new(false);
    view.list = Some(Arc::new(move |prefix, found| {
        let too_early = prefix.starts_with("_journal/") && !read.swap(true, Ordering::SeqCst);
        if too_early { Vec::new() } else { found }
    }));
    assert_eq!(publish(&open(view, &world).await).await.deleted, 1);
    // The other's uploads are lost: its entry must still be there.
    expire_uploads(&store);
    assert!(publish(&lake).await.rebuilt > 0);
    read_lake(&store).await.assert_exactly(10);
    assert_clean(&store).await;
}
