//! The protocol's edges: what two processes, a paused one, a store that errs or a clock that lies can
//! do to it between any two calls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use support::*;
use tripline_lake::checkpoint;
use tripline_lake::clock::ManualClock;
use tripline_lake::journal::{Appended, Journal, JournalError, MIN_RETENTION, TAIL_AGE};
use tripline_lake::layout::entry_key;
use tripline_lake::publish::{FileFormat, PublishError, PublishOptions, PublishReport};
use tripline_lake::store::{
    Call, Completed, Condition, ErrorKind, Fault, FaultStore, MemoryStore, Object, ObjectMeta, ObjectStore,
    Operation, Put, StoreError,
};
use tripline_lake::{FailPoint, Lake, Lane, Role};
use tripline_model::source::{Payload, Position, SourceRecord};

const DAY_MS: i64 = 24 * HOUR_MS;

type Before = Arc<dyn Fn(Operation, &str) -> Option<BoxFuture<'static, ()>> + Send + Sync>;
type Bend<T> = Arc<dyn Fn(&str, T) -> T + Send + Sync>;

/// A process's own view of a shared store: something else may happen before any of its calls, and
/// some answers may be bent.
#[derive(Clone)]
struct View {
    inner: MemoryStore,
    before: Before,
    put: Option<Bend<Put>>,
    list: Option<Bend<Vec<ObjectMeta>>>,
    head: Option<Bend<Option<ObjectMeta>>>,
    /// Key that this process may not read.
    denied: Option<String>,
}

impl View {
    fn of(inner: &MemoryStore) -> Self {
        let before: Before = Arc::new(|_, _| None);
        Self { inner: inner.clone(), before, put: None, list: None, head: None, denied: None }
    }

    fn before(
        self,
        hook: impl Fn(Operation, &str) -> Option<BoxFuture<'static, ()>> + Send + Sync + 'static,
    ) -> Self {
        Self { before: Arc::new(hook), ..self }
    }

    /// Lets a publisher run from start to end before the first call for which `when` holds.
    fn with_rival(self, rival: Lake, when: impl Fn(Operation, &str) -> bool + Send + Sync + 'static) -> Self {
        let ran = AtomicBool::new(false);
        self.before(move |operation, key| {
            if !when(operation, key) || ran.swap(true, Ordering::SeqCst) {
                return None;
            }
            let rival = rival.clone();
            Some(Box::pin(async move {
                publish(&rival).await;
            }))
        })
    }

    async fn call(&self, operation: Operation, key: &str) {
        // A moment at which time-outs and other tasks have their turn, as with any real store.
        tokio::task::yield_now().await;
        if let Some(other) = (self.before)(operation, key) {
            other.await;
        }
    }
}

impl fmt::Debug for View {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("View")
    }
}

#[async_trait::async_trait]
impl ObjectStore for View {
    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        self.call(Operation::Get, key).await;
        if self.denied.as_deref() == Some(key) {
            return Err(StoreError::new(ErrorKind::Denied, "read", key, "it is archived", "restore it"));
        }
        self.inner.get(key).await
    }
    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        self.call(Operation::Head, key).await;
        let found = self.inner.head(key).await?;
        Ok(self.head.as_ref().map_or(found.clone(), |bend| bend(key, found)))
    }
    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, StoreError> {
        self.call(Operation::Put, key).await;
        let answer = self.inner.put(key, body, condition).await?;
        Ok(self.put.as_ref().map_or(answer.clone(), |bend| bend(key, answer)))
    }
    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.call(Operation::Delete, key).await;
        self.inner.delete(key).await
    }
    async fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        self.call(Operation::List, prefix).await;
        let found = self.inner.list(prefix, start_after, limit).await?;
        Ok(self.list.as_ref().map_or(found.clone(), |bend| bend(prefix, found)))
    }
    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.call(Operation::ListFolders, prefix).await;
        self.inner.list_folders(prefix).await
    }
    async fn start_upload(&self, key: &str) -> Result<String, StoreError> {
        self.call(Operation::StartUpload, key).await;
        self.inner.start_upload(key).await
    }
    async fn upload_part(
        &self,
        key: &str,
        upload: &str,
        number: u16,
        body: Bytes,
    ) -> Result<String, StoreError> {
        self.call(Operation::UploadPart, key).await;
        self.inner.upload_part(key, upload, number, body).await
    }
    async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
    ) -> Result<Completed, StoreError> {
        self.call(Operation::CompleteUpload, key).await;
        self.inner.complete_upload(key, upload, parts).await
    }
    fn location(&self) -> String {
        self.inner.location()
    }
}

async fn open(store: impl ObjectStore, world: &World) -> Lake {
    Lake::open(Arc::new(store), world.environment.clone(), "rides").await.unwrap()
}

async fn bench() -> (World, MemoryStore, Lake) {
    let world = world(None);
    let store = MemoryStore::new(world.clock.clone());
    let lake = open(store.clone(), &world).await;
    (world, store, lake)
}

async fn append_to(
    journal: &Journal,
    name: &str,
    numbers: RangeInclusive<u64>,
) -> Result<Appended, JournalError> {
    let records = Records::range(numbers);
    journal.append(&pipeline(), &shard(name), &records.borrow(), FAR).await
}

async fn append(lake: &Lake, numbers: RangeInclusive<u64>) -> Appended {
    append_to(&lake.journal(Role::Lake), "shard-0", numbers).await.unwrap()
}

async fn publish(lake: &Lake) -> PublishReport {
    lake.publisher(PublishOptions::default()).run(FAR).await.unwrap()
}

/// A world in which a process dies at a point.
fn dying(world: &World, point: FailPoint) -> World {
    let mut environment = world.environment.clone();
    environment.mishaps = Arc::new(DieAt { at: Some((point, 1)), ..DieAt::default() });
    World { environment, ..world.clone() }
}

async fn die_at(point: FailPoint, store: &MemoryStore, world: &World) {
    let lake = open(store.clone(), &dying(world, point)).await;
    lake.publisher(PublishOptions::default()).run(FAR).await.unwrap_err();
}

fn expire_uploads(store: &MemoryStore) {
    for (_, upload) in store.uploads() {
        store.expire_upload(&upload);
    }
}

fn folder(name: &str) -> String {
    Lane::new("rides", Role::Lake, &shard(name)).folder()
}

async fn bodies(store: &MemoryStore, prefix: &str) -> BTreeMap<String, Bytes> {
    let mut found = BTreeMap::new();
    for object in store.list(prefix, None, 1000).await.unwrap() {
        found.insert(object.key.clone(), store.get(&object.key).await.unwrap().unwrap().body);
    }
    found
}

// Append.

#[tokio::test]
async fn a_look_up_that_a_publisher_overtakes_never_uses_a_number_again() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=9).await;
    // Nobody has published for longer than retention: entries are deleted as soon as they are
    // published, here between the look-up's reading of the checkpoint and its listing.
    world.clock.advance(8 * DAY_MS);
    let view = View::of(&store).with_rival(lake.clone(), |operation, key| {
        operation == Operation::List && key.starts_with("_journal/")
    });
    let appended = append(&open(view, &world).await, 8..=12).await;
    assert_eq!((appended.entry, appended.duplicates), (Some(2), 2));
    assert!(store.head(&entry_key(&folder("shard-0"), 1)).await.unwrap().is_none(), "the rival swept");
    publish(&lake).await;
    read_lake(&store).await.assert_exactly(12);
    assert_clean(&store).await;
}

#[tokio::test]
async fn a_number_that_was_taken_and_is_gone_leads_to_another_look_up() {
    let (world, store, lake) = bench().await;
    // This writer's clock stands still, so its tail stays young for ever.
    let mut stuck = world.clone();
    stuck.environment.clock = Arc::new(ManualClock::at(START_MS + HOUR_MS));
    let view = View::of(&store).with_rival(lake.clone(), |operation, key| {
        operation == Operation::Get && key.ends_with("/00000000000000000002")
    });
    let sleeper = open(view, &stuck).await.journal(Role::Lake);
    append_to(&sleeper, "shard-0", 1..=3).await.unwrap();
    append(&lake, 4..=6).await;
    world.clock.advance(8 * DAY_MS);
    // Number 2 is refused and then swept before it is read.
    let woken = append_to(&sleeper, "shard-0", 4..=9).await.unwrap();
    assert_eq!((woken.entry, woken.duplicates, woken.puts), (Some(3), 3, 2));
    publish(&lake).await;
    read_lake(&store).await.assert_exactly(9);
    assert_clean(&store).await;
}

#[tokio::test]
async fn a_number_that_is_refused_and_never_there_is_not_tried_for_ever() {
    let (world, store, _) = bench().await;
    let mut view = View::of(&store);
    view.put = Some(Arc::new(|key, answer| if key.starts_with("_journal/") { Put::Refused } else { answer }));
    let hidden = store.clone();
    let view = view.before(move |operation, key| {
        let (store, key) = (hidden.clone(), key.to_owned());
        let take = operation == Operation::Get && key.starts_with("_journal/");
        take.then(|| Box::pin(async move { store.delete(&key).await.unwrap() }) as BoxFuture<'static, ()>)
    });
    let lake = open(view, &world).await;
    let journal = lake.journal(Role::Lake);
    let result = tokio::time::timeout(Duration::from_secs(5), append_to(&journal, "shard-0", 1..=3)).await;
    let error = result.expect("it gives up").unwrap_err();
    assert!(matches!(error, JournalError::Vanished { .. }), "{error}");
}

#[tokio::test]
async fn a_slow_look_up_makes_the_tail_older() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=3).await;
    let (clock, look_ups) = (world.clock.clone(), Arc::new(AtomicU64::new(0)));
    let counted = look_ups.clone();
    let view = View::of(&store).before(move |operation, key| {
        // Its first reading.
        if operation == Operation::Get && key == "_tripline/checkpoint.json" {
            counted.fetch_add(1, Ordering::SeqCst);
            clock.advance(i64::try_from(TAIL_AGE.as_millis()).unwrap() - 1);
        }
        None
    });
    let lake = open(view, &world).await;
    let journal = lake.journal(Role::Lake);
    look_ups.store(0, Ordering::SeqCst);
    // Nothing is new, so that the tail is as old as its look-up.
    for (pass, wanted) in [(0, 1), (0, 1), (1, 2)] {
        world.clock.advance(pass);
        append_to(&journal, "shard-0", 1..=3).await.unwrap();
        assert_eq!(look_ups.load(Ordering::SeqCst), wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_put_is_not_repeated_after_the_deadline_by_wall_clock() {
    let (world, store, _) = bench().await;
    // The process is frozen for an hour while its first PUT fails; monotonic time stands still.
    let clock = world.clock.clone();
    let frozen = FaultStore::new(store.clone(), move |call: &Call| {
        (call.operation == Operation::Put && call.key.starts_with("_journal/")).then(|| {
            clock.advance(HOUR_MS);
            Fault::FailBefore
        })
    });
    let lake = open(frozen.clone(), &world).await;
    let records = Records::range(1..=3);
    let deadline = START_MS + HOUR_MS + 60_000;
    let journal = lake.journal(Role::Lake);
    let result = journal.append(&pipeline(), &shard("shard-0"), &records.borrow(), deadline).await;
    assert!(matches!(result, Err(JournalError::Deadline { .. })), "{result:?}");
    let put = |call: &&Call| call.operation == Operation::Put && call.key.starts_with("_journal/");
    assert_eq!(frozen.calls().iter().filter(put).count(), 1);
}

#[tokio::test]
async fn a_batch_of_more_partitions_than_an_entry_can_have_becomes_several_entries() {
    let (_, store, lake) = bench().await;
    let by_number = pipeline_from(&PIPELINE.replace("field = \"zone\"", "field = \"ride_id\""));
    let last = 65_600;
    let payloads = (1..=last).map(|n| (n, format!(r#"{{"ride_id":{n},"at":{START_MS},"type":"ride"}}"#)));
    let records = Records::from(payloads.map(|(n, text)| (n, text.into_bytes())).collect());
    let append = async || {
        let journal = lake.journal(Role::Lake);
        journal.append(&by_number, &shard("shard-0"), &records.borrow(), FAR).await.unwrap()
    };
    let appended = append().await;
    assert_eq!((appended.entry, appended.puts), (Some(2), 2));
    assert_eq!((appended.counts.records, appended.counts.rows, appended.duplicates), (last, last, 0));
    let again = append().await;
    assert_eq!((again.entry, again.counts.records, again.duplicates), (None, 0, last));
    assert_eq!(store.list("_journal/", None, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn concurrent_invocations_of_one_process_commit_each_record_once() {
    let (world, store, _) = bench().await;
    // Behind a store that yields, so that they interleave at every call.
    let lake = open(FaultStore::counting(store.clone()), &world).await;
    let journal = lake.journal(Role::Lake);
    let ranges = [1..=20, 1..=5, 6..=20, 4..=12, 1..=20];
    let appends = ranges.map(|numbers| append_to(&journal, "shard-0", numbers));
    for appended in futures_util::future::join_all(appends).await {
        appended.unwrap();
    }
    append_to(&journal, "shard-0", 1..=20).await.unwrap();
    publish(&lake).await;
    read_lake(&store).await.assert_exactly(20);
    assert_clean(&store).await;
}

#[tokio::test]
async fn positions_compare_as_integers_however_many_digits_they_have() {
    let (_, store, lake) = bench().await;
    let sequences =
        ["9", "10", "99", "100", &format!("4{}", "9".repeat(55)), &format!("1{}", "0".repeat(56))];
    let payloads: Vec<Vec<u8>> = [1, 2, 3, 4, 5, 6].map(payload).into();
    let records: Vec<SourceRecord<'_>> = sequences
        .iter()
        .zip(&payloads)
        .map(|(sequence, payload)| SourceRecord {
            position: sequence.parse().unwrap(),
            sub_position: 0,
            arrival_ms: Some(START_MS),
            partition_key: "",
            payload: Payload::Bytes(payload),
        })
        .collect();
    for cut in 1..=records.len() {
        let journal = lake.journal(Role::Lake);
        let appended = journal.append(&pipeline(), &shard("shard-0"), &records[..cut], FAR).await.unwrap();
        assert_eq!((appended.counts.records, appended.duplicates), (1, cut as u64 - 1));
    }
    publish(&lake).await;
    let again = lake.journal(Role::Lake).append(&pipeline(), &shard("shard-0"), &records, FAR).await.unwrap();
    assert_eq!((again.entry, again.duplicates), (None, 6));
    read_lake(&store).await.assert_exactly(6);
    assert_clean(&store).await;
}

#[tokio::test]
async fn a_rewind_is_dropped_and_counted_also_where_the_mapping_had_skipped_records() {
    let (_, store, lake) = bench().await;
    append(&lake, 1..=3).await;
    // The mapping gave 4 to 6 up; they come back by a rewind, with their old arrival times.
    append(&lake, 7..=9).await;
    let rewound = append(&lake, 1..=12).await;
    assert_eq!((rewound.entry, rewound.duplicates, rewound.counts.records), (Some(3), 9, 3));
    publish(&lake).await;
    let rides: Vec<u64> = read_lake(&store).await.rides.into_keys().collect();
    assert_eq!(rides, [1, 2, 3, 8, 9, 10, 11, 12]);
    assert_clean(&store).await;
}

#[tokio::test]
async fn a_record_that_arrived_no_later_than_the_lane_is_a_duplicate_whichever_entry_covers_it() {
    let (world, store, lake) = bench().await;
    // Arrival times of neighbours are not in order: the lane's latest is in an early entry.
    let early = Records::range(1..=1);
    let mut first = early.borrow();
    first[0].arrival_ms = Some(START_MS + HOUR_MS);
    lake.journal(Role::Lake).append(&pipeline(), &shard("shard-0"), &first, FAR).await.unwrap();
    append(&lake, 2..=5).await;
    let mut repeated = first.clone();
    repeated[0].arrival_ms = Some(START_MS + HOUR_MS);
    let duplicates = async || {
        let journal = lake.journal(Role::Lake);
        journal.append(&pipeline(), &shard("shard-0"), &repeated, FAR).await.unwrap().duplicates
    };
    assert_eq!(duplicates().await, 1);
    publish(&lake).await;
    world.clock.advance(8 * DAY_MS);
    publish(&lake).await;
    assert!(store.list("_journal/", None, 1).await.unwrap().is_empty());
    assert_eq!(duplicates().await, 1, "the checkpoint knows the latest arrival of all entries too");
}

// Publish.

#[tokio::test]
async fn a_lane_that_was_idle_for_a_year_is_still_known() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=5).await;
    for _ in 0..12 {
        world.clock.advance(30 * DAY_MS);
        append_to(&lake.journal(Role::Lake), "shard-1", 6..=9).await.unwrap();
        publish(&lake).await;
    }
    let again = append(&lake, 1..=5).await;
    assert_eq!((again.entry, again.duplicates), (None, 5));
    read_lake(&store).await.assert_exactly(9);
}

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
    let late = checkpoint::commit(&store, &nothing, &nothing.checkpoint).await.unwrap();
    assert!(matches!(late, checkpoint::Commit::Lost));
    assert_eq!(checkpoint::load(&store, "rides").await.unwrap().checkpoint, before);
}

#[tokio::test]
async fn a_position_is_the_last_record_taken_not_the_first_refused() {
    let (_, store, lake) = bench().await;
    let strict = pipeline_from(&PIPELINE.replace("type_field", "on_malformed = \"fail\"\ntype_field"));
    let records = Records::range(1..=10);
    let journal = lake.journal(Role::Lake);
    let appended = journal.append(&strict, &shard("shard-0"), &records.borrow(), FAR).await.unwrap();
    assert_eq!(appended.refused.unwrap().0, Position::new(7));
    publish(&lake).await;
    let lanes = checkpoint::load(&store, "rides").await.unwrap().checkpoint.lanes;
    assert_eq!(lanes[&folder("shard-0")].last, Position::new(6));
    // Record 7 and those after it are still to come, whatever is done about it.
    assert_eq!(append(&lake, 7..=10).await.counts.records, 4);
    publish(&lake).await;
    read_lake(&store).await.assert_exactly(10);
}
