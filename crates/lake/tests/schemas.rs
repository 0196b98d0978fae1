//! Schemas: versions of the columns that fit beside each other work in one lake, others are refused before a row.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use support::bench::View;
use support::*;
use tripline_lake::layout::SCHEMAS;
use tripline_lake::publish::PublishOptions;
use tripline_lake::schemas::{SchemaError, history};
use tripline_lake::store::{Condition, Fault, FaultStore, MemoryStore, ObjectStore, Operation, Put};
use tripline_lake::{Lake, OpenError, Role};
use tripline_model::pipeline::Pipeline;

const ZONE: &str = "{ name = \"zone\", type = \"string\" },";

/// A version with this column after the zone.
fn version(number: u32, column: &str) -> Pipeline {
    let text = PIPELINE.replace("schema_version = 1", &format!("schema_version = {number}"));
    pipeline_from(&text.replace(ZONE, &format!("{ZONE}\n{column}")))
}

fn with_tip(number: u32, kind: &str) -> Pipeline {
    version(number, &format!("{{ name = \"tip\", type = \"{kind}\" }},"))
}

async fn open(
    world: &World,
    store: impl ObjectStore + 'static,
    pipeline: &Pipeline,
) -> Result<Lake, OpenError> {
    Lake::open(Arc::new(store), world.environment.clone(), pipeline).await
}

async fn versions(store: &MemoryStore) -> Vec<u32> {
    history(store).await.unwrap().versions.iter().map(|known| known.definition.version).collect()
}

async fn append(lake: &Lake, pipeline: &Pipeline, shard_name: &str, numbers: std::ops::RangeInclusive<u64>) {
    let records = Records::range(numbers);
    lake.journal(Role::Lake).append(pipeline, &shard(shard_name), &records.borrow(), FAR).await.unwrap();
}

#[tokio::test]
async fn versions_that_fit_work_side_by_side_without_a_stop() {
    let world = world(None);
    let store = MemoryStore::new(world.clock.clone());
    let (old, new) = (pipeline(), with_tip(2, "float64"));
    let before = open(&world, store.clone(), &old).await.unwrap();
    append(&before, &old, "shard-0", 1..=5).await;
    let after = open(&world, store.clone(), &new).await.unwrap();
    append(&after, &new, "shard-0", 4..=9).await;
    // A function that was not replaced yet goes on, and so does one that starts with the old columns.
    append(&before, &old, "shard-0", 8..=12).await;
    let late = open(&world, store.clone(), &old).await.unwrap();
    append(&late, &old, "shard-0", 12..=16).await;
    assert_eq!(versions(&store).await, [1, 2]);
    for publisher in [&before, &after] {
        publisher.publisher(PublishOptions::default()).run(FAR).await.unwrap();
    }
    read_lake(&store).await.assert_exactly(16);
    assert_clean(&store).await;
}

#[tokio::test]
async fn a_version_that_does_not_fit_is_refused_before_anything_is_written() {
    let world = world(None);
    let store = MemoryStore::new(world.clock.clone());
    open(&world, store.clone(), &with_tip(1, "int32")).await.unwrap();
    let before = store.list("", None, 100).await.unwrap();
    let refused = [
        (with_tip(2, "string"), "ride.tip changed from int32 to string"),
        (with_tip(1, "int64"), "raise schema_version"),
    ];
    for (pipeline, told) in refused {
        let error = open(&world, store.clone(), &pipeline).await.unwrap_err();
        assert!(matches!(error, OpenError::Schema(SchemaError::Refused { .. })), "{error:?}");
        assert!(error.to_string().contains(told), "{error}");
    }
    assert_eq!(store.list("", None, 100).await.unwrap(), before);
}

/// What opening with `mine` comes to where `other` opens the lake just before the first write.
async fn behind(
    world: &World,
    store: &MemoryStore,
    mine: &Pipeline,
    other: Pipeline,
) -> Result<(), OpenError> {
    let (rival_world, rival_store) = (world.clone(), store.clone());
    let rival = Arc::new(other);
    let ran = AtomicBool::new(false);
    let view = View::of(store).before(move |operation, key| {
        if operation != Operation::Put || key != SCHEMAS || ran.swap(true, Ordering::SeqCst) {
            return None;
        }
        let (world, store, rival) = (rival_world.clone(), rival_store.clone(), Arc::clone(&rival));
        Some(Box::pin(async move { drop(open(&world, store, &rival).await.unwrap()) }))
    });
    open(world, view, mine).await.map(drop)
}

#[tokio::test]
async fn of_two_versions_that_start_at_once_and_do_not_fit_the_second_is_refused() {
    let world = world(None);
    let store = MemoryStore::new(world.clock.clone());
    open(&world, store.clone(), &pipeline()).await.unwrap();
    let refused = behind(&world, &store, &with_tip(2, "string"), with_tip(3, "bool")).await;
    assert!(matches!(refused, Err(OpenError::Schema(SchemaError::Refused { .. }))), "{refused:?}");
    assert_eq!(versions(&store).await, [1, 3]);
}

#[tokio::test]
async fn of_two_versions_that_start_at_once_and_fit_both_are_known() {
    let world = world(None);
    let store = MemoryStore::new(world.clock.clone());
    // The second creates the object, too.
    store_without_schemas(&world, &store).await;
    behind(&world, &store, &with_tip(2, "int32"), pipeline()).await.unwrap();
    behind(&world, &store, &with_tip(3, "int64"), with_tip(4, "int64")).await.unwrap();
    assert_eq!(versions(&store).await, [1, 2, 3, 4]);
}

/// A lake as versions of Tripline left it that kept no history.
async fn store_without_schemas(world: &World, store: &MemoryStore) {
    open(world, store.clone(), &pipeline()).await.unwrap();
    store.delete(SCHEMAS).await.unwrap();
}

#[tokio::test]
async fn a_reply_that_is_lost_leaves_the_version_known_once() {
    let world = world(None);
    let store = MemoryStore::new(world.clock.clone());
    open(&world, store.clone(), &pipeline()).await.unwrap();
    let counting = FaultStore::counting(store.clone());
    open(&world, counting.clone(), &with_tip(2, "int32")).await.unwrap();
    let put = counting.calls().iter().position(|call| call.operation == Operation::Put).unwrap();
    for (number, fault) in (3..).zip([Fault::FailBefore, Fault::LoseReply]) {
        let faulty = FaultStore::breaking(store.clone(), put as u64, fault);
        open(&world, faulty, &with_tip(number, "int32")).await.unwrap();
    }
    assert_eq!(versions(&store).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_known_version_costs_one_read_more_than_the_signature() {
    let world = world(None);
    let store = MemoryStore::new(world.clock.clone());
    open(&world, store.clone(), &pipeline()).await.unwrap();
    let counting = FaultStore::counting(store.clone());
    open(&world, counting.clone(), &pipeline()).await.unwrap();
    let operations: Vec<Operation> = counting.calls().iter().map(|call| call.operation).collect();
    assert_eq!(operations, [Operation::Get, Operation::Get]);
}

#[tokio::test]
async fn a_history_that_cannot_be_read_is_told_with_what_to_do() {
    let world = world(None);
    let store = MemoryStore::new(world.clock.clone());
    open(&world, store.clone(), &pipeline()).await.unwrap();
    for body in ["{", "{\"format\": 2, \"versions\": []}"] {
        let tag = store.head(SCHEMAS).await.unwrap().unwrap().tag;
        let put = store.put(SCHEMAS, Bytes::from(body), Condition::Matches(tag)).await.unwrap();
        assert!(matches!(put, Put::Stored { .. }));
        let error = open(&world, store.clone(), &pipeline()).await.unwrap_err().to_string();
        assert!(error.contains(SCHEMAS) && error.contains("restore the object"), "{error}");
    }
    store.delete(SCHEMAS).await.unwrap();
    open(&world, store.clone(), &pipeline()).await.unwrap();
    assert_eq!(versions(&store).await, [1]);
}
