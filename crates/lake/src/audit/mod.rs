//! Audit: proves from what lies in the store that each record is there once.
//!
//! The same rows are counted three times by different code: by ingest, in the entries' headers; by
//! publish, in the checkpoint's totals and the files' labels; and here, from the columns of entries
//! and files. Counts come with an order-independent digest of ids and times, so that a row missing
//! here and doubled there does not cancel out.

mod files;
mod lanes;
mod marks;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use arrow_schema::SchemaRef;
use futures_util::{StreamExt, stream};
use tripline_model::batch::late_table;

use crate::checkpoint::{self, Checkpoint, CheckpointError, SourceRange};
use crate::identity::{self, IdentityError};
use crate::invariants::Invariant;
use crate::journal::entry::{TableTotals, Totals};
use crate::lane::Lane;
use crate::layout::JOURNAL;
use crate::store::{ObjectStore, StoreError};
use files::{AuditedFile, Verdict};
pub(crate) use files::{keys, labels};

/// Files, or a lane's entries, that are read at once.
const AT_ONCE: usize = 4;

/// The audit could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no lake, or it is another pipeline's: nothing found would prove nothing.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// What an audit found.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    /// Lanes, by source partition.
    pub lanes: Vec<AuditedLane>,
    /// Tables, by name.
    pub tables: BTreeMap<String, AuditedTable>,
    /// Files committed but not visible yet; the next publish run completes them.
    pub pending: u64,
    /// Partitions that a `_SUCCESS` says are complete.
    pub marks: u64,
    /// Objects under the table roots that this pipeline did not publish.
    pub foreign: Vec<String>,
    /// Everything that contradicts "each record once", with the id of the invariant that it breaks, where it
    /// breaks one. Empty: proved.
    pub faults: Vec<String>,
}

/// A lane as its entries and the checkpoint show it.
#[derive(Clone, Debug)]
pub struct AuditedLane {
    /// The lane.
    pub lane: Lane,
    /// Entries published.
    pub published_entries: u64,
    /// Entries waiting for publish.
    pub waiting_entries: u64,
    /// Totals over all entries, published and waiting.
    pub totals: Totals,
    /// Totals over the published ones.
    pub published: Totals,
    /// Position of the last record, as text.
    pub last: String,
}

/// A table as its files show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditedTable {
    /// Visible files.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Their rows and digest, read from their columns.
    pub found: TableTotals,
    /// What the checkpoint says should be visible.
    pub expected: TableTotals,
}

impl Audit {
    /// `true`: each record is there exactly once, as far as the store can tell.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Audits a pipeline's lake. `schema_of` gives a table's current schema, which reading JSON lines
/// needs; Parquet explains itself. Stop publishers first, or a commit between two reads may show as a
/// fault.
///
/// # Errors
/// [`AuditError`] when there is no lake of this pipeline, or its store or checkpoint cannot be read. What is wrong with entries and
/// files is not an error but a fault in the result.
pub async fn audit(
    store: &dyn ObjectStore,
    pipeline: &str,
    schema_of: &(dyn Fn(&str) -> Option<SchemaRef> + Sync),
) -> Result<Audit, AuditError> {
    identity::expect(store, pipeline).await?;
    let checkpoint = checkpoint::load(store, pipeline).await?.checkpoint;
    let mut audit = Audit::default();
    let listed: BTreeSet<String> = store.list_folders(JOURNAL).await?.into_iter().collect();
    let known: BTreeSet<String> = checkpoint.lanes.keys().cloned().collect();
    for folder in listed.union(&known) {
        lanes::audit_lane(store, folder, checkpoint.lanes.get(folder), &mut audit).await?;
    }
    let (visible, marks) = audit_files(store, pipeline, schema_of, &mut audit).await?;
    audit.pending = invisible(&checkpoint, &visible).count() as u64;
    compare_tables(&checkpoint, &visible, &mut audit);
    compare_lanes(&checkpoint, &visible, &mut audit);
    find_overlaps(&visible, &mut audit);
    marks::audit_marks(store, marks, (&checkpoint, &visible), &mut audit).await?;
    Ok(audit)
}

async fn audit_files(
    store: &dyn ObjectStore,
    pipeline: &str,
    schema_of: &(dyn Fn(&str) -> Option<SchemaRef> + Sync),
    audit: &mut Audit,
) -> Result<(Vec<AuditedFile>, Vec<String>), AuditError> {
    let (mut visible, mut marks) = (Vec::new(), Vec::new());
    for table in store.list_folders("").await? {
        if table.starts_with('_') {
            continue;
        }
        let schema = schema_of(&table);
        let (keys, mut of_table) = files::keys_and_marks(store, &table).await?;
        marks.append(&mut of_table);
        let place = (pipeline, table.as_str());
        let reads = keys.into_iter().map(|key| files::audit_file(store, place, key, schema.clone()));
        let mut reads = stream::iter(reads).buffer_unordered(AT_ONCE);
        while let Some(verdict) = reads.next().await {
            match verdict? {
                Verdict::Sound(file) => visible.push(file),
                Verdict::Faulty(file, faults) => {
                    audit.faults.extend(faults);
                    visible.extend(file);
                }
                Verdict::Foreign(key) => audit.foreign.push(key),
            }
        }
    }
    visible.sort_by(|one, other| one.key.cmp(&other.key));
    Ok((visible, marks))
}

/// A fault, with the invariant that it breaks.
fn breach(invariant: Invariant, what: impl fmt::Display) -> String {
    format!("{what} ({})", invariant.id())
}

/// What lies in the tables is what the checkpoint says, less what is pending and not there yet.
fn compare_tables(checkpoint: &Checkpoint, visible: &[AuditedFile], audit: &mut Audit) {
    for (table, totals) in checkpoint.totals().tables {
        audit.tables.entry(table).or_default().expected = totals;
    }
    let take = |table: &mut AuditedTable, rows: u64, digest: u64| {
        table.expected.rows = table.expected.rows.wrapping_sub(rows);
        table.expected.digest = table.expected.digest.wrapping_sub(digest);
    };
    for (table, late) in &checkpoint.diverted {
        take(audit.tables.entry(table.clone()).or_default(), late.rows, late.digest);
        audit.tables.entry(late_table(table)).or_default().expected.add(*late);
    }
    for file in invisible(checkpoint, visible) {
        let table = audit.tables.entry(file.contents.placed_in()).or_default();
        take(table, file.contents.rows, file.contents.digest);
    }
    for file in visible {
        let table = audit.tables.entry(file.table.clone()).or_default();
        table.files += 1;
        table.bytes += file.bytes;
        table.found.add(file.found);
    }
    for (name, table) in &audit.tables {
        if table.found.rows != table.expected.rows {
            let (found, expected) = (table.found.rows, table.expected.rows);
            let what = format_args!(
                "table {name}: its files hold {found} rows where the checkpoint committed {expected}"
            );
            audit.faults.push(breach(Invariant::RecordOnce, what));
        } else if table.found.digest != table.expected.digest {
            let what = format_args!(
                "table {name}: its files hold as many rows as were committed, but not the same ones"
            );
            audit.faults.push(breach(Invariant::RecordOnce, what));
        }
    }
}

fn invisible<'a>(
    checkpoint: &'a Checkpoint,
    visible: &[AuditedFile],
) -> impl Iterator<Item = &'a checkpoint::PendingFile> {
    let keys: BTreeSet<&str> = visible.iter().map(|file| file.key.as_str()).collect();
    let hidden: Vec<_> = checkpoint.pending.iter().filter(|file| !keys.contains(file.key.as_str())).collect();
    hidden.into_iter()
}

/// Per source partition: rows of the files that come from a lane are the rows it has published.
fn compare_lanes(checkpoint: &Checkpoint, visible: &[AuditedFile], audit: &mut Audit) {
    let mut found: BTreeMap<(&str, String), u64> = BTreeMap::new();
    let hidden: Vec<_> = invisible(checkpoint, visible).collect();
    // Files without a label leave a table's rows without a lane; its sums are compared all the same.
    let silent: BTreeSet<&str> =
        visible.iter().filter(|file| file.sources.is_none()).map(|file| file.table.as_str()).collect();
    let of_visible = visible.iter().filter_map(|file| Some((file.table.clone(), file.sources.as_ref()?)));
    let of_hidden = hidden.iter().map(|file| (file.contents.placed_in(), &file.contents.sources));
    for (table, sources) in of_visible.chain(of_hidden) {
        for source in sources {
            *found.entry((source.lane.as_str(), table.clone())).or_default() += source.rows;
        }
    }
    for (folder, position) in &checkpoint.lanes {
        let diverted = position.diverted.iter().map(|(table, rows)| (late_table(table), *rows));
        let of_tables = position.totals.tables.iter().map(|(table, totals)| {
            let diverted = position.diverted.get(table).copied().unwrap_or_default();
            (table.clone(), totals.rows.wrapping_sub(diverted))
        });
        for (table, committed) in of_tables.chain(diverted) {
            if silent.contains(table.as_str()) {
                continue;
            }
            let rows = found.remove(&(folder.as_str(), table.clone())).unwrap_or_default();
            if rows != committed {
                let what = format_args!(
                    "{}: files of table {table} hold {rows} of its rows where {committed} were committed",
                    position.lane
                );
                audit.faults.push(breach(Invariant::RecordOnce, what));
            }
        }
    }
    found.retain(|(_, table), _| !silent.contains(table.as_str()));
    for ((folder, table), rows) in found {
        let what = format_args!("table {table} has {rows} rows of lane {folder}, which never published any");
        audit.faults.push(breach(Invariant::CommitReconciles, what));
    }
}

/// No journal entry feeds the files of two generations in one partition. (Within one generation it
/// may, where entries of two schemas alternate.)
fn find_overlaps(visible: &[AuditedFile], audit: &mut Audit) {
    type Runs<'a> = Vec<(&'a SourceRange, &'a AuditedFile)>;
    let mut runs: BTreeMap<(&str, &str, &str), Runs<'_>> = BTreeMap::new();
    for file in visible {
        for source in file.sources.iter().flatten() {
            let place = (file.table.as_str(), file.partition.as_str(), source.lane.as_str());
            runs.entry(place).or_default().push((source, file));
        }
    }
    for ((table, partition, lane), mut runs) in runs {
        runs.sort_by_key(|(source, _)| (source.first_entry, source.last_entry));
        let mut runs = runs.into_iter();
        let Some(mut furthest) = runs.next() else { continue };
        for next in runs {
            if next.0.first_entry <= furthest.0.last_entry && next.1.generation != furthest.1.generation {
                let what = format_args!(
                    "table {table}, partition {partition}: entries of lane {lane} are in both {} and {}",
                    furthest.1.key, next.1.key
                );
                audit.faults.push(breach(Invariant::RecordOnce, what));
            }
            if next.0.last_entry > furthest.0.last_entry {
                furthest = next;
            }
        }
    }
}
