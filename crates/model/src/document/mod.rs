//! From records to documents of a search cluster.
//!
//! [`Documents`] reads the records of one source partition as [`Decoder`](crate::decode::Decoder) does, with
//! the same verdicts, and makes a document of each instead of a row: where it belongs (index, id, routing,
//! version) and its bytes, which are the record's own with derived columns appended.

mod body;
pub mod index;
mod letter;
mod place;
#[cfg(test)]
mod tests;

pub use body::{push_number, push_string};
pub use letter::{LetterDocuments, LetterField, letter_fields};

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::decode::{Noted, Notes, Reader, Reason, Refusal, Unsound, Values, policy};
use crate::id;
use crate::pipeline::{NullPolicy, Pipeline, Policy};
use crate::source::{Payload, SourcePartition, SourceRecord};

/// Makes documents of a run of records of one source partition.
#[derive(Debug)]
pub struct Documents<'p> {
    reader: Reader<'p>,
    id_prefix: String,
    now_ms: i64,
    place: Placed,
    /// What the last document's index was found by: event type and hour. It is that of the next one found so.
    found_by: Option<(usize, i64)>,
    /// The event type and the index that were last found fit: they are not looked at again.
    fit: (usize, String),
}

/// Memory for the place of the document at hand, used again and again.
#[derive(Debug, Default)]
struct Placed {
    index: String,
    id: String,
    routing: String,
}

/// What a record is to the search cluster.
#[derive(Debug)]
pub enum Reading<'d> {
    /// A document.
    Document(Document<'d>),
    /// It deletes the document of an id.
    Delete(Document<'d>),
    /// A watermark event, or one of a type that is not indexed: nothing to do.
    NoDocument,
    /// It is left out, by the pipeline's policy.
    Ignored(Refusal),
    /// It is no event, or its document has no index.
    Refused(Refused),
}

/// A record without a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The type that it told.
    pub event_type: Option<String>,
    /// It is no event: the lake comes to the same verdict, and keeps it. Never so after a panic, which may
    /// have been in what the lake does not do.
    pub malformed: bool,
    /// It fails the batch, by the pipeline's policy; else it is a dead letter.
    pub fails: bool,
}

/// A document's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document<'d> {
    /// Index of the event type.
    pub event: usize,
    /// The index.
    pub index: &'d str,
    /// The id; `None` where the cluster gives one out.
    pub id: Option<&'d str>,
    /// What is routed by, in place of the id.
    pub routing: Option<&'d str>,
    /// The external version.
    pub version: Option<u64>,
}

impl<'p> Documents<'p> {
    /// For records of `origin`. `now_ms`, milliseconds since 1970 UTC, is what `{now|…}` and
    /// `ingested_at` say.
    #[must_use]
    pub fn new(pipeline: &'p Pipeline, origin: &SourcePartition, now_ms: i64) -> Self {
        Self {
            reader: Reader::new(pipeline, origin),
            id_prefix: id::prefix(origin),
            now_ms,
            place: Placed::default(),
            found_by: None,
            fit: (usize::MAX, String::new()),
        }
    }

    /// Reads the next record. A document's bytes, which have no newline, are appended to `body`; where there
    /// is no document, `body` is as it was.
    pub fn read<'d>(&'d mut self, record: &SourceRecord<'_>, body: &mut Vec<u8>) -> Reading<'d> {
        self.read_noted(record, None, body)
    }

    /// Reads the next record as [`read`](Self::read) does, which has this index in what a decoder has noted of
    /// the same pipeline's records.
    pub fn read_noted<'d>(
        &'d mut self,
        record: &SourceRecord<'_>,
        notes: Option<(&Notes, usize)>,
        body: &mut Vec<u8>,
    ) -> Reading<'d> {
        let noted = notes.and_then(|(notes, index)| notes.of(index));
        let before = body.len();
        // Unwind safety: whatever a panic leaves half done is cut off or overwritten before it is read.
        let made = catch_unwind(AssertUnwindSafe(|| self.make(record, noted, body)))
            .unwrap_or_else(|_| Err(Stop::Unsound(Unsound::panicked())));
        match made {
            Ok(made) => self.reading(made),
            Err(stop) => {
                body.truncate(before);
                self.set_aside(record, stop)
            }
        }
    }

    fn reading(&self, made: Made) -> Reading<'_> {
        let Made::Document { event, id, routing, version } = made else { return Reading::NoDocument };
        let Placed { index, id: id_text, routing: routing_text } = &self.place;
        Reading::Document(Document {
            event,
            index,
            id: id.then_some(id_text.as_str()),
            routing: routing.then_some(routing_text.as_str()),
            version,
        })
    }

    fn make(
        &mut self,
        record: &SourceRecord<'_>,
        noted: Option<Noted<'_>>,
        body: &mut Vec<u8>,
    ) -> Result<Made, Stop> {
        if let (Some(noted), Payload::Bytes(payload)) = (noted, record.payload) {
            let values = self.reader.noted(payload, record.arrival_ms, noted)?;
            return self.document(record, payload, noted.event, values, body);
        }
        let (payload, index) = self.reader.read(record)?;
        let values = self.reader.values(&payload, index)?;
        self.document(record, &payload, index, values, body)
    }

    fn document<'v>(
        &mut self,
        record: &SourceRecord<'_>,
        payload: &'v [u8],
        index: usize,
        values: Option<Values<'v>>,
        body: &mut Vec<u8>,
    ) -> Result<Made, Stop>
    where
        'p: 'v,
    {
        let Some(values) = values else { return Ok(Made::Nothing) };
        let event = values.event;
        let told = |refusal| Unsound { refusal, event_type: Some(event.type_value.clone()) };
        let Some(search) = &event.search else { return Ok(Made::Nothing) };
        let misplaced = |refusal| Stop::Misplaced { refusal, event: index };
        let found_by = place::hour(search, &values).map(|hour| (index, hour));
        if found_by.is_none() || self.found_by != found_by {
            self.found_by = None;
            place::index(search, &values, self.now_ms, &mut self.place.index).map_err(misplaced)?;
            if (self.fit.0, &self.fit.1) != (index, &self.place.index) {
                place::check(search, &self.place.index).map_err(misplaced)?;
                self.fit.0 = index;
                self.fit.1.clone_from(&self.place.index);
            }
            self.found_by = found_by;
        }
        let id = search.id;
        if id {
            self.place.id.clear();
            let (prefix, max_bytes) = (&self.id_prefix, id::DOCUMENT_BYTES);
            id::push_id(&values, &search.id_delimiter, record, prefix, max_bytes, &mut self.place.id);
        }
        let routing = place::routing(search, &values, &mut self.place.routing);
        let version = place::version(search, record);
        body::write(payload, &self.reader.record, search, &values, self.now_ms, body).map_err(told)?;
        Ok(Made::Document { event: index, id, routing, version })
    }

    /// Does with a record that has no document as the pipeline says.
    fn set_aside<'d>(&'d mut self, record: &SourceRecord<'_>, stop: Stop) -> Reading<'d> {
        let pipeline = self.reader.pipeline;
        let (refused, policy) = match stop {
            Stop::Unsound(Unsound { refusal, event_type }) => {
                if let (Reason::NullValue, NullPolicy::Delete { event }) = (refusal.reason, pipeline.on_null)
                {
                    return self.delete(record, event);
                }
                let policy = policy(pipeline, refusal.reason);
                let malformed = refusal.reason != Reason::Internal;
                (Refused { refusal, event_type, malformed, fails: false }, policy)
            }
            Stop::Misplaced { refusal, event } => {
                let event = pipeline.events.get(event);
                let policy = event.and_then(|event| event.search.as_ref()).map(|search| search.on_rejected);
                let event_type = event.map(|event| event.type_value.clone());
                let refused = Refused { refusal, event_type, malformed: false, fails: false };
                (refused, policy.unwrap_or(Policy::DeadLetter))
            }
        };
        match policy {
            Policy::Ignore => Reading::Ignored(refused.refusal),
            Policy::Fail => Reading::Refused(Refused { fails: true, ..refused }),
            Policy::DeadLetter => Reading::Refused(refused),
        }
    }

    /// The document that a record without a value deletes: that of its partition key.
    fn delete<'d>(&'d mut self, record: &SourceRecord<'_>, event: usize) -> Reading<'d> {
        let Some(search) = self.reader.pipeline.events.get(event).and_then(|event| event.search.as_ref())
        else {
            return Reading::NoDocument;
        };
        self.found_by = None;
        if let Err(refusal) = place::fixed_index(search, &mut self.place.index) {
            return Reading::Ignored(refusal);
        }
        self.place.id.clear();
        id::push_capped(&mut self.place.id, record.partition_key, id::DOCUMENT_BYTES);
        let Placed { index, id, .. } = &self.place;
        let version = place::version(search, record);
        Reading::Delete(Document { event, index, id: Some(id), routing: None, version })
    }
}

/// A document has been made, or there is none to make.
enum Made {
    Nothing,
    Document { event: usize, id: bool, routing: bool, version: Option<u64> },
}

/// Why no document could be made.
enum Stop {
    Unsound(Unsound),
    /// It is sound, and has no index.
    Misplaced {
        refusal: Refusal,
        event: usize,
    },
}

impl From<Unsound> for Stop {
    fn from(unsound: Unsound) -> Self {
        Self::Unsound(unsound)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Unsound(refusal.into())
    }
}
