//! Files as readers see them: Parquet, or gzip'd JSON lines.

use std::io::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Schema};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression as Codec, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use tripline_model::batch::metadata;

use super::group::time_column;
use crate::checkpoint::SourceRange;

/// How published files are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileFormat {
    /// Parquet, zstd.
    #[default]
    Parquet,
    /// One JSON object a line, gzip.
    JsonLines,
}

impl FileFormat {
    /// File name extension, without a leading dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::JsonLines => "json.gz",
        }
    }

    /// The format that a key's extension names.
    pub(super) fn of_key(key: &str) -> Option<Self> {
        [Self::Parquet, Self::JsonLines]
            .into_iter()
            .find(|format| key.strip_suffix(format.extension()).is_some_and(|stem| stem.ends_with('.')))
    }
}

/// Rows per row group. Scans skip and parallelise by row group: 1 Mi rows of a trip are some 30 MB
/// compressed, large enough for few requests and small enough for a reader's memory.
const ROW_GROUP_ROWS: usize = 1024 * 1024;
/// Rows per data page, which is what the page index lets a reader skip.
const PAGE_ROWS: usize = 20_000;

/// Keys of a Parquet file's key-value metadata. JSON lines have no place for it.
pub mod file_metadata {
    /// Pipeline id.
    pub const PIPELINE: &str = "tripline.pipeline";
    /// Checkpoint generation that committed the file, a decimal integer.
    pub const GENERATION: &str = "tripline.generation";
    /// Number of rows, a decimal integer.
    pub const ROWS: &str = "tripline.rows";
    /// Order-independent digest of the rows, a decimal integer.
    pub const DIGEST: &str = "tripline.digest";
    /// The journal entries that the rows come from, JSON.
    pub const SOURCES: &str = "tripline.sources";
}

/// What a file says of itself.
#[derive(Clone, Debug)]
pub(super) struct Label<'a> {
    pub(super) pipeline: &'a str,
    pub(super) generation: u64,
    pub(super) rows: u64,
    pub(super) digest: u64,
    pub(super) sources: &'a [SourceRange],
}

/// A file cannot be encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The Parquet writer refused the rows.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    /// Arrow refused the rows.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// The label cannot be written as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Compression failed.
    #[error(transparent)]
    Compression(#[from] std::io::Error),
}

pub(super) fn encode(
    format: FileFormat,
    schema: &Arc<Schema>,
    batches: &[RecordBatch],
    label: &Label<'_>,
) -> Result<Vec<u8>, EncodeError> {
    match format {
        FileFormat::Parquet => parquet(schema, batches, label),
        FileFormat::JsonLines => json_lines(batches),
    }
}

fn labels(schema: &Schema, label: &Label<'_>) -> Result<Vec<(String, String)>, EncodeError> {
    let of_table = [metadata::TABLE, metadata::SCHEMA_VERSION, metadata::TIME_COLUMN, metadata::ID_COLUMNS];
    let mut pairs: Vec<(String, String)> = of_table
        .iter()
        .filter_map(|&key| schema.metadata().get(key).map(|value| (key.to_owned(), value.clone())))
        .collect();
    pairs.extend([
        (file_metadata::PIPELINE.to_owned(), label.pipeline.to_owned()),
        (file_metadata::GENERATION.to_owned(), label.generation.to_string()),
        (file_metadata::ROWS.to_owned(), label.rows.to_string()),
        (file_metadata::DIGEST.to_owned(), label.digest.to_string()),
        (file_metadata::SOURCES.to_owned(), serde_json::to_string(label.sources)?),
    ]);
    Ok(pairs)
}

fn parquet(schema: &Arc<Schema>, batches: &[RecordBatch], label: &Label<'_>) -> Result<Vec<u8>, EncodeError> {
    let pairs = labels(schema, label)?.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
    // The columns' own schema, without metadata: that is in the key-value pairs already.
    let plain = Arc::new(Schema::new(schema.fields().clone()));
    let properties = properties(schema, pairs)?;
    // Without the Arrow schema: it would repeat, at the size of a small file, what Parquet says itself.
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&plain), options)?;
    for batch in batches {
        writer.write(&RecordBatch::try_new(Arc::clone(&plain), batch.columns().to_vec())?)?;
    }
    Ok(writer.into_inner()?)
}

fn properties(schema: &Schema, pairs: Vec<KeyValue>) -> Result<WriterProperties, EncodeError> {
    let time = time_column(schema)?;
    let time_index = i32::try_from(schema.index_of(time)?).unwrap_or_default();
    let mut builder = WriterProperties::builder()
        .set_compression(Codec::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
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

fn json_lines(batches: &[RecordBatch]) -> Result<Vec<u8>, EncodeError> {
    // A plain gzip header: there are readers that refuse one with a comment or extra field.
    let gzip = GzEncoder::new(Vec::new(), Compression::new(6));
    let mut writer = arrow_json::LineDelimitedWriter::new(gzip);
    for batch in batches {
        writer.write(&with_offset_zone(batch)?)?;
    }
    writer.finish()?;
    let mut gzip = writer.into_inner();
    gzip.flush()?;
    Ok(gzip.finish()?)
}

/// Times are in UTC, which the JSON writer and reader know by its offset only.
pub(crate) fn with_offset_zone(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(|column| -> ArrayRef {
        match column.as_primitive_opt::<TimestampMillisecondType>() {
            Some(times) => Arc::new(times.clone().with_timezone(UTC_OFFSET)),
            None => Arc::clone(column),
        }
    });
    RecordBatch::try_new(offset_zone_schema(batch.schema_ref()), columns.collect())
}

const UTC_OFFSET: &str = "+00:00";

/// The schema with its times' zone given as an offset.
pub(crate) fn offset_zone_schema(schema: &Schema) -> Arc<Schema> {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            let zoned = DataType::Timestamp(*unit, Some(UTC_OFFSET.into()));
            Arc::new(field.as_ref().clone().with_data_type(zoned))
        }
        _ => Arc::clone(field),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
