//! Records.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read as _;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use flate2::bufread::ZlibDecoder;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tripline_model::batch::Section;
use tripline_model::pipeline::{Event, EventKind, Field, FieldType, Pipeline};
use tripline_model::time;

use crate::{Reading, number};

/// A row by column. Floats are their bits, so that no two of them are taken for one.
pub type Row = BTreeMap<String, Value>;

/// What a sound record is.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    /// A row of a table.
    Row {
        /// The table.
        table: String,
        /// Its columns.
        row: Row,
    },
    /// A watermark event.
    Watermark,
}

/// A derived column: the texts by key, and the one that stands in for other keys.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The column whose values are the keys, a number.
    pub key: String,
    /// The texts.
    pub texts: BTreeMap<i64, String>,
    /// The default.
    pub default: String,
}

/// A naive decoder. It knows no limits: records must be well below them.
#[derive(Debug)]
pub struct RecordOracle<'p> {
    pipeline: &'p Pipeline,
    lookups: BTreeMap<String, Lookup>,
}

/// Every member's text, of those with one name the last.
type Texts<'t> = BTreeMap<String, &'t RawValue>;

impl<'p> RecordOracle<'p> {
    /// For a pipeline whose derived columns are `lookups`, by name.
    #[must_use]
    pub const fn new(pipeline: &'p Pipeline, lookups: BTreeMap<String, Lookup>) -> Self {
        Self { pipeline, lookups }
    }

    /// Reads a payload; refused is what becomes a dead letter.
    #[must_use]
    pub fn read(&self, payload: &[u8]) -> Reading<Decoded> {
        let payload = &*behind_header(payload);
        Reading::of(payload, |value| {
            let Value::Object(object) = value else { return None };
            // The same text once more, for the spelling of numbers.
            let texts: Texts<'_> = serde_json::from_slice(payload).ok()?;
            self.decode(&object, &texts)
        })
    }

    fn decode(&self, object: &Map<String, Value>, texts: &Texts<'_>) -> Option<Decoded> {
        let index = match object.get(&self.pipeline.type_field).unwrap_or(&Value::Null) {
            Value::Null => self.pipeline.default_event?,
            value => self.pipeline.event_of_type(value.as_str()?)?,
        };
        let event = self.pipeline.events.get(index)?;
        let mut row = Row::new();
        for field in &event.fields {
            let value = match texts.get(&field.from) {
                Some(text) if text.get() != "null" => convert(field, text.get())?,
                _ if field.required => return None,
                _ => Value::Null,
            };
            row.insert(field.name.clone(), value);
        }
        if event.kind == EventKind::Watermark {
            return Some(Decoded::Watermark);
        }
        for derived in &event.derived {
            let lookup = self.lookups.get(&derived.name)?;
            let key = row.get(&lookup.key).and_then(Value::as_i64);
            let text = key.and_then(|key| lookup.texts.get(&key)).unwrap_or(&lookup.default);
            row.insert(derived.name.clone(), text.as_str().into());
        }
        if let Some(column) = &event.unknown_fields_column {
            row.insert(column.clone(), self.unknown(event, object));
        }
        Some(Decoded::Row { table: event.table.to_string(), row })
    }

    /// The members that are no fields of the event, as an object; null where there are none.
    fn unknown(&self, event: &Event, object: &Map<String, Value>) -> Value {
        let is_known = |name: &String| {
            *name == self.pipeline.type_field || event.fields.iter().any(|field| field.from == *name)
        };
        let unknown: Map<String, Value> = object
            .iter()
            .filter(|(name, _)| !is_known(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if unknown.is_empty() { Value::Null } else { unknown.into() }
    }
}

/// What follows a schema registry's header, Confluent's or Glue's, if it is to be an object.
fn behind_header(payload: &[u8]) -> Cow<'_, [u8]> {
    let after = |length: usize| payload.get(length..).unwrap_or_default();
    let content = match payload {
        [0, ..] => Cow::Borrowed(after(5)),
        [3, 0, ..] => Cow::Borrowed(after(18)),
        [3, 5, ..] => {
            let mut content = Vec::new();
            let mut decoder = ZlibDecoder::new(after(18));
            let whole = decoder.read_to_end(&mut content).is_ok() && decoder.into_inner().is_empty();
            if whole { Cow::Owned(content) } else { Cow::Borrowed(payload) }
        }
        _ => Cow::Borrowed(payload),
    };
    if content.trim_ascii().starts_with(b"{") { content } else { Cow::Borrowed(payload) }
}

/// The value of a field, from its text.
fn convert(field: &Field, text: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    let spelled = match &value {
        Value::Number(_) => Some(text),
        Value::String(content) => Some(content.as_str()).filter(|content| number::is_number(content)),
        _ => None,
    };
    match field.kind {
        FieldType::Bool => value.is_boolean().then_some(value),
        FieldType::Int32 => i32::try_from(number::integer(spelled?)?).ok().map(Into::into),
        FieldType::Int64 => number::integer(spelled?).map(Into::into),
        FieldType::Float64 => number::float(spelled?).map(|float| float.to_bits().into()),
        FieldType::String => value.is_string().then_some(value),
        FieldType::Timestamp => match &value {
            Value::String(content) => time::parse(content.as_bytes()).ok().map(Into::into),
            Value::Number(_) => number::integer(text).filter(|ms| time::in_range(*ms)).map(Into::into),
            _ => None,
        },
    }
}

/// The rows of a section in the oracle's terms; `None` if it lacks one of the event's columns, or has one
/// of another type.
#[must_use]
pub fn rows_of(section: &Section, event: &Event) -> Option<Vec<Row>> {
    (0..section.rows.num_rows()).map(|row| row_of(section, event, row)).collect()
}

fn row_of(section: &Section, event: &Event, row: usize) -> Option<Row> {
    let mut values = Row::new();
    for (column, cells) in section.rows.schema_ref().fields().iter().zip(section.rows.columns()) {
        let name = column.name();
        let field = event.fields.iter().find(|field| field.name == *name);
        let value = if cells.is_null(row) {
            Value::Null
        } else if event.unknown_fields_column.as_ref() == Some(name) {
            serde_json::from_str(cells.as_string_opt::<i32>()?.value(row)).ok()?
        } else {
            match field.map_or(FieldType::String, |field| field.kind) {
                FieldType::Bool => cells.as_boolean_opt()?.value(row).into(),
                FieldType::Int32 => cells.as_primitive_opt::<Int32Type>()?.value(row).into(),
                FieldType::Int64 => cells.as_primitive_opt::<Int64Type>()?.value(row).into(),
                FieldType::Float64 => cells.as_primitive_opt::<Float64Type>()?.value(row).to_bits().into(),
                FieldType::String => cells.as_string_opt::<i32>()?.value(row).into(),
                FieldType::Timestamp => {
                    cells.as_primitive_opt::<TimestampMillisecondType>()?.value(row).into()
                }
            }
        };
        values.insert(name.clone(), value);
    }
    Some(values)
}
