//! The event of a Kinesis event source mapping (AWS Lambda: "Using Lambda to process records from
//! Amazon Kinesis Data Streams").
//!
//! ```json
//! {"Records": [{
//!   "kinesis": {"kinesisSchemaVersion": "1.0", "partitionKey": "1", "sequenceNumber": "4959…",
//!     "data": "<base64>", "approximateArrivalTimestamp": 1545084650.987},
//!   "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventID": "shardId-000000000006:4959…",
//!   "eventName": "aws:kinesis:record", "invokeIdentityArn": "arn:aws:iam::…:role/…",
//!   "awsRegion": "us-east-2", "eventSourceARN": "arn:aws:kinesis:us-east-2:…:stream/…"}]}
//! ```
//!
//! Members may come in any order, and unknown ones (those of tumbling windows too) are passed over. Of
//! a member that stands there twice the last counts. Only what places a record (`sequenceNumber`,
//! the shard in `eventID`, `eventSourceARN`) can fail the event; everything else has an answer.
//!
//! Aggregated records are taken apart ([`kpl`]): what is called a record here is a user record then,
//! and those of one aggregate share its position.

use std::collections::HashMap;

use tripline_model::json::{Cursor, Kind, Stretch, Value};
use tripline_model::source::{Position, SourcePartition, SourceRecord};

use crate::arrival::seconds_to_ms;
use crate::event::{EnvelopeError, RecordProblem, kind_name, name, shorten};
use crate::kpl;
use crate::records::{Arena, PartitionRecords, text};

/// Reads the elements of `Records` from a cursor.
pub(crate) struct RecordReader<'a, 'e> {
    pub(crate) arena: Arena<'a>,
    epoch: &'e str,
    partitions: Vec<PartitionRecords<'a>>,
    /// Where each partition is, for events that mix them; the last one needs no look-up.
    index: HashMap<SourcePartition, usize>,
    current: usize,
    tail: Option<Tail<'a>>,
}

/// What follows a record's `eventID`, from one record to the next the same: two fifths of an envelope.
struct Tail<'a> {
    stretch: Stretch<'a>,
    stream: Option<Value<'a>>,
}

/// The members of a record that are used, as they stand.
#[derive(Default)]
struct Members<'a> {
    kinesis: bool,
    sequence: Option<Value<'a>>,
    partition_key: Option<Value<'a>>,
    data: Option<Value<'a>>,
    arrival: Option<Value<'a>>,
    event_source: Option<Value<'a>>,
    event_id: Option<Value<'a>>,
    stream: Option<Value<'a>>,
}

impl<'a, 'e> RecordReader<'a, 'e> {
    pub(crate) fn new(body: &[u8], arena: &'a mut Vec<u8>, epoch: &'e str) -> Self {
        Self {
            arena: Arena::of(body, arena),
            epoch,
            partitions: Vec::new(),
            index: HashMap::new(),
            current: 0,
            tail: None,
        }
    }

    /// Reads the array that is due.
    pub(crate) fn read(&mut self, cursor: &mut Cursor<'a>) -> Result<(), EnvelopeError> {
        self.partitions.clear();
        self.index.clear();
        cursor.enter_array()?;
        let mut index = 0;
        while cursor.next_element()? {
            let kind = cursor.peek()?;
            if kind != Kind::Object {
                let problem = RecordProblem::NotAnObject { seen: kind_name(kind) };
                return Err(EnvelopeError::Record { index, sequence: None, problem });
            }
            let members = Members::read(cursor, &mut self.tail)?;
            if let Err(problem) = self.add(&members) {
                let sequence = members.sequence.and_then(|value| value.text()).map(|text| shorten(&text));
                return Err(EnvelopeError::Record { index, sequence, problem });
            }
            index += 1;
        }
        Ok(())
    }

    /// The partitions in the order in which they first appear.
    pub(crate) fn finish(self) -> Vec<PartitionRecords<'a>> {
        self.partitions
    }

    fn add(&mut self, members: &Members<'a>) -> Result<(), RecordProblem> {
        if let Some(source) = text(members.event_source)
            && source != "aws:kinesis"
        {
            return Err(RecordProblem::OtherSource { event_source: shorten(&source) });
        }
        if !members.kinesis {
            return Err(RecordProblem::NoKinesis);
        }
        let sequence = text(members.sequence).ok_or(RecordProblem::NoSequence)?;
        let position = Position::from_digits(sequence.as_bytes())
            .map_err(|error| RecordProblem::BadSequence { error })?;
        let event_id = text(members.event_id).unwrap_or_default();
        let shard = match event_id.split_once(':') {
            Some((shard, _)) if !shard.is_empty() => shard,
            _ => return Err(RecordProblem::NoShard { seen: shorten(&event_id) }),
        };
        let stream =
            text(members.stream).filter(|stream| !stream.is_empty()).ok_or(RecordProblem::NoSource)?;
        let record = SourceRecord {
            position,
            sub_position: 0,
            arrival_ms: members.arrival.and_then(arrival_ms),
            partition_key: self.arena.text(members.partition_key),
            headers: "",
            payload: self.arena.payload(members.data),
        };
        if let Some(group) = self.group(&stream, shard) {
            kpl::unpack(record, &mut group.records);
        }
        Ok(())
    }

    /// The group of a source partition; made where it is new.
    fn group(&mut self, stream: &str, shard: &str) -> Option<&mut PartitionRecords<'a>> {
        let is_current = self
            .partitions
            .get(self.current)
            .is_some_and(|group| group.partition.partition == shard && group.partition.source == stream);
        if !is_current {
            let epoch = self.epoch.to_owned();
            let partition = SourcePartition { source: stream.to_owned(), epoch, partition: shard.to_owned() };
            let next = self.partitions.len();
            self.current = *self.index.entry(partition.clone()).or_insert(next);
            if self.current == next {
                self.partitions.push(PartitionRecords { partition, records: Vec::new() });
            }
        }
        self.partitions.get_mut(self.current)
    }
}

impl<'a> Members<'a> {
    /// Reads the record that is due. `tail` is that of a record before it, and then its own.
    fn read(cursor: &mut Cursor<'a>, tail: &mut Option<Tail<'a>>) -> Result<Self, EnvelopeError> {
        let mut members = Self::default();
        // Where the tail begins, as long as nothing but the stream is in it.
        let mut mark = None;
        cursor.enter_object()?;
        while let Some(key) = cursor.next_key()? {
            match name(&key).as_ref() {
                b"kinesis" => {
                    members.read_kinesis(cursor)?;
                    mark = None;
                }
                b"eventSource" => {
                    members.event_source = Some(cursor.value()?);
                    mark = None;
                }
                b"eventID" => {
                    members.event_id = Some(cursor.value()?);
                    mark = None;
                    if members.stream.is_none() {
                        if let Some(tail) = tail.as_ref().filter(|tail| cursor.again(&tail.stretch)) {
                            members.stream = tail.stream;
                            return Ok(members);
                        }
                        mark = Some(cursor.mark());
                    }
                }
                b"eventSourceARN" => members.stream = Some(cursor.value()?),
                _ => {}
            }
        }
        *tail = mark.and_then(|mark| Some(Tail { stretch: cursor.since(&mark)?, stream: members.stream }));
        Ok(members)
    }

    fn read_kinesis(&mut self, cursor: &mut Cursor<'a>) -> Result<(), EnvelopeError> {
        self.kinesis = cursor.peek()? == Kind::Object;
        (self.sequence, self.partition_key, self.data, self.arrival) = (None, None, None, None);
        if !self.kinesis {
            return Ok(());
        }
        cursor.enter_object()?;
        while let Some(key) = cursor.next_key()? {
            match name(&key).as_ref() {
                b"sequenceNumber" => self.sequence = Some(cursor.value()?),
                b"partitionKey" => self.partition_key = Some(cursor.value()?),
                b"data" => self.data = Some(cursor.value()?),
                b"approximateArrivalTimestamp" => self.arrival = Some(cursor.value()?),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Seconds as a number, or as a string; `None` for anything else.
fn arrival_ms(value: Value<'_>) -> Option<i64> {
    match value.kind {
        Kind::Number => seconds_to_ms(value.raw),
        Kind::String { .. } => value.text().and_then(|text| seconds_to_ms(text.as_bytes())),
        _ => None,
    }
}
