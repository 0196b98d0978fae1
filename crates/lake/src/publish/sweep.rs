//! Deleting what the journal no longer needs.

use super::{PublishError, Publisher};
use crate::checkpoint::Checkpoint;
use crate::environment::FailPoint;
use crate::layout::{entry_key, entry_number, lane_prefix};

/// Entries looked at per lane and run: enough to keep up with any lane, few enough to end soon.
const PAGE: usize = 1000;

impl Publisher {
    /// Deletes entries that are published, whose files are complete, and that are older than
    /// retention.
    ///
    /// Strictly in ascending order, one after the other: an entry that is there proves that all
    /// later ones are, which is what a look-up and a lost race for a number rely on.
    pub(super) async fn sweep(&self, checkpoint: &Checkpoint) -> Result<u64, PublishError> {
        debug_assert!(checkpoint.pending.is_empty(), "the sweep follows a settled checkpoint");
        let retention = i64::try_from(self.options.retention.as_millis()).unwrap_or(i64::MAX);
        let keep_from_ms = self.environment.now_ms().saturating_sub(retention);
        let mut deleted = 0;
        for (folder, position) in &checkpoint.lanes {
            let page = self.store.list(&lane_prefix(folder), Some(&entry_key(folder, 0)), PAGE).await?;
            for object in page {
                let published = entry_number(&object.key).is_some_and(|number| number <= position.number);
                if !published || object.modified_ms >= keep_from_ms {
                    break;
                }
                self.store.delete(&object.key).await?;
                deleted += 1;
                self.environment.reach(FailPoint::PublishAfterDelete)?;
            }
        }
        Ok(deleted)
    }
}
