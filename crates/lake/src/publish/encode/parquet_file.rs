//! A Parquet file: its properties, and its row groups column by column.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, SchemaDescriptor};
use tripline_model::batch::metadata;

use super::column::Column;
use super::pages::Pages;
use super::{EncodeError, Label, file_metadata};
use crate::publish::group::time_column;

/// Rows per row group. Scans skip and parallelise by row group: 1 Mi rows of a trip are some 30 MB
/// compressed, large enough for few requests and small enough for a reader's memory.
const ROW_GROUP_ROWS: usize = 1024 * 1024;
/// Rows per data page, which is what the page index lets a reader skip.
const PAGE_ROWS: usize = 20_000;

/// The file of these rows, in their order.
///
/// The Arrow schema is left out: it would repeat, at the size of a small file, what Parquet says itself.
pub(super) fn write(
    schema: &Schema,
    batches: &[RecordBatch],
    label: &Label<'_>,
) -> Result<Vec<u8>, EncodeError> {
    let descriptor = ArrowSchemaConverter::new().convert(schema)?;
    let properties = Arc::new(properties(schema, labels(schema, label)?)?);
    let mut writer =
        SerializedFileWriter::new(Vec::new(), descriptor.root_schema_ptr(), Arc::clone(&properties))?;
    let mut pages = Pages::new()?;
    for rows in row_groups(batches, ROW_GROUP_ROWS) {
        let group = writer.next_row_group()?;
        write_row_group(group, &descriptor, &properties, &rows, &mut pages)?;
    }
    Ok(writer.into_inner()?)
}

/// The batches cut where row groups of so many rows end.
pub(super) fn row_groups(batches: &[RecordBatch], group_rows: usize) -> Vec<Vec<RecordBatch>> {
    let mut groups = vec![Vec::new()];
    let mut left = group_rows;
    for batch in batches {
        let mut rest = batch.clone();
        while rest.num_rows() > 0 {
            if left == 0 {
                groups.push(Vec::new());
                left = group_rows;
            }
            let taken = rest.num_rows().min(left);
            if let Some(group) = groups.last_mut() {
                group.push(rest.slice(0, taken));
            }
            rest = rest.slice(taken, rest.num_rows() - taken);
            left -= taken;
        }
    }
    groups
}

fn write_row_group(
    mut group: SerializedRowGroupWriter<'_, Vec<u8>>,
    descriptor: &SchemaDescriptor,
    properties: &WriterPropertiesPtr,
    rows: &[RecordBatch],
    pages: &mut Pages,
) -> Result<(), EncodeError> {
    for (index, described) in descriptor.columns().iter().enumerate() {
        let mut column = Column::new(described, properties, pages);
        for batch in rows {
            column.write(batch.column(index))?;
        }
        let closed = column.close()?;
        group.append_column(&Bytes::from(pages.take()), closed)?;
    }
    group.close()?;
    Ok(())
}

fn labels(schema: &Schema, label: &Label<'_>) -> Result<Vec<KeyValue>, EncodeError> {
    let of_table = [metadata::TABLE, metadata::SCHEMA_VERSION, metadata::TIME_COLUMN, metadata::ID_COLUMNS];
    let mut pairs: Vec<KeyValue> = of_table
        .iter()
        .filter_map(|&key| {
            schema.metadata().get(key).map(|value| KeyValue::new(key.to_owned(), value.clone()))
        })
        .collect();
    let own = [
        (file_metadata::PIPELINE, label.pipeline.to_owned()),
        (file_metadata::GENERATION, label.generation.to_string()),
        (file_metadata::ROWS, label.rows.to_string()),
        (file_metadata::DIGEST, label.digest.to_string()),
        (file_metadata::SOURCES, serde_json::to_string(label.sources)?),
    ];
    pairs.extend(own.map(|(key, value)| KeyValue::new(key.to_owned(), value)));
    Ok(pairs)
}

fn properties(schema: &Schema, pairs: Vec<KeyValue>) -> Result<WriterProperties, EncodeError> {
    let time = time_column(schema)?;
    let time_index = i32::try_from(schema.index_of(time)?).unwrap_or_default();
    let mut builder = WriterProperties::builder()
        // [`Pages`] compresses.
        .set_compression(Compression::UNCOMPRESSED)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_column_statistics_enabled(ColumnPath::from(time), EnabledStatistics::Page)
        .set_sorting_columns(Some(vec![SortingColumn {
            column_idx: time_index,
            descending: false,
            nulls_first: true,
        }]))
        .set_key_value_metadata(Some(pairs));
    let ids = schema.metadata().get(metadata::ID_COLUMNS).map(String::as_str).unwrap_or_default();
    for field in schema.fields() {
        // Ids and times hardly repeat but lie close together; a dictionary would only cost.
        let close = match field.data_type() {
            DataType::Timestamp(..) => true,
            DataType::Int32 | DataType::Int64 => ids.split(',').any(|id| id == field.name()),
            _ => false,
        };
        if close {
            let path = ColumnPath::from(field.name().as_str());
            builder = builder
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
    }
    Ok(builder.build())
}
