//! Inspect: what one object of a lake is and holds, told by its bytes alone.

mod file;
mod rows;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use tripline_model::schema::History;

pub use file::{ColumnFacts, FileFacts, RowGroupFacts};

use crate::checkpoint::Checkpoint;
use crate::identity::Identity;
use crate::journal::damage;
use crate::journal::entry::{Entry, EntryError, Header, MAGIC};
use crate::redrive::Redrive;
use crate::schemas::Schemas;

/// Begins and ends a Parquet file.
const PARQUET: &[u8] = b"PAR1";
/// Begins a gzip stream.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// What an object is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind", content = "contents")]
#[non_exhaustive]
pub enum Inspected {
    /// An entry of the journal: a batch.
    Entry(Box<Header>),
    /// A published Parquet file, or another.
    Parquet(Box<FileFacts>),
    /// A published file of JSON lines.
    JsonLines {
        /// Its lines.
        rows: u64,
        /// Bytes that it unpacks to.
        bytes: u64,
    },
    /// The publish checkpoint.
    Checkpoint(Box<Checkpoint>),
    /// Whose lake it is.
    Identity {
        /// The pipeline.
        pipeline: String,
        /// Where the store's conditions were proved.
        location: String,
    },
    /// The versions of the pipeline's columns.
    Schemas(History),
    /// A redrive of dead letters.
    Redrive(Box<Redrive>),
}

/// What is wrong with an object, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// It is nothing that a lake holds.
    #[error(
        "it is no journal entry, published file, checkpoint, identity, history of schemas or redrive: {0}"
    )]
    Unknown(String),
    /// It begins as a journal entry does.
    #[error("a damaged journal entry: {source}; {place}")]
    Entry {
        /// Why it is refused.
        source: EntryError,
        /// Where it differs, as far as can be told.
        place: String,
    },
    /// It begins or ends as a Parquet file does.
    #[error("a damaged Parquet file: {0}")]
    Parquet(String),
    /// It begins as a gzip stream does.
    #[error("a damaged file of JSON lines: {0}")]
    JsonLines(String),
    /// It is JSON, or begins so.
    #[error("a damaged {what}: {reason}")]
    Json {
        /// What it looks like.
        what: &'static str,
        /// What is wrong, and where.
        reason: String,
    },
}

/// Reads an object whole: what cannot be read back is an error.
///
/// # Errors
/// [`InspectError`] with what is wrong and where.
pub fn inspect(bytes: &Bytes) -> Result<Inspected, InspectError> {
    if bytes.starts_with(MAGIC) {
        return entry(bytes).map(|(entry, _)| Inspected::Entry(Box::new(entry.header)));
    }
    if bytes.starts_with(PARQUET) || bytes.ends_with(PARQUET) {
        return file::read(bytes).map(|facts| Inspected::Parquet(Box::new(facts)));
    }
    if bytes.starts_with(GZIP) {
        let text = rows::unzip(bytes)?;
        let rows = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() as u64;
        return Ok(Inspected::JsonLines { rows, bytes: text.len() as u64 });
    }
    json(bytes)
}

/// The first rows of an entry or a file, `limit` of each table, as JSON lines. Those of an entry begin with the
/// member `_table`. Bytes are written in hexadecimal digits.
///
/// # Errors
/// [`InspectError`] with what is wrong and where, or that it has no rows.
pub fn rows(bytes: &Bytes, limit: usize) -> Result<Vec<u8>, InspectError> {
    if bytes.starts_with(MAGIC) {
        return rows::of_sections(&entry(bytes)?.1, limit);
    }
    if bytes.starts_with(PARQUET) {
        return rows::of_parquet(bytes, limit);
    }
    if bytes.starts_with(GZIP) {
        let text = rows::unzip(bytes)?;
        return Ok(text.split_inclusive(|byte| *byte == b'\n').take(limit).flatten().copied().collect());
    }
    Err(InspectError::Unknown("it has no rows".to_owned()))
}

fn entry(bytes: &Bytes) -> Result<(Entry, Vec<tripline_model::batch::Section>), InspectError> {
    let damaged = |source| InspectError::Entry { source, place: damage::locate(bytes) };
    let entry = Entry::parse(bytes).map_err(damaged)?;
    let sections = entry.sections().map_err(damaged)?;
    Ok((entry, sections))
}

fn json(bytes: &Bytes) -> Result<Inspected, InspectError> {
    let begins_so = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let value: Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(error) if begins_so => {
            return Err(InspectError::Json { what: "JSON object", reason: error.to_string() });
        }
        Err(_) => return Err(InspectError::Unknown(beginning(bytes))),
    };
    let has = |members: [&str; 2]| members.iter().all(|member| value.get(member).is_some());
    if has(["lanes", "generation"]) {
        return read(bytes, "checkpoint").map(|checkpoint| Inspected::Checkpoint(Box::new(checkpoint)));
    }
    if has(["filter", "files"]) {
        let redrive =
            Redrive::parse(bytes).map_err(|reason| InspectError::Json { what: "redrive", reason })?;
        return Ok(Inspected::Redrive(Box::new(redrive)));
    }
    if has(["format", "versions"]) {
        let Schemas { history, .. } = read(bytes, "history of schemas")?;
        return Ok(Inspected::Schemas(history));
    }
    if has(["pipeline", "location"]) {
        let Identity { pipeline, location, .. } = read(bytes, "identity")?;
        return Ok(Inspected::Identity { pipeline, location });
    }
    Err(InspectError::Unknown("it is JSON of another kind".to_owned()))
}

fn read<T: serde::de::DeserializeOwned>(bytes: &Bytes, what: &'static str) -> Result<T, InspectError> {
    serde_json::from_slice(bytes).map_err(|error| InspectError::Json { what, reason: error.to_string() })
}

fn beginning(bytes: &Bytes) -> String {
    if bytes.is_empty() {
        return "it is empty".to_owned();
    }
    let first = bytes.get(..16).unwrap_or(bytes);
    format!("it begins with \"{}\"", first.escape_ascii())
}
