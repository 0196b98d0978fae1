//! The publish checkpoint: the one object whose replacement makes files part of the lake.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tripline_model::batch::late_table;
use tripline_model::source::Position;

use crate::event_time::{self, Mark, OpenPartition};
use crate::invariants::{Invariant, Violation, require};
use crate::journal::entry::{Header, TableTotals, Totals};
use crate::lane::Lane;
use crate::layout::CHECKPOINT;
use crate::store::{Condition, ETag, ObjectStore, Put, StoreError};

/// Format of the checkpoint object; a reader refuses another.
const FORMAT: u32 = 1;

/// What has been published and what is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub(crate) format: u32,
    /// Pipeline id.
    pub pipeline: String,
    /// Counts every replacement; only ever grows.
    pub generation: u64,
    /// The publish run that wrote it. With the generation it tells a publisher whether a commit
    /// whose answer was lost is its own.
    pub run: String,
    /// When it was written, milliseconds since 1970 UTC.
    pub written_at_ms: i64,
    /// Position of every lane ever published, by lane folder. Never pruned: a lane whose entries
    /// are all deleted is known from here alone.
    pub lanes: BTreeMap<String, LanePosition>,
    /// Files whose rows are committed and whose uploads are still to be completed.
    pub pending: Vec<PendingFile>,
    /// How far the sources are, milliseconds since 1970 UTC: what comes before is late, where its partition is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_ms: Option<i64>,
    /// Partitions with rows that are not complete yet, by table and path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub open: BTreeMap<String, BTreeMap<String, OpenPartition>>,
    /// Partitions that are complete, and whose `_SUCCESS` is still to be written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub due: Vec<Mark>,
    /// Rows that went to late tables instead of their own, by the name of the table that they are of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub diverted: BTreeMap<String, TableTotals>,
}

/// How far a lane has been published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LanePosition {
    /// The lane in full.
    pub lane: Lane,
    /// Number of its last published entry.
    pub number: u64,
    /// Position of the last record that this entry covers.
    #[serde(with = "crate::text")]
    pub last: Position,
    /// Latest arrival among its records, milliseconds since 1970 UTC.
    pub arrival_max_ms: Option<i64>,
    /// Largest event time among its records, milliseconds since 1970 UTC.
    pub event_time_max_ms: Option<i64>,
    /// When the last published entry was written, milliseconds since 1970 UTC; unknown in checkpoints of
    /// versions that did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_at_ms: Option<i64>,
    /// Totals over all published entries.
    pub totals: Totals,
    /// Its rows in late tables, by the name of the table that they were to be in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub diverted: BTreeMap<String, u64>,
}

impl LanePosition {
    /// The position before a lane's first entry: `None` stands for it, so this is made from the
    /// first entry.
    #[must_use]
    pub fn first(header: &Header) -> Self {
        let mut position = Self {
            lane: header.lane.clone(),
            number: 0,
            last: header.first,
            arrival_max_ms: None,
            event_time_max_ms: None,
            written_at_ms: None,
            totals: Totals::default(),
            diverted: BTreeMap::new(),
        };
        position.advance(header);
        position
    }

    /// Moves over the next entry.
    pub fn advance(&mut self, header: &Header) {
        self.number = header.number;
        self.last = header.last;
        self.arrival_max_ms = self.arrival_max_ms.max(header.arrival_max_ms);
        self.event_time_max_ms = self.event_time_max_ms.max(header.event_time_max_ms);
        self.written_at_ms = self.written_at_ms.max(Some(header.written_at_ms));
        self.totals.add(&header.totals);
    }
}

/// A file that is uploaded but, as far as the checkpoint knows, not visible yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingFile {
    /// Key of the file.
    pub key: String,
    /// Multipart upload id.
    pub upload: String,
    /// The parts' tags, in order.
    pub parts: Vec<String>,
    /// Size in bytes.
    pub bytes: u64,
    /// What it holds.
    pub contents: Contents,
}

/// Which rows a file holds: enough to build it again from the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Name of the table that its rows are of.
    pub table: String,
    /// Hive path below the table's root.
    pub partition: String,
    /// They came late, and lie in the late table beside it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// Fingerprint of the rows' schema.
    pub schema: u64,
    /// Rows.
    pub rows: u64,
    /// Order-independent digest of the rows.
    pub digest: u64,
    /// The runs of journal entries that its rows come from.
    pub sources: Vec<SourceRange>,
}

impl Contents {
    /// Name of the table in which they lie.
    #[must_use]
    pub fn placed_in(&self) -> String {
        if self.late { late_table(&self.table) } else { self.table.clone() }
    }
}

/// A run of journal entries of one lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRange {
    /// Lane folder.
    pub lane: String,
    /// First entry of the run that was read.
    pub first_entry: u64,
    /// Last entry of the run that was read.
    pub last_entry: u64,
    /// Rows of the file that come from it.
    pub rows: u64,
}

/// The checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object is not a checkpoint this version can read.
    #[error(
        "the checkpoint {location}/{CHECKPOINT} cannot be read: {reason}; restore the object's last good version, \
         and do not delete it: the journal alone does not say what has been published"
    )]
    Unreadable {
        /// Where the lake is.
        location: String,
        /// Why.
        reason: String,
    },
    /// It belongs to another pipeline.
    #[error(
        "the lake at {location} belongs to pipeline {found:?}, not {wanted:?}; give every pipeline a prefix of its own"
    )]
    OtherPipeline {
        /// Where the lake is.
        location: String,
        /// Whose checkpoint is there.
        found: String,
        /// Whose was expected.
        wanted: String,
    },
    /// What was to be written does not follow what is there.
    #[error("nothing was committed: {0}")]
    Invariant(#[from] Violation),
}

/// A checkpoint with the tag under which it may be replaced; `None` before the first commit.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The state.
    pub checkpoint: Checkpoint,
    /// The object's tag.
    pub tag: Option<ETag>,
}

/// How an attempt to replace the checkpoint ended.
#[derive(Clone, Debug)]
pub enum Commit {
    /// It is replaced; further commits go on from here.
    Done(Box<Loaded>),
    /// Another publisher was first.
    Lost,
}

impl Checkpoint {
    pub(crate) fn empty(pipeline: &str) -> Self {
        Self {
            format: FORMAT,
            pipeline: pipeline.to_owned(),
            generation: 0,
            run: String::new(),
            written_at_ms: 0,
            lanes: BTreeMap::new(),
            pending: Vec::new(),
            watermark_ms: None,
            open: BTreeMap::new(),
            due: Vec::new(),
            diverted: BTreeMap::new(),
        }
    }

    /// Totals over all lanes.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.lanes.values().fold(Totals::default(), |mut sum, lane| {
            sum.add(&lane.totals);
            sum
        })
    }
}

/// Whether `next` may follow `base`.
fn require_successor(base: &Checkpoint, next: &Checkpoint) -> Result<(), Violation> {
    let require = |holds, what: &str| {
        require(Invariant::CheckpointForward, holds, || {
            format!("generation {} after {}: {what}", next.generation, base.generation)
        })
    };
    require(base.generation.checked_add(1) == Some(next.generation), "it is not the next one")?;
    for (folder, position) in &base.lanes {
        let forward = next.lanes.get(folder).is_some_and(|next| {
            next.number >= position.number
                && next.last >= position.last
                && next.arrival_max_ms >= position.arrival_max_ms
        });
        require(forward, folder)?;
    }
    let settled = base.pending.is_empty() && base.due.is_empty();
    require(settled || base.lanes == next.lanes, "it moves on while files are pending or marks are due")?;
    event_time::require_successor(base, next)
}

/// Loads a pipeline's checkpoint.
///
/// # Errors
/// [`CheckpointError`] when the store fails, or the object is unreadable or another pipeline's.
pub async fn load(store: &dyn ObjectStore, pipeline: &str) -> Result<Loaded, CheckpointError> {
    let Some(object) = store.get(CHECKPOINT).await? else {
        return Ok(Loaded { checkpoint: Checkpoint::empty(pipeline), tag: None });
    };
    let unreadable = |reason: String| CheckpointError::Unreadable { location: store.location(), reason };
    let checkpoint: Checkpoint =
        serde_json::from_slice(&object.body).map_err(|error| unreadable(error.to_string()))?;
    if checkpoint.format != FORMAT {
        return Err(unreadable(format!("format {} where {FORMAT} is known", checkpoint.format)));
    }
    if checkpoint.pipeline != pipeline {
        return Err(CheckpointError::OtherPipeline {
            location: store.location(),
            found: checkpoint.pipeline,
            wanted: pipeline.to_owned(),
        });
    }
    Ok(Loaded { checkpoint, tag: Some(object.meta.tag) })
}

/// Replaces `base` by `next`, once.
///
/// The caller has raised the generation and set the run. A refusal or an unanswered request is
/// settled by reading the object again: it may have been this very commit that took effect.
///
/// # Errors
/// [`CheckpointError::Store`] of an unknown kind while the commit has not taken effect: the caller
/// may try again with the same arguments. [`CheckpointError::Invariant`]: nothing was sent.
pub async fn commit(
    store: &dyn ObjectStore,
    base: &Loaded,
    next: &Checkpoint,
) -> Result<Commit, CheckpointError> {
    require_successor(&base.checkpoint, next)?;
    let body = serde_json::to_vec(next).map_err(|error| CheckpointError::Unreadable {
        location: store.location(),
        reason: error.to_string(),
    })?;
    let condition = base.tag.clone().map_or(Condition::Absent, Condition::Matches);
    let answer = store.put(CHECKPOINT, Bytes::from(body), condition).await;
    if let Ok(Put::Stored { tag }) = answer {
        return Ok(Commit::Done(Box::new(Loaded { checkpoint: next.clone(), tag: Some(tag) })));
    }
    let now = load(store, &next.pipeline).await?;
    if now.checkpoint.generation == next.generation && now.checkpoint.run == next.run {
        return Ok(Commit::Done(Box::new(now)));
    }
    match answer {
        Err(error) if now.tag == base.tag => Err(error.into()),
        _ => Ok(Commit::Lost),
    }
}
