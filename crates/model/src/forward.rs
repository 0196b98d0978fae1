//! From records to events that go on into another stream.
//!
//! An event goes on as its own JSON text, byte for byte; a schema registry's header before it stays behind,
//! as its ids mean nothing elsewhere. What is no event does not go on: [`Forwarder`] comes to the same
//! verdict on a record as [`Decoder`](crate::decode::Decoder).

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::decode::{Reader, Refusal, Unsound, policy};
use crate::document::push_string;
use crate::id;
use crate::json::{Cursor, JsonError, Kind, Limits};
use crate::pipeline::{Pipeline, Policy, Target};
use crate::source::{SourcePartition, SourceRecord};

/// Longest key in bytes: Kinesis takes 256 characters.
const KEY_BYTES: usize = 256;
/// Between the values of an id of several fields.
const DELIMITER: &str = "_";

/// An event on its way into another stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// Index of its record among those that it was made of.
    pub record: usize,
    /// Its type.
    pub event_type: &'a str,
    /// What it is partitioned by: the event's id, or one of its fields; 1 to 256 bytes.
    pub key: String,
    /// Its JSON text.
    pub payload: Cow<'a, [u8]>,
    /// Its place in its source: the same at every delivery, and no other event's.
    pub source: String,
    /// Its record's headers, as [`SourceRecord::headers`].
    pub headers: &'a str,
}

impl Outgoing<'_> {
    /// The event's JSON with its [`source`](Self::source) as one more member, its last, for streams whose
    /// records have no headers.
    #[must_use]
    pub fn with_source(&self, member: &str) -> Vec<u8> {
        let object = self.payload.trim_ascii();
        let open = object.strip_suffix(b"}").unwrap_or(object).trim_ascii_end();
        let mut json = Vec::with_capacity(open.len() + member.len() + self.source.len() + 8);
        json.extend_from_slice(open);
        if open != b"{" {
            json.push(b',');
        }
        push_string(&mut json, member);
        json.push(b':');
        push_string(&mut json, &self.source);
        json.push(b'}');
        json
    }

    /// Its record's headers: names and bytes, in their order. What is no header is passed over.
    #[must_use]
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        let mut headers = Vec::new();
        // What is wrong behind a header does not take those before it away.
        let _ = read_headers(self.headers.as_bytes(), &mut headers);
        headers
    }
}

fn read_headers(json: &[u8], headers: &mut Vec<(String, Vec<u8>)>) -> Result<(), JsonError> {
    let mut cursor = Cursor::new(json, &Limits { depth: 4 })?;
    if cursor.peek()? != Kind::Array {
        return Ok(());
    }
    cursor.enter_array()?;
    while cursor.next_element()? {
        if cursor.peek()? != Kind::Object {
            cursor.value()?;
            continue;
        }
        cursor.enter_object()?;
        while let Some(name) = cursor.next_key()? {
            let name = name.text().map(Cow::into_owned);
            if cursor.peek()? != Kind::Array {
                cursor.value()?;
                continue;
            }
            cursor.enter_array()?;
            let mut bytes = Vec::new();
            while cursor.next_element()? {
                // Java's bytes have a sign.
                let number = str::from_utf8(cursor.value()?.raw).ok().and_then(|raw| raw.parse::<i16>().ok());
                bytes.extend(number.map(|number| number.to_le_bytes()[0]));
            }
            headers.extend(name.map(|name| (name, bytes)));
        }
    }
    Ok(())
}

/// What a record is to a stream.
#[derive(Debug)]
pub enum Passing<'a> {
    /// An event that goes on.
    Event(Outgoing<'a>),
    /// A watermark event, or one of a type that does not go on.
    Nothing,
    /// It is left out, by the pipeline's policy.
    Ignored,
    /// It is no event, and a dead letter.
    Malformed {
        /// Why.
        refusal: Refusal,
        /// The type that it told.
        event_type: Option<String>,
    },
    /// It is no event, and fails the batch, by the pipeline's policy.
    Failed(Refusal),
}

/// Makes outgoing events of a run of records of one source partition.
#[derive(Debug)]
pub struct Forwarder<'p> {
    reader: Reader<'p>,
    target: Target,
    source_prefix: String,
}

impl<'p> Forwarder<'p> {
    /// For records of `origin`, and streams of one kind.
    #[must_use]
    pub fn new(pipeline: &'p Pipeline, origin: &SourcePartition, target: Target) -> Self {
        Self { reader: Reader::new(pipeline, origin), target, source_prefix: id::prefix(origin) }
    }

    /// Reads the next record, which is the one of this index.
    pub fn read<'a>(&mut self, index: usize, record: &SourceRecord<'a>) -> Passing<'a>
    where
        'p: 'a,
    {
        // Unwind safety: whatever a panic leaves half done is overwritten before it is read.
        let made = catch_unwind(AssertUnwindSafe(|| self.make(index, record)))
            .unwrap_or_else(|_| Err(Unsound::panicked()));
        match made {
            Ok(Some(event)) => Passing::Event(event),
            Ok(None) => Passing::Nothing,
            Err(Unsound { refusal, event_type }) => match policy(self.reader.pipeline, refusal.reason) {
                Policy::Ignore => Passing::Ignored,
                Policy::Fail => Passing::Failed(refusal),
                Policy::DeadLetter => Passing::Malformed { refusal, event_type },
            },
        }
    }

    fn make<'a>(&mut self, index: usize, record: &SourceRecord<'a>) -> Result<Option<Outgoing<'a>>, Unsound>
    where
        'p: 'a,
    {
        let (payload, event) = self.reader.read(record)?;
        let Some(values) = self.reader.values(&payload, event)? else { return Ok(None) };
        let event_type = self.reader.pipeline.events.get(event).map(|event| event.type_value.as_str());
        let (Some(event_type), Some(forward)) = (event_type, values.event.forwards.get(&self.target)) else {
            return Ok(None);
        };
        let mut key = String::new();
        if let Some(field) = forward.key {
            let mut value = String::new();
            values.push(field, &mut value);
            id::push_capped(&mut key, &value, KEY_BYTES);
        }
        if key.is_empty() {
            id::push_id(&values, DELIMITER, record, &self.source_prefix, KEY_BYTES, &mut key);
        }
        let mut source = String::new();
        id::push_place(&mut source, &self.source_prefix, record);
        drop(values);
        Ok(Some(Outgoing { record: index, event_type, key, payload, source, headers: record.headers }))
    }
}

#[cfg(test)]
mod tests;
