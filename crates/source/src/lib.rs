//! Files as sources: what lies in a file becomes numbered records, as if it were one shard of a
//! stream, for the local event source to cut into batches.
//!
//! What a file holds is decided by its content, and by its name only where the content leaves a
//! choice: trip records as Parquet ([`parquet`]), yellow or green ones as CSV ([`tlc`]), JSON lines
//! ([`lines`]), or one saved Lambda event ([`saved_event`]); all but Parquet plain or compressed by gzip,
//! Zstandard or LZ4 (frames).
//!
//! A file is one source partition: its URL, one shard, and as source epoch the fingerprint of its
//! first record's line. So a file that has grown goes on where it ended, and another file under the
//! same name is another source, unless it begins with the very same record. Positions are line
//! numbers (CSV: row numbers) and never depend on what was read before.
//!
//! An object of a bucket is one too, by its URL and entity tag: [`ObjectId`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tripline_model::source::{Position, SourcePartition};
use tripline_stream::mapping::PutRecord;
use xxhash_rust::xxh3::xxh3_64;

mod batch;
pub mod lines;
mod object;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod saved_event;
pub mod text;
pub mod tlc;

pub use batch::{RowBatch, RowBatches};
pub use object::ObjectId;
#[cfg(feature = "parquet")]
pub use parquet::ParquetError;
pub use saved_event::SavedEvent;
pub use text::{LONGEST_LINE_BYTES, Progress};
pub use tlc::HeaderError;

use text::{Line, LineReader};

/// The one shard of a file.
pub const SHARD: &str = "shardId-000000000000";

const PARQUET_MAGIC: &[u8] = b"PAR1";
const EXTENSIONS: [&str; 5] = ["csv", "json", "jsonl", "ndjson", "parquet"];
/// Of a file that is compressed.
const COMPRESSIONS: [&str; 3] = ["gz", "lz4", "zst"];

/// One record of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberedRecord {
    /// Its position: the number of its line, or of its row in a CSV file, from 1.
    pub position: u64,
    /// The trip id, or the position where the record has none.
    pub partition_key: String,
    /// The record's bytes.
    pub data: Vec<u8>,
}

impl From<NumberedRecord> for PutRecord {
    /// A record as a mapping delivers it. It has no arrival time: a file does not know it, and the time
    /// of reading would make a second run look like a source made anew.
    fn from(record: NumberedRecord) -> Self {
        let NumberedRecord { position, partition_key, data } = record;
        Self { sequence: Position::new(position), partition_key, data, arrival_ms: None }
    }
}

/// What a file yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A record.
    Record(NumberedRecord),
    /// A line longer than [`LONGEST_LINE_BYTES`], which no stream could hold either. It is left
    /// out; tell the user.
    Oversize {
        /// Number of the line or row, from 1.
        position: u64,
        /// Its length in bytes.
        bytes: u64,
    },
}

impl Entry {
    /// Number of its line or row, from 1.
    #[must_use]
    pub const fn position(&self) -> u64 {
        match self {
            Self::Record(record) => record.position,
            Self::Oversize { position, .. } => *position,
        }
    }
}

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The operating system or the decompressor says no.
    #[error("{path}: cannot be read: {error}")]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// Reading stopped in the middle of the file; what came before is good.
    #[error("{path}: cannot be read beyond line or row {position}: {error}")]
    Interrupted {
        /// The file.
        path: PathBuf,
        /// Number of the line or row that could not be read, from 1.
        position: u64,
        /// What went wrong.
        error: io::Error,
    },
    /// A CSV file of another kind.
    #[error("{path}: {error}")]
    Header {
        /// The file.
        path: PathBuf,
        /// What its header lacks.
        error: HeaderError,
    },
    /// A Parquet file of another kind, or a damaged one.
    #[cfg(feature = "parquet")]
    #[error("{path}: {error}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: ParquetError,
    },
    /// JSON that is neither records, one a line, nor an event.
    #[error("{path}: it holds {what}; write one JSON object a line, or save a function's event as it is")]
    NotRecords {
        /// The file.
        path: PathBuf,
        /// What it holds.
        what: &'static str,
    },
    /// A folder without a file that could be read.
    #[error(
        "{path}: the folder holds no .parquet, .csv, .json, .jsonl or .ndjson file (each but the first may end in .gz, .lz4 or .zst)"
    )]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}

/// An opened file.
#[derive(Debug)]
pub enum Source {
    /// A file of records.
    Records(RecordSource),
    /// One saved event.
    SavedEvent(SavedEvent),
}

/// A file of records, read as it is iterated over, in memory bounded by its longest line.
pub struct RecordSource {
    path: PathBuf,
    partition: SourcePartition,
    progress: Progress,
    rows: Rows,
}

enum Rows {
    Trips(tlc::TripRows),
    Lines(lines::JsonLines),
    #[cfg(feature = "parquet")]
    Parquet(Box<parquet::ParquetTrips>),
}

impl RecordSource {
    /// The file as given to [`open`].
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the journal knows the file's records by, in deployments of this source epoch.
    #[must_use]
    pub fn lane(&self, source_epoch: &str) -> SourcePartition {
        lane(&self.partition, source_epoch)
    }

    /// The file as a source partition: `file://` URL, fingerprint as epoch, [`SHARD`]. The epoch is
    /// empty while no record's line is complete; there are no records then.
    #[must_use]
    pub const fn source_partition(&self) -> &SourcePartition {
        &self.partition
    }

    /// How far the file has been read.
    #[must_use]
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// After the last record: number of a last line that may be half written and was left for the
    /// next run. Tell the user: ending the line makes it a record.
    #[must_use]
    pub const fn unfinished(&self) -> Option<u64> {
        match &self.rows {
            Rows::Trips(rows) => rows.unfinished(),
            Rows::Lines(lines) => lines.unfinished(),
            // Its end tells what it holds: it is whole, or no Parquet.
            #[cfg(feature = "parquet")]
            Rows::Parquet(_) => None,
        }
    }
}

/// The lane of a file: its own epoch keeps it apart from another that had its name before.
fn lane(file: &SourcePartition, source_epoch: &str) -> SourcePartition {
    let SourcePartition { source, epoch, partition } = file;
    let source = format!("{source}#{epoch}");
    SourcePartition { source, epoch: source_epoch.to_owned(), partition: partition.clone() }
}

impl Iterator for RecordSource {
    type Item = Result<Entry, SourceError>;

    /// The next entry. After an error the file cannot be read on; stop there.
    fn next(&mut self) -> Option<Self::Item> {
        let (position, entry) = match &mut self.rows {
            Rows::Trips(rows) => (rows.next_number(), rows.next_entry()),
            Rows::Lines(lines) => (lines.next_number(), lines.next_entry()),
            #[cfg(feature = "parquet")]
            Rows::Parquet(trips) => (trips.next_number(), trips.next_entry()),
        };
        let interrupted = |error| SourceError::Interrupted { path: self.path.clone(), position, error };
        entry.map_err(interrupted).transpose()
    }
}

impl std::fmt::Debug for RecordSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RecordSource")
            .field("path", &self.path)
            .field("partition", &self.partition)
            .finish()
    }
}

/// The files that a path names: the file itself, or all files below a folder whose names end in
/// `.parquet`, `.csv`, `.json`, `.jsonl` or `.ndjson`, or in one of these and `.gz`, `.lz4` or `.zst`,
/// sorted by path. Hidden files and folders are left out.
///
/// # Errors
/// When there is no such path, a folder cannot be listed, or a folder holds no such file.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let unreadable = |path: &Path, error| SourceError::Unreadable { path: path.to_owned(), error };
    if !fs::metadata(path).map_err(|error| unreadable(path, error))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| unreadable(&folder, error))? {
            let entry = entry.map_err(|error| unreadable(&folder, error))?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            // A link to a folder is not followed: it may lead back up.
            if entry.file_type().map_err(|error| unreadable(&path, error))?.is_dir() {
                folders.push(path);
            } else if path.is_file()
                && extension(&path).is_some_and(|found| EXTENSIONS.contains(&found.as_str()))
            {
                found.push(path);
            }
        }
    }
    if found.is_empty() {
        return Err(SourceError::Empty { path: path.to_owned() });
    }
    found.sort();
    Ok(found)
}

/// Opens a file and decides what it holds.
///
/// # Errors
/// [`SourceError`] when the file cannot be read, or holds trips or JSON in a form that is not read.
pub fn open(path: &Path) -> Result<Source, SourceError> {
    open_file(path, path, Form { whole: false, events: true })
}

/// As [`open`], for a file that is known to be complete: its last line counts whether anything ends
/// it or not. Should the file grow after all, what is added to that line is lost.
///
/// # Errors
/// As for [`open`].
pub fn open_whole(path: &Path) -> Result<Source, SourceError> {
    open_file(path, path, Form { whole: true, events: true })
}

/// `name`: what the file is called in messages.
fn open_file(path: &Path, name: &Path, form: Form) -> Result<Source, SourceError> {
    let unreadable = |error| SourceError::Unreadable { path: name.to_owned(), error };
    let url = file_url(path).map_err(unreadable)?;
    #[cfg(feature = "parquet")]
    if parquet::is_parquet(path).map_err(unreadable)? {
        let wrong = |error| SourceError::Parquet { path: name.to_owned(), error };
        let (rows, epoch, progress) = parquet::ParquetTrips::open(path).map_err(wrong)?;
        let partition = SourcePartition { source: url, epoch, partition: SHARD.to_owned() };
        return Ok(Source::Records(RecordSource {
            path: name.to_owned(),
            partition,
            progress,
            rows: Rows::Parquet(Box::new(rows)),
        }));
    }
    let text = text::open(path).map_err(unreadable)?;
    from_text(name, url, text, form)
}

/// Opens an object of a bucket as its bytes come: JSON lines, or trip records as CSV. It is complete, and its
/// source partition is [`ObjectId::source_partition`].
///
/// # Errors
/// As for [`open`]; for Parquet too, which is not read from its beginning on.
pub fn open_object(
    object: &ObjectId,
    bytes: u64,
    body: impl io::Read + Send + 'static,
) -> Result<RecordSource, SourceError> {
    let path = PathBuf::from(object.url());
    let unreadable = |error| SourceError::Unreadable { path: path.clone(), error };
    let text = text::read(body, bytes).map_err(unreadable)?;
    of_object(object, from_text(&path, object.url(), text, Form { whole: true, events: false })?)
}

/// Opens an object that has been brought here as a file; the same records as of [`open_object`], and those of a
/// Parquet file.
///
/// # Errors
/// As for [`open`].
pub fn open_fetched(object: &ObjectId, path: &Path) -> Result<RecordSource, SourceError> {
    let name = PathBuf::from(object.url());
    of_object(object, open_file(path, &name, Form { whole: true, events: false })?)
}

fn of_object(object: &ObjectId, source: Source) -> Result<RecordSource, SourceError> {
    let path = PathBuf::from(object.url());
    match source {
        Source::Records(records) => {
            Ok(RecordSource { path, partition: object.source_partition(), ..records })
        }
        Source::SavedEvent(_) => Err(SourceError::NotRecords { path, what: "a saved Lambda event" }),
    }
}

/// How a file is to be taken.
#[derive(Clone, Copy)]
struct Form {
    /// The end of the file is the end of its last line.
    whole: bool,
    /// It may be a saved event.
    events: bool,
}

fn from_text(path: &Path, url: String, text: text::Text, form: Form) -> Result<Source, SourceError> {
    let unreadable = |error| SourceError::Unreadable { path: path.to_owned(), error };
    let mut lines = LineReader::new(text.reader, form.whole || text.compressed);
    let (rows, first) = match content(path, &mut lines, form).map_err(unreadable)? {
        Content::Event(body) => return Ok(Source::SavedEvent(SavedEvent { url, body })),
        Content::Other(what) => return Err(SourceError::NotRecords { path: path.to_owned(), what }),
        Content::Trips { header, line } => {
            let header = tlc::Header::parse(&header)
                .map_err(|error| SourceError::Header { path: path.to_owned(), error })?;
            let first = first_line(&mut lines, |_| false).map_err(unreadable)?;
            (Rows::Trips(tlc::TripRows::new(lines, header, line)), first)
        }
        Content::Lines => {
            let first = first_line(&mut lines, lines::is_complete_object).map_err(unreadable)?;
            (Rows::Lines(lines::JsonLines::new(lines)), first)
        }
    };
    let epoch = first.map(|line| format!("{:016x}", xxh3_64(&line))).unwrap_or_default();
    let partition = SourcePartition { source: url, epoch, partition: SHARD.to_owned() };
    Ok(Source::Records(RecordSource { path: path.to_owned(), partition, progress: text.progress, rows }))
}

enum Content {
    Lines,
    Trips { header: Vec<u8>, line: u64 },
    Event(Vec<u8>),
    Other(&'static str),
}

/// Decides what a file holds; puts the lines that it looked at back, but for a header.
fn content(path: &Path, lines: &mut LineReader, form: Form) -> io::Result<Content> {
    let extension = extension(path).unwrap_or_default();
    let mut skipped = Vec::new();
    let content = loop {
        let Some((number, line)) = lines.next_line()? else { break Content::Lines };
        match &line {
            Line::Whole(text) if text.trim_ascii().is_empty() => {
                skipped.push((number, line));
                continue;
            }
            Line::Whole(text) | Line::Open(text)
                if !form.events && matches!(text.trim_ascii(), b"{" | b"[") =>
            {
                return Ok(Content::Other("JSON over several lines"));
            }
            Line::Whole(text) | Line::Open(text) if text.starts_with(PARQUET_MAGIC) => {
                return Ok(Content::Other("Parquet, which only the command `tripline backfill` reads"));
            }
            Line::Whole(text) | Line::Open(text) if text.trim_ascii_start().starts_with(b"{") => {
                let complete = lines::is_complete_object(text);
                let may_be_event = form.events && !matches!(extension.as_str(), "jsonl" | "ndjson");
                let content = if may_be_event && (!complete || saved_event::is_event(text)) {
                    whole_file(path)?
                } else {
                    Content::Lines
                };
                skipped.push((number, line));
                break content;
            }
            Line::Whole(text) if extension == "json" && text.trim_ascii_start().starts_with(b"[") => {
                return Ok(Content::Other("a JSON array"));
            }
            // A header that nothing ends yet is left for the next run, like any half line.
            Line::Whole(header) if extension == "csv" || tlc::Header::parse(header).is_ok() => {
                return Ok(Content::Trips { header: header.clone(), line: number });
            }
            _ => {
                skipped.push((number, line));
                break Content::Lines;
            }
        }
    };
    for (number, line) in skipped.into_iter().rev() {
        lines.put_back(number, line);
    }
    Ok(content)
}

/// Looks at a file as one JSON object; lines of their own where it is none.
fn whole_file(path: &Path) -> io::Result<Content> {
    Ok(match saved_event::read_whole(text::open(path)?.reader)? {
        Some(body) if saved_event::is_event(&body) => Content::Event(body),
        // A single line is a record, also if it looks like nothing that a pipeline knows.
        Some(body) if body.trim_ascii().contains(&b'\n') && lines::is_complete_object(&body) => {
            Content::Other("one JSON object over several lines, without \"Records\"")
        }
        _ => Content::Lines,
    })
}

/// The first line that becomes a record; it and the empty lines before it are put back.
fn first_line(lines: &mut LineReader, complete: impl Fn(&[u8]) -> bool) -> io::Result<Option<Vec<u8>>> {
    let mut seen = Vec::new();
    let mut first = None;
    while let Some((number, line)) = lines.next_line()? {
        let found = match &line {
            Line::Whole(text) | Line::Open(text) if text.trim_ascii().is_empty() => None,
            Line::Whole(text) => Some(text.clone()),
            Line::Open(text) if complete(text) => Some(text.clone()),
            Line::Open(_) | Line::Oversize(_) => None,
        };
        seen.push((number, line));
        if found.is_some() {
            first = found;
            break;
        }
    }
    for (number, line) in seen.into_iter().rev() {
        lines.put_back(number, line);
    }
    Ok(first)
}

/// The extension in lower case, with a compression's looked through.
fn extension(path: &Path) -> Option<String> {
    let lower =
        |path: &Path| path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match lower(path) {
        Some(packed) if COMPRESSIONS.contains(&packed.as_str()) => lower(Path::new(path.file_stem()?)),
        other => other,
    }
}

/// `file://` and the absolute path without links, percent-encoded but for unreserved characters and
/// slashes (RFC 3986), so that a file is the same source however it is named.
fn file_url(path: &Path) -> io::Result<String> {
    let absolute = fs::canonicalize(path)?;
    let mut url = "file://".to_owned();
    object::push_encoded(&mut url, absolute.as_os_str().as_encoded_bytes());
    Ok(url)
}
