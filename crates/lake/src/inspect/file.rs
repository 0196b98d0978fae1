//! A Parquet file: what its footer says, and whether its pages can be read.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaData;
use serde::Serialize;

use super::{InspectError, PARQUET};
use crate::audit::labels;

/// What a Parquet file says of itself.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileFacts {
    /// Its bytes.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// Who wrote it.
    pub created_by: Option<String>,
    /// Its key-value metadata: of a published file the pipeline, the rows and where they come from.
    pub labels: BTreeMap<String, String>,
    /// Its row groups, in order.
    pub row_groups: Vec<RowGroupFacts>,
    /// Its columns, over all row groups, in order.
    pub columns: Vec<ColumnFacts>,
}

/// A row group.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RowGroupFacts {
    /// Its rows.
    pub rows: u64,
    /// Its bytes in the file.
    pub compressed: u64,
    /// Bytes that it unpacks to.
    pub uncompressed: u64,
}

/// A column.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ColumnFacts {
    /// Its name.
    pub name: String,
    /// Its type, as Arrow calls it.
    pub data_type: String,
    /// Whether a row may be without.
    pub nullable: bool,
    /// How its pages are encoded.
    pub encodings: BTreeSet<String>,
    /// How they are compressed.
    pub compression: BTreeSet<String>,
    /// Its bytes in the file.
    pub compressed: u64,
    /// Bytes that it unpacks to.
    pub uncompressed: u64,
}

pub(super) fn builder(bytes: &Bytes) -> Result<ParquetRecordBatchReaderBuilder<Bytes>, InspectError> {
    let size = bytes.len();
    if !bytes.ends_with(PARQUET) {
        let reason = format!(
            "it begins as one and does not end as one: it is cut off at byte {size}, without its footer"
        );
        return Err(InspectError::Parquet(reason));
    }
    if !bytes.starts_with(PARQUET) {
        return Err(InspectError::Parquet("it ends as one and does not begin as one".to_owned()));
    }
    ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).map_err(|error| {
        InspectError::Parquet(format!("its footer, before byte {size}, cannot be read: {error}"))
    })
}

pub(super) fn read(bytes: &Bytes) -> Result<FileFacts, InspectError> {
    let opened = builder(bytes)?;
    let footer = opened.metadata();
    let number = |signed: i64| u64::try_from(signed).unwrap_or_default();
    let group = |group: &parquet::file::metadata::RowGroupMetaData| RowGroupFacts {
        rows: number(group.num_rows()),
        compressed: number(group.compressed_size()),
        uncompressed: number(group.total_byte_size()),
    };
    let facts = FileFacts {
        bytes: bytes.len() as u64,
        rows: number(footer.file_metadata().num_rows()),
        created_by: footer.file_metadata().created_by().map(str::to_owned),
        labels: labels(footer).into_iter().collect(),
        row_groups: footer.row_groups().iter().map(group).collect(),
        columns: opened.schema().fields().iter().map(|field| column(footer, field)).collect(),
    };
    for index in 0..facts.row_groups.len() {
        let damaged = |error: String| InspectError::Parquet(format!("row group {}: {error}", index + 1));
        let reader = builder(bytes)?.with_row_groups(vec![index]).build();
        for batch in reader.map_err(|error| damaged(error.to_string()))? {
            batch.map_err(|error| damaged(error.to_string()))?;
        }
    }
    Ok(facts)
}

/// A column that is a leaf, as all of a lake's are.
fn column(footer: &ParquetMetaData, field: &arrow_schema::Field) -> ColumnFacts {
    let mut facts = ColumnFacts {
        name: field.name().clone(),
        data_type: field.data_type().to_string(),
        nullable: field.is_nullable(),
        encodings: BTreeSet::new(),
        compression: BTreeSet::new(),
        compressed: 0,
        uncompressed: 0,
    };
    let chunks = footer.row_groups().iter().flat_map(|group| group.columns());
    for chunk in chunks.filter(|chunk| chunk.column_path().string() == *field.name()) {
        facts.encodings.extend(chunk.encodings().map(|encoding| encoding.to_string()));
        facts.compression.insert(chunk.compression().to_string());
        facts.compressed += u64::try_from(chunk.compressed_size()).unwrap_or_default();
        facts.uncompressed += u64::try_from(chunk.uncompressed_size()).unwrap_or_default();
    }
    facts
}
