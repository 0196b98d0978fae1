//! From records to columns.
//!
//! A [`Decoder`] takes the records of one source partition in order, reads each once and appends it to
//! the columns of its event type. What cannot be a row becomes a dead letter, is left out or is
//! refused, as the pipeline says; it never leaves part of a row.
//!
//! Values are read as [`FieldType`](crate::pipeline::FieldType) says; a null is as good as a missing
//! member; of members with one name the last counts.

mod columns;
mod dead_letter;
mod notes;
mod reader;
mod reason;
mod record;
mod row_digest;
mod rows;
#[cfg(test)]
pub(crate) mod tests;
mod value;
mod values;
mod wire;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_schema::ArrowError;

pub use dead_letter::{DeadLetter, Stage, dead_letter_schema, dead_letters};
pub use notes::Notes;
pub use reason::{Reason, Refusal};
pub use row_digest::{DigestError, digest};

use self::dead_letter::DeadLetters;
pub(crate) use self::notes::Noted;
pub(crate) use self::reader::{Reader, Unsound, policy};
pub(crate) use self::record::Record;
use self::rows::Rows;
pub(crate) use self::value::Cell;
use self::value::watermark;
pub(crate) use self::values::Values;
use crate::batch::{Counts, DecodedBatch};
use crate::pipeline::{EventKind, EventTimeFrom, Pipeline, Policy};
use crate::source::{Payload, SourcePartition, SourceRecord};

/// Decodes a run of records of one source partition.
#[derive(Debug)]
pub struct Decoder<'p> {
    reader: Reader<'p>,
    origin: SourcePartition,
    now_ms: i64,
    /// By index of the event type; made when its first record comes.
    tables: Vec<Option<Rows<'p>>>,
    dead_letters: DeadLetters,
    counts: Counts,
    reasons: BTreeMap<&'static str, u64>,
    event_time_max_ms: Option<i64>,
    /// Event type of the last record, where that can be noted.
    noteworthy: Option<usize>,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Pushed {
    /// It is a row.
    Stored,
    /// It is a row of the dead-letter table.
    DeadLetter,
    /// It is a watermark event and leaves no row.
    Watermark,
    /// It is left out, by the pipeline's policy.
    Ignored,
    /// It was not taken, and the decoder is as if it had not been seen. The caller stops before it and
    /// finishes the batch; with [`Reason::BatchFull`] it goes on with another batch, and with any other
    /// reason the record fails, by the pipeline's policy.
    Refused(Refusal),
}

/// Why a batch could not be finished. A bug: no records lead to it.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The columns do not make a batch.
    #[error("cannot make columns of the rows: {0}")]
    Columns(#[from] ArrowError),
    /// The rows have no digest.
    #[error("cannot make a digest of the rows: {0}")]
    Digest(#[from] DigestError),
}

/// A sound record.
enum Sound {
    Row { event_time_ms: i64, unknown: usize },
    Watermark { event_time_ms: i64, unknown: usize },
}

impl<'p> Decoder<'p> {
    /// A decoder for records of `origin`. `now_ms`, milliseconds since 1970 UTC, is the time at which
    /// dead letters are said to have failed, and stands in for arrival times that are not known.
    #[must_use]
    pub fn new(pipeline: &'p Pipeline, origin: &SourcePartition, now_ms: i64) -> Self {
        Self {
            reader: Reader::new(pipeline, origin),
            origin: origin.clone(),
            now_ms,
            tables: pipeline.events.iter().map(|_| None).collect(),
            dead_letters: DeadLetters::new(),
            counts: Counts::default(),
            reasons: BTreeMap::new(),
            event_time_max_ms: None,
            noteworthy: None,
        }
    }

    /// Takes the next record.
    ///
    /// Where panics unwind, one within becomes this record's dead letter with [`Reason::Internal`].
    /// Where they abort (`panic = "abort"`) the process ends with the first.
    pub fn push(&mut self, record: &SourceRecord<'_>) -> Pushed {
        self.noteworthy = None;
        // Unwind safety: whatever a panic leaves half done is cut off or overwritten before it is read.
        let decoded = catch_unwind(AssertUnwindSafe(|| self.decode(record))).unwrap_or_else(|_| {
            self.tables.iter_mut().flatten().for_each(Rows::cut);
            Err(Unsound::panicked())
        });
        let (event_time_ms, unknown, pushed) = match decoded {
            Ok(Sound::Row { event_time_ms, unknown }) => (event_time_ms, unknown, Pushed::Stored),
            Ok(Sound::Watermark { event_time_ms, unknown }) => (event_time_ms, unknown, Pushed::Watermark),
            Err(unsound) => return self.set_aside(record, unsound),
        };
        self.counts.records += 1;
        self.counts.unknown_fields += unknown as u64;
        let event_time = self.reader.pipeline.event_time;
        let feeds = match pushed {
            Pushed::Watermark => {
                self.counts.watermarks += 1;
                event_time.from != EventTimeFrom::Rows
            }
            _ => {
                self.counts.rows += 1;
                event_time.from != EventTimeFrom::Watermarks
            }
        };
        // Where it is the producer's word, its clock may be the one that is wild.
        let arrival = record.arrival_ms.map_or(self.now_ms, |arrival| arrival.min(self.now_ms));
        if feeds && event_time_ms <= arrival.saturating_add(event_time.future_bound_ms) {
            self.event_time_max_ms = self.event_time_max_ms.max(Some(event_time_ms));
        }
        pushed
    }

    /// Notes what documents need of `record`, the one taken last, if it is a row; `index` is its own among
    /// those that the notes are on.
    pub fn note(&self, record: &SourceRecord<'_>, notes: &mut Notes, index: usize) {
        if let (Some(event), Payload::Bytes(payload)) = (self.noteworthy, record.payload)
            && !self.reader.record.has_repeated(payload)
        {
            notes.put(index, event, &self.reader.record);
        }
    }

    fn decode(&mut self, record: &SourceRecord<'_>) -> Result<Sound, Unsound> {
        let (payload, index) = self.reader.read(record)?;
        // Notes tell places in the record's own bytes.
        let own = matches!(record.payload, Payload::Bytes(bytes) if std::ptr::eq(bytes, &*payload));
        let payload = &*payload;
        let pipeline = self.reader.pipeline;
        let (Some(event), Some(table)) = (pipeline.events.get(index), self.tables.get_mut(index)) else {
            return Err(Refusal::new(Reason::Internal, "there is no such event type").into());
        };
        let (record, limits) = (&self.reader.record, &pipeline.limits);
        let unknown = record.unknown_count(index);
        // Last, so that nothing can fail once the row is there.
        let event_time_ms = match event.kind {
            EventKind::Rows => {
                table.get_or_insert_with(|| Rows::new(event)).push(payload, record, index, limits)
            }
            EventKind::Watermark => watermark(payload, record, event, limits),
        };
        let event_time_ms = event_time_ms
            .map_err(|refusal| Unsound { refusal, event_type: Some(event.type_value.clone()) })?;
        self.noteworthy = Some(index).filter(|_| own && event.kind == EventKind::Rows);
        Ok(match event.kind {
            EventKind::Rows => Sound::Row { event_time_ms, unknown },
            EventKind::Watermark => Sound::Watermark { event_time_ms, unknown },
        })
    }

    /// Does with a record that is not sound as the pipeline says.
    fn set_aside(&mut self, record: &SourceRecord<'_>, unsound: Unsound) -> Pushed {
        let Unsound { refusal, event_type } = unsound;
        match policy(self.reader.pipeline, refusal.reason) {
            Policy::Fail => Pushed::Refused(refusal),
            Policy::Ignore => {
                self.counts.records += 1;
                self.counts.ignored += 1;
                Pushed::Ignored
            }
            Policy::DeadLetter => {
                let reason = refusal.reason.code();
                let (stage, event_type) = (Stage::Decode, event_type.as_deref());
                let letter = DeadLetter { stage, record: *record, refusal, event_type };
                if self.dead_letters.push(&letter, &self.origin, self.now_ms).is_err() {
                    return Pushed::Refused(Refusal::full("dead letters"));
                }
                self.counts.records += 1;
                self.counts.dead_letters += 1;
                *self.reasons.entry(reason).or_default() += 1;
                Pushed::DeadLetter
            }
        }
    }

    /// What became of the records so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The batch.
    ///
    /// # Errors
    /// [`DecodeError`], which no records should lead to.
    pub fn finish(self) -> Result<DecodedBatch, DecodeError> {
        let mut sections = Vec::new();
        for table in self.tables.into_iter().flatten().filter(|table| !table.is_empty()) {
            sections.push(table.finish()?);
        }
        if !self.dead_letters.is_empty() {
            sections.push(self.dead_letters.finish(self.now_ms)?);
        }
        Ok(DecodedBatch {
            sections,
            counts: self.counts,
            event_time_max_ms: self.event_time_max_ms,
            dead_letter_reasons: self.reasons.into_iter().collect(),
        })
    }
}
