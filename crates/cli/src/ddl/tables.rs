//! A pipeline's tables: columns, types, and the values that partitions can have.

use std::collections::BTreeSet;

use arrow_schema::DataType;
use tripline_model::batch::{DEAD_LETTER_TABLE, late_table};
use tripline_model::partition::{NULL, text_value};
use tripline_model::pipeline::{
    Event, EventKind, LatePolicy, PartitionKey, PartitionSource, Pipeline, TimePart,
};

/// A table.
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// From the outermost in.
    pub(super) levels: Vec<Level>,
}

/// A column, with its type as Hive calls it.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) hive: &'static str,
}

/// A level of partition folders.
pub(super) struct Level {
    pub(super) name: String,
    pub(super) values: Values,
}

/// What the folders of a level can be named.
pub(super) enum Values {
    Time(TimePart),
    /// One of these.
    Texts(Vec<String>),
    /// Nobody can know.
    AnyText,
}

/// The tables by their names, the dead letters among them.
pub(super) fn tables(pipeline: &Pipeline) -> Vec<Table> {
    let of_rows = pipeline.events.iter().filter(|event| event.kind == EventKind::Rows);
    let mut found: Vec<Table> = of_rows
        .flat_map(|event| {
            let late = (pipeline.event_time.late == LatePolicy::Divert).then(|| late_table(&event.table));
            [event.table.to_string()].into_iter().chain(late).map(|name| Table {
                name,
                columns: columns(pipeline, &event.table),
                levels: event.partition.iter().map(|key| level(event, key)).collect(),
            })
        })
        .collect();
    let day = [("year", TimePart::Year), ("month", TimePart::Month), ("day", TimePart::Day)];
    found.push(Table {
        name: DEAD_LETTER_TABLE.to_owned(),
        columns: columns(pipeline, DEAD_LETTER_TABLE),
        levels: day.map(|(name, part)| Level { name: name.to_owned(), values: Values::Time(part) }).into(),
    });
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

fn columns(pipeline: &Pipeline, table: &str) -> Vec<Column> {
    let schema = pipeline.schema(table);
    let fields = schema.iter().flat_map(|schema| schema.fields());
    fields.map(|field| Column { name: field.name().clone(), hive: hive(field.data_type()) }).collect()
}

/// What Hive, and so Glue, Athena and Spark, call a type.
fn hive(kind: &DataType) -> &'static str {
    match kind {
        DataType::Boolean => "boolean",
        DataType::Int32 => "int",
        DataType::Int64 => "bigint",
        DataType::Float64 => "double",
        DataType::Timestamp(..) => "timestamp",
        DataType::Binary => "binary",
        _ => "string",
    }
}

fn level(event: &Event, key: &PartitionKey) -> Level {
    let values = match key.source {
        PartitionSource::Time(part) => Values::Time(part),
        PartitionSource::Field(_) => Values::AnyText,
        PartitionSource::Derived(index) => event.derived.get(index).map_or(Values::AnyText, |derived| {
            let of_table = derived.lookup.values().iter().map(|text| text_value(key, text));
            let all: BTreeSet<String> = of_table.chain([NULL.to_owned()]).collect();
            Values::Texts(all.into_iter().collect())
        }),
    };
    Level { name: key.name.clone(), values }
}

impl Level {
    /// Its type as Hive calls it.
    pub(super) const fn hive(&self) -> &'static str {
        match self.values {
            Values::Time(_) => "int",
            Values::Texts(_) | Values::AnyText => "string",
        }
    }
}
