//! Publish: journal entries become large partitioned files, visible only once committed.
//!
//! One publisher at a time gets anywhere; any number may try. A run loads the checkpoint, settles
//! what it lists as pending, reads entries of all lanes, uploads one file per lake partition without
//! completing the uploads, commits by replacing the checkpoint, and completes. A reader of the table
//! roots sees a row only after the commit, and never twice.

mod collect;
mod encode;
mod group;
mod mark;
mod pending;
mod report;
mod sweep;
mod upload;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;

use crate::checkpoint::{self, Checkpoint, CheckpointError, Commit, Loaded, PendingFile};
use crate::environment::{Crash, Environment, FailPoint};
use crate::event_time::{EventTimeRules, Progress};
use crate::invariants::{Invariant, Violation, require};
use crate::journal::MIN_RETENTION;
use crate::layout::file_key;
use crate::store::{ErrorKind, MIN_PART_BYTES, ObjectStore, StoreError};
use collect::{Collected, PartitionRows, collect};
pub(crate) use collect::{check, moved};
pub use encode::{EncodeError, FileFormat, file_metadata};
pub(crate) use encode::{offset_zone_schema, with_offset_zone};
use report::published;
pub use report::{PublishReport, PublishedFile, StoppedLane};

/// Tries of a commit whose outcome stays unknown.
const COMMIT_TRIES: u32 = 3;

/// Bounds and habits of a publisher.
#[derive(Clone, Debug)]
pub struct PublishOptions {
    /// How files are written.
    pub format: FileFormat,
    /// A run stops reading at this many bytes of unpacked rows, and commits. Bounds memory: peak use
    /// is about twice this and a file.
    pub max_raw_bytes: u64,
    /// A run stops reading when it has rows for this many files.
    pub max_files: usize,
    /// How long entries are kept after they were written.
    pub retention: Duration,
    /// Size of an upload's parts, in bytes.
    pub part_bytes: usize,
    /// Entries read at once.
    pub reads_at_once: usize,
    /// Files encoded at once, each on a thread of its own; 1: one after another, on the caller's thread.
    pub encodes_at_once: usize,
    /// Files uploaded at once.
    pub uploads_at_once: usize,
    /// What moves the watermark, and what becomes of late rows; by default nothing is ever complete.
    pub event_time: EventTimeRules,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self {
            format: FileFormat::Parquet,
            max_raw_bytes: 128 << 20,
            max_files: 1_000,
            retention: Duration::from_secs(7 * 24 * 60 * 60),
            part_bytes: 8 << 20,
            reads_at_once: 8,
            encodes_at_once: 1,
            uploads_at_once: 4,
            event_time: EventTimeRules::default(),
        }
    }
}

impl PublishOptions {
    /// Checks the bounds.
    ///
    /// # Errors
    /// The option that is out of range and what it may be.
    pub fn check(&self) -> Result<(), String> {
        if self.retention < MIN_RETENTION {
            return Err(format!(
                "journal retention of {} s is less than {} s: a number could be used again while a late writer \
                 still remembers it",
                self.retention.as_secs(),
                MIN_RETENTION.as_secs()
            ));
        }
        if self.part_bytes < MIN_PART_BYTES {
            return Err(format!("upload parts of {} bytes are less than {MIN_PART_BYTES}", self.part_bytes));
        }
        if self.max_raw_bytes == 0 || self.max_files == 0 {
            return Err("a commit of no bytes or no files would publish nothing".to_owned());
        }
        Ok(())
    }
}

/// A run failed. What it committed stays; the next run goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The store failed for good.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file cannot be encoded.
    #[error("cannot encode {key}: {reason}")]
    Encode {
        /// Key of the file.
        key: String,
        /// Why.
        reason: String,
    },
    /// A committed file is gone and cannot be built again.
    #[error(
        "{location}/{key} is lost: {reason}; restore the journal entries that the checkpoint names for it"
    )]
    Unrecoverable {
        /// What is lost.
        key: String,
        /// Where the lake is.
        location: String,
        /// Why it cannot be built again.
        reason: String,
    },
    /// A committed file does not appear, however often its upload is completed.
    #[error(
        "{location}/{key} was uploaded and completed {times} times and is not there in its size; look at the \
         store, and at who else writes to or deletes from the lake"
    )]
    NeverVisible {
        /// What does not appear.
        key: String,
        /// Where the lake is.
        location: String,
        /// How often it was completed.
        times: u32,
    },
    /// A partition's `_SUCCESS` changes whenever it is to be replaced.
    #[error(
        "{location}/{key} was changed by somebody else {times} times while it was to be replaced; nobody else may \
         write it"
    )]
    Unmarked {
        /// Its key.
        key: String,
        /// Where the lake is.
        location: String,
        /// How often it was tried.
        times: u32,
    },
    /// Going on would lose or double rows.
    #[error("publish stops: {0}")]
    Invariant(#[from] Violation),
    /// Stopped on purpose.
    #[error(transparent)]
    Crash(#[from] Crash),
}

/// Publishes one pipeline's journal.
#[derive(Debug)]
pub struct Publisher {
    store: Arc<dyn ObjectStore>,
    environment: Environment,
    pipeline: String,
    encoders: Semaphore,
    options: PublishOptions,
}

/// One call of [`Publisher::run`].
#[derive(Debug)]
struct Run {
    id: String,
    report: PublishReport,
}

impl Publisher {
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        environment: Environment,
        pipeline: String,
        options: PublishOptions,
    ) -> Self {
        let encoders = Semaphore::new(options.encodes_at_once.max(1));
        Self { store, environment, pipeline, encoders, options }
    }

    /// Publishes until nothing is left, or until `deadline_ms` (milliseconds since 1970 UTC) is so
    /// near that another round may not end in time.
    ///
    /// # Errors
    /// [`PublishError`]; every commit made before it stands.
    pub async fn run(&self, deadline_ms: i64) -> Result<PublishReport, PublishError> {
        let id = format!("{:016x}", self.environment.entropy.next());
        let mut run = Run { id, report: PublishReport::default() };
        let loaded = checkpoint::load(&*self.store, &self.pipeline).await?;
        self.environment.reach(FailPoint::PublishLoaded)?;
        let earlier = published(&loaded.checkpoint.pending);
        let mut loaded = match self.settle(&mut run, loaded).await? {
            Some(settled) => settled,
            None => return Ok(run.gave_way()),
        };
        run.report.files.extend(earlier);
        loop {
            let began_ms = self.environment.now_ms();
            let mut collected = collect(&*self.store, &self.options, &loaded.checkpoint).await?;
            collected.began_ms = began_ms;
            run.report.stopped.clone_from(&collected.stopped);
            run.report.more = collected.more;
            let is_last = collected.entries == 0;
            self.environment.reach(FailPoint::PublishAfterRead)?;
            match self.round(&mut run, loaded, collected).await? {
                Some(settled) => loaded = settled,
                None => return Ok(run.gave_way()),
            }
            if is_last {
                break;
            }
            // The next round is as long as this one, give or take; it must end before the deadline.
            let now_ms = self.environment.now_ms();
            if now_ms + 2 * (now_ms - began_ms) >= deadline_ms {
                break;
            }
        }
        if !run.report.stopped.is_empty() && self.is_overtaken(&loaded).await? {
            return Ok(run.gave_way());
        }
        run.report.watermark_ms = loaded.checkpoint.watermark_ms;
        run.report.watermark_lag_ms = run
            .report
            .watermark_ms
            .map(|watermark_ms| self.environment.now_ms().saturating_sub(watermark_ms));
        run.report.deleted = self.sweep(&loaded.checkpoint, deadline_ms).await?;
        Ok(run.report)
    }

    /// Whether another publisher has committed since: what it has published and deleted looks like lost
    /// entries.
    async fn is_overtaken(&self, loaded: &Loaded) -> Result<bool, PublishError> {
        let now = checkpoint::load(&*self.store, &self.pipeline).await?.checkpoint;
        Ok(now.generation != loaded.checkpoint.generation)
    }

    /// Uploads, commits and completes what was collected, if there is anything: lanes that have become idle may make
    /// partitions complete without new rows. `None`: another publisher was first.
    async fn round(
        &self,
        run: &mut Run,
        loaded: Loaded,
        collected: Collected,
    ) -> Result<Option<Loaded>, PublishError> {
        let generation = loaded.checkpoint.generation + 1;
        let mut lanes: BTreeMap<_, _> = loaded.checkpoint.lanes.clone();
        lanes.extend(collected.lanes);
        let extension = self.options.format.extension();
        let run_id = run.id.clone();
        let uploads = collected.groups.into_iter().enumerate().map(|(index, (key, group))| {
            let name = file_key(&key.placed_in(), &key.partition, generation, &run_id, index, extension);
            async move { self.upload(name, &key, group).await }
        });
        let at_once = self.options.uploads_at_once.max(1);
        let pending: Vec<PendingFile> = stream::iter(uploads).buffered(at_once).try_collect().await?;
        self.environment.reach(FailPoint::PublishBeforeCommit)?;
        require_same_rows(&collected.rows, &pending)?;
        let files = published(&pending);
        let mut next = Checkpoint { lanes, pending: Vec::new(), ..loaded.checkpoint.clone() };
        let progress = Progress {
            unread: collected.unread.iter().map(String::as_str).collect(),
            late: &collected.late,
            now_ms: collected.began_ms,
        };
        next.count(&self.options.event_time, &pending, &progress);
        let forgotten = next.follow(&self.options.event_time, &progress)?;
        if collected.entries == 0 && next.due.is_empty() {
            return Ok(Some(loaded));
        }
        next.pending = pending;
        let Commit::Done(committed) = self.commit(run, &loaded, next).await? else { return Ok(None) };
        self.environment.reach(FailPoint::PublishAfterCommit)?;
        run.report.commits += u64::from(collected.entries > 0);
        run.report.entries += collected.entries;
        run.report.forgotten += forgotten as u64;
        run.report.count_late(&collected.late, collected.oldest_late_ms, loaded.checkpoint.watermark_ms);
        let settled = self.settle(run, *committed).await?;
        if settled.is_some() {
            run.report.files.extend(files);
            let now_ms = self.environment.now_ms();
            let lag_ms = collected.oldest_written_ms.map(|written_ms| now_ms.saturating_sub(written_ms));
            run.report.lag_max_ms = run.report.lag_max_ms.max(lag_ms);
        }
        Ok(settled)
    }

    /// Commits `next` as the generation after `base`. Uploads are never aborted, whatever comes of
    /// it: the checkpoint may list them after all.
    async fn commit(&self, run: &Run, base: &Loaded, next: Checkpoint) -> Result<Commit, PublishError> {
        let next = Checkpoint {
            generation: base.checkpoint.generation + 1,
            run: run.id.clone(),
            written_at_ms: self.environment.now_ms(),
            ..next
        };
        for attempt in 0.. {
            match checkpoint::commit(&*self.store, base, &next).await {
                Err(CheckpointError::Store(error))
                    if error.kind() == ErrorKind::Unknown && attempt + 1 < COMMIT_TRIES =>
                {
                    tokio::time::sleep(self.environment.backoff(attempt)).await;
                }
                outcome => return Ok(outcome?),
            }
        }
        Ok(Commit::Lost)
    }
}

impl Run {
    /// The one that was first reports lanes that stand still.
    fn gave_way(mut self) -> PublishReport {
        self.report.gave_way = true;
        self.report.stopped.clear();
        self.report
    }
}

/// The files hold what the entries' headers counted, partition by partition.
fn require_same_rows(read: &PartitionRows, pending: &[PendingFile]) -> Result<(), Violation> {
    let mut written = PartitionRows::new();
    for PendingFile { contents, .. } in pending {
        *written.entry((contents.table.clone(), contents.partition.clone())).or_default() += contents.rows;
    }
    require(Invariant::CommitReconciles, written == *read, || {
        format!("files of {written:?} from entries of {read:?}")
    })
}
