//! What a publisher tells of its run.

use super::collect::PartitionRows;
use crate::checkpoint::PendingFile;
use crate::event_time::Mark;

/// A lane whose next entry cannot be published. The others go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoppedLane {
    /// The lane's folder in the journal.
    pub folder: String,
    /// Number of the entry.
    pub entry: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// A file that became visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedFile {
    /// Key.
    pub key: String,
    /// Table name.
    pub table: String,
    /// Hive path below the table's root.
    pub partition: String,
    /// Rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
}

/// What a publisher did.
#[derive(Clone, Debug, Default)]
pub struct PublishReport {
    /// Commits that published rows.
    pub commits: u64,
    /// Entries that were published.
    pub entries: u64,
    /// Files that were made visible by this run, those of earlier runs that it settled included.
    pub files: Vec<PublishedFile>,
    /// Lost uploads that were built again.
    pub rebuilt: u64,
    /// Old entries that were deleted.
    pub deleted: u64,
    /// The longest time from an entry's commit until its rows were visible, milliseconds.
    pub lag_max_ms: Option<i64>,
    /// Rows that came when their partition was complete, wherever they went.
    pub late_rows: u64,
    /// How far the latest of them was behind the watermark, milliseconds.
    pub lateness_max_ms: Option<i64>,
    /// Partitions whose `_SUCCESS` was written, for the first time or again, with what these commits add to it.
    pub completed: Vec<Mark>,
    /// Partitions that will get no `_SUCCESS`, as too many were open at once.
    pub forgotten: u64,
    /// The watermark, milliseconds since 1970 UTC.
    pub watermark_ms: Option<i64>,
    /// How far the watermark was behind this clock in the end, milliseconds.
    pub watermark_lag_ms: Option<i64>,
    /// Lanes that cannot go on; somebody must look.
    pub stopped: Vec<StoppedLane>,
    /// Another publisher was at work; this one gave way.
    pub gave_way: bool,
    /// There is more to publish: the deadline came first.
    pub more: bool,
}

impl PublishReport {
    pub(super) fn count_late(
        &mut self,
        rows: &PartitionRows,
        oldest_ms: Option<i64>,
        watermark_ms: Option<i64>,
    ) {
        self.late_rows += rows.values().sum::<u64>();
        let lateness_ms = watermark_ms
            .zip(oldest_ms)
            .map(|(watermark_ms, oldest_ms)| watermark_ms.saturating_sub(oldest_ms));
        self.lateness_max_ms = self.lateness_max_ms.max(lateness_ms);
    }
}

pub(super) fn published(pending: &[PendingFile]) -> Vec<PublishedFile> {
    pending
        .iter()
        .map(|file| PublishedFile {
            key: file.key.clone(),
            table: file.contents.placed_in(),
            partition: file.contents.partition.clone(),
            rows: file.contents.rows,
            bytes: file.bytes,
        })
        .collect()
}
