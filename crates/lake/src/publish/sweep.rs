//! Deleting what the journal no longer needs.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{PublishError, Publisher};
use crate::checkpoint::Checkpoint;
use crate::environment::FailPoint;
use crate::invariants::{Invariant, Violation, require};
use crate::journal::MIN_RETENTION;
use crate::layout::{JOURNAL, entry_key, entry_number, lane_prefix};
use crate::store::ObjectMeta;

/// Entries looked at per lane and run: enough to keep up with any lane, few enough to end soon.
const PAGE: usize = 1000;
/// What is left of an invocation for its end.
const MARGIN_MS: i64 = 5_000;
/// Lanes swept at once.
const LANES_AT_ONCE: usize = 8;

impl Publisher {
    /// Deletes entries that are published, whose files are complete, and that are older than
    /// retention, until `deadline_ms` is near; what is left is the next run's.
    pub(super) async fn sweep(&self, checkpoint: &Checkpoint, deadline_ms: i64) -> Result<u64, PublishError> {
        require(Invariant::SweptWhenSettled, checkpoint.pending.is_empty(), || {
            format!("generation {} has pending files", checkpoint.generation)
        })?;
        // Options that were never checked must not let a number be used again.
        let retention = self.options.retention.max(MIN_RETENTION);
        let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        let keep_from_ms = self.environment.now_ms().saturating_sub(retention);
        // The checkpoint knows lanes of years ago; only few of them have entries.
        let lanes = self.store.list_folders(JOURNAL).await?;
        let sweeps = lanes.into_iter().filter_map(|folder| {
            let number = checkpoint.lanes.get(&folder)?.number;
            Some(self.sweep_lane(folder, number, keep_from_ms, deadline_ms.saturating_sub(MARGIN_MS)))
        });
        let sweeps = stream::iter(sweeps).buffer_unordered(LANES_AT_ONCE);
        sweeps.try_fold(0, async |sum, deleted| Ok(sum + deleted)).await
    }

    /// Strictly in ascending order, one after the other: an entry that is there proves that all
    /// later ones are, which is what a look-up and a lost race for a number rely on.
    async fn sweep_lane(
        &self,
        folder: String,
        published: u64,
        keep_from_ms: i64,
        until_ms: i64,
    ) -> Result<u64, PublishError> {
        let mut deleted = 0;
        if self.environment.now_ms() >= until_ms {
            return Ok(deleted);
        }
        let page = self.store.list(&lane_prefix(&folder), Some(&entry_key(&folder, 0)), PAGE).await?;
        for object in page {
            let is_published = entry_number(&object.key).is_some_and(|number| number <= published);
            let is_late = self.environment.now_ms() >= until_ms;
            if !is_published || object.modified_ms >= keep_from_ms || is_late {
                break;
            }
            self.require_deletable(&object, published)?;
            self.store.delete(&object.key).await?;
            deleted += 1;
            self.environment.reach(FailPoint::PublishAfterDelete)?;
        }
        Ok(deleted)
    }

    /// Looked at once more right before the one step that cannot be undone, whatever led here.
    fn require_deletable(&self, object: &ObjectMeta, published: u64) -> Result<(), Violation> {
        let is_published = entry_number(&object.key).is_some_and(|number| number <= published);
        let age_ms = self.environment.now_ms().saturating_sub(object.modified_ms);
        let is_old = u128::try_from(age_ms).is_ok_and(|age| age > MIN_RETENTION.as_millis());
        require(Invariant::SweptWhenSettled, is_published && is_old, || {
            format!("{} of {age_ms} ms, {published} is published", object.key)
        })
    }
}
