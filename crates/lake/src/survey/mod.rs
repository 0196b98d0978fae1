//! Survey: what a lake holds, counted by hour, by file and by batch, for pictures of it.
//!
//! It proves nothing; that is what [`audit`](crate::audit) is for. Files and entries that cannot be read are
//! counted and left out.

mod entries;
mod files;

use std::collections::{BTreeMap, BTreeSet};

use arrow_schema::SchemaRef;
use futures_util::{StreamExt, stream};

use crate::audit::keys;
use crate::checkpoint::{self, CheckpointError};
use crate::identity::{self, IdentityError};
use crate::journal::entry::Totals;
use crate::lane::Lane;
use crate::layout::JOURNAL;
use crate::store::{ObjectStore, StoreError};

/// Files and entries that are read at once.
const AT_ONCE: usize = 8;

/// An hour in milliseconds.
pub const HOUR_MS: i64 = 3_600_000;

/// The lake could not be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SurveyError {
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

/// What a lake holds.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Tables, by name, the dead letters among them.
    pub tables: BTreeMap<String, SurveyedTable>,
    /// Lanes, by their folder.
    pub lanes: BTreeMap<String, SurveyedLane>,
    /// Batches whose entries are still in the journal, by the time at which they were written.
    pub batches: Vec<SurveyedBatch>,
    /// Rows of those entries by how late they were.
    pub lateness: Lateness,
    /// Files committed and not visible yet.
    pub pending_files: u64,
    /// Objects that could not be read, or are not this pipeline's.
    pub left_out: u64,
}

/// A table.
#[derive(Clone, Debug, Default)]
pub struct SurveyedTable {
    /// Visible files.
    pub files: Vec<SurveyedFile>,
    /// Rows by hour of their time (milliseconds since 1970 UTC, at its beginning) and by group: the value of the
    /// outermost partition folder that is no part of a time; of dead letters, their reason.
    pub hours: BTreeMap<i64, BTreeMap<String, u64>>,
}

impl SurveyedTable {
    /// Its rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Rows by group, the largest first.
    #[must_use]
    pub fn groups(&self) -> Vec<(String, u64)> {
        let mut sums = BTreeMap::<&str, u64>::new();
        for (group, rows) in self.hours.values().flatten() {
            *sums.entry(group).or_default() += rows;
        }
        let mut sums: Vec<(String, u64)> =
            sums.into_iter().map(|(group, rows)| (group.to_owned(), rows)).collect();
        sums.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        sums
    }
}

/// A visible file.
#[derive(Clone, Copy, Debug)]
pub struct SurveyedFile {
    /// Its bytes.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
}

/// A lane.
#[derive(Clone, Debug)]
pub struct SurveyedLane {
    /// Whose it is.
    pub lane: Lane,
    /// What was committed in it, published or not.
    pub totals: Totals,
    /// Entries that wait for publish.
    pub waiting_entries: u64,
    /// Position of its last record, as text.
    pub last: String,
    /// Largest event time of it, milliseconds since 1970 UTC.
    pub event_time_max_ms: Option<i64>,
    /// Latest arrival of it, milliseconds since 1970 UTC.
    pub arrival_max_ms: Option<i64>,
}

/// A journal entry.
#[derive(Clone, Copy, Debug)]
pub struct SurveyedBatch {
    /// When it was written, milliseconds since 1970 UTC.
    pub written_at_ms: i64,
    /// Its records.
    pub records: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// Rows by how far they were behind the largest event time that came before them in their lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lateness {
    /// By [`Self::BOUNDS_MS`]: rows that were not behind, then those behind by less than each bound, then the rest.
    pub rows: [u64; 8],
}

impl Lateness {
    /// Upper bounds of the buckets, milliseconds.
    pub const BOUNDS_MS: [i64; 6] = [10_000, 60_000, 10 * 60_000, HOUR_MS, 6 * HOUR_MS, 24 * HOUR_MS];
    /// The buckets in words.
    pub const NAMES: [&'static str; 8] = [
        "in order",
        "up to 10 s",
        "up to 1 min",
        "up to 10 min",
        "up to 1 h",
        "up to 6 h",
        "up to 1 day",
        "later",
    ];

    fn add(&mut self, behind_ms: i64) {
        let bucket = match behind_ms {
            ..=0 => 0,
            _ => 1 + Self::BOUNDS_MS.iter().take_while(|&&bound| behind_ms > bound).count(),
        };
        if let Some(rows) = self.rows.get_mut(bucket) {
            *rows += 1;
        }
    }
}

/// Looks at a pipeline's lake. `schema_of` gives a table's current schema, which reading JSON lines needs.
///
/// # Errors
/// [`SurveyError`] when there is no lake of this pipeline, or its store or checkpoint cannot be read.
pub async fn survey(
    store: &dyn ObjectStore,
    pipeline: &str,
    schema_of: &(dyn Fn(&str) -> Option<SchemaRef> + Sync),
) -> Result<Survey, SurveyError> {
    identity::expect(store, pipeline).await?;
    let checkpoint = checkpoint::load(store, pipeline).await?.checkpoint;
    let mut survey = Survey::default();
    for (folder, position) in &checkpoint.lanes {
        let lane = SurveyedLane {
            lane: position.lane.clone(),
            totals: position.totals.clone(),
            waiting_entries: 0,
            last: position.last.to_string(),
            event_time_max_ms: position.event_time_max_ms,
            arrival_max_ms: position.arrival_max_ms,
        };
        survey.lanes.insert(folder.clone(), lane);
    }
    for folder in store.list_folders(JOURNAL).await? {
        let published = checkpoint.lanes.get(&folder).map_or(0, |position| position.number);
        entries::read(store, &folder, published, &mut survey).await?;
    }
    survey.batches.sort_by_key(|batch| batch.written_at_ms);
    for table in store.list_folders("").await? {
        if table.starts_with('_') {
            continue;
        }
        let found = keys(store, &table).await?;
        let visible: BTreeSet<&str> = found.iter().map(String::as_str).collect();
        let of_table = checkpoint.pending.iter().filter(|file| file.contents.placed_in() == table);
        survey.pending_files += of_table.filter(|file| !visible.contains(file.key.as_str())).count() as u64;
        let (surveyed, left_out) = read_table(store, pipeline, &table, &found, schema_of(&table)).await?;
        survey.left_out += left_out;
        survey.tables.insert(table, surveyed);
    }
    Ok(survey)
}

/// Reads the files of a table; and how many of them could not be.
async fn read_table(
    store: &dyn ObjectStore,
    pipeline: &str,
    table: &str,
    keys: &[String],
    schema: Option<SchemaRef>,
) -> Result<(SurveyedTable, u64), SurveyError> {
    let reads = keys.iter().map(|key| files::read(store, pipeline, table, key, schema.clone()));
    let mut reads = stream::iter(reads).buffer_unordered(AT_ONCE);
    let (mut surveyed, mut left_out) = (SurveyedTable::default(), 0);
    while let Some(read) = reads.next().await {
        match read? {
            Some(file) => file.add_to(&mut surveyed),
            None => left_out += 1,
        }
    }
    Ok((surveyed, left_out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_counts_where_its_lateness_ends() {
        let mut lateness = Lateness::default();
        for behind in [-5, 0, 1, 10_000, 10_001, HOUR_MS, HOUR_MS + 1, 24 * HOUR_MS, i64::MAX] {
            lateness.add(behind);
        }
        assert_eq!(lateness.rows, [2, 2, 1, 0, 1, 1, 1, 1]);
        assert_eq!(Lateness::NAMES.len(), Lateness::BOUNDS_MS.len() + 2);
    }
}
