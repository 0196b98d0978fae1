//! The lake's side of an audit: what the files hold, read from their columns.

use std::io::BufReader;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, Metadata, Schema, SchemaRef};
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use futures_util::TryStreamExt as _;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaData;
use tripline_model::batch::metadata;
use tripline_model::decode::digest;

use super::{AuditError, breach};
use crate::checkpoint::SourceRange;
use crate::invariants::Invariant;
use crate::journal::entry::TableTotals;
use crate::layout::{SUCCESS, is_published_name};
use crate::publish::{FileFormat, file_metadata, offset_zone_schema};
use crate::store::{ObjectStore, StoreError, objects};

/// A published file.
#[derive(Clone, Debug)]
pub(super) struct AuditedFile {
    pub(super) key: String,
    pub(super) table: String,
    pub(super) partition: String,
    pub(super) generation: Option<u64>,
    pub(super) bytes: u64,
    pub(super) found: TableTotals,
    /// Where its rows come from; `None` for JSON lines, which cannot say.
    pub(super) sources: Option<Vec<SourceRange>>,
}

#[derive(Debug)]
pub(super) enum Verdict {
    Sound(AuditedFile),
    /// With what could be read of it.
    Faulty(Option<AuditedFile>, Vec<String>),
    Foreign(String),
}

/// Keys of a table's objects that readers look at.
pub(crate) async fn keys(store: &dyn ObjectStore, table: &str) -> Result<Vec<String>, StoreError> {
    Ok(keys_and_marks(store, table).await?.0)
}

/// The same, and keys of the objects that say that a partition is complete.
pub(super) async fn keys_and_marks(
    store: &dyn ObjectStore,
    table: &str,
) -> Result<(Vec<String>, Vec<String>), StoreError> {
    let (mut keys, mut marks) = (Vec::new(), Vec::new());
    let mut listed = objects(store, format!("{table}/"), None);
    while let Some(object) = listed.try_next().await? {
        match object.key.rsplit('/').next().unwrap_or_default() {
            SUCCESS => marks.push(object.key),
            // Hive-style readers skip these names.
            name if name.starts_with(['_', '.']) => {}
            _ => keys.push(object.key),
        }
    }
    Ok((keys, marks))
}

pub(super) async fn audit_file(
    store: &dyn ObjectStore,
    (pipeline, table): (&str, &str),
    key: String,
    schema: Option<SchemaRef>,
) -> Result<Verdict, AuditError> {
    let name = key.rsplit('/').next().unwrap_or_default();
    let parquet = key.ends_with(FileFormat::Parquet.extension());
    // JSON lines have no label: the file's name tells that it was published here.
    let json_lines = key.ends_with(FileFormat::JsonLines.extension()) && is_published_name(name);
    if !parquet && !json_lines {
        return Ok(Verdict::Foreign(key));
    }
    let Some(object) = store.get(&key).await? else {
        let fault = format!("{key} was listed and is gone");
        return Ok(Verdict::Faulty(None, vec![fault]));
    };
    let bytes = object.body.len() as u64;
    let read = if parquet {
        read_parquet(object.body, pipeline)
    } else {
        read_json_lines(&object.body, schema).map(Some)
    };
    let contents = match read {
        Ok(Some(contents)) => contents,
        Ok(None) => return Ok(Verdict::Foreign(key)),
        Err(error) => return Ok(Verdict::Faulty(None, vec![format!("{key}: {error}")])),
    };
    let faults = contents.faults(&key, table);
    let partition = key
        .strip_suffix(name)
        .and_then(|folder| folder.strip_prefix(table))
        .map(|folder| folder.trim_matches('/').to_owned())
        .unwrap_or_default();
    let table = table.to_owned();
    let (generation, sources) =
        contents.label.map_or((None, None), |label| (label.generation, Some(label.sources)));
    let file = AuditedFile { key, table, partition, generation, bytes, found: contents.found, sources };
    Ok(if faults.is_empty() { Verdict::Sound(file) } else { Verdict::Faulty(Some(file), faults) })
}

/// What a file's columns hold, and what its label says of it.
struct FileContents {
    found: TableTotals,
    label: Option<FileLabel>,
}

struct FileLabel {
    table: Option<String>,
    generation: Option<u64>,
    totals: Option<TableTotals>,
    sources: Vec<SourceRange>,
}

impl FileContents {
    fn faults(&self, key: &str, table: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let Some(label) = &self.label else { return faults };
        if label.table.as_deref() != Some(table) {
            faults.push(format!("{key}: its label names another table than {table}"));
        }
        if label.totals != Some(self.found) {
            let what = format_args!("{key}: its columns do not hold the rows that its label counts");
            faults.push(breach(Invariant::CommitReconciles, what));
        }
        let from_sources: u64 = label.sources.iter().map(|source| source.rows).sum();
        if from_sources != self.found.rows {
            let rows = self.found.rows;
            let what = format_args!("{key}: its sources account for {from_sources} of {rows} rows");
            faults.push(breach(Invariant::CommitReconciles, what));
        }
        faults
    }
}

type Problem = Box<dyn std::error::Error + Send + Sync>;

/// What a Parquet file's footer says of it.
pub(crate) fn labels(footer: &ParquetMetaData) -> Metadata {
    let pairs = footer.file_metadata().key_value_metadata().into_iter().flatten();
    pairs.filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?))).collect()
}

/// `None` where the label does not say that this pipeline published the file.
fn read_parquet(body: Bytes, pipeline: &str) -> Result<Option<FileContents>, Problem> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(body)?;
    let pairs = labels(builder.metadata());
    if pairs.get(file_metadata::PIPELINE).map(String::as_str) != Some(pipeline) {
        return Ok(None);
    }
    let mask = ProjectionMask::columns(builder.parquet_schema(), key_columns(&pairs));
    let batches = builder.with_projection(mask).build()?;
    let found = digest_columns(&pairs, batches)?;
    let number = |key: &str| pairs.get(key).and_then(|value| value.parse().ok());
    let totals = number(file_metadata::ROWS).zip(number(file_metadata::DIGEST));
    let label = FileLabel {
        table: pairs.get(metadata::TABLE).cloned(),
        generation: number(file_metadata::GENERATION),
        totals: totals.map(|(rows, digest)| TableTotals { rows, digest }),
        sources: pairs
            .get(file_metadata::SOURCES)
            .map_or(Ok(Vec::new()), |text| serde_json::from_str(text))?,
    };
    Ok(Some(FileContents { found, label: Some(label) }))
}

fn read_json_lines(body: &[u8], schema: Option<SchemaRef>) -> Result<FileContents, Problem> {
    let schema = schema.ok_or("the pipeline has no such table, so its JSON lines cannot be read")?;
    let pairs = schema.metadata();
    let fields: Result<Vec<_>, ArrowError> =
        key_columns(pairs).map(|name| schema.field_with_name(name).cloned()).collect();
    let projected = offset_zone_schema(&Schema::new(fields?));
    let reader =
        arrow_json::ReaderBuilder::new(projected).build(BufReader::new(MultiGzDecoder::new(body)))?;
    Ok(FileContents { found: digest_columns(pairs, reader)?, label: None })
}

/// The columns that a digest needs: time and ids.
fn key_columns(pairs: &Metadata) -> impl Iterator<Item = &str> {
    let time = pairs.get(metadata::TIME_COLUMN).map(String::as_str);
    let ids = pairs.get(metadata::ID_COLUMNS).map(String::as_str).unwrap_or_default();
    time.into_iter().chain(ids.split(',')).filter(|name| !name.is_empty())
}

fn digest_columns(
    pairs: &Metadata,
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
) -> Result<TableTotals, Problem> {
    let wanted = [metadata::TIME_COLUMN, metadata::ID_COLUMNS];
    let of_table: Metadata = pairs
        .iter()
        .filter(|(key, _)| wanted.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let mut found = TableTotals::default();
    for batch in batches {
        let batch = batch?;
        let schema = Arc::new(Schema::new_with_metadata(batch.schema().fields().clone(), of_table.clone()));
        let batch = batch.with_schema(schema)?;
        found.add(TableTotals { rows: batch.num_rows() as u64, digest: digest(&batch)? });
    }
    Ok(found)
}
