//! Status: how far publish is behind the journal, lane by lane, and which lanes stand still.
//!
//! It reads the checkpoint and the entries that wait, and nothing else: what is published is taken at its word.
//! The [`audit`](crate::audit) proves it.

use std::collections::BTreeSet;

use futures_util::TryStreamExt as _;

use crate::checkpoint::{self, CheckpointError, LanePosition};
use crate::identity::{self, IdentityError};
use crate::journal::entries;
use crate::journal::entry::Totals;
use crate::lane::Lane;
use crate::layout::{JOURNAL, entry_key};
use crate::publish::{StoppedLane, check, moved};
use crate::store::{ObjectStore, StoreError};

/// Entries that are read at once.
const AT_ONCE: usize = 8;

/// The lake could not be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no lake, or it is another pipeline's.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// How a lake stands.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Generation of the checkpoint; 0 before the first publish.
    pub generation: u64,
    /// When the checkpoint was written, milliseconds since 1970 UTC; `None` before the first publish.
    pub written_at_ms: Option<i64>,
    /// Files that are committed and, as far as the checkpoint knows, not visible yet.
    pub pending: Option<Pending>,
    /// The watermark, milliseconds since 1970 UTC; `None`: no lane has told any time yet.
    pub watermark_ms: Option<i64>,
    /// Partitions with rows that are not complete yet.
    pub open_partitions: u64,
    /// Partitions that are complete, and whose `_SUCCESS` the next publish writes, if it is not there yet.
    pub due: u64,
    /// Lanes, in order of their folders.
    pub lanes: Vec<LaneStatus>,
}

/// Files of the last commit whose uploads are not known to be complete: the next publish completes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Files.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When they were committed, milliseconds since 1970 UTC.
    pub since_ms: i64,
}

/// How a lane stands.
#[derive(Clone, Debug)]
pub struct LaneStatus {
    /// Its folder in the journal.
    pub folder: String,
    /// How far it is published; `None` where nothing of it is.
    pub published: Option<LanePosition>,
    /// How far it is committed, with what is published; `None` where not even its first entry can be read.
    pub committed: Option<LanePosition>,
    /// What waits for publish.
    pub lag: LaneLag,
    /// Why publish cannot go on with it, if it cannot.
    pub stopped: Option<StoppedLane>,
}

/// Entries of a lane that wait for publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneLag {
    /// Entries.
    pub entries: u64,
    /// Their records, as far as they can be read.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest of them was committed by the store's clock, milliseconds since 1970 UTC.
    pub oldest_ms: Option<i64>,
}

impl LaneLag {
    /// Adds another lane's.
    pub fn add(&mut self, other: &Self) {
        self.entries += other.entries;
        self.records = self.records.saturating_add(other.records);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.oldest_ms = self.oldest_ms.into_iter().chain(other.oldest_ms).min();
    }
}

impl LaneStatus {
    /// The lane in full, as far as it is known.
    #[must_use]
    pub fn lane(&self) -> Option<&Lane> {
        self.committed.as_ref().map(|position| &position.lane)
    }

    /// The largest event time of what is committed, milliseconds since 1970 UTC.
    #[must_use]
    pub fn event_time_max_ms(&self) -> Option<i64> {
        self.committed.as_ref()?.event_time_max_ms
    }
}

impl Status {
    /// What waits, over all lanes.
    #[must_use]
    pub fn lag(&self) -> LaneLag {
        self.lanes.iter().fold(LaneLag::default(), |mut sum, lane| {
            sum.add(&lane.lag);
            sum
        })
    }

    /// What was committed, over all lanes.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let committed = self.lanes.iter().filter_map(|lane| lane.committed.as_ref());
        committed.fold(Totals::default(), |mut sum, position| {
            sum.add(&position.totals);
            sum
        })
    }

    /// The largest event time of what is committed, milliseconds since 1970 UTC.
    #[must_use]
    pub fn event_time_max_ms(&self) -> Option<i64> {
        self.lanes.iter().filter_map(LaneStatus::event_time_max_ms).max()
    }

    /// The lanes with which publish cannot go on.
    pub fn stopped(&self) -> impl Iterator<Item = &StoppedLane> {
        self.lanes.iter().filter_map(|lane| lane.stopped.as_ref())
    }

    /// When the oldest thing that publish has yet to do was committed, an entry or a file, milliseconds since 1970
    /// UTC.
    #[must_use]
    pub fn behind_since_ms(&self) -> Option<i64> {
        self.lag().oldest_ms.into_iter().chain(self.pending.map(|pending| pending.since_ms)).min()
    }
}

/// Looks at a pipeline's lake; nothing is written. Beside a publisher at work it may count entries as waiting that
/// have been published meanwhile.
///
/// # Errors
/// [`StatusError`] when there is no lake of this pipeline, or its store or checkpoint cannot be read. Entries that
/// cannot be read are no error: they stop their lane.
pub async fn status(store: &dyn ObjectStore, pipeline: &str) -> Result<Status, StatusError> {
    identity::expect(store, pipeline).await?;
    let loaded = checkpoint::load(store, pipeline).await?;
    let checkpoint = loaded.checkpoint;
    let mut folders: BTreeSet<String> = store.list_folders(JOURNAL).await?.into_iter().collect();
    folders.extend(checkpoint.lanes.keys().cloned());
    let mut lanes = Vec::with_capacity(folders.len());
    for folder in folders {
        let published = checkpoint.lanes.get(&folder).cloned();
        lanes.push(lane(store, folder, published).await?);
    }
    let files = &checkpoint.pending;
    let pending = (!files.is_empty()).then(|| Pending {
        files: files.len() as u64,
        rows: files.iter().map(|file| file.contents.rows).sum(),
        bytes: files.iter().map(|file| file.bytes).sum(),
        since_ms: checkpoint.written_at_ms,
    });
    let written_at_ms = loaded.tag.is_some().then_some(checkpoint.written_at_ms);
    Ok(Status {
        generation: checkpoint.generation,
        written_at_ms,
        pending,
        watermark_ms: checkpoint.watermark_ms,
        open_partitions: checkpoint.open_partitions() as u64,
        due: checkpoint.due.len() as u64,
        lanes,
    })
}

/// Follows a lane's waiting entries by the rules by which publish does.
async fn lane(
    store: &dyn ObjectStore,
    folder: String,
    published: Option<LanePosition>,
) -> Result<LaneStatus, StoreError> {
    let mut committed = published.clone();
    let (mut lag, mut stopped) = (LaneLag::default(), None);
    let mut next = published.as_ref().map_or(0, |position| position.number) + 1;
    let mut waiting = entries(store, &folder, next - 1, AT_ONCE);
    while let Some(listed) = waiting.try_next().await? {
        lag.add(&LaneLag {
            entries: 1,
            records: listed.entry.as_ref().map_or(0, |entry| entry.header.totals.records),
            bytes: listed.meta.size,
            oldest_ms: Some(listed.meta.modified_ms),
        });
        if stopped.is_some() {
            continue;
        }
        // A listing is no snapshot: only an entry that cannot be found either is a hole.
        if listed.number != Some(next) && store.head(&entry_key(&folder, next)).await?.is_none() {
            let reason = format!("entry {next} is missing, but {} is there", listed.meta.key);
            stopped = Some(StoppedLane { folder: folder.clone(), entry: next, reason });
            continue;
        }
        let Some(number) = listed.number else { continue };
        let checked = listed.entry.and_then(|entry| {
            check(&folder, number, &entry, committed.as_ref())?;
            Ok(entry)
        });
        match checked {
            Ok(entry) => committed = Some(moved(committed.as_ref(), &entry.header)),
            Err(reason) => stopped = Some(StoppedLane { folder: folder.clone(), entry: number, reason }),
        }
        next = number + 1;
    }
    drop(waiting);
    Ok(LaneStatus { folder, published, committed, lag, stopped })
}
