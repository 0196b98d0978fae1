//! The store in memory does what every store does, and the doubles around it fail as planned.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod store_conformance;

use std::sync::Arc;

use bytes::Bytes;
use store_conformance::Store;
use tripline_lake::clock::{Clock, ManualClock};
use tripline_lake::store::{
    Call, Completed, Condition, ErrorKind, Fault, FaultStore, MemoryStore, ObjectStore, Operation, Put,
    StoreError,
};

async fn open(_test: &str) -> Option<(Store, ())> {
    Some((Arc::new(MemoryStore::default()), ()))
}

store_conformance::conformance!(open);

#[tokio::test]
async fn times_come_from_the_given_clock() {
    let clock = Arc::new(ManualClock::at(1_000));
    let store = MemoryStore::new(clock.clone());
    let put = store.put("a", Bytes::new(), Condition::Absent).await.unwrap();
    assert_eq!(clock.advance(5), 1_005);
    let Put::Stored { tag } = put else { panic!() };
    assert_eq!(store.head("a").await.unwrap().unwrap().modified_ms, 1_000);
    let _ = store.put("a", Bytes::new(), Condition::Matches(tag)).await.unwrap();
    assert_eq!(store.head("a").await.unwrap().unwrap().modified_ms, clock.now_ms());
}

#[tokio::test]
async fn an_expired_upload_is_gone() {
    let store = MemoryStore::default();
    let id = store.start_upload("a").await.unwrap();
    assert_eq!(store.uploads(), [("a".to_owned(), id.clone())]);
    store.expire_upload(&id);
    assert!(store.upload_part("a", &id, 1, Bytes::new()).await.is_err());
    assert!(store.uploads().is_empty());
}

#[tokio::test]
async fn a_repeated_completion_can_be_answered_in_either_way() {
    for (store, repeated) in [
        (MemoryStore::default(), Completed::Gone),
        (MemoryStore::default().with_repeats_done(), Completed::Done),
    ] {
        let id = store.start_upload("a").await.unwrap();
        let parts = [store.upload_part("a", &id, 1, Bytes::new()).await.unwrap()];
        assert_eq!(store.complete_upload("a", &id, &parts).await.unwrap(), Completed::Done);
        assert_eq!(store.complete_upload("a", &id, &parts).await.unwrap(), repeated);
        store.delete("a").await.unwrap();
        assert_eq!(store.complete_upload("a", &id, &parts).await.unwrap(), Completed::Gone);
    }
}

#[tokio::test]
async fn a_simulation_may_have_small_parts() {
    let store = MemoryStore::default().with_min_part_bytes(1);
    let id = store.start_upload("a").await.unwrap();
    let mut parts = Vec::new();
    for number in 1..=3 {
        parts.push(store.upload_part("a", &id, number, Bytes::from_static(b"x")).await.unwrap());
    }
    assert_eq!(store.complete_upload("a", &id, &parts).await.unwrap(), Completed::Done);
    assert_eq!(store.get("a").await.unwrap().unwrap().body, "xxx");
}

/// Creates three objects, trying once again whatever was not answered.
async fn scenario(store: &dyn ObjectStore) -> Result<(), StoreError> {
    for key in ["1", "2", "3"] {
        for _ in 0..2 {
            match store.put(key, Bytes::from_static(b"x"), Condition::Absent).await {
                Err(error) if error.kind() == ErrorKind::Unknown => continue,
                put => {
                    let _ = put?;
                    break;
                }
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_call_of_a_scenario_can_be_broken_in_every_way() {
    let dry = FaultStore::counting(MemoryStore::default());
    assert_eq!(dry.run(scenario(&dry)).await, Some(Ok(())));
    let calls = dry.calls();
    let first = Call { index: 0, operation: Operation::Put, key: "1".to_owned() };
    assert_eq!((calls.len(), &calls[0]), (3, &first));

    for call in calls {
        for fault in Fault::ALL {
            let memory = MemoryStore::default();
            let broken = FaultStore::breaking(memory.clone(), call.index, fault);
            let ran = broken.run(scenario(&broken)).await;
            assert_eq!(ran.is_none(), fault.is_crash());
            assert_eq!(broken.has_crashed(), fault.is_crash());
            let done = memory.list("", None, 10).await.unwrap().len() as u64;
            let wanted = match fault {
                Fault::CrashBefore => call.index,
                Fault::CrashAfter => call.index + 1,
                Fault::FailBefore | Fault::LoseReply => 3,
            };
            assert_eq!(done, wanted, "{call:?} {fault:?}");
        }
    }
}

#[tokio::test]
async fn nothing_that_a_dead_process_calls_takes_effect() {
    let memory = MemoryStore::default();
    let dead = FaultStore::breaking(memory.clone(), 0, Fault::CrashBefore);
    assert!(dead.run(dead.get("a")).await.is_none());
    let other = dead.clone();
    assert!(dead.run(other.put("a", Bytes::new(), Condition::Absent)).await.is_none());
    assert_eq!(memory.get("a").await.unwrap(), None);
    assert_eq!(dead.calls().len(), 1);
}
