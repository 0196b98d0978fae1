//! The `_SUCCESS` of a partition.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::layout::success_key;

/// What a partition's `_SUCCESS` says. It is written again, with higher numbers, when rows came in after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Table name.
    pub table: String,
    /// Hive path below the table's root.
    pub partition: String,
    /// When the partition's time was over, milliseconds since 1970 UTC.
    pub end_ms: i64,
    /// The watermark by which it is complete, milliseconds since 1970 UTC.
    pub watermark_ms: i64,
    /// Rows in it, from generation `since` to `generation`.
    pub rows: u64,
    /// Files that they are in.
    pub files: u64,
    /// Those of the rows that came when the partition was complete.
    pub late_rows: u64,
    /// Generation of the first commit that is counted.
    pub since: u64,
    /// Generation of the last commit that is counted.
    pub generation: u64,
    /// When it was found complete, milliseconds since 1970 UTC.
    pub completed_at_ms: i64,
}

impl Mark {
    /// The key at which it lies.
    #[must_use]
    pub fn key(&self) -> String {
        success_key(&self.table, &self.partition)
    }

    /// What an object says; `None` if it is no mark of ours.
    pub(crate) fn parse(body: &Bytes) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// This mark with what the one that lies there had counted before. `None`: that one has all of this.
    pub(crate) fn after(&self, before: Option<&Self>) -> Option<Self> {
        let Some(before) = before else { return Some(self.clone()) };
        (before.generation < self.generation).then(|| Self {
            rows: self.rows.saturating_add(before.rows),
            files: self.files.saturating_add(before.files),
            late_rows: self.late_rows.saturating_add(before.late_rows),
            since: before.since.min(self.since),
            ..self.clone()
        })
    }
}
