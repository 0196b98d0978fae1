//! Writing the `_SUCCESS` of partitions that are complete.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{PublishError, Publisher};
use crate::checkpoint::Checkpoint;
use crate::environment::FailPoint;
use crate::event_time::Mark;
use crate::invariants::{Invariant, require_of_store};
use crate::store::{Condition, Put};

/// Marks written at once.
const MARKS_AT_ONCE: usize = 16;
/// Tries of one mark. Another publisher's write of it ends the matter; only somebody else's does not.
const MARK_TRIES: u32 = 5;

impl Publisher {
    /// Writes the marks that a checkpoint lists as due, whose files are all seen to be there. Each counts a
    /// range of generations, by which it is known whether it was written before.
    pub(super) async fn mark(&self, checkpoint: &Checkpoint) -> Result<(), PublishError> {
        for mark in &checkpoint.due {
            let is_complete =
                Some(mark.end_ms) <= checkpoint.watermark_ms && mark.generation <= checkpoint.generation;
            require_of_store(Invariant::MarkedWhenComplete, is_complete, || {
                format!("{mark:?} at {:?}, generation {}", checkpoint.watermark_ms, checkpoint.generation)
            })?;
        }
        let writes = checkpoint.due.iter().cloned().map(|mark| self.write_mark(mark));
        stream::iter(writes).buffered(MARKS_AT_ONCE).try_collect().await
    }

    async fn write_mark(&self, mark: Mark) -> Result<(), PublishError> {
        let key = mark.key();
        for _ in 0..MARK_TRIES {
            let found = self.store.get(&key).await?;
            let before = found.as_ref().and_then(|object| Mark::parse(&object.body));
            let Some(mark) = mark.after(before.as_ref()) else { return Ok(()) };
            let condition = found.map_or(Condition::Absent, |object| Condition::Matches(object.meta.tag));
            let body = serde_json::to_vec_pretty(&mark)
                .map_err(|error| PublishError::Encode { key: key.clone(), reason: error.to_string() })?;
            if let Put::Stored { .. } = self.store.put(&key, Bytes::from(body), condition).await? {
                return Ok(self.environment.reach(FailPoint::PublishAfterMark)?);
            }
        }
        Err(PublishError::Unmarked { key, location: self.store.location(), times: MARK_TRIES })
    }
}
