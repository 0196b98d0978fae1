//! What the tables of a pipeline look like in each version of its columns, and whether one version fits beside the
//! others: files of all of them lie in the same folders, and readers put them together by column name.

mod change;
mod history;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use change::{Change, ChangeKind, changes};
pub use history::{Conflict, Fit, History, Refused, Version};

use crate::pipeline::{Event, EventKind, FieldType, PartitionKey, PartitionSource, Pipeline, TimePart};

/// The tables of one version of a pipeline, without Tripline's own for dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The pipeline's `schema_version`.
    pub version: u32,
    /// The tables, by name.
    pub tables: BTreeMap<String, TableDefinition>,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDefinition {
    /// The column by which rows are partitioned in time.
    pub event_time: String,
    /// Its columns, in the order of the files.
    pub columns: Vec<ColumnDefinition>,
    /// Its partition keys, outermost first.
    pub partition: Vec<LevelDefinition>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: String,
    /// Its type; that of derived columns and of kept members is text.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// A record without it becomes a dead letter.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

/// A level of a table's partition folders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelDefinition {
    /// Its name.
    pub name: String,
    /// Where its values come from.
    #[serde(flatten)]
    pub source: LevelSource,
}

/// Where the values of a partition level come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LevelSource {
    /// A column, by its name.
    Field(String),
    /// A part of the event time.
    Time(TimePart),
}

impl Definition {
    /// Those of a pipeline.
    #[must_use]
    pub fn of(pipeline: &Pipeline) -> Self {
        let of_rows = pipeline.events.iter().filter(|event| event.kind == EventKind::Rows);
        Self {
            version: pipeline.schema_version,
            tables: of_rows.map(|event| (event.table.to_string(), TableDefinition::of(event))).collect(),
        }
    }
}

impl TableDefinition {
    fn of(event: &Event) -> Self {
        let fields = event.fields.iter().map(|field| ColumnDefinition {
            name: field.name.clone(),
            kind: field.kind,
            required: field.required,
        });
        let derived = event.derived.iter().map(|derived| &derived.name);
        let texts = derived.chain(&event.unknown_fields_column);
        let texts = texts.map(|name| ColumnDefinition {
            name: name.clone(),
            kind: FieldType::String,
            required: false,
        });
        Self {
            event_time: name_of(event, PartitionSource::Field(event.event_time)),
            columns: fields.chain(texts).collect(),
            partition: event.partition.iter().map(|key| LevelDefinition::of(event, key)).collect(),
        }
    }
}

impl LevelDefinition {
    fn of(event: &Event, key: &PartitionKey) -> Self {
        let source = match key.source {
            PartitionSource::Time(part) => LevelSource::Time(part),
            column => LevelSource::Field(name_of(event, column)),
        };
        Self { name: key.name.clone(), source }
    }
}

fn name_of(event: &Event, source: PartitionSource) -> String {
    let name = match source {
        PartitionSource::Field(index) => event.fields.get(index).map(|field| &field.name),
        PartitionSource::Derived(index) => event.derived.get(index).map(|derived| &derived.name),
        PartitionSource::Time(_) => None,
    };
    name.cloned().unwrap_or_default()
}
