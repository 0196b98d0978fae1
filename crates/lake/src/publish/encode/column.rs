//! One column of a row group, array by array.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ByteArrayType, Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, GenericByteArray, PrimitiveArray};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use bytes::Bytes;
use parquet::column::writer::{ColumnCloseResult, ColumnWriter, ColumnWriterImpl, get_column_writer};
use parquet::data_type::{self, ByteArray};
use parquet::errors::Result;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::schema::types::ColumnDescPtr;

use super::EncodeError;
use super::pages::Pages;

/// A column chunk being written.
pub(super) struct Column<'p> {
    writer: ColumnWriter<'p>,
    /// Whether it may have nulls: then each row has a definition level, 1 where there is a value.
    optional: bool,
    levels: Vec<i16>,
}

impl<'p> Column<'p> {
    pub(super) fn new(
        described: &ColumnDescPtr,
        properties: &WriterPropertiesPtr,
        pages: &'p mut Pages,
    ) -> Self {
        let optional = described.max_def_level() > 0;
        let writer = get_column_writer(Arc::clone(described), Arc::clone(properties), Box::new(pages));
        Self { writer, optional, levels: Vec::new() }
    }

    /// Appends an array of the column's type.
    ///
    /// # Errors
    /// [`EncodeError`] for a type that no column of a table has, and for a null where there may be none.
    pub(super) fn write(&mut self, array: &ArrayRef) -> std::result::Result<(), EncodeError> {
        if !self.optional && array.null_count() > 0 {
            return Err(ArrowError::SchemaError("a column that is required has a null".to_owned()).into());
        }
        self.levels.clear();
        match array.nulls() {
            _ if !self.optional => {}
            Some(nulls) => self.levels.extend(nulls.iter().map(i16::from)),
            None => self.levels.resize(array.len(), 1),
        }
        let levels = self.optional.then_some(self.levels.as_slice());
        match (&mut self.writer, array.data_type()) {
            (ColumnWriter::Int32ColumnWriter(writer), DataType::Int32) => {
                primitives(writer, array.as_primitive::<Int32Type>(), levels)?;
            }
            (ColumnWriter::Int64ColumnWriter(writer), DataType::Int64) => {
                primitives(writer, array.as_primitive::<Int64Type>(), levels)?;
            }
            (ColumnWriter::Int64ColumnWriter(writer), DataType::Timestamp(TimeUnit::Millisecond, _)) => {
                primitives(writer, array.as_primitive::<TimestampMillisecondType>(), levels)?
            }
            (ColumnWriter::DoubleColumnWriter(writer), DataType::Float64) => {
                primitives(writer, array.as_primitive::<Float64Type>(), levels)?;
            }
            (ColumnWriter::BoolColumnWriter(writer), DataType::Boolean) => {
                let values: Vec<bool> = array.as_boolean().iter().flatten().collect();
                writer.write_batch(&values, levels, None)?;
            }
            (ColumnWriter::ByteArrayColumnWriter(writer), DataType::Utf8) => {
                texts(writer, array.as_string::<i32>(), levels)?;
            }
            (ColumnWriter::ByteArrayColumnWriter(writer), DataType::Binary) => {
                texts(writer, array.as_binary::<i32>(), levels)?;
            }
            (_, other) => {
                return Err(
                    ArrowError::SchemaError(format!("no column of a table is of type {other}")).into()
                );
            }
        }
        Ok(())
    }

    /// Ends the chunk: its pages are written.
    pub(super) fn close(self) -> Result<ColumnCloseResult> {
        let mut closed = self.writer.close()?;
        closed.metadata = closed.metadata.into_builder().set_compression(Pages::compression()).build()?;
        Ok(closed)
    }
}

fn primitives<A, P>(
    writer: &mut ColumnWriterImpl<'_, P>,
    array: &PrimitiveArray<A>,
    levels: Option<&[i16]>,
) -> Result<()>
where
    A: ArrowPrimitiveType,
    P: data_type::DataType<T = A::Native>,
{
    if array.null_count() == 0 {
        writer.write_batch(array.values(), levels, None)?;
    } else {
        let values: Vec<A::Native> = array.iter().flatten().collect();
        writer.write_batch(&values, levels, None)?;
    }
    Ok(())
}

fn texts<A: ByteArrayType<Offset = i32>>(
    writer: &mut ColumnWriterImpl<'_, data_type::ByteArrayType>,
    array: &GenericByteArray<A>,
    levels: Option<&[i16]>,
) -> Result<()> {
    // An array may be a part of another whose bytes it shares.
    let offsets = array.value_offsets();
    let at = |offset: &i32| usize::try_from(*offset).unwrap_or_default();
    let (first, last) = (offsets.first().map_or(0, at), offsets.last().map_or(0, at));
    let bytes = Bytes::copy_from_slice(array.value_data().get(first..last).unwrap_or_default());
    let mut values = Vec::with_capacity(array.len() - array.null_count());
    for (row, ends) in offsets.windows(2).enumerate() {
        if let ([start, end], true) = (ends, array.is_valid(row)) {
            values.push(ByteArray::from(bytes.slice(at(start) - first..at(end) - first)));
        }
    }
    writer.write_batch(&values, levels, None)?;
    Ok(())
}
