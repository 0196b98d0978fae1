//! Publish: entries become files that readers see whole, once, and in order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use support::bench::{View, dying, open, publish};
use support::*;
use tripline_lake::layout::CHECKPOINT;
use tripline_lake::publish::{FileFormat, PublishOptions};
use tripline_lake::store::{Condition, FaultStore, MemoryStore, ObjectStore, Operation, Put};
use tripline_lake::{FailPoint, Lake, Role};

async fn store_with(world: &World, ranges: &[std::ops::RangeInclusive<u64>]) -> (MemoryStore, Lake) {
    let store = MemoryStore::new(world.clock.clone());
    let lake = open(store.clone(), world).await;
    append(&lake, "shard-0", ranges).await;
    (store, lake)
}

async fn append(lake: &Lake, name: &str, ranges: &[std::ops::RangeInclusive<u64>]) {
    let (journal, pipeline) = (lake.journal(Role::Lake), pipeline());
    for numbers in ranges {
        let records = Records::range(numbers.clone());
        journal.append(&pipeline, &shard(name), &records.borrow(), FAR).await.unwrap();
    }
}

#[tokio::test]
async fn rows_lie_in_their_partition_in_order_of_event_time() {
    let world = world(None);
    let (store, lake) = store_with(&world, &[1..=20, 21..=60]).await;
    let report = publish(&lake).await;
    assert_eq!(report.entries, 2);
    let seen = read_lake(&store).await;
    seen.assert_exactly(60);
    for (key, rows) in &seen.files {
        assert!(rows.is_sorted_by_key(|&(_, at)| at), "{key}: {rows:?}");
        for (ride, at) in rows {
            let zone = ["north", "south", "east"][(ride % 3) as usize];
            let hour = (at - START_MS) / HOUR_MS;
            let folder = format!("ride/area={zone}/hour={hour:02}/part-");
            assert!(key.starts_with(&folder), "ride {ride} is in {key}, not in {folder}…");
        }
    }
}

#[tokio::test]
async fn files_are_the_same_however_many_are_encoded_at_once() {
    let mut published = Vec::new();
    for encodes_at_once in [1, 3] {
        let world = world(None);
        let (store, lake) = store_with(&world, &[1..=40, 41..=90]).await;
        let options = PublishOptions { encodes_at_once, ..PublishOptions::default() };
        let report = lake.publisher(options).run(FAR).await.unwrap();
        assert!(report.files.len() > 3, "{report:?}");
        read_lake(&store).await.assert_exactly(90);
        let mut files = Vec::new();
        for file in &report.files {
            files.push((file.partition.clone(), store.get(&file.key).await.unwrap().unwrap().body));
        }
        published.push(files);
    }
    assert_eq!(published[0], published[1]);
}

#[tokio::test]
async fn a_file_explains_itself_and_can_be_skipped_by_event_time() {
    let world = world(None);
    let (store, lake) = store_with(&world, &[1..=60]).await;
    publish(&lake).await;
    let key = read_lake(&store).await.files.keys().next().unwrap().clone();
    let body = store.get(&key).await.unwrap().unwrap().body;
    let options = parquet::file::serialized_reader::ReadOptionsBuilder::new().with_page_index().build();
    let reader = SerializedFileReader::new_with_options(body, options).unwrap();
    let file = reader.metadata();
    let pairs: std::collections::BTreeMap<_, _> = file
        .file_metadata()
        .key_value_metadata()
        .unwrap()
        .iter()
        .map(|pair| (pair.key.as_str(), pair.value.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(pairs["tripline.pipeline"], "rides");
    assert_eq!(pairs["tripline.table"], "ride");
    assert_eq!(pairs["tripline.schema_version"], "1");
    assert_eq!(pairs["tripline.rows"], file.file_metadata().num_rows().to_string());
    assert!(pairs["tripline.sources"].contains("\"first_entry\":1"), "{}", pairs["tripline.sources"]);
    let group = file.row_group(0);
    let at = group.columns().iter().position(|column| column.column_path().string() == "at").unwrap();
    assert!(group.column(at).statistics().is_some());
    assert!(group.column(at).column_index_offset().is_some(), "page index on event time");
    assert!(group.column(at).offset_index_offset().is_some());
    assert_eq!(group.sorting_columns().unwrap()[0].column_idx, at as i32);
    assert!(matches!(group.column(at).compression(), parquet::basic::Compression::ZSTD(_)));
}

#[tokio::test]
async fn json_lines_hold_the_same_rows() {
    let world = world(None);
    let (store, lake) = store_with(&world, &[1..=20]).await;
    let options = PublishOptions { format: FileFormat::JsonLines, ..PublishOptions::default() };
    lake.publisher(options).run(FAR).await.unwrap();
    let mut rides = BTreeSet::new();
    for object in store.list("ride/", None, 100).await.unwrap() {
        assert!(object.key.ends_with(".json.gz"), "{}", object.key);
        let body = store.get(&object.key).await.unwrap().unwrap().body;
        let mut text = String::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
        for line in text.lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(row["at"].as_str().unwrap().starts_with("2019-03-01T"), "{line}");
            rides.insert(row["ride_id"].as_u64().unwrap());
        }
    }
    assert_eq!(rides, (1..=20).filter(|&number| !is_poison(number)).collect());
    assert_clean(&store).await;
}

#[tokio::test]
async fn nothing_is_visible_before_the_commit() {
    let world = world(None);
    let (store, _) = store_with(&world, &[1..=20]).await;
    let lake = open(store.clone(), &dying(&world, FailPoint::PublishBeforeCommit)).await;
    assert!(lake.publisher(PublishOptions::default()).run(FAR).await.is_err());
    assert!(!store.uploads().is_empty(), "the files are uploaded");
    assert!(read_lake(&store).await.rides.is_empty());
    // The strays are left to the bucket's lifecycle rule; the next run publishes anew.
    publish(&open(store.clone(), &world).await).await;
    read_lake(&store).await.assert_exactly(20);
}

#[tokio::test]
async fn committed_files_become_visible_in_the_next_run_if_the_publisher_dies() {
    let world = world(None);
    let (store, _) = store_with(&world, &[1..=20]).await;
    let lake = open(store.clone(), &dying(&world, FailPoint::PublishAfterCommit)).await;
    assert!(lake.publisher(PublishOptions::default()).run(FAR).await.is_err());
    assert!(read_lake(&store).await.rides.is_empty());
    let audit = assert_clean(&store).await;
    assert!(audit.pending > 0);
    let report = publish(&open(store.clone(), &world).await).await;
    assert_eq!((report.entries, report.files.len() as u64), (0, audit.pending));
    read_lake(&store).await.assert_exactly(20);
}

#[tokio::test]
async fn an_upload_that_expired_is_built_again_from_the_journal() {
    let world = world(None);
    let (store, _) = store_with(&world, &[1..=20, 21..=40]).await;
    let lake = open(store.clone(), &dying(&world, FailPoint::PublishAfterCommit)).await;
    assert!(lake.publisher(PublishOptions::default()).run(FAR).await.is_err());
    for (_, upload) in store.uploads() {
        store.expire_upload(&upload);
    }
    world.clock.advance(30 * 24 * HOUR_MS);
    let report = publish(&open(store.clone(), &world).await).await;
    assert!(report.rebuilt > 0);
    read_lake(&store).await.assert_exactly(40);
    assert_clean(&store).await;
}

#[tokio::test]
async fn of_two_publishers_one_gives_way() {
    let world = world(None);
    let (store, _) = store_with(&world, &[1..=20]).await;
    let fast = open(store.clone(), &world).await;
    // The slow one has read and uploaded when the fast one runs from start to end: at the moment of
    // its commit.
    let slow_store =
        View::of(&store).with_rival(fast, |operation, key| operation == Operation::Put && key == CHECKPOINT);
    let lake = Lake::open(Arc::new(slow_store), world.environment.clone(), &pipeline()).await.unwrap();
    let report = lake.publisher(PublishOptions::default()).run(FAR).await.unwrap();
    assert!(report.gave_way);
    assert_eq!(report.commits, 0);
    read_lake(&store).await.assert_exactly(20);
    assert_clean(&store).await;
    assert!(
        !store.uploads().is_empty(),
        "the loser's uploads are not aborted: nobody can know whose they are"
    );
}

#[tokio::test]
async fn a_commit_whose_reply_is_lost_is_recognised_as_done() {
    let world = world(None);
    let (store, _) = store_with(&world, &[1..=20]).await;
    let faulty = FaultStore::new(store.clone(), |call: &tripline_lake::store::Call| {
        (call.operation == Operation::Put && call.key == "_tripline/checkpoint.json")
            .then_some(tripline_lake::store::Fault::LoseReply)
    });
    let lake = Lake::open(Arc::new(faulty), world.environment.clone(), &pipeline()).await.unwrap();
    let report = publish(&lake).await;
    assert!(!report.gave_way);
    assert_eq!(report.commits, 1);
    read_lake(&store).await.assert_exactly(20);
}

#[tokio::test]
async fn entries_are_deleted_only_when_published_and_older_than_retention() {
    let world = world(None);
    let (store, lake) = store_with(&world, &[1..=5, 6..=10]).await;
    let entries = async || store.list("_journal/", None, 100).await.unwrap().len();
    world.clock.advance(8 * 24 * HOUR_MS);
    append(&lake, "shard-0", &[11..=15]).await;
    assert_eq!(publish(&lake).await.deleted, 2);
    assert_eq!(entries().await, 1, "the young one stays");
    world.clock.advance(7 * 24 * HOUR_MS);
    assert_eq!(publish(&lake).await.deleted, 0);
    world.clock.advance(1);
    assert_eq!(publish(&lake).await.deleted, 1);
    read_lake(&store).await.assert_exactly(15);
    assert_clean(&store).await;
}

#[tokio::test]
async fn a_run_is_bounded_and_commits_what_it_has() {
    let world = world(None);
    let (store, lake) = store_with(&world, &[1..=10, 11..=20, 21..=30, 31..=40]).await;
    append(&lake, "shard-1", &[41..=50, 51..=60]).await;
    let options = PublishOptions { max_raw_bytes: 1, ..PublishOptions::default() };
    let report = lake.publisher(options.clone()).run(0).await.unwrap();
    assert_eq!((report.commits, report.entries, report.more), (1, 1, true));
    assert_clean(&store).await;
    let report = lake.publisher(options).run(FAR).await.unwrap();
    assert_eq!((report.commits, report.entries, report.more), (5, 5, false));
    read_lake(&store).await.assert_exactly(60);
    assert_clean(&store).await;
}

#[tokio::test]
async fn an_unreadable_entry_stops_its_lane_and_no_other() {
    let world = world(None);
    let (store, lake) = store_with(&world, &[1..=5, 6..=10]).await;
    append(&lake, "shard-1", &[11..=20]).await;
    let damaged = store.list("_journal/", None, 100).await.unwrap();
    let damaged =
        damaged.iter().find(|object| object.key.contains("shard-0") && object.key.ends_with('2')).unwrap();
    let mut body = store.get(&damaged.key).await.unwrap().unwrap().body.to_vec();
    let middle = body.len() / 2;
    body[middle] ^= 1;
    let put =
        store.put(&damaged.key, Bytes::from(body), Condition::Matches(damaged.tag.clone())).await.unwrap();
    assert!(matches!(put, Put::Stored { .. }));
    let report = publish(&lake).await;
    assert_eq!(report.stopped.len(), 1);
    assert_eq!((report.stopped[0].entry, report.entries), (2, 2));
    assert!(report.stopped[0].reason.contains("damaged"), "{}", report.stopped[0].reason);
    let rides: Vec<u64> = read_lake(&store).await.rides.into_keys().collect();
    assert_eq!(rides, (1..=20).filter(|n| !is_poison(*n) && !(6..=10).contains(n)).collect::<Vec<_>>());
    assert!(!audit_of(&store).await.is_clean());
}

#[tokio::test]
async fn a_hole_in_a_lane_stops_it() {
    let world = world(None);
    let (store, lake) = store_with(&world, &[1..=3, 4..=6, 8..=10]).await;
    let key = store.list("_journal/", None, 100).await.unwrap()[1].key.clone();
    store.delete(&key).await.unwrap();
    let report = publish(&lake).await;
    assert_eq!((report.entries, report.stopped.len()), (1, 1));
    assert!(report.stopped[0].reason.contains("missing"), "{}", report.stopped[0].reason);
}

#[tokio::test]
async fn rows_of_two_schemas_never_share_a_file() {
    let world = world(None);
    let (store, lake) = store_with(&world, &[1..=6]).await;
    let newer = PIPELINE.replace("schema_version = 1", "schema_version = 2").replace(
        "{ name = \"zone\", type = \"string\" },",
        "{ name = \"zone\", type = \"string\" },\n{ name = \"tip\", type = \"float64\" },",
    );
    let records = Records::range(7..=13);
    let journal = lake.journal(Role::Lake);
    journal.append(&pipeline_from(&newer), &shard("shard-0"), &records.borrow(), FAR).await.unwrap();
    publish(&lake).await;
    read_lake(&store).await.assert_exactly(13);
    assert_clean(&store).await;
}
