//! Reading the journal: entries after the checkpoint, of all lanes, within bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use futures_util::{StreamExt, stream};

use tripline_model::pipeline::LatePolicy;

use super::group::{GroupKey, Groups, oldest_ms};
use super::{PublishError, PublishOptions, StoppedLane};
use crate::checkpoint::{Checkpoint, LanePosition, PendingFile};
use crate::invariants::{Invariant, require_of_store};
use crate::journal::entry::{Entry, EntryError, Header, SectionHeader};
use crate::lane::Lane;
use crate::layout::{JOURNAL, entry_key, entry_number, lane_prefix};
use crate::store::{ErrorKind, ObjectStore, StoreError};

/// Entries of one lane that are read at a time, and before the next lane has its turn.
const TURN: usize = 16;

/// Rows by table and lake partition.
pub(super) type PartitionRows = BTreeMap<(String, String), u64>;

/// What a run read.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) groups: Groups,
    /// When reading began, milliseconds since 1970 UTC.
    pub(super) began_ms: i64,
    /// New positions of the lanes that have moved.
    pub(super) lanes: BTreeMap<String, LanePosition>,
    pub(super) entries: u64,
    /// What the entries' headers count.
    pub(super) rows: PartitionRows,
    /// Those of them that are late.
    pub(super) late: PartitionRows,
    /// The least event time of the late ones, milliseconds since 1970 UTC.
    pub(super) oldest_late_ms: Option<i64>,
    /// When the oldest of the entries was written, milliseconds since 1970 UTC.
    pub(super) oldest_written_ms: Option<i64>,
    /// Lanes whose entries are not all read.
    pub(super) unread: BTreeSet<String>,
    /// Lanes that cannot go on.
    pub(super) stopped: Vec<StoppedLane>,
    /// A bound was met; there is more.
    pub(super) more: bool,
}

struct Reader<'a> {
    store: &'a dyn ObjectStore,
    options: &'a PublishOptions,
    checkpoint: &'a Checkpoint,
    collected: Collected,
    raw_bytes: u64,
}

/// Reads entries after `checkpoint` in turns of all lanes until all are read or a bound is met.
/// What is collected of a lane is always the contiguous run after its position.
pub(super) async fn collect(
    store: &dyn ObjectStore,
    options: &PublishOptions,
    checkpoint: &Checkpoint,
) -> Result<Collected, PublishError> {
    let mut lanes = store.list_folders(JOURNAL).await?;
    // Another lane is first each time (a round commits twice), so that none waits for ever behind one
    // that fills every round.
    let first = usize::try_from(checkpoint.generation / 2).unwrap_or_default();
    let count = lanes.len().max(1);
    lanes.rotate_left(first % count);
    let collected = Collected { unread: lanes.iter().cloned().collect(), ..Collected::default() };
    let mut reader = Reader { store, options, checkpoint, collected, raw_bytes: 0 };
    while !lanes.is_empty() {
        let mut unfinished = Vec::with_capacity(lanes.len());
        for folder in lanes {
            if reader.is_full() {
                reader.collected.more = true;
                return Ok(reader.collected);
            }
            if reader.turn(&folder).await? {
                unfinished.push(folder);
            } else if !reader.collected.stopped.iter().any(|lane| lane.folder == folder) {
                reader.collected.unread.remove(&folder);
            }
        }
        lanes = unfinished;
    }
    Ok(reader.collected)
}

impl Reader<'_> {
    fn is_full(&self) -> bool {
        self.raw_bytes >= self.options.max_raw_bytes || self.collected.groups.len() >= self.options.max_files
    }

    /// Reads one turn of a lane. `true`: there may be more.
    async fn turn(&mut self, folder: &str) -> Result<bool, PublishError> {
        let position = self.collected.lanes.get(folder).or_else(|| self.checkpoint.lanes.get(folder));
        let after = position.map_or(0, |position| position.number);
        let listed = self.store.list(&lane_prefix(folder), Some(&entry_key(folder, after)), TURN).await?;
        let Some(first) = listed.first() else { return Ok(false) };
        // A number that is missing, or a stray object among the entries, ends the run.
        let run = (after + 1..)
            .zip(&listed)
            .take_while(|(number, object)| entry_number(&object.key) == Some(*number))
            .count();
        // A listing is no snapshot: it may show an entry and not the one before it, which was put
        // while it ran. Only a number that cannot be read either is a hole.
        if run == 0 && self.store.head(&entry_key(folder, after + 1)).await?.is_none() {
            let reason = format!("entry {} is missing, but {} is there", after + 1, first.key);
            self.stop(folder, after + 1, reason);
            return Ok(false);
        }
        let last = after + run.max(1) as u64;
        let mut entries = fetch(self.store, folder, after + 1..=last, self.options.reads_at_once);
        while let Some((number, entry)) = entries.next().await {
            if self.is_full() {
                self.collected.more = true;
                return Ok(true);
            }
            let entry = match entry {
                // This entry cannot be read, and trying again does not help.
                Err(error) if error.kind() != ErrorKind::Unknown => Err(error.to_string()),
                entry => entry?,
            };
            match entry {
                Ok(entry) => {
                    if let Err(reason) = self.take(folder, number, &entry) {
                        self.stop(folder, number, reason);
                        return Ok(false);
                    }
                }
                Err(reason) => {
                    self.stop(folder, number, reason);
                    return Ok(false);
                }
            }
        }
        Ok(listed.len() == TURN || run < listed.len())
    }

    fn take(&mut self, folder: &str, number: u64, entry: &Entry) -> Result<(), String> {
        let header = &entry.header;
        let position = self.collected.lanes.get(folder).or_else(|| self.checkpoint.lanes.get(folder));
        check(folder, number, entry, position)?;
        let sections = entry.sections().map_err(|error| error.to_string())?;
        let next = moved(position, header);
        for (section, header) in sections.iter().zip(&header.sections) {
            let late = self.late(&entry.header.lane, header);
            let is_diverted = |partition: &str| {
                self.options.event_time.late == LatePolicy::Divert && late.contains(partition)
            };
            self.collected.groups.add(folder, number, section, |key| {
                Some(GroupKey { late: is_diverted(&key.partition), ..key })
            });
            for partition in &header.partitions {
                let place = (header.table.clone(), partition.path.clone());
                if late.contains(partition.path.as_str()) {
                    *self.collected.late.entry(place.clone()).or_default() += partition.rows;
                }
                *self.collected.rows.entry(place).or_default() += partition.rows;
            }
            if !late.is_empty() {
                let chosen: Vec<bool> = section
                    .partitions
                    .iter()
                    .map(|partition| late.contains(partition.path.as_str()))
                    .collect();
                let oldest_ms = oldest_ms(section, &chosen).map_err(|error| error.to_string())?;
                let known_ms = self.collected.oldest_late_ms;
                self.collected.oldest_late_ms = known_ms.into_iter().chain(oldest_ms).min();
            }
        }
        let known_ms = self.collected.oldest_written_ms;
        self.collected.oldest_written_ms = known_ms.into_iter().chain([header.written_at_ms]).min();
        self.collected.lanes.insert(folder.to_owned(), next);
        self.collected.entries += 1;
        self.raw_bytes += entry.raw_length();
        Ok(())
    }

    /// A section's partitions that the checkpoint's watermark has passed: what comes for them is late.
    fn late<'h>(&self, lane: &Lane, section: &'h SectionHeader) -> BTreeSet<&'h str> {
        let Some(watermark_ms) = self.checkpoint.watermark_ms.filter(|_| lane.tells_event_time()) else {
            return BTreeSet::new();
        };
        let rules = &self.options.event_time;
        let is_over =
            |path: &str| rules.end_ms(&section.table, path).is_some_and(|end_ms| end_ms <= watermark_ms);
        section
            .partitions
            .iter()
            .map(|partition| partition.path.as_str())
            .filter(|path| is_over(path))
            .collect()
    }

    fn stop(&mut self, folder: &str, number: u64, reason: String) {
        self.collected.stopped.push(StoppedLane { folder: folder.to_owned(), entry: number, reason });
    }
}

/// An entry must be what its key says and come after the lane's position; otherwise something
/// other than this protocol wrote it.
pub(crate) fn check(
    folder: &str,
    number: u64,
    entry: &Entry,
    position: Option<&LanePosition>,
) -> Result<(), String> {
    let header = &entry.header;
    if header.number != number || header.lane.folder() != folder {
        return Err(format!("the object is entry {} of {}", header.number, header.lane));
    }
    let last = position.map(|position| position.last);
    require_of_store(Invariant::PositionsAscend, last < Some(header.first), || {
        let last = last.unwrap_or_default();
        format!(
            "it begins with record {} although {last} is in already: records would be doubled",
            header.first
        )
    })
    .map_err(|violation| violation.to_string())
}

/// A lane's position behind its next entry.
pub(crate) fn moved(position: Option<&LanePosition>, header: &Header) -> LanePosition {
    let Some(position) = position else { return LanePosition::first(header) };
    let mut next = position.clone();
    next.advance(header);
    next
}

/// Reads entries in order, several at once. The inner error is one that stops the lane.
fn fetch<'a>(
    store: &'a dyn ObjectStore,
    folder: &'a str,
    numbers: RangeInclusive<u64>,
    at_once: usize,
) -> impl StreamExt<Item = (u64, Result<Result<Entry, String>, StoreError>)> + Unpin + 'a {
    let read = move |number| async move {
        let parsed = store.get(&entry_key(folder, number)).await.map(|object| match object {
            Some(object) => Entry::parse(&object.body).map_err(|error: EntryError| error.to_string()),
            None => Err("it was listed and is gone".to_owned()),
        });
        (number, parsed)
    };
    Box::pin(stream::iter(numbers).map(read).buffered(at_once.max(1)))
}

/// Collects the rows of files again that were committed together: one pass over the entries that any of
/// them was made from, all of which that commit's run had read.
pub(super) async fn collect_again(
    store: &dyn ObjectStore,
    options: &PublishOptions,
    files: &[PendingFile],
) -> Result<Groups, PublishError> {
    // Rows of one partition are in two files where those of one lane were late and those of another were not.
    let wanted: BTreeSet<(&str, GroupKey)> = files
        .iter()
        .flat_map(|file| file.contents.sources.iter().map(move |source| (source, &file.contents)))
        .map(|(source, contents)| (source.lane.as_str(), GroupKey::of(contents)))
        .collect();
    let mut ranges: BTreeMap<&str, RangeInclusive<u64>> = BTreeMap::new();
    for source in files.iter().flat_map(|file| &file.contents.sources) {
        let range = ranges.entry(&source.lane).or_insert(source.first_entry..=source.last_entry);
        *range = source.first_entry.min(*range.start())..=source.last_entry.max(*range.end());
    }
    let mut groups = Groups::default();
    for (lane, range) in ranges {
        let mut entries = fetch(store, lane, range, options.reads_at_once);
        while let Some((number, entry)) = entries.next().await {
            let lost = |reason: String| PublishError::Unrecoverable {
                key: entry_key(lane, number),
                location: store.location(),
                reason,
            };
            let entry = entry?.map_err(lost)?;
            for section in entry.sections().map_err(|error| lost(error.to_string()))? {
                groups.add(lane, number, &section, |key| {
                    let late = GroupKey { late: true, ..key.clone() };
                    [key, late].into_iter().find(|key| wanted.contains(&(lane, key.clone())))
                });
            }
        }
    }
    Ok(groups)
}
