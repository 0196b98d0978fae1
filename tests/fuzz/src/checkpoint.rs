//! Checkpoints that are damaged, or of another version.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use tripline_lake::checkpoint::{Commit, commit, load};
use tripline_lake::clock::SystemClock;
use tripline_lake::layout::CHECKPOINT;
use tripline_lake::store::{Condition, MemoryStore, ObjectStore};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime can be had"));

/// A checkpoint is read, or refused with a reason; what is read can be replaced and is then the same.
pub fn checkpoint(input: &[u8]) {
    RUNTIME.block_on(load_and_replace(Bytes::copy_from_slice(input)));
}

async fn load_and_replace(body: Bytes) {
    let store = MemoryStore::new(Arc::new(SystemClock));
    let _ = store.put(CHECKPOINT, body, Condition::Absent).await.expect("a store in memory takes it");
    let Ok(loaded) = load(&store, "fuzz").await else { return };
    let totals = loaded.checkpoint.totals();
    let _ = (totals.rows(), totals.balanced());
    let Some(generation) = loaded.checkpoint.generation.checked_add(1) else { return };
    let mut next = loaded.checkpoint.clone();
    next.generation = generation;
    next.run = "another".to_owned();
    let committed = commit(&store, &loaded, &next).await.expect("a checkpoint that was read can be written");
    let Commit::Done(done) = committed else { panic!("nobody else is there") };
    let again = load(&store, "fuzz").await.expect("what was written can be read");
    assert_eq!((&again.checkpoint, again.tag), (&next, done.tag));
}
