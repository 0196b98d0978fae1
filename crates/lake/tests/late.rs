//! Rows of hours that are complete already: into their partition all the same, or into a table of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use support::bench::*;
use support::hours::*;
use support::*;
use tripline_lake::publish::{FileFormat, PublishOptions};
use tripline_lake::store::MemoryStore;
use tripline_lake::{FailPoint, Lake};

/// Hours 0 and 1 are complete: the watermark is at minute 125.
async fn past_two_hours() -> (World, MemoryStore, Lake) {
    let (world, store, lake) = bench().await;
    deliver(&lake, &shard("shard-0"), &[(1, 10), (2, 70), (3, 130), (4, 185)]).await;
    publish_by(&lake, &options()).await;
    (world, store, lake)
}

#[tokio::test]
async fn late_rows_are_appended_counted_and_announced() {
    let (_, store, lake) = past_two_hours().await;
    // Ride 7 is behind the watermark too, but its hour is not over.
    deliver(&lake, &shard("shard-0"), &[(5, 15), (6, 100), (7, 121), (8, 240)]).await;
    let report = publish_by(&lake, &options()).await;
    assert_eq!((report.late_rows, report.lateness_max_ms), (2, Some(110 * MINUTE_MS)));
    let completed: Vec<_> = report.completed.iter().map(|mark| mark.partition.as_str()).collect();
    assert_eq!(completed, [hour(0), hour(1), hour(2)]);
    assert_eq!(rides_below(&store, &format!("ride/{}", hour(0))).await, [1, 5]);
    assert_eq!((marked(&store, 0).await, marked(&store, 1).await), (Some((2, 2, 1)), Some((2, 2, 1))));
    assert_eq!(marked(&store, 2).await, Some((2, 2, 0)), "complete for the first time, with nothing late");
    assert_hours_clean(&store).await;
}

#[tokio::test]
async fn late_rows_are_diverted_into_a_table_of_the_same_layout() {
    let (_, store, lake) = past_two_hours().await;
    let before = bodies(&store, "ride/").await;
    deliver(&lake, &shard("shard-0"), &[(5, 15), (6, 100), (7, 121)]).await;
    deliver(&lake, &shard("shard-1"), &[(8, 16)]).await;
    let report = publish_by(&lake, &diverting()).await;
    assert_eq!((report.late_rows, report.completed.len()), (3, 0));
    assert_eq!(rides_below(&store, &format!("ride_late/{}", hour(0))).await, [5, 8]);
    assert_eq!(rides_below(&store, &format!("ride_late/{}", hour(1))).await, [6]);
    assert_eq!(rides_below(&store, "ride").await, [1, 2, 3, 4, 7]);
    let after = bodies(&store, "ride/").await;
    let changed: Vec<_> = before.iter().filter(|(key, body)| after.get(*key) != Some(*body)).collect();
    assert!(changed.is_empty(), "complete hours stay as they are, their marks too: {changed:?}");
    let audit = assert_hours_clean(&store).await;
    assert_eq!(audit.tables["ride_late"].found.rows, 3);
}

#[tokio::test]
async fn a_row_is_late_by_the_checkpoint_on_which_its_commit_is_built() {
    let (_, store, lake) = bench().await;
    // The same commit takes the row in and passes its hour.
    deliver(&lake, &shard("shard-0"), &[(1, 300), (2, 10)]).await;
    let report = publish_by(&lake, &diverting()).await;
    assert_eq!((report.late_rows, report.completed.len()), (0, 1));
    assert_eq!(marked(&store, 0).await, Some((1, 1, 0)));
    deliver(&lake, &shard("shard-0"), &[(3, 10)]).await;
    assert_eq!(publish_by(&lake, &diverting()).await.late_rows, 1);
    assert_hours_clean(&store).await;
}

/// Late rows of two shards and rows of a back-fill for the same hour, published: as they should be, or with every
/// upload lost after the commit and the policy changed since.
async fn diverted(lose: bool) -> std::collections::BTreeMap<String, bytes::Bytes> {
    let (world, store, lake) = past_two_hours().await;
    deliver(&lake, &shard("shard-0"), &[(5, 15), (6, 240)]).await;
    deliver(&lake, &archive(), &[(7, 16), (8, 75)]).await;
    deliver(&lake, &shard("shard-1"), &[(9, 17), (10, 90)]).await;
    if lose {
        let dying = open(store.clone(), &dying(&world, FailPoint::PublishAfterCommit)).await;
        dying.publisher(diverting()).run(FAR).await.unwrap_err();
        expire_uploads(&store);
        assert!(publish_by(&lake, &options()).await.rebuilt > 3);
    } else {
        publish_by(&lake, &diverting()).await;
    }
    assert_eq!(rides_below(&store, &format!("ride/{}", hour(0))).await, [1, 7]);
    assert_eq!(rides_below(&store, "ride_late").await, [5, 9, 10]);
    assert_eq!(marked(&store, 0).await, Some((2, 2, 0)));
    assert_hours_clean(&store).await;
    bodies(&store, "ride").await
}

#[tokio::test]
async fn a_lost_file_of_late_rows_is_built_again_as_it_was_whatever_the_policy_is_now() {
    let (again, first) = (diverted(true).await, diverted(false).await);
    let differ: Vec<_> = first.iter().filter(|(key, body)| again.get(*key) != Some(*body)).collect();
    assert!(differ.is_empty() && again.len() == first.len(), "{differ:?}");
}

#[tokio::test]
async fn diverted_json_lines_are_audited_like_others() {
    let (_, store, lake) = bench().await;
    let json = PublishOptions { format: FileFormat::JsonLines, ..diverting() };
    deliver(&lake, &shard("shard-0"), &[(1, 10), (2, 185)]).await;
    publish_by(&lake, &json).await;
    deliver(&lake, &shard("shard-0"), &[(3, 20)]).await;
    assert_eq!(publish_by(&lake, &json).await.late_rows, 1);
    let audit = assert_hours_clean(&store).await;
    assert_eq!(audit.tables["ride_late"].found.rows, 1);
}

#[tokio::test]
async fn an_audit_misses_a_late_row_that_is_gone() {
    let (_, store, lake) = past_two_hours().await;
    deliver(&lake, &shard("shard-0"), &[(5, 15)]).await;
    publish_by(&lake, &diverting()).await;
    for key in bodies(&store, "ride_late/").await.into_keys() {
        tripline_lake::store::ObjectStore::delete(&store, &key).await.unwrap();
    }
    let pipeline = pipeline_from(HOURLY);
    let audit = tripline_lake::audit::audit(&store, "rides", &|table| pipeline.schema(table)).await.unwrap();
    let about_late = audit.faults.iter().all(|fault| fault.contains("ride_late") && fault.contains("(I1)"));
    assert!(audit.faults.len() == 2 && about_late, "{:?}", audit.faults);
}
