//! Rows on their way into files: grouped by lake partition, ordered by event time.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use arrow_select::interleave::interleave_record_batch;
use tripline_model::batch::{Section, late_schema, late_table, metadata};
use xxhash_rust::xxh3::Xxh3;

use crate::checkpoint::{Contents, SourceRange};

/// Rows per batch handed to an encoder: large enough to amortise, small against a row group.
const BATCH_ROWS: usize = 16 * 1024;

/// What the rows of one file have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct GroupKey {
    pub(super) table: Arc<str>,
    pub(super) partition: String,
    /// They came late and go into the late table.
    pub(super) late: bool,
    /// Rows of different schemas never share a file.
    pub(super) schema: u64,
}

impl GroupKey {
    pub(super) fn of(contents: &Contents) -> Self {
        Self {
            table: Arc::from(contents.table.as_str()),
            partition: contents.partition.clone(),
            late: contents.late,
            schema: contents.schema,
        }
    }

    /// Name of the table that the file is in.
    pub(super) fn placed_in(&self) -> String {
        if self.late { late_table(&self.table) } else { self.table.to_string() }
    }
}

/// The rows of one file, as row numbers into the batches that hold them.
#[derive(Clone, Debug)]
pub(super) struct Group {
    schema: SchemaRef,
    pieces: Vec<Piece>,
    sources: BTreeMap<String, SourceRange>,
}

#[derive(Clone, Debug)]
struct Piece {
    lane: String,
    entry: u64,
    batch: RecordBatch,
    rows: Vec<u32>,
}

/// All groups of a publish run.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    groups: BTreeMap<GroupKey, Group>,
}

impl Groups {
    /// Distributes a section's rows. `place` says where those go that would be in a group; `None`: nowhere.
    pub(super) fn add(
        &mut self,
        lane: &str,
        entry: u64,
        section: &Section,
        place: impl Fn(GroupKey) -> Option<GroupKey>,
    ) {
        let schema = section.rows.schema();
        let fingerprint = fingerprint(&schema);
        let mut rows_of: Vec<Vec<u32>> = vec![Vec::new(); section.partitions.len()];
        for (row, &partition) in (0_u32..).zip(&section.partition_of) {
            if let Some(rows) = rows_of.get_mut(usize::from(partition)) {
                rows.push(row);
            }
        }
        for (partition, rows) in section.partitions.iter().zip(rows_of) {
            let table = Arc::clone(&section.table);
            let partition = partition.path.clone();
            let key = GroupKey { table, partition, late: false, schema: fingerprint };
            let Some(key) = place(key).filter(|_| !rows.is_empty()) else { continue };
            let schema = if key.late { late_schema(&schema) } else { Arc::clone(&schema) };
            let group = self.groups.entry(key).or_insert_with(|| Group {
                schema,
                pieces: Vec::new(),
                sources: BTreeMap::new(),
            });
            let source = group.sources.entry(lane.to_owned()).or_insert_with(|| SourceRange {
                lane: lane.to_owned(),
                first_entry: entry,
                last_entry: entry,
                rows: 0,
            });
            source.last_entry = entry;
            source.rows += rows.len() as u64;
            let (lane, batch) = (lane.to_owned(), section.rows.clone());
            group.pieces.push(Piece { lane, entry, batch, rows });
        }
    }

    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn take(&mut self, key: &GroupKey) -> Option<Group> {
        self.groups.remove(key)
    }

    pub(super) fn into_iter(self) -> impl Iterator<Item = (GroupKey, Group)> {
        self.groups.into_iter()
    }
}

impl Group {
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(super) fn rows(&self) -> u64 {
        self.sources.values().map(|source| source.rows).sum()
    }

    pub(super) fn sources(&self) -> Vec<SourceRange> {
        self.sources.values().cloned().collect()
    }

    /// The rows in order of event time; rows of the same time in the order of lane and entry, so
    /// that the same entries always give the same file.
    pub(super) fn in_time_order(&self) -> Result<Vec<RecordBatch>, ArrowError> {
        let time_index = self.schema.index_of(time_column(&self.schema)?)?;
        // Entries of several lanes are read in turns, and a rebuild reads them in other ones.
        let mut pieces: Vec<&Piece> = self.pieces.iter().collect();
        pieces.sort_by_key(|piece| (&piece.lane, piece.entry));
        let batches: Vec<&RecordBatch> = pieces.iter().map(|piece| &piece.batch).collect();
        let mut order: Vec<(i64, usize, usize)> = Vec::with_capacity(self.rows() as usize);
        for (index, piece) in pieces.iter().enumerate() {
            let times = piece.batch.column(time_index).as_primitive_opt::<TimestampMillisecondType>();
            let times = times.ok_or_else(not_in_milliseconds)?;
            let time_of = |row: usize| if times.is_valid(row) { times.value(row) } else { i64::MIN };
            order.extend(piece.rows.iter().map(|&row| (time_of(row as usize), index, row as usize)));
        }
        order.sort_by_key(|&(time, ..)| time);
        order
            .chunks(BATCH_ROWS)
            .map(|chunk| {
                let picks: Vec<(usize, usize)> = chunk.iter().map(|&(_, piece, row)| (piece, row)).collect();
                interleave_record_batch(&batches, &picks)
            })
            .collect()
    }
}

/// The least time among the rows of a section whose partitions `chosen` names.
pub(super) fn oldest_ms(section: &Section, chosen: &[bool]) -> Result<Option<i64>, ArrowError> {
    let schema = section.rows.schema();
    let times = section.rows.column(schema.index_of(time_column(&schema)?)?);
    let times = times.as_primitive_opt::<TimestampMillisecondType>();
    let times = times.ok_or_else(not_in_milliseconds)?;
    let is_chosen = |partition: &u16| chosen.get(usize::from(*partition)).copied().unwrap_or_default();
    let rows = times.iter().zip(&section.partition_of);
    Ok(rows.filter_map(|(time, partition)| time.filter(|_| is_chosen(partition))).min())
}

fn not_in_milliseconds() -> ArrowError {
    ArrowError::SchemaError("the time column is not in milliseconds".to_owned())
}

/// The column by which a table's rows are ordered.
pub(super) fn time_column(schema: &Schema) -> Result<&str, ArrowError> {
    schema.metadata().get(metadata::TIME_COLUMN).map(String::as_str).ok_or_else(|| {
        ArrowError::SchemaError(format!("the schema's metadata has no {}", metadata::TIME_COLUMN))
    })
}

/// A schema's fingerprint: names, types and nullability of the columns, and the metadata.
pub(super) fn fingerprint(schema: &Schema) -> u64 {
    let mut hash = Xxh3::new();
    let mut feed = |text: &str| {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    for field in schema.fields() {
        feed(field.name());
        feed(&field.data_type().to_string());
        feed(if field.is_nullable() { "optional" } else { "required" });
    }
    for (key, value) in schema.metadata().iter() {
        feed(key);
        feed(value);
    }
    hash.digest()
}
