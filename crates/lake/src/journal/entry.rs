//! The journal entry: one batch's rows, columnar and compressed, with what they were read from.
//!
//! ```text
//! magic "TRIPJRN1" · header length u32 LE · header JSON
//! per section: one zstd frame of (partition index per row, u16 LE) + (Arrow IPC stream)
//! xxh3-64 of all the bytes before it, LE
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tripline_model::batch::{Counts, DecodedBatch, Section};
use tripline_model::source::Position;
use xxhash_rust::xxh3::xxh3_64;

use super::section;
use crate::lane::Lane;

pub(crate) const MAGIC: &[u8; 8] = b"TRIPJRN1";
pub(super) const CHECKSUM_BYTES: usize = 8;
/// A batch is at most 6 MB of event (more where aggregates inflate); an entry that unpacks to more than
/// this is damaged or hostile.
const MAX_RAW_BYTES: u64 = 1 << 30;

/// What an entry says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Whose entry it is.
    pub lane: Lane,
    /// Its number in the lane, from 1.
    pub number: u64,
    /// Position of the first record that it covers.
    #[serde(with = "crate::text")]
    pub first: Position,
    /// Position of the last record that it covers.
    #[serde(with = "crate::text")]
    pub last: Position,
    /// What became of the records.
    #[serde(flatten)]
    pub totals: Totals,
    /// Latest arrival among the lane's records up to here, milliseconds since 1970 UTC.
    pub arrival_max_ms: Option<i64>,
    /// Largest event time in this entry, milliseconds since 1970 UTC.
    pub event_time_max_ms: Option<i64>,
    /// When the entry was built, milliseconds since 1970 UTC.
    pub written_at_ms: i64,
    /// Its sections, in the order in which they lie in the object.
    pub sections: Vec<SectionHeader>,
}

/// A section as the header lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionHeader {
    /// Table name.
    pub table: String,
    /// Rows.
    pub rows: u64,
    /// Order-independent digest of the rows.
    pub digest: u64,
    /// Bytes of the zstd frame.
    pub length: u64,
    /// Bytes that the frame unpacks to.
    pub raw_length: u64,
    /// Lake partitions, with the number of rows in each.
    pub partitions: Vec<PartitionRows>,
}

/// Rows that an entry has for one lake partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRows {
    /// Hive path below the table's root.
    pub path: String,
    /// Rows.
    pub rows: u64,
}

/// Running totals of a lane, or those of one entry. They add up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Records committed; duplicates that were dropped are not among them.
    pub records: u64,
    /// Records that were delivered beside them and dropped, being in already. A batch of nothing but
    /// duplicates leaves no entry and is counted in logs and metrics only.
    #[serde(default)]
    pub duplicates: u64,
    /// Watermark events.
    pub watermarks: u64,
    /// Records that the pipeline's policy leaves out.
    pub ignored: u64,
    /// Rows and digest by table, dead letters included.
    pub tables: BTreeMap<String, TableTotals>,
    /// Dead letters by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dead_letter_reasons: BTreeMap<String, u64>,
}

/// Rows of one table and their digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableTotals {
    /// Rows.
    pub rows: u64,
    /// Wrapping sum of the rows' digests.
    pub digest: u64,
}

impl TableTotals {
    /// Adds rows.
    pub fn add(&mut self, other: Self) {
        self.rows = self.rows.saturating_add(other.rows);
        self.digest = self.digest.wrapping_add(other.digest);
    }
}

impl Totals {
    /// The totals of a decoded batch beside which `duplicates` records were dropped.
    #[must_use]
    pub fn of(batch: &DecodedBatch, duplicates: u64) -> Self {
        let Counts { records, watermarks, ignored, .. } = batch.counts;
        let mut tables = BTreeMap::<String, TableTotals>::new();
        for section in &batch.sections {
            let rows = section.rows.num_rows() as u64;
            tables
                .entry(section.table.to_string())
                .or_default()
                .add(TableTotals { rows, digest: section.digest });
        }
        let dead_letter_reasons =
            batch.dead_letter_reasons.iter().map(|&(reason, count)| (reason.to_owned(), count)).collect();
        Self { records, duplicates, watermarks, ignored, tables, dead_letter_reasons }
    }

    /// Adds another's totals.
    ///
    /// What is read back may be damaged: a sum that would be too large stays at the largest.
    pub fn add(&mut self, other: &Self) {
        self.records = self.records.saturating_add(other.records);
        self.duplicates = self.duplicates.saturating_add(other.duplicates);
        self.watermarks = self.watermarks.saturating_add(other.watermarks);
        self.ignored = self.ignored.saturating_add(other.ignored);
        for (table, totals) in &other.tables {
            self.tables.entry(table.clone()).or_default().add(*totals);
        }
        for (reason, count) in &other.dead_letter_reasons {
            let sum = self.dead_letter_reasons.entry(reason.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
    }

    /// Rows over all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.values().fold(0, |sum, table| sum.saturating_add(table.rows))
    }

    /// `true` when every record is a row, a dead letter, a watermark event or left out by policy.
    #[must_use]
    pub fn balanced(&self) -> bool {
        let rows = self.tables.values().map(|table| table.rows);
        let mut parts = rows.chain([self.watermarks, self.ignored]);
        parts.try_fold(0_u64, u64::checked_add) == Some(self.records)
    }
}

/// An entry that cannot be built or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// The object does not begin as an entry does, or is shorter than it says.
    #[error("not a journal entry: {0}")]
    NotAnEntry(&'static str),
    /// The bytes are not those that were written.
    #[error("checksum does not match: the object is damaged")]
    Checksum,
    /// The header cannot be read.
    #[error("unreadable header: {0}")]
    Header(#[from] serde_json::Error),
    /// The header does not agree with where the object lies or what it holds.
    #[error("the header says {says} where {found} was found")]
    Mismatch {
        /// What the header says.
        says: String,
        /// What is there.
        found: String,
    },
    /// The entry is larger than any reader accepts.
    #[error("its rows have {bytes} bytes where {MAX_RAW_BYTES} are allowed; deliver smaller batches")]
    TooLarge {
        /// Bytes of the rows of all sections, unpacked.
        bytes: u64,
    },
    /// A section's columns cannot be written or read.
    #[error("section {table}: {source}")]
    Columns {
        /// Table name.
        table: String,
        /// Arrow's reason.
        source: arrow_schema::ArrowError,
    },
    /// A section cannot be compressed or unpacked.
    #[error("section {table}: {source}")]
    Compression {
        /// Table name.
        table: String,
        /// zstd's reason.
        source: std::io::Error,
    },
}

/// What an entry is about, apart from its rows.
#[derive(Clone, Debug)]
pub struct Origin<'a> {
    /// The lane.
    pub lane: &'a Lane,
    /// First and last position covered.
    pub range: (Position, Position),
    /// Records of the batch that were dropped, being in already.
    pub duplicates: u64,
    /// Latest arrival among the batch's records.
    pub arrival_max_ms: Option<i64>,
    /// Now, milliseconds since 1970 UTC.
    pub written_at_ms: i64,
}

/// A batch's sections, compressed. Numbered only when it is sent: a lost race needs another
/// number, not another compression.
#[derive(Clone, Debug)]
pub struct PackedEntry {
    header: Header,
    frames: Vec<Vec<u8>>,
}

impl PackedEntry {
    /// Compresses a batch.
    ///
    /// # Errors
    /// [`EntryError`] when Arrow or zstd refuses the columns.
    pub fn pack(origin: &Origin<'_>, batch: &DecodedBatch) -> Result<Self, EntryError> {
        let mut frames = Vec::with_capacity(batch.sections.len());
        let mut sections = Vec::with_capacity(batch.sections.len());
        let mut bytes = 0;
        for section in &batch.sections {
            let (frame, header) = section::pack(section)?;
            bytes += header.raw_length;
            frames.push(frame);
            sections.push(header);
        }
        // What no reader would unpack must not be committed; the mapping's bisecting makes it smaller.
        if bytes > MAX_RAW_BYTES {
            return Err(EntryError::TooLarge { bytes });
        }
        let header = Header {
            lane: origin.lane.clone(),
            number: 0,
            first: origin.range.0,
            last: origin.range.1,
            totals: Totals::of(batch, origin.duplicates),
            arrival_max_ms: origin.arrival_max_ms,
            event_time_max_ms: batch.event_time_max_ms,
            written_at_ms: origin.written_at_ms,
            sections,
        };
        Ok(Self { header, frames })
    }

    /// The object's bytes under a number, after entries whose latest arrival is `arrival_max_ms`.
    ///
    /// # Errors
    /// [`EntryError::Header`] when the header cannot be written as JSON.
    pub fn numbered(&mut self, number: u64, arrival_max_ms: Option<i64>) -> Result<Bytes, EntryError> {
        self.header.number = number;
        self.header.arrival_max_ms = self.header.arrival_max_ms.max(arrival_max_ms);
        let header = serde_json::to_vec(&self.header)?;
        let header_length = u32::try_from(header.len())
            .map_err(|_| EntryError::NotAnEntry("the header is longer than 4 GiB"))?;
        let frames: usize = self.frames.iter().map(Vec::len).sum();
        let mut bytes = Vec::with_capacity(MAGIC.len() + 4 + header.len() + frames + CHECKSUM_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&header_length.to_le_bytes());
        bytes.extend_from_slice(&header);
        for frame in &self.frames {
            bytes.extend_from_slice(frame);
        }
        bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        Ok(Bytes::from(bytes))
    }
}

/// An entry read back: its checksum and header hold, its sections are still compressed.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What the entry says of itself.
    pub header: Header,
    sections: Bytes,
}

impl Entry {
    /// Reads an object's bytes.
    ///
    /// # Errors
    /// [`EntryError`] when they are not an entry or not the one that was written.
    pub fn parse(bytes: &Bytes) -> Result<Self, EntryError> {
        let body_length =
            bytes.len().checked_sub(CHECKSUM_BYTES).ok_or(EntryError::NotAnEntry("it is too short"))?;
        let (body, checksum) = bytes.split_at(body_length);
        if !body.starts_with(MAGIC) {
            return Err(EntryError::NotAnEntry("it does not begin with the magic number"));
        }
        if checksum != xxh3_64(body).to_le_bytes() {
            return Err(EntryError::Checksum);
        }
        let after_magic = body.get(MAGIC.len()..).unwrap_or_default();
        let (length, rest) =
            after_magic.split_first_chunk::<4>().ok_or(EntryError::NotAnEntry("no header"))?;
        let header_length = u32::from_le_bytes(*length) as usize;
        let header = rest.get(..header_length).ok_or(EntryError::NotAnEntry("the header is cut off"))?;
        let header: Header = serde_json::from_slice(header)?;
        let sections = bytes.slice(MAGIC.len() + 4 + header_length..body_length);
        let listed = header.sections.iter().try_fold(0_u64, |sum, section| sum.checked_add(section.length));
        if listed != Some(sections.len() as u64) {
            return Err(EntryError::NotAnEntry("its sections are not as long as the header says"));
        }
        let raw = header.sections.iter().try_fold(0_u64, |sum, section| sum.checked_add(section.raw_length));
        if raw.is_none_or(|raw| raw > MAX_RAW_BYTES) {
            return Err(EntryError::NotAnEntry("it unpacks to more than 1 GiB"));
        }
        if !header.totals.balanced() || header.first > header.last {
            return Err(EntryError::NotAnEntry("its counts or positions contradict each other"));
        }
        Ok(Self { header, sections })
    }

    /// Checks that this is entry `number` of `lane`.
    ///
    /// # Errors
    /// [`EntryError::Mismatch`] when it is another one.
    pub fn expect(&self, lane: &Lane, number: u64) -> Result<(), EntryError> {
        if self.header.lane == *lane && self.header.number == number {
            return Ok(());
        }
        let name = |lane: &Lane, number| format!("entry {number} of {lane}");
        Err(EntryError::Mismatch {
            says: name(&self.header.lane, self.header.number),
            found: name(lane, number),
        })
    }

    /// Bytes that the sections unpack to.
    #[must_use]
    pub fn raw_length(&self) -> u64 {
        self.header.sections.iter().map(|section| section.raw_length).sum()
    }

    /// Unpacks the sections.
    ///
    /// # Errors
    /// [`EntryError`] when a section is damaged or does not hold what the header says.
    pub fn sections(&self) -> Result<Vec<Section>, EntryError> {
        let mut rest: &[u8] = &self.sections;
        let mut sections = Vec::with_capacity(self.header.sections.len());
        for header in &self.header.sections {
            let length = usize::try_from(header.length).unwrap_or(usize::MAX);
            let (frame, after) =
                rest.split_at_checked(length).ok_or(EntryError::NotAnEntry("a section is cut off"))?;
            rest = after;
            sections.push(section::unpack(header, frame)?);
        }
        Ok(sections)
    }
}
