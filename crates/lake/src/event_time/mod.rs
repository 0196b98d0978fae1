//! Event time: how far the sources are, and which partitions of the lake are complete.
//!
//! Each lane of a stream tells the largest event time that it has reached. The least of the active ones, less the
//! allowed lateness, is the watermark; it is kept in the checkpoint and never moves back. A partition whose time
//! is over by the watermark is complete: it gets a `_SUCCESS`. What comes for it afterwards is late.
//!
//! All of it is decided by the checkpoint on which a commit is built and the entries that it covers, so that it
//! is settled with the commit and not when a process gets round to it.

mod mark;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tripline_model::pipeline::LatePolicy;

use crate::checkpoint::{Checkpoint, LanePosition, PendingFile};
use crate::invariants::{Invariant, Violation, require};
use crate::journal::entry::TableTotals;
pub use mark::Mark;
pub use rules::EventTimeRules;

/// Open partitions that a checkpoint remembers. Each takes some 150 bytes of it, and every commit writes them all.
/// So many are years of hours without a watermark.
const MAX_OPEN: usize = 10_000;

/// A partition with rows that is not complete yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenPartition {
    /// When its time is over, milliseconds since 1970 UTC.
    pub end_ms: i64,
    /// Generation of the first commit that is counted here.
    pub since: u64,
    /// Rows published since.
    pub rows: u64,
    /// Files that they are in.
    pub files: u64,
    /// Those of the rows that were late.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub late_rows: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a lane has to say about event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// The watermark waits for it.
    Active,
    /// Nothing was written for so long that it is left out.
    Idle,
    /// It never counts: see [`Lane::tells_event_time`](crate::Lane::tells_event_time).
    Apart,
}

impl LanePosition {
    /// What the lane has to say about event time at `now_ms` (milliseconds since 1970 UTC), if all its entries are
    /// published: one with entries that wait is active.
    #[must_use]
    pub fn activity(&self, rules: &EventTimeRules, now_ms: i64) -> Activity {
        let written_ms = self.written_at_ms.or(self.arrival_max_ms);
        let is_idle = |written_ms| now_ms.saturating_sub(written_ms) > rules.idle_after_ms;
        match written_ms {
            _ if !self.lane.tells_event_time() => Activity::Apart,
            Some(written_ms) if !is_idle(written_ms) => Activity::Active,
            _ => Activity::Idle,
        }
    }
}

/// What a publish run has read, as far as event time is concerned.
#[derive(Clone, Debug)]
pub(crate) struct Progress<'a> {
    /// Lanes with entries that it has not read, by folder.
    pub(crate) unread: BTreeSet<&'a str>,
    /// Late rows, by table and path.
    pub(crate) late: &'a BTreeMap<(String, String), u64>,
    /// When it began to read, milliseconds since 1970 UTC: what came to a lane afterwards is not known.
    pub(crate) now_ms: i64,
}

impl Checkpoint {
    /// Partitions that have rows and are not complete.
    #[must_use]
    pub fn open_partitions(&self) -> usize {
        self.open.values().map(BTreeMap::len).sum()
    }

    /// Every lane, by its folder, with what it has to say about event time; see [`LanePosition::activity`].
    pub fn activities<'a>(
        &'a self,
        rules: &'a EventTimeRules,
        now_ms: i64,
    ) -> impl Iterator<Item = (&'a str, &'a LanePosition, Activity)> {
        let lanes = self.lanes.iter();
        lanes.map(move |(folder, position)| (folder.as_str(), position, position.activity(rules, now_ms)))
    }

    /// Takes the files of a commit in, which is to be the generation after this checkpoint's.
    pub(crate) fn count(&mut self, rules: &EventTimeRules, files: &[PendingFile], progress: &Progress<'_>) {
        let generation = self.generation + 1;
        for PendingFile { contents, .. } in files {
            if contents.late {
                let totals = TableTotals { rows: contents.rows, digest: contents.digest };
                self.diverted.entry(contents.table.clone()).or_default().add(totals);
                for source in &contents.sources {
                    if let Some(position) = self.lanes.get_mut(&source.lane) {
                        *position.diverted.entry(contents.table.clone()).or_default() += source.rows;
                    }
                }
            } else if let Some(end_ms) = rules.end_ms(&contents.table, &contents.partition) {
                let table = self.open.entry(contents.table.clone()).or_default();
                let open = OpenPartition { end_ms, since: generation, rows: 0, files: 0, late_rows: 0 };
                let open = table.entry(contents.partition.clone()).or_insert(open);
                open.rows += contents.rows;
                open.files += 1;
            }
        }
        if rules.late == LatePolicy::Append {
            for ((table, partition), rows) in progress.late {
                if let Some(open) = self.open.get_mut(table).and_then(|table| table.get_mut(partition)) {
                    open.late_rows += rows;
                }
            }
        }
    }

    /// Moves the watermark on, and makes the marks of partitions due that are complete thereby. Returns how many open
    /// partitions were more than can be remembered.
    pub(crate) fn follow(
        &mut self,
        rules: &EventTimeRules,
        progress: &Progress<'_>,
    ) -> Result<usize, Violation> {
        let reached_ms = self.least_reached_ms(rules, progress);
        if let Some(reached_ms) = reached_ms.filter(|reached_ms| Some(*reached_ms) > self.watermark_ms) {
            self.require_waited_for_all(reached_ms, rules, progress)?;
            self.watermark_ms = Some(reached_ms);
        }
        let Some(watermark_ms) = self.watermark_ms else { return Ok(self.forget()) };
        let due = &mut self.due;
        let completed = |table: &str, partition: &str, open: &OpenPartition| Mark {
            table: table.to_owned(),
            partition: partition.to_owned(),
            end_ms: open.end_ms,
            watermark_ms,
            rows: open.rows,
            files: open.files,
            late_rows: open.late_rows,
            since: open.since,
            generation: self.generation + 1,
            completed_at_ms: progress.now_ms,
        };
        for (table, partitions) in &mut self.open {
            partitions.retain(|partition, open| {
                let is_open = open.end_ms > watermark_ms;
                if !is_open {
                    due.push(completed(table, partition, open));
                }
                is_open
            });
        }
        self.open.retain(|_, partitions| !partitions.is_empty());
        Ok(self.forget())
    }

    /// The least event time that the active lanes have reached, less the allowed lateness; `None` where no
    /// lane is active, or one has not told any time yet.
    fn least_reached_ms(&self, rules: &EventTimeRules, progress: &Progress<'_>) -> Option<i64> {
        // A lane of which nothing is read yet may be anywhere.
        if progress.unread.iter().any(|folder| !self.lanes.contains_key(*folder)) {
            return None;
        }
        let mut least_ms = None;
        for (folder, position, activity) in self.activities(rules, progress.now_ms) {
            let waits = activity == Activity::Idle && progress.unread.contains(folder);
            if activity == Activity::Active || waits {
                let reached_ms = position.event_time_max_ms?;
                least_ms = Some(least_ms.map_or(reached_ms, |least_ms: i64| least_ms.min(reached_ms)));
            }
        }
        Some(least_ms?.saturating_sub(rules.allowed_lateness_ms))
    }

    /// Looks once more, lane by lane, at what no later commit can take back.
    fn require_waited_for_all(
        &self,
        watermark_ms: i64,
        rules: &EventTimeRules,
        progress: &Progress<'_>,
    ) -> Result<(), Violation> {
        let overtaken = self.lanes.iter().find(|(folder, position)| {
            let waits = progress.unread.contains(folder.as_str());
            let silent_ms =
                position.written_at_ms.map(|written_ms| progress.now_ms.saturating_sub(written_ms));
            let is_active = waits || silent_ms.is_some_and(|silent_ms| silent_ms <= rules.idle_after_ms);
            let least_ms = watermark_ms.saturating_add(rules.allowed_lateness_ms);
            position.lane.tells_event_time() && is_active && position.event_time_max_ms < Some(least_ms)
        });
        require(Invariant::WatermarkForward, overtaken.is_none(), || {
            format!("the watermark is to be {watermark_ms}, past lane {overtaken:?}")
        })
    }

    /// Forgets the open partitions that end last where there are too many. They get no `_SUCCESS`.
    fn forget(&mut self) -> usize {
        let excess = self.open_partitions().saturating_sub(MAX_OPEN);
        if excess == 0 {
            return 0;
        }
        let mut ends: Vec<i64> =
            self.open.values().flat_map(|partitions| partitions.values().map(|open| open.end_ms)).collect();
        ends.sort_unstable();
        let Some(&last_ms) = ends.get(MAX_OPEN) else { return 0 };
        for partitions in self.open.values_mut() {
            partitions.retain(|_, open| open.end_ms < last_ms);
        }
        self.open.retain(|_, partitions| !partitions.is_empty());
        ends.len() - self.open_partitions()
    }
}

/// What must hold of event time between a checkpoint and the next one.
pub(crate) fn require_successor(base: &Checkpoint, next: &Checkpoint) -> Result<(), Violation> {
    require(Invariant::WatermarkForward, next.watermark_ms >= base.watermark_ms, || {
        format!("generation {}: {:?} after {:?}", next.generation, next.watermark_ms, base.watermark_ms)
    })?;
    let mut new = next.due.iter().filter(|mark| !base.due.contains(mark));
    let too_early = new.find(|mark| Some(mark.end_ms) > next.watermark_ms);
    require(Invariant::MarkedWhenComplete, too_early.is_none(), || {
        format!("generation {}: {too_early:?} is due at {:?}", next.generation, next.watermark_ms)
    })?;
    let is_dropped = base.due.iter().any(|mark| !next.due.contains(mark));
    require(Invariant::MarkedWhenComplete, !is_dropped || next.pending.is_empty(), || {
        format!("generation {}: marks are done while files are pending", next.generation)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn of_too_many_open_partitions_those_that_end_last_are_forgotten() {
        let mut checkpoint = Checkpoint::empty("rides");
        for (table, first) in [("odd", 1), ("even", 2)] {
            let open = |end_ms| OpenPartition { end_ms, since: 1, rows: 1, files: 1, late_rows: 0 };
            let ends = (first..)
                .step_by(2)
                .take(MAX_OPEN / 2 + 3)
                .map(|end_ms: i64| (end_ms.to_string(), open(end_ms)));
            checkpoint.open.insert(table.to_owned(), ends.collect());
        }
        assert_eq!(checkpoint.open_partitions(), MAX_OPEN + 6);
        let progress = Progress { unread: BTreeSet::new(), late: &BTreeMap::new(), now_ms: 0 };
        let forgotten = checkpoint.follow(&EventTimeRules::default(), &progress).unwrap();
        assert_eq!((forgotten, checkpoint.open_partitions()), (6, MAX_OPEN));
        let last_ms = checkpoint.open.values().flat_map(BTreeMap::values).map(|open| open.end_ms).max();
        assert_eq!(last_ms, i64::try_from(MAX_OPEN).ok());
        let size = serde_json::to_vec(&checkpoint).unwrap().len();
        assert!(size < 200 * MAX_OPEN, "{size} bytes");
    }

    #[test]
    fn a_mark_adds_to_what_ends_before_it_and_to_nothing_else() {
        let mark = |rows, since, generation| Mark {
            table: "ride".to_owned(),
            partition: "hour=01".to_owned(),
            end_ms: 1,
            watermark_ms: 2,
            rows,
            files: 1,
            late_rows: 0,
            since,
            generation,
            completed_at_ms: 3,
        };
        assert_eq!(mark(5, 4, 6).after(None), Some(mark(5, 4, 6)));
        let sum = Mark { files: 2, ..mark(7, 1, 6) };
        assert_eq!(mark(5, 4, 6).after(Some(&mark(2, 1, 3))), Some(sum));
        assert_eq!(mark(5, 4, 6).after(Some(&mark(7, 1, 6))), None, "it was written before");
        assert_eq!(mark(5, 4, 6).after(Some(&mark(9, 1, 8))), None, "others went on");
    }
}
