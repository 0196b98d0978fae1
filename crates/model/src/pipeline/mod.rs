//! A pipeline is a folder: `pipeline.toml` and the CSV tables that it names.
//!
//! ```toml
//! id = "taxi"                      # [a-z0-9-], part of the journal's path
//! schema_version = 1               # raise it when columns change
//! type_field = "type"              # the member that tells an event's type; "type" if left out
//! default_type = "trip"            # optional: the type of events without that member
//! on_malformed = "dead-letter"     # or "fail", "ignore"
//! on_unknown_type = "dead-letter"  # or "fail", "ignore"; for events of no type too
//! on_null = "dead-letter"          # or "fail", "ignore", "delete"; for records that are empty or `null`
//!
//! [event_time]                     # how far event time is: the watermark
//! from = "both"                    # "rows", "watermarks" or "both": what moves it;
//!                                  # if left out, watermark events where there are some, else rows
//! future_bound = "24h"             # event times further past arrival never move it
//! allowed_lateness = "1h"          # it stays so far behind the least of the source partitions
//! idle_after = "1h"                # of which those without anything new for so long are left out
//! late = "append"                  # or "divert": late rows go to the table `<table>_late`
//!
//! [limits]                         # what is larger becomes a dead letter
//! record_bytes = 1048576           # of a record
//! text_bytes = 65536               # of one stored text, in UTF-8
//! nesting = 64                     # of objects and arrays
//!
//! [lake]
//! format = "parquet"               # or "json": gzip JSON lines
//!
//! [dead_letters]                   # where there is a search cluster, dead letters can be looked at there
//! index = "taxi-dead-letters-{now|yyyy}" # their index; none, if left out. Only `{now|…}` varies it
//!
//! [tables.taxi_zones]              # lookup tables: CSV with a header
//! file = "taxi_zone_lookup.csv"    # below the pipeline's folder
//! key = "LocationID"               # the column by which rows are found
//!
//! [events.trip]                    # an event type, by its value in `type_field`
//! kind = "rows"                    # or "watermark": feeds event time and leaves no row
//! topics = ["trips"]               # Kafka topics whose records are of this type where they do not tell one
//! table = "trip"                   # its folder in the lake, [a-z][a-z0-9_]*; the type if left out
//! id = ["trip_id"]                 # columns that identify an event; may be left out
//! event_time = "pickup_datetime"   # a required timestamp column; for kind "watermark" any member
//! unknown_fields = "count"         # or "keep": as JSON text in the column `unknown_fields_column`
//! ignored_fields = ["padding"]     # known members that are neither stored nor counted
//! fields = [                       # columns, in order
//!   { name = "trip_id", type = "int64", required = true },
//!   { name = "pickup_datetime", type = "timestamp", required = true },
//!   { name = "pickup_location_id", type = "int32", from = "PULocationID" }, # `from`: the member, if named otherwise
//!   { name = "sent_at", type = "timestamp", default = "arrival-time" }, # without the member, the record's own time
//! ]
//! derived = [                      # text columns looked up in a table by an integer or text field
//!   { name = "borough", lookup = "taxi_zones", key = "pickup_location_id", column = "Borough", default = "Unknown" },
//! ]
//! partition = [                    # folders below the table's, outermost first
//!   { name = "pickup_borough", field = "borough", slugs = { "N/A" = "outside-nyc" } },
//!   { name = "year", time = "year" }, # of the event time, UTC: year, month, day or hour
//! ]
//!
//! [events.trip.search]             # how it is indexed, where there is a search cluster; or `search = false`
//! index = "trips-{borough}-{pickup_datetime|yyyy.MM}" # its index; its table if left out. `{type}`, `{now|…}`
//! allow = ["trips-*"]              # patterns of the indices that it may be in; any if left out
//! action = "index"                 # or "create" (data streams), "update" (merges members)
//! id = true                        # false: the cluster gives out ids, and a repeated delivery adds documents
//! id_delimiter = "_"               # between the values of an id of several fields
//! routing = "pickup_location_id"   # the field that routes; the id if left out
//! version = "none"                 # or "position": an older record never replaces a newer one
//! ingest_pipeline = "trips"        # of the cluster
//! ingested_at = "ingested_at"      # a member to add that tells when; none if left out
//! timestamp_field = "@timestamp"   # a member to add for data streams: the event time
//! on_version_conflict = "ignore"   # or, but with "create", "dead-letter", "fail"
//! on_rejected = "dead-letter"      # or "fail", "ignore": what the cluster refuses
//!
//! [events.trip.kinesis]            # how it goes on into a Kinesis stream, where that is a sink; or `kinesis = false`
//! key = "pickup_location_id"       # the field that it is partitioned by; its id if left out
//!
//! [events.trip.kafka]              # the same of a Kafka topic
//!
//! [events.watermark]
//! kind = "watermark"
//! event_time = "watermark"
//! ```
//!
//! Field types are [`FieldType`]. Partition values are made as [`crate::partition`] says. A wrong
//! pipeline is refused with all of its faults at once, each with file, line and what to do.

mod event;
mod event_time;
mod faults;
mod forward;
mod index_name;
mod load;
mod lookup;
mod members;
mod placement;
mod search;
mod table;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_schema::{DataType, SchemaRef, TimeUnit};
use serde::{Deserialize, Serialize};

pub(crate) use event::table_metadata;
pub use event_time::{EventTime, EventTimeFrom, LatePolicy};
pub use faults::{Fault, PipelineError};
pub use forward::{Forward, Target};
pub use index_name::{IndexName, IndexPart, TimeFormat, TimeToken};
pub use lookup::Lookup;
pub(crate) use members::Members;
pub use search::{Action, Appended, Search, VersionFrom};

use crate::batch::{LATE_SUFFIX, late_schema};
use crate::partition::Part;

/// A pipeline, ready to decode records with.
#[derive(Debug)]
pub struct Pipeline {
    /// Names the pipeline in the journal: `[a-z0-9-]+`.
    pub id: String,
    /// Version of the columns.
    pub schema_version: u32,
    /// The member that tells an event's type.
    pub type_field: String,
    /// Index in `events` of the type of events that do not tell.
    pub default_event: Option<usize>,
    /// What becomes of records that are not sound events of a known type.
    pub on_malformed: Policy,
    /// What becomes of events of an unknown type or of none.
    pub on_unknown_type: Policy,
    /// What becomes of records that are empty or `null`.
    pub on_null: NullPolicy,
    /// What moves the watermark, and what comes of late rows.
    pub event_time: EventTime,
    /// Limits of records.
    pub limits: Limits,
    /// Format of the published files.
    pub format: LakeFormat,
    /// The index in which dead letters can be looked at; made of literals and times of now alone.
    pub dead_letter_index: Option<IndexName>,
    /// The event types, in the order of the file.
    pub events: Vec<Event>,
    pub(crate) members: Members,
}

/// What becomes of a record that cannot be a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// It becomes a row of the dead-letter table.
    DeadLetter,
    /// It fails the batch: nothing from it on is taken.
    Fail,
    /// It is counted and left out.
    Ignore,
}

/// What becomes of a record that is empty or `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NullPolicy {
    /// It becomes a row of the dead-letter table.
    DeadLetter,
    /// It fails the batch: nothing from it on is taken.
    Fail,
    /// It is counted and left out.
    Ignore,
    /// It deletes the document whose id is the record's partition key; the lake leaves it out.
    Delete {
        /// Index in [`Pipeline::events`] of the type that the document is of.
        event: usize,
    },
}

/// What a record may not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a record.
    pub record_bytes: usize,
    /// Bytes of one stored text, in UTF-8.
    pub text_bytes: usize,
    /// Levels of objects and arrays.
    pub nesting: usize,
}

/// Format of the published files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LakeFormat {
    /// Parquet.
    Parquet,
    /// JSON lines, gzip.
    Json,
}

/// An event type.
#[derive(Debug)]
pub struct Event {
    /// Its value in the pipeline's `type_field`.
    pub type_value: String,
    /// Kafka topics whose records are of this type where they do not tell theirs.
    pub topics: Vec<String>,
    /// Its table: the folder in the lake. Unused for watermarks.
    pub table: Arc<str>,
    /// What its events are for.
    pub kind: EventKind,
    /// Its fields, in the order of the columns.
    pub fields: Vec<Field>,
    /// Its derived columns, which follow the fields.
    pub derived: Vec<Derived>,
    /// Indices in `fields` of those that identify an event.
    pub id: Vec<usize>,
    /// Index in `fields` of the event time, a required timestamp.
    pub event_time: usize,
    /// Indices in `fields` of all timestamps.
    pub(crate) timestamps: Vec<usize>,
    /// The column, the last one, that keeps unknown members; `None` if they are only counted.
    pub unknown_fields_column: Option<String>,
    /// Its partition keys, outermost first.
    pub partition: Vec<PartitionKey>,
    /// Its columns, with the metadata of [`crate::batch::metadata`].
    pub schema: SchemaRef,
    /// How its documents are indexed; `None` if they are not.
    pub search: Option<Search>,
    /// The streams that they go on into, where there are such sinks, and how.
    pub forwards: BTreeMap<Target, Forward>,
}

/// What an event type's events are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Each leaves a row.
    Rows,
    /// Each feeds event time and leaves no row.
    Watermark,
}

/// A column that is a member of the record.
#[derive(Debug)]
pub struct Field {
    /// The column's name.
    pub name: String,
    /// The member's name.
    pub from: String,
    /// Its type.
    pub kind: FieldType,
    /// A record without it, or with a null, is malformed.
    pub required: bool,
    /// What stands in for it where a record is without it, or has a null.
    pub default: Option<DefaultValue>,
    pub(crate) member: usize,
}

/// What stands in for a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// The record's own time: when Kinesis took it in, or its timestamp in Kafka.
    ArrivalTime,
}

/// Type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// `bool`: `true` or `false`.
    Bool,
    /// `int32`: an integral number, or a text that is one.
    Int32,
    /// `int64`: an integral number, or a text that is one.
    Int64,
    /// `float64`: a number, or a text that is one.
    Float64,
    /// `string`: a text.
    String,
    /// `timestamp`: a datetime as [`crate::time::parse`] reads it, or milliseconds since 1970 UTC.
    Timestamp,
}

impl FieldType {
    /// Every type, with its name in a pipeline file.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("bool", Self::Bool),
        ("int32", Self::Int32),
        ("int64", Self::Int64),
        ("float64", Self::Float64),
        ("string", Self::String),
        ("timestamp", Self::Timestamp),
    ];

    /// Its name in a pipeline file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::String => "string",
            Self::Timestamp => "timestamp",
        }
    }

    /// Its column's type.
    #[must_use]
    pub fn arrow(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Float64 => DataType::Float64,
            Self::String => DataType::Utf8,
            Self::Timestamp => timestamp(),
        }
    }
}

/// The type of every time column: milliseconds, UTC.
pub(crate) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// A text column that is looked up in a table.
#[derive(Debug)]
pub struct Derived {
    /// The column's name.
    pub name: String,
    /// Index in [`Event::fields`] of the key.
    pub key: usize,
    /// The lookup.
    pub lookup: Lookup,
    pub(crate) member: usize,
}

impl Derived {
    /// The number of the value for a key, or of the default.
    pub(crate) fn find(&self, key: Part<'_>) -> Option<u32> {
        match key {
            Part::Integer(key) => self.lookup.find_integer(key),
            Part::Text(key) => self.lookup.find_text(key),
            _ => self.lookup.default_value(),
        }
    }
}

/// A field or a derived column of an event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueSource {
    /// A field, by its index in [`Event::fields`].
    Field(usize),
    /// A derived column, by its index in [`Event::derived`].
    Derived(usize),
}

/// One level of a table's partition folders.
#[derive(Debug)]
pub struct PartitionKey {
    /// Its name, `[a-z][a-z0-9_]*`.
    pub name: String,
    /// Where its value comes from.
    pub source: PartitionSource,
    /// Values to use in place of those that would be made of the text.
    pub slugs: BTreeMap<String, String>,
}

/// Where a partition value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionSource {
    /// A field, by its index in [`Event::fields`].
    Field(usize),
    /// A derived column, by its index in [`Event::derived`].
    Derived(usize),
    /// A part of the event time.
    Time(TimePart),
}

/// A part of a time, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimePart {
    /// Four digits.
    Year,
    /// `01` to `12`.
    Month,
    /// `01` to `31`.
    Day,
    /// `00` to `23`.
    Hour,
}

impl TimePart {
    /// Every part, with its name in a pipeline file.
    pub const NAMES: [(&'static str, Self); 4] =
        [("year", Self::Year), ("month", Self::Month), ("day", Self::Day), ("hour", Self::Hour)];

    /// Its name in a pipeline file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Year => "year",
            Self::Month => "month",
            Self::Day => "day",
            Self::Hour => "hour",
        }
    }
}

impl Pipeline {
    /// Reads the pipeline in the folder `dir`.
    ///
    /// Tables are looked for below the folder only; a symbolic link in it is followed.
    ///
    /// # Errors
    /// [`PipelineError`] with everything that is wrong with the folder.
    pub fn load(dir: &Path) -> Result<Self, PipelineError> {
        load::load(dir)
    }

    /// The tables that events leave rows in, in the order of the file; without the dead letters.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        let of_rows = self.events.iter().filter(|event| event.kind == EventKind::Rows);
        of_rows.map(|event| &*event.table)
    }

    /// The columns of a table or of its late rows; `None` for a table that the pipeline does not have.
    #[must_use]
    pub fn schema(&self, table: &str) -> Option<SchemaRef> {
        if table == crate::batch::DEAD_LETTER_TABLE {
            return Some(crate::decode::dead_letter_schema());
        }
        let find = |table: &str| -> Option<SchemaRef> {
            let mut of_rows = self.events.iter().filter(|event| event.kind == EventKind::Rows);
            of_rows.find(|event| &*event.table == table).map(|event| Arc::clone(&event.schema))
        };
        find(table).or_else(|| {
            let on_time = find(table.strip_suffix(LATE_SUFFIX)?)?;
            Some(late_schema(&on_time))
        })
    }

    /// The event type whose value in `type_field` is `type_value`, by its index in `events`.
    #[must_use]
    pub fn event_of_type(&self, type_value: &str) -> Option<usize> {
        self.events.iter().position(|event| event.type_value == type_value)
    }
}
