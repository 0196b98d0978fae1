//! A lane's tail: where the next entry goes and which records are in already.

use std::fmt;

use tripline_model::source::Position;

use crate::checkpoint::{self, CheckpointError};
use crate::environment::Environment;
use crate::invariants::{Invariant, Violation, require_of_store};
use crate::journal::JournalError;
use crate::journal::entry::{Entry, Header};
use crate::lane::Lane;
use crate::layout::{entry_key, entry_number, lane_prefix};
use crate::store::ObjectStore;

/// Keys asked for in one page of a listing.
const PAGE: usize = 1000;

/// What is known of a lane's newest entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Number of the newest entry; 0 where there is none.
    pub number: u64,
    /// Position of the last record that is in.
    pub last: Option<Position>,
    /// Latest arrival among all records that are in.
    pub arrival_max_ms: Option<i64>,
    /// When the look-up began. Every later entry is younger than this, so none of their numbers
    /// can have been deleted before `as_of_ms` + retention.
    pub as_of_ms: i64,
}

impl fmt::Display for Tail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            Some(last) => write!(formatter, "entry {}, which ends with {last}", self.number),
            None => formatter.write_str("no entry"),
        }
    }
}

impl Tail {
    /// The tail once `entry`, a later one, is known to be there.
    ///
    /// # Errors
    /// [`Violation`] when the entry holds records that are in already.
    pub fn after(self, entry: &Header) -> Result<Self, Violation> {
        let ascends = self.number < entry.number && self.last < Some(entry.first);
        require_of_store(Invariant::PositionsAscend, ascends, || {
            format!("entry {} begins with {} after {self}", entry.number, entry.first)
        })?;
        Ok(Self {
            number: entry.number,
            last: Some(entry.last),
            arrival_max_ms: self.arrival_max_ms.max(entry.arrival_max_ms),
            as_of_ms: self.as_of_ms,
        })
    }
}

/// Looks a lane's tail up: the publish checkpoint's position or the newest entry listed, whichever
/// is further. The listing alone would forget rows once their entries are deleted.
///
/// Entries older than retention may be published and deleted between the two readings. As they go in
/// ascending order, one that is listed shows that all after it are; where none is, the checkpoint is
/// read again, which by then tells of all that were deleted.
pub(super) async fn look_up(
    store: &dyn ObjectStore,
    environment: &Environment,
    lane: &Lane,
    folder: &str,
) -> Result<Tail, JournalError> {
    let as_of_ms = environment.now_ms();
    let published = published(store, lane, folder, as_of_ms).await?;
    // The published entry itself is listed too: as long as it is kept, two readings are enough.
    let listed_after = published.number.saturating_sub(1);
    let Some(newest) = newest_number(store, folder, listed_after).await? else {
        return self::published(store, lane, folder, as_of_ms).await;
    };
    if newest <= published.number {
        return Ok(published);
    }
    if let Some(entry) = read_entry(store, lane, folder, newest).await? {
        return published.after(&entry.header).map_err(JournalError::invariant(lane));
    }
    let published = self::published(store, lane, folder, as_of_ms).await?;
    if published.number < newest {
        return Err(JournalError::Vanished { key: entry_key(folder, newest), location: store.location() });
    }
    Ok(published)
}

/// The tail as the checkpoint shows it.
async fn published(
    store: &dyn ObjectStore,
    lane: &Lane,
    folder: &str,
    as_of_ms: i64,
) -> Result<Tail, JournalError> {
    let loaded = match checkpoint::load(store, &lane.pipeline).await {
        Ok(loaded) => loaded,
        Err(CheckpointError::Store(error)) => return Err(error.into()),
        Err(error) => return Err(JournalError::Checkpoint(error)),
    };
    Ok(match loaded.checkpoint.lanes.get(folder) {
        Some(position) => Tail {
            number: position.number,
            last: Some(position.last),
            arrival_max_ms: position.arrival_max_ms,
            as_of_ms,
        },
        None => Tail { number: 0, last: None, arrival_max_ms: None, as_of_ms },
    })
}

async fn newest_number(
    store: &dyn ObjectStore,
    folder: &str,
    after: u64,
) -> Result<Option<u64>, JournalError> {
    let prefix = lane_prefix(folder);
    let mut start_after = entry_key(folder, after);
    let mut newest = None;
    loop {
        let page = store.list(&prefix, Some(&start_after), PAGE).await?;
        let Some(last) = page.last() else { return Ok(newest) };
        newest = page.iter().rev().find_map(|object| entry_number(&object.key)).or(newest);
        if page.len() < PAGE {
            return Ok(newest);
        }
        start_after.clone_from(&last.key);
    }
}

/// Reads an entry and checks that it is the lane's.
pub(crate) async fn read_entry(
    store: &dyn ObjectStore,
    lane: &Lane,
    folder: &str,
    number: u64,
) -> Result<Option<Entry>, JournalError> {
    let key = entry_key(folder, number);
    let Some(object) = store.get(&key).await? else { return Ok(None) };
    let entry = Entry::parse(&object.body).and_then(|entry| entry.expect(lane, number).map(|()| entry));
    entry.map(Some).map_err(|source| JournalError::Entry { key, location: store.location(), source })
}
