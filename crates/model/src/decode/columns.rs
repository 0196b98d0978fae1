//! Columns that grow row by row and can be cut back, so that a bad row leaves no trace.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray,
    TimestampMillisecondArray,
};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;

use super::record::Span;
use super::value::Cell;
use crate::partition::Part;
use crate::pipeline::FieldType;
use crate::time;

/// A column being built.
#[derive(Debug)]
pub(super) struct Column {
    values: Values,
    nulls: NullBufferBuilder,
}

#[derive(Debug)]
enum Values {
    Bool(BooleanBufferBuilder),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float64(Vec<f64>),
    Timestamp(Vec<i64>),
    Text(Bytes),
    Binary(Bytes),
}

/// Byte strings one after another.
#[derive(Debug)]
struct Bytes {
    /// Where each ends, after a leading 0.
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

/// The column's bytes would be more than 32-bit offsets can tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full;

impl Bytes {
    fn new() -> Self {
        Self { offsets: vec![0], bytes: Vec::new() }
    }

    fn push(&mut self, value: &[u8]) -> Result<(), Full> {
        let end =
            self.bytes.len().checked_add(value.len()).and_then(|end| i32::try_from(end).ok()).ok_or(Full)?;
        self.bytes.extend_from_slice(value);
        self.offsets.push(end);
        Ok(())
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        let end = self.offsets.last().and_then(|&end| usize::try_from(end).ok()).unwrap_or_default();
        self.bytes.truncate(end);
    }

    fn last(&self) -> &[u8] {
        let start = self.offsets.iter().rev().nth(1).and_then(|&start| usize::try_from(start).ok());
        start.and_then(|start| self.bytes.get(start..)).unwrap_or_default()
    }

    fn finish(self) -> (OffsetBuffer<i32>, Buffer) {
        (OffsetBuffer::new(ScalarBuffer::from(self.offsets)), Buffer::from_vec(self.bytes))
    }
}

impl Column {
    pub(super) fn new(kind: FieldType) -> Self {
        let values = match kind {
            FieldType::Bool => Values::Bool(BooleanBufferBuilder::new(0)),
            FieldType::Int32 => Values::Int32(Vec::new()),
            FieldType::Int64 => Values::Int64(Vec::new()),
            FieldType::Float64 => Values::Float64(Vec::new()),
            FieldType::String => Values::Text(Bytes::new()),
            FieldType::Timestamp => Values::Timestamp(Vec::new()),
        };
        Self { values, nulls: NullBufferBuilder::new(0) }
    }

    pub(super) fn binary() -> Self {
        Self { values: Values::Binary(Bytes::new()), nulls: NullBufferBuilder::new(0) }
    }

    /// Appends a value that is spelled as most of its type are; `false` for any other, of which nothing is
    /// appended. A text may be `text_bytes` long.
    #[inline]
    pub(super) fn push_plain(&mut self, value: &Span, payload: &[u8], text_bytes: usize) -> bool {
        let pushed = match &mut self.values {
            Values::Int32(values) => {
                value.integer().and_then(|value| i32::try_from(value).ok()).map(|value| values.push(value))
            }
            Values::Int64(values) => value.integer().map(|value| values.push(value)),
            Values::Float64(values) => value.float().map(|value| values.push(value)),
            Values::Timestamp(values) => {
                value.plain_text(payload).and_then(time::plain).map(|value| values.push(value))
            }
            Values::Text(values) => {
                let text = value.plain_text(payload).filter(|text| text.len() <= text_bytes);
                text.and_then(|text| values.push(text).ok())
            }
            Values::Bool(_) | Values::Binary(_) => None,
        };
        if pushed.is_some() {
            self.nulls.append_non_null();
        }
        pushed.is_some()
    }

    /// Appends a field's value.
    pub(super) fn push(&mut self, cell: &Cell<'_>) -> Result<(), Full> {
        match cell {
            Cell::Null => self.push_null(),
            Cell::Bool(value) => self.push_bool(*value),
            Cell::Integer(value) | Cell::Time(value) => {
                self.push_integer(*value);
            }
            Cell::Float(value) => self.push_float(*value),
            Cell::Text(text) => self.push_text(text)?,
        }
        Ok(())
    }

    pub(super) fn push_null(&mut self) {
        match &mut self.values {
            Values::Bool(values) => values.append(false),
            Values::Int32(values) => values.push(0),
            Values::Int64(values) | Values::Timestamp(values) => values.push(0),
            Values::Float64(values) => values.push(0.0),
            Values::Text(values) | Values::Binary(values) => {
                values.offsets.push(values.offsets.last().copied().unwrap_or_default());
            }
        }
        self.nulls.append_null();
    }

    /// Appends to a column of booleans. Like its siblings it must suit the column's type; on another
    /// the value is lost, which the batch's constructor would find out.
    pub(super) fn push_bool(&mut self, value: bool) {
        if let Values::Bool(values) = &mut self.values {
            values.append(value);
            self.nulls.append_non_null();
        }
    }

    /// Appends to a column of integers or times; `false` if the value does not fit.
    pub(super) fn push_integer(&mut self, value: i64) -> bool {
        match &mut self.values {
            Values::Int32(values) => match i32::try_from(value) {
                Ok(value) => values.push(value),
                Err(_) => return false,
            },
            Values::Int64(values) | Values::Timestamp(values) => values.push(value),
            _ => return false,
        }
        self.nulls.append_non_null();
        true
    }

    pub(super) fn push_float(&mut self, value: f64) {
        if let Values::Float64(values) = &mut self.values {
            values.push(value);
            self.nulls.append_non_null();
        }
    }

    pub(super) fn push_text(&mut self, value: &str) -> Result<(), Full> {
        self.push_bytes(value.as_bytes())
    }

    /// Appends to a column of binary; to one of texts only what is UTF-8.
    pub(super) fn push_bytes(&mut self, value: &[u8]) -> Result<(), Full> {
        if let Values::Text(values) | Values::Binary(values) = &mut self.values {
            values.push(value)?;
            self.nulls.append_non_null();
        }
        Ok(())
    }

    /// Cuts the column back to `rows` rows.
    pub(super) fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            Values::Bool(values) => values.truncate(rows),
            Values::Int32(values) => values.truncate(rows),
            Values::Int64(values) | Values::Timestamp(values) => values.truncate(rows),
            Values::Float64(values) => values.truncate(rows),
            Values::Text(values) | Values::Binary(values) => values.truncate(rows),
        }
        self.nulls.truncate(rows);
    }

    /// The last row's value.
    pub(super) fn last(&self) -> Part<'_> {
        match self.nulls.len().checked_sub(1) {
            Some(last) if self.nulls.is_valid(last) => {}
            _ => return Part::Null,
        }
        let value = match &self.values {
            Values::Bool(values) => values.len().checked_sub(1).map(|last| Part::Bool(values.get_bit(last))),
            Values::Int32(values) => values.last().map(|&value| Part::Integer(value.into())),
            Values::Int64(values) | Values::Timestamp(values) => {
                values.last().map(|&value| Part::Integer(value))
            }
            Values::Text(values) => std::str::from_utf8(values.last()).ok().map(Part::Text),
            Values::Float64(_) | Values::Binary(_) => None,
        };
        value.unwrap_or(Part::Null)
    }

    pub(super) fn finish(mut self) -> Result<ArrayRef, ArrowError> {
        let nulls = self.nulls.finish();
        Ok(match self.values {
            Values::Bool(values) => Arc::new(BooleanArray::new(values.build(), nulls)),
            Values::Int32(values) => Arc::new(Int32Array::try_new(values.into(), nulls)?),
            Values::Int64(values) => Arc::new(Int64Array::try_new(values.into(), nulls)?),
            Values::Float64(values) => Arc::new(Float64Array::try_new(values.into(), nulls)?),
            Values::Timestamp(values) => {
                Arc::new(TimestampMillisecondArray::try_new(values.into(), nulls)?.with_timezone("UTC"))
            }
            Values::Text(values) => {
                let (offsets, bytes) = values.finish();
                Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
            }
            Values::Binary(values) => {
                let (offsets, bytes) = values.finish();
                Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)
            }
        })
    }
}
