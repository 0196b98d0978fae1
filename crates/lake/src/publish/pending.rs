//! Making committed files visible, and building again what was lost before it was.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::collect::collect_again;
use super::group::{Group, GroupKey};
use super::{PublishError, Publisher, Run};
use crate::checkpoint::{Commit, Loaded, PendingFile};
use crate::environment::FailPoint;
use crate::invariants::{Invariant, require_of_store};

/// Uploads completed at once. One takes two short requests and no memory, and a commit may have
/// thousands.
const COMPLETIONS_AT_ONCE: usize = 16;

/// How often a run builds lost files again. Once is for expired uploads, more for a rival that
/// completed them at the same time; a store that never shows what was completed must not cost uploads
/// without end.
const REBUILDS: u32 = 3;

impl Publisher {
    /// Completes every upload that the checkpoint lists, writes the marks that are due, then commits that nothing is
    /// pending.
    ///
    /// `None`: another publisher has taken over.
    pub(super) async fn settle(&self, run: &mut Run, loaded: Loaded) -> Result<Option<Loaded>, PublishError> {
        let mut loaded = loaded;
        let mut rebuilds = 0;
        while !loaded.checkpoint.pending.is_empty() || !loaded.checkpoint.due.is_empty() {
            let lost = self.complete_all(&loaded.checkpoint.pending).await?;
            let mut next = loaded.checkpoint.clone();
            if let Some(first) = lost.first() {
                if rebuilds == REBUILDS {
                    let (key, location) = (first.key.clone(), self.store.location());
                    return Err(PublishError::NeverVisible { key, location, times: rebuilds + 1 });
                }
                rebuilds += 1;
                next.pending = match self.rebuild(&lost).await {
                    // They are not lost where another publisher built them again and is done with them.
                    Err(PublishError::Unrecoverable { .. }) if self.is_overtaken(&loaded).await? => {
                        return Ok(None);
                    }
                    rebuilt => rebuilt?,
                };
                self.environment.reach(FailPoint::PublishAfterRebuild)?;
                run.report.rebuilt += lost.len() as u64;
            } else {
                // Every file is seen: what a mark counts is there when it is.
                self.mark(&loaded.checkpoint).await?;
                self.environment.reach(FailPoint::PublishBeforeClear)?;
                next.pending.clear();
                run.report.completed.append(&mut next.due);
            }
            match self.commit(run, &loaded, next).await? {
                Commit::Done(done) => loaded = *done,
                Commit::Lost => return Ok(None),
            }
            self.environment.reach(FailPoint::PublishAfterClear)?;
        }
        Ok(Some(loaded))
    }

    /// Completes uploads and returns those that are gone without having left their file: expired, or
    /// aborted by somebody.
    async fn complete_all(&self, pending: &[PendingFile]) -> Result<Vec<PendingFile>, PublishError> {
        let completions = pending.iter().cloned().map(|file| self.complete(file));
        let lost: Vec<Option<PendingFile>> =
            stream::iter(completions).buffered(COMPLETIONS_AT_ONCE).try_collect().await?;
        Ok(lost.into_iter().flatten().collect())
    }

    /// Completes an upload; gives it back if it has not left its file.
    async fn complete(&self, file: PendingFile) -> Result<Option<PendingFile>, PublishError> {
        let completed = self.store.complete_upload(&file.key, &file.upload, &file.parts).await?;
        // Whatever the answer, only the file itself shows that it is there: an upload that is gone
        // was completed before or has expired, and a server may answer beside a completion that
        // is still under way.
        let found = self.store.head(&file.key).await?;
        self.environment.reach(FailPoint::PublishAfterComplete)?;
        if found.is_some_and(|found| found.size == file.bytes) {
            return Ok(None);
        }
        tracing::warn!(key = file.key, ?completed, "a committed file is not there");
        Ok(Some(file))
    }

    /// Uploads lost files anew, under the same keys: should the first upload turn up after all, it
    /// is the same file. Only a commit of the new uploads makes them count.
    async fn rebuild(&self, lost: &[PendingFile]) -> Result<Vec<PendingFile>, PublishError> {
        let mut groups = collect_again(&*self.store, &self.options, lost).await?;
        let uploads: Vec<_> = lost
            .iter()
            .map(|file| {
                let key = GroupKey::of(&file.contents);
                let group = groups.take(&key);
                self.upload_again(file.clone(), key, group)
            })
            .collect();
        stream::iter(uploads).buffered(self.options.uploads_at_once.max(1)).try_collect().await
    }

    async fn upload_again(
        &self,
        file: PendingFile,
        key: GroupKey,
        group: Option<Group>,
    ) -> Result<PendingFile, PublishError> {
        let unrecoverable = |reason: &str| PublishError::Unrecoverable {
            key: file.key.clone(),
            location: self.store.location(),
            reason: reason.to_owned(),
        };
        let group = group
            .filter(|group| group.rows() == file.contents.rows)
            .ok_or_else(|| unrecoverable("its journal entries do not hold its rows any more"))?;
        let again = self.upload(file.key.clone(), &key, group).await?;
        require_of_store(Invariant::RebuiltAlike, again.contents == file.contents, || file.key.clone())
            .map_err(|_| unrecoverable("its journal entries hold other rows than it did"))?;
        Ok(again)
    }
}
