//! Making committed files visible, and building again what was lost before it was.

use std::sync::Arc;

use super::collect::collect_again;
use super::group::GroupKey;
use super::{PublishError, Publisher, Run};
use crate::checkpoint::{Commit, Loaded, PendingFile};
use crate::environment::FailPoint;

impl Publisher {
    /// Completes every upload that the checkpoint lists, then commits that nothing is pending.
    ///
    /// `None`: another publisher has taken over.
    pub(super) async fn settle(&self, run: &mut Run, loaded: Loaded) -> Result<Option<Loaded>, PublishError> {
        let mut loaded = loaded;
        while !loaded.checkpoint.pending.is_empty() {
            let lost = self.complete_all(&loaded.checkpoint.pending).await?;
            let mut next = loaded.checkpoint.clone();
            if lost.is_empty() {
                self.environment.reach(FailPoint::PublishBeforeClear)?;
                next.pending.clear();
            } else {
                next.pending = self.rebuild(&lost, next.generation + 1).await?;
                self.environment.reach(FailPoint::PublishAfterRebuild)?;
                run.report.rebuilt += lost.len() as u64;
            }
            match self.commit(run, &loaded, next).await? {
                Commit::Done(done) => loaded = done,
                Commit::Lost => return Ok(None),
            }
            self.environment.reach(FailPoint::PublishAfterClear)?;
        }
        Ok(Some(loaded))
    }

    /// Completes uploads and returns those that are gone without having left their file: expired, or
    /// aborted by somebody.
    async fn complete_all(&self, pending: &[PendingFile]) -> Result<Vec<PendingFile>, PublishError> {
        let mut lost = Vec::new();
        for file in pending {
            let completed = self.store.complete_upload(&file.key, &file.upload, &file.parts).await?;
            // Whatever the answer, only the file itself shows that it is there: an upload that is gone
            // was completed before or has expired, and a server may answer beside a completion that
            // is still under way.
            let found = self.store.head(&file.key).await?;
            if found.is_none_or(|found| found.size != file.bytes) {
                tracing::warn!(key = file.key, ?completed, "a committed file is not there");
                lost.push(file.clone());
            }
            self.environment.reach(FailPoint::PublishAfterComplete)?;
        }
        Ok(lost)
    }

    /// Uploads lost files anew, under the same keys: should the first upload turn up after all, it
    /// is the same file. Only a commit of the new uploads makes them count.
    async fn rebuild(&self, lost: &[PendingFile], generation: u64) -> Result<Vec<PendingFile>, PublishError> {
        let mut rebuilt = Vec::with_capacity(lost.len());
        for file in lost {
            let contents = &file.contents;
            let wanted = GroupKey {
                table: Arc::from(contents.table.as_str()),
                partition: contents.partition.clone(),
                schema: contents.schema,
            };
            let groups = collect_again(&*self.store, &self.options, &wanted, &contents.sources).await?;
            let group = groups.into_iter().next().filter(|(_, group)| group.rows() == contents.rows);
            let (key, group) = group.ok_or_else(|| PublishError::Unrecoverable {
                key: file.key.clone(),
                location: self.store.location(),
                reason: "its journal entries do not hold its rows any more".to_owned(),
            })?;
            let again = self.upload(file.key.clone(), &key, &group, generation).await?;
            if again.contents.digest != contents.digest {
                return Err(PublishError::Unrecoverable {
                    key: file.key.clone(),
                    location: self.store.location(),
                    reason: "its journal entries hold other rows than it did".to_owned(),
                });
            }
            rebuilt.push(again);
        }
        Ok(rebuilt)
    }
}
