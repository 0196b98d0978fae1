//! An event as Lambda hands it over, told by its own source.

use std::borrow::Cow;

use tripline_model::json::{Cursor, JsonError, Kind, Limits, Value};
use tripline_model::source::{Position, PositionError, SourcePartition};

use crate::kafka;
use crate::kinesis::RecordReader;
use crate::records::PartitionRecords;
use crate::response::{BatchItemFailure, ItemIdentifier};

/// An invocation's event.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// What sent it.
    pub source: Source,
    /// Its records, by source partition, in the order in which these first appear.
    ///
    /// A Kinesis mapping sends the records of one shard at a time, a Kafka one those of several
    /// topic-partitions.
    pub partitions: Vec<PartitionRecords<'a>>,
}

/// What an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A Kinesis event source mapping (`aws:kinesis`).
    Kinesis,
    /// A Kafka event source mapping (`aws:kafka`, `SelfManagedKafka`).
    Kafka,
}

/// Why an event cannot be taken in. The invocation must fail: without its records' positions no part
/// of the batch can be committed, nor be named in a partial response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not JSON.
    #[error("the event is not valid JSON ({0}); it must be the event source mapping's own, unchanged")]
    Json(JsonError),
    /// JSON of another shape.
    #[error(
        "the event is {seen}; expected an object with an array \"Records\", as a Kinesis event source mapping sends \
         it, or with an object \"records\", as a Kafka one does: check what invokes this function"
    )]
    Shape {
        /// What was found instead.
        seen: String,
    },
    /// A record without what places it in its shard.
    #[error("record {index} of the event{}: {problem}", with_sequence(sequence))]
    Record {
        /// Index in `Records`, from 0.
        index: usize,
        /// The record's sequence number as it stands, where there is one.
        sequence: Option<String>,
        /// What is wrong with it.
        problem: RecordProblem,
    },
    /// A record without what places it in its topic-partition.
    #[error("record {index} of {partition:?} in the event: {problem}")]
    KafkaRecord {
        /// The topic-partition, such as `trips-0`.
        partition: String,
        /// Index among its records, from 0.
        index: usize,
        /// What is wrong with it.
        problem: RecordProblem,
    },
}

/// What makes a record of an event unplaceable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordProblem {
    /// Not a record at all.
    #[error("it is {seen}, expected an object")]
    NotAnObject {
        /// What it is instead.
        seen: &'static str,
    },
    /// From another service.
    #[error(
        "its eventSource is {event_source:?}, expected \"aws:kinesis\": check what invokes this function"
    )]
    OtherSource {
        /// The record's `eventSource`.
        event_source: String,
    },
    /// No Kinesis part.
    #[error("it has no object \"kinesis\"; is this a Kinesis event?")]
    NoKinesis,
    /// No sequence number.
    #[error("it has no text \"kinesis.sequenceNumber\"")]
    NoSequence,
    /// A sequence number that is none.
    #[error("its sequence number is {error}")]
    BadSequence {
        /// Why.
        error: PositionError,
    },
    /// No shard.
    #[error("its eventID is {seen:?}, expected \"<shard id>:<sequence number>\"")]
    NoShard {
        /// The `eventID`; empty where there is none.
        seen: String,
    },
    /// No stream.
    #[error("it has no text \"eventSourceARN\"")]
    NoSource,
    /// No offset.
    #[error("it has no \"offset\"")]
    NoOffset,
    /// An offset that is none.
    #[error("its offset is {seen}, expected a whole number")]
    BadOffset {
        /// What stands there.
        seen: String,
    },
}

impl From<JsonError> for EnvelopeError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

impl<'a> Event<'a> {
    /// Reads an event, walking over its body once.
    ///
    /// `arena` takes the decoded payloads in; hand the same one in for every invocation, so that its
    /// memory is reused. It is made as large as the body, and what it held is lost. `epoch` is the
    /// source epoch that the operator has set for this deployment; it becomes part of every source
    /// partition.
    ///
    /// # Errors
    /// [`EnvelopeError`] when the body is not an event of a supported source, or when one of its
    /// records has no place in a shard.
    pub fn parse(body: &'a [u8], arena: &'a mut Vec<u8>, epoch: &str) -> Result<Self, EnvelopeError> {
        // Members that nobody uses may nest as deep as they like: the cursor does not recurse.
        let mut cursor = Cursor::new(body, &Limits { depth: usize::MAX })?;
        let kind = cursor.peek()?;
        if kind != Kind::Object {
            return Err(EnvelopeError::Shape { seen: kind_name(kind).to_owned() });
        }
        let mut reader = RecordReader::new(body, arena, epoch);
        let mut kafka = kafka::Reader::default();
        let mut records_seen = false;
        let mut event_source = None;
        let mut members = Members::default();
        cursor.enter_object()?;
        while let Some(key) = cursor.next_key()? {
            match name(&key).as_ref() {
                b"Records" => {
                    let kind = cursor.peek()?;
                    if kind != Kind::Array {
                        let seen = format!("an object whose \"Records\" is {}", kind_name(kind));
                        return Err(EnvelopeError::Shape { seen });
                    }
                    reader.read(&mut cursor)?;
                    records_seen = true;
                }
                b"records" => {
                    members.add(b"records");
                    kafka.read(&mut cursor, &mut reader.arena, epoch)?;
                }
                b"eventSource" => event_source = cursor.value()?.text(),
                b"eventSourceArn" => kafka.source_arn(cursor.value()?),
                b"bootstrapServers" => kafka.bootstrap_servers(cursor.value()?),
                other => members.add(other),
            }
        }
        cursor.finish()?;
        if records_seen {
            return Ok(Self { source: Source::Kinesis, partitions: reader.finish() });
        }
        match event_source.as_deref() {
            Some(source @ ("aws:kafka" | "SelfManagedKafka")) => {
                Ok(Self { source: Source::Kafka, partitions: kafka.finish(source)? })
            }
            Some(source) => {
                let seen = format!("an object of eventSource {:?} without \"Records\"", shorten(source));
                Err(EnvelopeError::Shape { seen })
            }
            None => Err(EnvelopeError::Shape { seen: members.describe() }),
        }
    }

    /// What asks the event's mapping to deliver a record, and all that follow in its source partition,
    /// again.
    #[must_use]
    pub fn failure(&self, partition: &SourcePartition, from: Position) -> BatchItemFailure {
        let item = match (self.source, from.as_u64()) {
            (Source::Kafka, Some(offset)) => {
                ItemIdentifier::Offset { partition: partition.partition.clone(), offset }
            }
            _ => ItemIdentifier::SequenceNumber(from),
        };
        BatchItemFailure { item }
    }
}

/// Names a strange object's members in an error, but not all of them.
#[derive(Default)]
struct Members {
    names: Vec<String>,
    more: bool,
}

impl Members {
    fn add(&mut self, name: &[u8]) {
        if self.names.len() < 8 {
            self.names.push(format!("{:?}", shorten(&String::from_utf8_lossy(name))));
        } else {
            self.more = true;
        }
    }

    fn describe(&self) -> String {
        if self.names.is_empty() {
            return "an empty object".to_owned();
        }
        let more = if self.more { ", …" } else { "" };
        format!("an object with {}{more}", self.names.join(", "))
    }
}

/// A key without its escapes.
pub(crate) fn name<'a>(key: &Value<'a>) -> Cow<'a, [u8]> {
    match key.unescaped() {
        Some(plain) => Cow::Borrowed(plain),
        None => Cow::Owned(key.text().unwrap_or_default().into_owned().into_bytes()),
    }
}

pub(crate) const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => "null",
        Kind::True => "true",
        Kind::False => "false",
        Kind::Number => "a number",
        Kind::String { .. } => "a string",
        Kind::Object => "an object",
        Kind::Array => "an array",
    }
}

/// The start of a foreign text, for an error.
pub(crate) fn shorten(text: &str) -> String {
    const LONGEST: usize = 100;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn with_sequence(sequence: &Option<String>) -> String {
    sequence.as_ref().map(|sequence| format!(" (sequence number {sequence:?})")).unwrap_or_default()
}
