//! Death at every step: after any crash, lost reply or failed call, at any point of append and
//! publish, recovery leaves each record in the lake exactly once, and no reader ever sees one twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use support::hours::{HOURLY, options};
use support::*;
use tripline_lake::environment::Crash;
use tripline_lake::journal::{Journal, JournalError};
use tripline_lake::publish::PublishError;
use tripline_lake::store::{Fault, FaultStore, FolderStore, MemoryStore, ObjectStore};
use tripline_lake::{FailPoint, Lake, Role};

#[derive(Clone, Debug)]
enum Step {
    /// The mapping delivers these records, and delivers them again until it is told they are in.
    Deliver(std::ops::RangeInclusive<u64>),
    /// Another function instance, with a tail that it remembers, commits these in between.
    Compete(std::ops::RangeInclusive<u64>),
    Publish,
    /// A publisher dies right after its commit; the uploads it left expire.
    LoseUploads,
    /// Longer than retention passes.
    Wait,
}

const LAST: u64 = 30;

fn scenario() -> Vec<Step> {
    use Step::{Compete, Deliver, LoseUploads, Publish, Wait};
    vec![
        Deliver(1..=4),
        Deliver(1..=4),
        Deliver(3..=9),
        Publish,
        Deliver(8..=11),
        Compete(12..=14),
        Deliver(12..=15),
        Deliver(16..=20),
        Publish,
        Wait,
        Deliver(18..=24),
        LoseUploads,
        Publish,
        Wait,
        Publish,
        Deliver(25..=30),
        Publish,
    ]
}

/// One process: dropped when it dies, with everything it remembers.
struct Process<'a, S: ObjectStore + Clone> {
    store: FaultStore<S>,
    lake: Option<(Lake, Journal)>,
    world: &'a World,
}

/// The process is gone; what it was doing must be done again.
struct Died;

impl<S: ObjectStore + Clone> Process<'_, S> {
    async fn lake(&mut self) -> Result<&(Lake, Journal), Died> {
        if self.lake.is_none() {
            let pipeline = pipeline_from(HOURLY);
            let open = Lake::open(Arc::new(self.store.clone()), self.world.environment.clone(), &pipeline);
            let lake = self.store.run(open).await.ok_or(Died)?.expect("the lake opens");
            let journal = lake.journal(Role::Lake);
            self.lake = Some((lake, journal));
        }
        Ok(self.lake.as_ref().expect("just opened"))
    }

    async fn deliver(&mut self, numbers: std::ops::RangeInclusive<u64>) -> Result<(), Died> {
        let pipeline = pipeline_from(HOURLY);
        let records = Records::range(numbers);
        let store = self.store.clone();
        let (_, journal) = self.lake().await?;
        let (origin, borrowed) = (shard("shard-0"), records.borrow());
        match store.run(journal.append(&pipeline, &origin, &borrowed, FAR)).await {
            Some(Ok(_)) => Ok(()),
            None | Some(Err(JournalError::Crash(Crash(_)))) => Err(Died),
            Some(Err(error)) => panic!("{error}"),
        }
    }

    async fn publish(&mut self) -> Result<(), Died> {
        let store = self.store.clone();
        let (lake, _) = self.lake().await?;
        let publisher = lake.publisher(options());
        match store.run(publisher.run(FAR)).await {
            Some(Ok(report)) => {
                assert!(report.stopped.is_empty(), "{:?}", report.stopped);
                Ok(())
            }
            None | Some(Err(PublishError::Crash(Crash(_)))) => Err(Died),
            Some(Err(error)) => panic!("{error}"),
        }
    }
}

/// A store whose started uploads can be made to expire.
trait Expire: ObjectStore + Clone {
    fn expire_uploads(&self);
}

impl Expire for MemoryStore {
    fn expire_uploads(&self) {
        for (_, upload) in self.uploads() {
            self.expire_upload(&upload);
        }
    }
}

#[derive(Clone, Debug)]
struct Folder(Arc<FolderStore>, std::path::PathBuf);

macro_rules! delegate {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $result:ty;)+) => {
        #[async_trait::async_trait]
        impl ObjectStore for Folder {
            $(async fn $name(&self, $($argument: $kind),*) -> Result<$result, tripline_lake::store::StoreError> {
                self.0.$name($($argument),*).await
            })+
            fn location(&self) -> String { self.0.location() }
        }
    };
}

delegate! {
    get(key: &str) -> Option<tripline_lake::store::Object>;
    head(key: &str) -> Option<tripline_lake::store::ObjectMeta>;
    put(key: &str, body: bytes::Bytes, condition: tripline_lake::store::Condition) -> tripline_lake::store::Put;
    delete(key: &str) -> ();
    list(prefix: &str, start_after: Option<&str>, limit: usize) -> Vec<tripline_lake::store::ObjectMeta>;
    list_folders(prefix: &str) -> Vec<String>;
    start_upload(key: &str) -> String;
    upload_part(key: &str, upload: &str, number: u16, body: bytes::Bytes) -> String;
    complete_upload(key: &str, upload: &str, parts: &[String]) -> tripline_lake::store::Completed;
}

impl Expire for Folder {
    fn expire_uploads(&self) {
        let _ = std::fs::remove_dir_all(self.1.join("_tripline/uploads"));
    }
}

/// Plays the scenario with a first process behind `plan`; whoever dies is followed by a fresh one.
/// Returns the calls that the first process made.
async fn play<S: Expire>(store: &S, faulty: FaultStore<S>, world: &World) -> usize {
    let mut process = Process { store: faulty.clone(), lake: None, world };
    let mut rival = None;
    for step in scenario() {
        loop {
            let done = match &step {
                Step::Deliver(numbers) => process.deliver(numbers.clone()).await,
                Step::Publish => process.publish().await,
                Step::Compete(numbers) => {
                    let rival = rival.get_or_insert(Process {
                        store: FaultStore::counting(store.clone()),
                        lake: None,
                        world,
                    });
                    rival.deliver(numbers.clone()).await
                }
                Step::LoseUploads => lose_uploads(store, world).await,
                Step::Wait => {
                    world.clock.advance(8 * 24 * HOUR_MS);
                    Ok(())
                }
            };
            read_lake(store).await.assert_at_most_once();
            if done.is_ok() {
                break;
            }
            process = Process { store: FaultStore::counting(store.clone()), lake: None, world };
        }
    }
    let fresh = || Process { store: FaultStore::counting(store.clone()), lake: None, world };
    while fresh().publish().await.is_err() {}
    read_lake(store).await.assert_exactly(LAST);
    let audit = assert_clean(store).await;
    assert_eq!((audit.pending, audit.marks), (0, 2));
    assert!(audit.foreign.is_empty(), "{:?}", audit.foreign);
    faulty.calls().len()
}

async fn lose_uploads<S: Expire>(store: &S, world: &World) -> Result<(), Died> {
    let mut environment = world.environment.clone();
    environment.mishaps =
        Arc::new(DieAt { at: Some((FailPoint::PublishAfterCommit, 1)), ..DieAt::default() });
    let dying = World { environment, ..world.clone() };
    let mut process = Process { store: FaultStore::counting(store.clone()), lake: None, world: &dying };
    let _ = process.publish().await;
    store.expire_uploads();
    Ok(())
}

fn memory(world: &World) -> MemoryStore {
    MemoryStore::new(world.clock.clone())
}

#[tokio::test(start_paused = true)]
async fn every_store_call_may_fail_lose_its_reply_or_kill_the_process() {
    let calm = world(None);
    let store = memory(&calm);
    let calls = play(&store, FaultStore::counting(store.clone()), &calm).await;
    assert!(calls > 50, "the scenario makes {calls} calls");
    for fault in Fault::ALL {
        for call in 0..calls as u64 {
            let world = world(None);
            let store = memory(&world);
            play(&store, FaultStore::breaking(store.clone(), call, fault), &world).await;
        }
    }
    println!("{} faulty runs of {calls} calls", calls * Fault::ALL.len());
}

#[tokio::test(start_paused = true)]
async fn every_named_point_may_be_the_last_of_a_process() {
    let calm = world(None);
    let store = memory(&calm);
    play(&store, FaultStore::counting(store.clone()), &calm).await;
    let visits = calm.mishaps.visits.lock().unwrap().clone();
    let reached: BTreeSet<FailPoint> = visits.keys().copied().collect();
    assert_eq!(reached, FailPoint::ALL.iter().copied().collect(), "the scenario visits every point");
    for (point, visits) in visits {
        for visit in 1..=visits {
            let world = world(Some((point, visit)));
            let store = memory(&world);
            play(&store, FaultStore::counting(store.clone()), &world).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_folder_survives_the_same_deaths() {
    let calls = {
        let (world, folder) = (world(None), tempfile::tempdir().unwrap());
        let store = Folder(Arc::new(FolderStore::new(folder.path()).unwrap()), folder.path().to_owned());
        play(&store, FaultStore::counting(store.clone()), &world).await
    };
    // Crashes only, and not at every call: what the walk in memory shows of the protocol need not be
    // shown twice, that the folder's own steps leave nothing behind does.
    for call in (0..calls as u64).step_by(3) {
        let fault = if call % 2 == 0 { Fault::CrashAfter } else { Fault::CrashBefore };
        let (world, folder) = (world(None), tempfile::tempdir().unwrap());
        let store = Folder(Arc::new(FolderStore::new(folder.path()).unwrap()), folder.path().to_owned());
        play(&store, FaultStore::breaking(store.clone(), call, fault), &world).await;
    }
}
