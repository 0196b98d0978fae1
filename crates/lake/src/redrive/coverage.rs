//! Which records of a lane are in, told from its entries: what a batch that was given up needs to know.

use tripline_model::source::{Position, SourcePartition, SourceRecord};

use super::RedriveError;
use crate::checkpoint;
use crate::journal::entry::Header;
use crate::journal::{JournalError, read_entry};
use crate::lake::Lake;
use crate::lane::{Lane, Role};
use crate::layout::{entry_number, lane_prefix};
use crate::store::ObjectStore;

/// Keys asked for in one page of a listing.
const PAGE: usize = 1000;

/// The ranges of a lane's entries around some positions.
///
/// An entry covers every record between its first and its last: it was cut from one batch, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    ranges: Vec<(Position, Position)>,
    /// Entries that may have covered positions up to this have been deleted.
    unknown_up_to: Option<Position>,
}

impl Coverage {
    /// Reads the entries of `origin`'s lane that may cover a position from `first` to `last`.
    ///
    /// # Errors
    /// [`RedriveError`].
    pub async fn of(
        lake: &Lake,
        role: Role,
        origin: &SourcePartition,
        (first, last): (Position, Position),
    ) -> Result<Self, RedriveError> {
        let store: &dyn ObjectStore = &**lake.store();
        let lane = Lane::new(lake.pipeline(), role, origin);
        let folder = lane.folder();
        let numbers = numbers(store, &folder).await?;
        let header = async |number: u64| -> Result<Header, RedriveError> {
            let entry = read_entry(store, &lane, &folder, number).await?;
            let key = crate::layout::entry_key(&folder, number);
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
        let mut coverage = Self::default();
        for &number in numbers.iter().take(low).rev() {
            let header = header(number).await?;
            if header.last < first {
                return Ok(coverage);
            }
            coverage.ranges.push((header.first, header.last));
        }
        // All entries that are left were looked at; of those that are not, only the checkpoint tells, and
        // no more than that there were some, and that none went beyond what is published.
        if numbers.first() != Some(&1) {
            let published = checkpoint::load(store, lake.pipeline()).await?.checkpoint;
            coverage.unknown_up_to = published.lanes.get(&folder).map(|position| position.last);
        }
        Ok(coverage)
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
    let prefix = lane_prefix(folder);
    let mut numbers = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.list(&prefix, after.as_deref(), PAGE).await?;
        numbers.extend(page.iter().filter_map(|object| entry_number(&object.key)));
        if page.len() < PAGE {
            return Ok(numbers);
        }
        after = page.last().map(|object| object.key.clone());
    }
}
