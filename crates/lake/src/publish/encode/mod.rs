//! Files as readers see them: Parquet, or gzip'd JSON lines.

mod column;
mod pages;
mod parquet_file;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Schema};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::errors::ParquetError;

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
        FileFormat::Parquet => parquet_file::write(schema, batches, label),
        FileFormat::JsonLines => json_lines(batches),
    }
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
