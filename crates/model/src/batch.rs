//! A decoded batch: columns ready for the journal.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Metadata, Schema, SchemaRef};

/// Name of the table that holds dead letters; no event type may have it.
pub const DEAD_LETTER_TABLE: &str = "dead_letter";

/// What follows a table's name in that of the table of its late rows.
pub const LATE_SUFFIX: &str = "_late";

/// Name of the table that holds a table's late rows, where they are diverted.
#[must_use]
pub fn late_table(table: &str) -> String {
    format!("{table}{LATE_SUFFIX}")
}

/// Columns of the table that holds a table's late rows: the same, under its own name.
#[must_use]
pub fn late_schema(schema: &Schema) -> SchemaRef {
    let renamed =
        |key: &str, value: &str| if key == metadata::TABLE { late_table(value) } else { value.to_owned() };
    let pairs = schema.metadata().iter().map(|(key, value)| (key.clone(), renamed(key, value)));
    Arc::new(Schema::new_with_metadata(schema.fields().clone(), pairs.collect::<Metadata>()))
}

/// Keys of the Arrow schema metadata that a [`Section`] carries, so that a table explains itself
/// wherever its columns travel: in the journal and in the published files.
pub mod metadata {
    /// Table (event type) name.
    pub const TABLE: &str = "tripline.table";
    /// The pipeline's schema version, a decimal integer.
    pub const SCHEMA_VERSION: &str = "tripline.schema_version";
    /// Name of the column by which rows are ordered in files: the event time.
    pub const TIME_COLUMN: &str = "tripline.time_column";
    /// Names of the columns that identify a row, joined by commas; empty where there are none.
    pub const ID_COLUMNS: &str = "tripline.id_columns";
}

/// The rows of one table in one batch, in source order.
#[derive(Clone, Debug)]
pub struct Section {
    /// Table name: the event type, or [`DEAD_LETTER_TABLE`].
    pub table: Arc<str>,
    /// The rows. The schema's metadata holds every key of [`metadata`].
    pub rows: RecordBatch,
    /// The lake partitions that the rows belong to, each named once.
    pub partitions: Vec<LakePartition>,
    /// For each row, the index of its partition in `partitions`.
    pub partition_of: Vec<u16>,
    /// Order-independent digest of the rows: see [`crate::decode::digest`].
    pub digest: u64,
}

/// A partition of a table in the lake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LakePartition {
    /// Hive path below the table's root without slashes at its ends, values escaped:
    /// `pickup_borough=manhattan/year=2019/month=03/day=23/hour=20`.
    pub path: String,
}

/// What a run of records came to. Every record is in exactly one of `rows`, `dead_letters`,
/// `watermarks` and `ignored`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records read.
    pub records: u64,
    /// Rows of event types.
    pub rows: u64,
    /// Rows of the dead-letter table.
    pub dead_letters: u64,
    /// Watermark events, which leave no row.
    pub watermarks: u64,
    /// Records that the pipeline's policy leaves out.
    pub ignored: u64,
    /// Members of decoded records that the pipeline does not name.
    pub unknown_fields: u64,
}

impl Counts {
    /// Adds another's counts.
    pub const fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.rows += other.rows;
        self.dead_letters += other.dead_letters;
        self.watermarks += other.watermarks;
        self.ignored += other.ignored;
        self.unknown_fields += other.unknown_fields;
    }
}

/// A run of records of one source partition, decoded.
#[derive(Clone, Debug, Default)]
pub struct DecodedBatch {
    /// Tables that have rows, event types in the pipeline's order, dead letters last.
    pub sections: Vec<Section>,
    /// What became of the records.
    pub counts: Counts,
    /// Largest event time among rows and watermark events, of those that the pipeline's
    /// `event_time.from` names, milliseconds since 1970 UTC, leaving out those more than its
    /// `future_bound` past their record's arrival.
    pub event_time_max_ms: Option<i64>,
    /// Dead letters by reason code, in order of the code.
    pub dead_letter_reasons: Vec<(&'static str, u64)>,
}
