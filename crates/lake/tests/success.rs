//! A partition that the watermark has passed gets its `_SUCCESS`, once all of it is visible.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use support::bench::*;
use support::hours::*;
use support::*;
use tripline_lake::FailPoint;
use tripline_lake::checkpoint;
use tripline_lake::layout::success_key;
use tripline_lake::publish::{FileFormat, PublishError, PublishOptions};
use tripline_lake::store::{Condition, MemoryStore, ObjectStore, Operation, Put};

/// Hours 0 and 1 are complete with this, hour 2 not yet.
async fn two_hours(lake: &tripline_lake::Lake) {
    deliver(lake, &shard("shard-0"), &[(1, 10), (2, 20), (3, 70), (4, 130), (5, 185)]).await;
}

async fn dies_at(point: FailPoint, store: &MemoryStore, world: &World) {
    let lake = open(store.clone(), &dying(world, point)).await;
    lake.publisher(options()).run(FAR).await.unwrap_err();
}

async fn replace(store: &MemoryStore, key: &str, body: impl Into<Bytes>) {
    let condition =
        store.head(key).await.unwrap().map_or(Condition::Absent, |found| Condition::Matches(found.tag));
    assert!(matches!(store.put(key, body.into(), condition).await.unwrap(), Put::Stored { .. }));
}

#[tokio::test]
async fn an_hour_is_complete_once_the_watermark_is_past_its_end() {
    let (_, store, lake) = bench().await;
    two_hours(&lake).await;
    let report = publish_by(&lake, &options()).await;
    let completed: Vec<_> = report.completed.iter().map(|mark| mark.partition.as_str()).collect();
    assert_eq!(completed, [hour(0), hour(1)]);
    assert_eq!(report.watermark_lag_ms, Some(-65 * MINUTE_MS));
    assert_eq!((marked(&store, 0).await, marked(&store, 1).await), (Some((2, 1, 0)), Some((1, 1, 0))));
    assert_eq!(marked(&store, 2).await, None);
    let mark = &marks(&store).await[&success_key("ride", &hour(0))];
    assert_eq!((mark.end_ms, mark.watermark_ms, mark.completed_at_ms), (at(60), at(125), at(60)));
    assert_eq!(assert_hours_clean(&store).await.marks, 2);
    // To the millisecond.
    let to_the_end = format!(r#"{{"type":"watermark","watermark":{}}}"#, at(240) - 1);
    deliver_payloads(&lake, &shard("shard-0"), vec![(6, to_the_end.into_bytes())]).await;
    assert!(publish_by(&lake, &options()).await.completed.is_empty());
    deliver(&lake, &shard("shard-0"), &[(7, 240)]).await;
    assert_eq!(publish_by(&lake, &options()).await.completed.len(), 1);
    assert_eq!(marked(&store, 2).await, Some((1, 1, 0)));
}

#[tokio::test]
async fn nothing_is_marked_before_its_files_are_visible() {
    let (world, store, lake) = bench().await;
    two_hours(&lake).await;
    dies_at(FailPoint::PublishAfterCommit, &store, &world).await;
    assert!(marks(&store).await.is_empty());
    assert_eq!(checkpoint::load(&store, "rides").await.unwrap().checkpoint.due.len(), 2);
    assert_hours_clean(&store).await;
    expire_uploads(&store);
    // Not even between the building of lost files and their completion.
    let view = View::of(&store).before({
        let store = store.clone();
        move |operation, key| {
            let marks = operation == Operation::Put && key.ends_with("_SUCCESS");
            let store = store.clone();
            marks.then(|| {
                Box::pin(async move { assert_eq!(read_lake(&store).await.rides.len(), 5) })
                    as BoxFuture<'static, ()>
            })
        }
    });
    let report = publish_by(&open(view, &world).await, &options()).await;
    assert!(report.rebuilt > 0);
    assert_eq!(report.completed.len(), 2);
    assert_hours_clean(&store).await;
}

#[tokio::test]
async fn a_mark_that_was_written_when_the_publisher_died_is_not_counted_twice() {
    for point in [FailPoint::PublishAfterMark, FailPoint::PublishBeforeClear] {
        let (world, store, lake) = bench().await;
        two_hours(&lake).await;
        dies_at(point, &store, &world).await;
        assert!(!marks(&store).await.is_empty());
        assert_hours_clean(&store).await;
        publish_by(&lake, &options()).await;
        assert_eq!((marked(&store, 0).await, marked(&store, 1).await), (Some((2, 1, 0)), Some((1, 1, 0))));
        assert_hours_clean(&store).await;
    }
}

#[tokio::test]
async fn of_two_publishers_that_write_a_mark_each_counts_once() {
    let (world, store, lake) = bench().await;
    two_hours(&lake).await;
    // The other one does all of it after this one has looked for the mark.
    let rival = lake.publisher(options());
    let rival = Arc::new(rival);
    let ran = AtomicU64::new(0);
    let view = View::of(&store).before(move |operation, key| {
        let now = operation == Operation::Put && key.ends_with("_SUCCESS");
        let first = now && ran.fetch_add(1, Ordering::SeqCst) == 0;
        let rival = Arc::clone(&rival);
        first.then(|| {
            Box::pin(async move {
                rival.run(FAR).await.unwrap();
            }) as BoxFuture<'static, ()>
        })
    });
    let report = publish_by(&open(view, &world).await, &options()).await;
    assert!(report.gave_way);
    assert_eq!(marked(&store, 0).await, Some((2, 1, 0)));
    assert_hours_clean(&store).await;
}

#[tokio::test]
async fn an_hour_is_complete_without_new_rows_when_the_shard_that_held_it_is_idle() {
    let (world, store, lake) = bench().await;
    deliver(&lake, &shard("shard-1"), &[(1, 10)]).await;
    publish_by(&lake, &options()).await;
    world.clock.advance(HOUR_MS);
    deliver(&lake, &shard("shard-0"), &[(2, 185)]).await;
    assert!(publish_by(&lake, &options()).await.completed.is_empty());
    world.clock.advance(1);
    let report = publish_by(&lake, &options()).await;
    assert_eq!((report.entries, report.commits, report.completed.len()), (0, 0, 1));
    assert_eq!(marked(&store, 0).await, Some((1, 1, 0)));
    let before = checkpoint::load(&store, "rides").await.unwrap().checkpoint;
    publish_by(&lake, &options()).await;
    let after = checkpoint::load(&store, "rides").await.unwrap().checkpoint;
    assert_eq!(before, after, "where nothing changes nothing is committed");
}

#[tokio::test]
async fn what_a_back_fill_brings_for_a_complete_hour_is_announced_and_not_late() {
    let (_, store, lake) = bench().await;
    two_hours(&lake).await;
    publish_by(&lake, &options()).await;
    deliver(&lake, &archive(), &[(11, 15), (12, 16), (13, 600)]).await;
    deliver(&lake, &again("shard-0"), &[(14, 17)]).await;
    let report = publish_by(&lake, &diverting()).await;
    assert_eq!((report.late_rows, report.lateness_max_ms, report.completed.len()), (0, None, 1));
    assert_eq!(marked(&store, 0).await, Some((5, 2, 0)));
    assert_hours_clean(&store).await;
}

#[tokio::test]
async fn a_table_whose_partitions_tell_no_time_is_never_complete() {
    let (_, store, lake) = bench().await;
    two_hours(&lake).await;
    let text = HOURLY.replace("{ name = \"year\", time = \"year\" },", "");
    let event_time = tripline_lake::event_time::EventTimeRules::of(&pipeline_from(&text));
    let report = publish_by(&lake, &PublishOptions { event_time, ..PublishOptions::default() }).await;
    assert_eq!((report.completed.len(), report.watermark_ms), (0, Some(at(125))));
    assert!(checkpoint::load(&store, "rides").await.unwrap().checkpoint.open.is_empty());
}

#[tokio::test]
async fn json_lines_are_counted_too() {
    let (_, store, lake) = bench().await;
    let json = PublishOptions { format: FileFormat::JsonLines, ..options() };
    two_hours(&lake).await;
    publish_by(&lake, &json).await;
    assert_eq!(marked(&store, 0).await, Some((2, 1, 0)));
    assert_eq!(assert_hours_clean(&store).await.marks, 2);
}

#[tokio::test]
async fn somebody_elses_success_is_replaced_and_one_who_keeps_replacing_it_is_reported() {
    let (world, store, lake) = bench().await;
    two_hours(&lake).await;
    let key = success_key("ride", &hour(0));
    replace(&store, &key, "").await;
    publish_by(&lake, &options()).await;
    assert_eq!(marked(&store, 0).await, Some((2, 1, 0)));
    deliver(&lake, &shard("shard-0"), &[(6, 15)]).await;
    let view = View::of(&store).before({
        let (store, spark, count) = (store.clone(), key.clone(), AtomicU64::new(0));
        move |operation, key| {
            let (store, spark) = (store.clone(), spark.clone());
            let another = count.fetch_add(1, Ordering::SeqCst).to_string();
            (operation == Operation::Put && key == spark).then(|| {
                Box::pin(async move { replace(&store, &spark, another).await }) as BoxFuture<'static, ()>
            })
        }
    });
    let error = open(view, &world).await.publisher(options()).run(FAR).await.unwrap_err();
    assert!(matches!(&error, PublishError::Unmarked { key: at, .. } if *at == key), "{error}");
    publish_by(&lake, &options()).await;
    assert_eq!(marked(&store, 0).await, Some((1, 1, 1)), "of what the other one did not replace");
}

#[tokio::test]
async fn an_audit_finds_a_mark_that_miscounts_or_comes_too_early_or_is_no_mark() {
    let (_, store, lake) = bench().await;
    two_hours(&lake).await;
    publish_by(&lake, &options()).await;
    let pipeline = pipeline_from(HOURLY);
    let key = success_key("ride", &hour(0));
    let sound = String::from_utf8(store.get(&key).await.unwrap().unwrap().body.to_vec()).unwrap();
    for (before, after, id) in [
        ("\"rows\": 2", "\"rows\": 3", "(I19)"),
        ("\"files\": 1", "\"files\": 2", "(I19)"),
        ("\"generation\": 1", "\"generation\": 0", "(I19)"),
        (&*format!("\"end_ms\": {}", at(60)), &*format!("\"end_ms\": {}", at(126)), "(I18)"),
    ] {
        assert!(sound.contains(before), "{sound}");
        replace(&store, &key, sound.replace(before, after)).await;
        let audit =
            tripline_lake::audit::audit(&store, "rides", &|table| pipeline.schema(table)).await.unwrap();
        assert!(audit.faults.len() == 1 && audit.faults[0].contains(id), "{after}: {:?}", audit.faults);
    }
    replace(&store, &key, "").await;
    let audit = tripline_lake::audit::audit(&store, "rides", &|table| pipeline.schema(table)).await.unwrap();
    assert!(audit.is_clean(), "{:?}", audit.faults);
    assert_eq!((audit.foreign, audit.marks), (Vec::new(), 1), "somebody else's is none");
}

#[tokio::test]
#[should_panic(expected = "I18 violated")]
async fn a_mark_that_is_ahead_of_the_watermark_is_not_committed() {
    let (_, store, lake) = bench().await;
    two_hours(&lake).await;
    let mark = publish_by(&lake, &options()).await.completed.remove(0);
    let base = checkpoint::load(&store, "rides").await.unwrap();
    let mut next = base.checkpoint.clone();
    next.generation += 1;
    next.due.push(tripline_lake::event_time::Mark { end_ms: at(126), ..mark });
    let _ = checkpoint::commit(&store, &base, &next).await;
}
