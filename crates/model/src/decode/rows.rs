//! The rows of one event type.

use arrow_array::RecordBatch;

use super::DecodeError;
use super::columns::{Column, Full};
use super::reason::{Reason, Refusal};
use super::record::{Record, describe};
use super::row_digest::digest;
use super::value::{self, NoTime};
use crate::batch::Section;
use crate::json::{Kind, Value};
use crate::partition::{Part, Partitioner};
use crate::pipeline::{Event, Field, FieldType, Limits, PartitionSource};

/// A table being filled.
#[derive(Debug)]
pub(super) struct Rows<'p> {
    event: &'p Event,
    fields: Vec<Column>,
    derived: Vec<Column>,
    unknown: Option<Column>,
    partitioner: Partitioner<'p>,
    partition_of: Vec<u16>,
    /// Numbers of the row's derived values.
    numbers: Vec<Option<u32>>,
    /// Rows that are whole.
    rows: usize,
}

impl From<Full> for Refusal {
    fn from(_: Full) -> Self {
        Self::full("text")
    }
}

impl<'p> Rows<'p> {
    pub(super) fn new(event: &'p Event) -> Self {
        Self {
            event,
            fields: event.fields.iter().map(|field| Column::new(field.kind)).collect(),
            derived: event.derived.iter().map(|_| Column::new(FieldType::String)).collect(),
            unknown: event.unknown_fields_column.as_ref().map(|_| Column::new(FieldType::String)),
            partitioner: Partitioner::new(&event.partition),
            partition_of: Vec::new(),
            numbers: Vec::new(),
            rows: 0,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Appends the record as a row and returns its event time, or leaves no trace of it. `index` is that
    /// of the event type.
    pub(super) fn push(
        &mut self,
        payload: &[u8],
        record: &Record<'_>,
        index: usize,
        limits: &Limits,
    ) -> Result<i64, Refusal> {
        let event_time = self.append(payload, record, index, limits);
        match event_time {
            Ok(_) => self.rows += 1,
            Err(_) => self.cut(),
        }
        event_time
    }

    /// Drops what is not a whole row.
    pub(super) fn cut(&mut self) {
        for column in self.fields.iter_mut().chain(&mut self.derived).chain(&mut self.unknown) {
            column.truncate(self.rows);
        }
        self.partition_of.truncate(self.rows);
    }

    fn append(
        &mut self,
        payload: &[u8],
        record: &Record<'_>,
        index: usize,
        limits: &Limits,
    ) -> Result<i64, Refusal> {
        for (field, column) in self.event.fields.iter().zip(&mut self.fields) {
            match record.value(payload, field.member) {
                Some((value, offset)) if value.kind != Kind::Null => {
                    append_value(field, column, &value, offset, limits)?;
                }
                null if field.required => return Err(missing(field, null.map(|(_, offset)| offset))),
                _ => column.push_null(),
            }
        }
        #[cfg(test)]
        super::tests::panic_if_asked_to(payload);
        self.numbers.clear();
        for (derived, column) in self.event.derived.iter().zip(&mut self.derived) {
            let number = match self.fields.get(derived.key).map_or(Part::Null, Column::last) {
                Part::Integer(key) => derived.lookup.find_integer(key),
                Part::Text(key) => derived.lookup.find_text(key),
                _ => derived.lookup.default_value(),
            };
            match number.and_then(|number| derived.lookup.value(number)) {
                Some(text) => column.push_text(text)?,
                None => column.push_null(),
            }
            self.numbers.push(number);
        }
        if let Some(column) = &mut self.unknown {
            match record.unknown_text(payload, index) {
                Some(text) if text.len() > limits.text_bytes => {
                    let length = text.len();
                    let message = format!(
                        "the unknown fields are {length} bytes, and {} are allowed",
                        limits.text_bytes
                    );
                    return Err(Refusal::new(Reason::TextTooLong, message));
                }
                Some(text) => column.push_text(&text)?,
                None => column.push_null(),
            }
        }
        let event_time = match self.fields.get(self.event.event_time).map(Column::last) {
            Some(Part::Integer(ms)) => ms,
            _ => return Err(Refusal::new(Reason::Internal, "a row has no event time")),
        };
        let (event, fields, numbers) = (self.event, &self.fields, &self.numbers);
        let part = |source: &PartitionSource| match *source {
            PartitionSource::Field(index) => fields.get(index).map_or(Part::Null, Column::last),
            PartitionSource::Derived(index) => {
                let number = numbers.get(index).copied().flatten();
                let text = event
                    .derived
                    .get(index)
                    .zip(number)
                    .and_then(|(found, number)| found.lookup.value(number));
                number.zip(text).map_or(Part::Null, |(number, text)| Part::Numbered(number, text))
            }
            PartitionSource::Time(_) => Part::Null,
        };
        let partition =
            self.partitioner.locate(event_time, part).ok_or_else(|| Refusal::full("partitions"))?;
        self.partition_of.push(partition);
        Ok(event_time)
    }

    pub(super) fn finish(self) -> Result<Section, DecodeError> {
        let columns = self.fields.into_iter().chain(self.derived).chain(self.unknown);
        let columns = columns.map(Column::finish).collect::<Result<_, _>>()?;
        let rows = RecordBatch::try_new(self.event.schema.clone(), columns)?;
        Ok(Section {
            table: self.event.table.clone(),
            digest: digest(&rows)?,
            rows,
            partitions: self.partitioner.into_partitions(),
            partition_of: self.partition_of,
        })
    }
}

fn append_value(
    field: &Field,
    column: &mut Column,
    value: &Value<'_>,
    offset: usize,
    limits: &Limits,
) -> Result<(), Refusal> {
    let wrong_type = || wrong_type(field, value, offset);
    match field.kind {
        FieldType::Bool => match value.kind {
            Kind::True => column.push_bool(true),
            Kind::False => column.push_bool(false),
            _ => return Err(wrong_type()),
        },
        FieldType::Int32 | FieldType::Int64 => {
            if !value::integer(value).is_some_and(|integer| column.push_integer(integer)) {
                return Err(wrong_type());
            }
        }
        FieldType::Float64 => column.push_float(value::float(value).ok_or_else(wrong_type)?),
        FieldType::String => {
            let text = value.text().ok_or_else(wrong_type)?;
            if text.len() > limits.text_bytes {
                let (length, allowed) = (text.len(), limits.text_bytes);
                let message = format!(
                    "field `{}` at byte {offset} is {length} bytes, and {allowed} are allowed",
                    field.from
                );
                return Err(Refusal::new(Reason::TextTooLong, message));
            }
            column.push_text(&text)?;
        }
        FieldType::Timestamp => {
            column.push_integer(read_time(field, value, offset)?);
        }
    }
    Ok(())
}

fn read_time(field: &Field, value: &Value<'_>, offset: usize) -> Result<i64, Refusal> {
    value::timestamp(value).map_err(|why| match why {
        NoTime::WrongType => wrong_type(field, value, offset),
        NoTime::Bad(error) => {
            Refusal::new(Reason::BadDatetime, format!("field `{}` at byte {offset}: {error}", field.from))
        }
    })
}

/// The time of a watermark event.
pub(super) fn watermark(payload: &[u8], record: &Record<'_>, event: &Event) -> Result<i64, Refusal> {
    let field = event.fields.get(event.event_time);
    let field = field.ok_or_else(|| Refusal::new(Reason::Internal, "a watermark has no event time"))?;
    match record.value(payload, field.member) {
        Some((value, offset)) if value.kind != Kind::Null => read_time(field, &value, offset),
        null => Err(missing(field, null.map(|(_, offset)| offset))),
    }
}

fn missing(field: &Field, null_at: Option<usize>) -> Refusal {
    let message = match null_at {
        None => format!("required field `{}` is missing", field.from),
        Some(offset) => format!("required field `{}` at byte {offset} is null", field.from),
    };
    Refusal::new(Reason::MissingField, message)
}

fn wrong_type(field: &Field, value: &Value<'_>, offset: usize) -> Refusal {
    let wanted = match field.kind {
        FieldType::Bool => "a boolean",
        FieldType::Int32 => "a 32-bit integer",
        FieldType::Int64 => "a 64-bit integer",
        FieldType::Float64 => "a 64-bit float",
        FieldType::String => "a string",
        FieldType::Timestamp => "a datetime or milliseconds since 1970",
    };
    // A number or a string may be of the right kind and yet not fit.
    let message = format!(
        "field `{}` at byte {offset} must be {wanted}: {} does not fit",
        field.from,
        describe(value.kind)
    );
    Refusal::new(Reason::WrongType, message)
}
