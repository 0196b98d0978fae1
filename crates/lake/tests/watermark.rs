//! The watermark: the least time that the active lanes have reached, less the allowed lateness of an hour.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use bytes::Bytes;
use support::bench::*;
use support::hours::*;
use support::*;
use tripline_lake::checkpoint;
use tripline_lake::event_time::Activity;
use tripline_lake::layout::CHECKPOINT;
use tripline_lake::publish::PublishOptions;
use tripline_lake::store::{Condition, MemoryStore, ObjectStore, Put};

async fn loaded(store: &MemoryStore) -> checkpoint::Loaded {
    checkpoint::load(store, "rides").await.unwrap()
}

#[tokio::test]
async fn it_is_that_of_the_slowest_shard_less_the_allowed_lateness() {
    let (_, _, lake) = bench().await;
    deliver(&lake, &shard("shard-0"), &[(1, 300), (2, 250)]).await;
    assert_eq!(watermark(&lake).await, Some(240));
    deliver(&lake, &shard("shard-0"), &[(3, 500)]).await;
    deliver(&lake, &shard("shard-1"), &[(4, 320)]).await;
    assert_eq!(watermark(&lake).await, Some(260));
}

#[tokio::test]
async fn it_never_goes_back() {
    let (_, _, lake) = bench().await;
    deliver(&lake, &shard("shard-0"), &[(1, 300)]).await;
    assert_eq!(watermark(&lake).await, Some(240));
    deliver(&lake, &shard("shard-1"), &[(2, 100)]).await;
    assert_eq!(watermark(&lake).await, Some(240), "a new shard that is behind");
    deliver(&lake, &shard("shard-1"), &[(3, 400)]).await;
    assert_eq!(watermark(&lake).await, Some(240), "now the first one is behind");
    deliver(&lake, &shard("shard-0"), &[(4, 380)]).await;
    assert_eq!(watermark(&lake).await, Some(320));
}

#[tokio::test]
async fn a_shard_without_anything_new_is_waited_for_until_it_is_idle() {
    let (world, store, lake) = bench().await;
    deliver(&lake, &shard("shard-0"), &[(1, 300)]).await;
    deliver(&lake, &shard("shard-1"), &[(2, 100)]).await;
    assert_eq!(watermark(&lake).await, Some(40));
    world.clock.advance(HOUR_MS);
    deliver(&lake, &shard("shard-0"), &[(3, 360)]).await;
    assert_eq!(watermark(&lake).await, Some(40), "an hour is not more than an hour");
    world.clock.advance(1);
    deliver(&lake, &shard("shard-0"), &[(4, 361)]).await;
    assert_eq!(watermark(&lake).await, Some(301));
    let (checkpoint, rules) = (loaded(&store).await.checkpoint, options().event_time);
    let activities = checkpoint.activities(&rules, START_MS + 2 * HOUR_MS + 1);
    let activities: Vec<_> =
        activities.map(|(_, lane, activity)| (&*lane.lane.partition, activity)).collect();
    assert_eq!(activities, [("shard-0", Activity::Active), ("shard-1", Activity::Idle)]);
    deliver(&lake, &shard("shard-1"), &[(5, 120)]).await;
    deliver(&lake, &shard("shard-0"), &[(6, 500)]).await;
    assert_eq!(watermark(&lake).await, Some(301), "it is back, and waited for");
}

#[tokio::test]
async fn it_holds_when_every_shard_is_idle() {
    let (world, _, lake) = bench().await;
    deliver(&lake, &shard("shard-0"), &[(1, 300)]).await;
    assert_eq!(watermark(&lake).await, Some(240));
    world.clock.advance(100 * HOUR_MS);
    assert_eq!(watermark(&lake).await, Some(240));
}

#[tokio::test]
async fn a_clock_in_the_year_2041_does_not_move_it() {
    let (_, store, lake) = bench().await;
    let minutes_to_2041 = 22 * 365 * 24 * 60;
    deliver(&lake, &shard("shard-0"), &[(1, 100), (2, minutes_to_2041), (3, 130)]).await;
    assert_eq!(watermark(&lake).await, Some(70));
    assert_eq!(rides_below(&store, "ride/year=2041").await, [2], "it is a row all the same");
    assert_eq!(loaded(&store).await.checkpoint.open_partitions(), 3);
    // A watermark event with such a clock is no better.
    let event = format!(r#"{{"type":"watermark","watermark":{}}}"#, at(minutes_to_2041));
    deliver_payloads(&lake, &shard("shard-0"), vec![(4, event.into_bytes())]).await;
    assert_eq!(watermark(&lake).await, Some(70));
}

#[tokio::test]
async fn a_lane_that_is_not_read_to_its_end_is_waited_for() {
    let (world, store, lake) = bench().await;
    deliver(&lake, &shard("shard-0"), &[(1, 300)]).await;
    deliver(&lake, &shard("shard-1"), &[(2, 90)]).await;
    deliver(&lake, &shard("shard-1"), &[(3, 200)]).await;
    // All of it is old: by its time of writing shard-1 would be idle.
    world.clock.advance(5 * HOUR_MS);
    deliver(&lake, &shard("shard-0"), &[(4, 400)]).await;
    let one_entry = PublishOptions { max_raw_bytes: 1, ..options() };
    let mut seen = Vec::new();
    loop {
        let report = lake.publisher(one_entry.clone()).run(0).await.unwrap();
        seen.push(report.watermark_ms.map(|watermark_ms| (watermark_ms - START_MS) / MINUTE_MS));
        if !report.more {
            break;
        }
    }
    assert!(seen.len() > 3 && seen[0].is_none(), "{seen:?}");
    assert!(seen.iter().flatten().all(|minutes| [30, 140, 240, 340].contains(minutes)), "{seen:?}");
    assert!(seen.contains(&Some(30)), "it waits for what shard-1 has not told: {seen:?}");
    assert_eq!(loaded(&store).await.checkpoint.watermark_ms, Some(at(340)));
}

#[tokio::test]
async fn a_shard_that_has_told_no_time_yet_is_waited_for() {
    let (world, _, lake) = bench().await;
    deliver(&lake, &shard("shard-0"), &[(1, 300)]).await;
    deliver_payloads(&lake, &shard("shard-1"), vec![(2, b"not json".to_vec())]).await;
    assert_eq!(watermark(&lake).await, None);
    world.clock.advance(HOUR_MS + 1);
    deliver(&lake, &shard("shard-0"), &[(3, 310)]).await;
    assert_eq!(watermark(&lake).await, Some(250), "until it is idle");
}

#[tokio::test]
async fn what_is_sent_again_or_filled_in_neither_holds_nor_moves_it() {
    let (_, _, lake) = bench().await;
    deliver(&lake, &archive(), &[(1, 900)]).await;
    deliver(&lake, &again("shard-0"), &[(2, 900)]).await;
    assert_eq!(watermark(&lake).await, None, "there is no stream yet");
    deliver(&lake, &shard("shard-0"), &[(3, 300)]).await;
    deliver(&lake, &archive(), &[(4, 100)]).await;
    deliver(&lake, &again("shard-0"), &[(5, 100)]).await;
    assert_eq!(watermark(&lake).await, Some(240));
}

#[tokio::test]
async fn a_lane_that_stands_still_is_waited_for() {
    let (_, store, lake) = bench().await;
    deliver(&lake, &shard("shard-0"), &[(1, 300)]).await;
    deliver(&lake, &shard("shard-1"), &[(2, 200)]).await;
    assert_eq!(watermark(&lake).await, Some(140));
    deliver(&lake, &shard("shard-1"), &[(3, 250)]).await;
    let key = tripline_lake::layout::entry_key(&folder("shard-1"), 2);
    let entry = store.get(&key).await.unwrap().unwrap();
    let damaged = Bytes::from_static(b"damaged");
    assert!(matches!(
        store.put(&key, damaged, Condition::Matches(entry.meta.tag)).await.unwrap(),
        Put::Stored { .. }
    ));
    deliver(&lake, &shard("shard-0"), &[(4, 600)]).await;
    assert_eq!(watermark(&lake).await, Some(140), "its acknowledged rows are not in yet");
}

#[tokio::test]
async fn a_lake_whose_checkpoint_knows_no_event_time_goes_on() {
    let (_, store, lake) = bench().await;
    deliver(&lake, &shard("shard-0"), &[(1, 10), (2, 70)]).await;
    lake.publisher(PublishOptions::default()).run(FAR).await.unwrap();
    let object = store.get(CHECKPOINT).await.unwrap().unwrap();
    let mut old: serde_json::Value = serde_json::from_slice(&object.body).unwrap();
    for name in ["watermark_ms", "open", "due", "diverted"] {
        old.as_object_mut().unwrap().remove(name);
    }
    for lane in old["lanes"].as_object_mut().unwrap().values_mut() {
        lane.as_object_mut().unwrap().remove("written_at_ms").unwrap();
    }
    let old = Bytes::from(serde_json::to_vec(&old).unwrap());
    let put = store.put(CHECKPOINT, old, Condition::Matches(object.meta.tag)).await.unwrap();
    assert!(matches!(put, Put::Stored { .. }));
    deliver(&lake, &shard("shard-1"), &[(3, 20), (4, 200)]).await;
    assert_eq!(watermark(&lake).await, Some(10), "the lane's arrival tells that it is active");
    deliver(&lake, &shard("shard-0"), &[(5, 200)]).await;
    assert_eq!(watermark(&lake).await, Some(140));
    assert_eq!(marked(&store, 0).await, Some((1, 1, 0)), "it counts what came since");
    assert_hours_clean(&store).await;
}

#[tokio::test]
#[should_panic(expected = "I17 violated")]
async fn a_checkpoint_that_takes_it_back_is_not_committed() {
    let (_, store, lake) = bench().await;
    deliver(&lake, &shard("shard-0"), &[(1, 300)]).await;
    publish_by(&lake, &options()).await;
    let base = loaded(&store).await;
    let mut next = base.checkpoint.clone();
    next.generation += 1;
    next.watermark_ms = Some(at(239));
    let _ = checkpoint::commit(&store, &base, &next).await;
}
