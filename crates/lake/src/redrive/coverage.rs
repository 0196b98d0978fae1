//! Which records of a source partition are in, told from its lanes' entries: what a batch that was given up
//! needs to know.

use futures_util::TryStreamExt as _;
use futures_util::future::ready;
use tripline_model::source::{Position, SourcePartition, SourceRecord};

use super::{RedriveError, given_up_from, is_given_up_of};
use crate::checkpoint::{self, Checkpoint};
use crate::journal::entry::{Entry, Header};
use crate::journal::{JournalError, read_entry};
use crate::lake::Lake;
use crate::lane::{Lane, Role};
use crate::layout::{JOURNAL, entry_key, entry_number, lane_prefix};
use crate::store::{ObjectStore, objects};

/// The ranges of entries around some positions.
///
/// An entry covers every record between its first and its last: it was cut from one batch, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    ranges: Vec<(Position, Position)>,
    /// Entries that may have covered positions up to this have been deleted.
    unknown_up_to: Option<Position>,
}

impl Coverage {
    /// Reads the entries that may cover a position of `origin` from `first` to `last`: those of its own
    /// lane, and of every batch of it that was given up and sent again.
    ///
    /// # Errors
    /// [`RedriveError`].
    pub async fn of(
        lake: &Lake,
        role: Role,
        origin: &SourcePartition,
        range: (Position, Position),
    ) -> Result<Self, RedriveError> {
        let store: &dyn ObjectStore = &**lake.store();
        let own = Lane::new(lake.pipeline(), role, origin);
        let published = checkpoint::load(store, lake.pipeline()).await?.checkpoint;
        let mut lanes: Vec<Lane> = published
            .lanes
            .values()
            .map(|position| &position.lane)
            .filter(|lane| lane.role == role && is_given_up_of(origin, lane))
            .cloned()
            .collect();
        // Those of which nothing is published tell who they are only by their entries.
        for folder in store.list_folders(JOURNAL).await? {
            if published.lanes.contains_key(&folder) || folder == own.folder() {
                continue;
            }
            let Some(&number) = numbers(store, &folder).await?.first() else { continue };
            let Some(object) = store.get(&entry_key(&folder, number)).await? else { continue };
            let Ok(entry) = Entry::parse(&object.body) else { continue };
            let lane = entry.header.lane;
            if lane.role == role && is_given_up_of(origin, &lane) {
                lanes.push(lane);
            }
        }
        let mut coverage = Self::default();
        coverage.add(store, &own, &published, range).await?;
        for lane in lanes {
            coverage.add(store, &lane, &published, range).await?;
        }
        Ok(coverage)
    }

    /// Adds the ranges of one lane's entries.
    async fn add(
        &mut self,
        store: &dyn ObjectStore,
        lane: &Lane,
        published: &Checkpoint,
        (first, last): (Position, Position),
    ) -> Result<(), RedriveError> {
        let folder = lane.folder();
        let numbers = numbers(store, &folder).await?;
        let header = async |number: u64| -> Result<Header, RedriveError> {
            let entry = read_entry(store, lane, &folder, number).await?;
            let key = entry_key(&folder, number);
            let vanished = || JournalError::Vanished { key, location: store.location() };
            Ok(entry.ok_or_else(vanished)?.header)
        };
        // The newest entry that begins at or before `last`, by halving: entries only move forward.
        let (mut low, mut high) = (0, numbers.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(&number) = numbers.get(middle) else { break };
            if header(number).await?.first <= last { low = middle + 1 } else { high = middle }
        }
        for &number in numbers.iter().take(low).rev() {
            let header = header(number).await?;
            if header.last < first {
                return Ok(());
            }
            self.ranges.push((header.first, header.last));
        }
        // All entries that are left were looked at; of those that are not, only the checkpoint tells, and
        // no more than that there were some, and that none went beyond what is published.
        if numbers.first() != Some(&1) {
            let published_last = published.lanes.get(&folder).map(|position| position.last);
            match (given_up_from(&lane.epoch), published_last) {
                // All records of a given-up batch were settled, in order, up to the last that its lane took.
                (Some(begin), Some(end)) => self.ranges.push((begin, end)),
                _ => self.unknown_up_to = self.unknown_up_to.max(published_last),
            }
        }
        Ok(())
    }

    /// Whether a record is in; `None` where the entry that would show it has been deleted.
    #[must_use]
    pub fn covers(&self, record: &SourceRecord<'_>) -> Option<bool> {
        let position = record.position;
        if self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&position)) {
            return Some(true);
        }
        if self.unknown_up_to.is_some_and(|end| position <= end) { None } else { Some(false) }
    }
}

/// Numbers of the entries that are there, ascending.
async fn numbers(store: &dyn ObjectStore, folder: &str) -> Result<Vec<u64>, RedriveError> {
    let listed = objects(store, lane_prefix(folder), None);
    Ok(listed.try_filter_map(|object| ready(Ok(entry_number(&object.key)))).try_collect().await?)
}
