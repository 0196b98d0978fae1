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

use tripline_model::json::{Cursor, JsonError, Kind, Value};
use tripline_model::source::{Position, SourcePartition, SourceRecord};

use crate::arrival::seconds_to_ms;
use crate::event::{EnvelopeError, RecordProblem, kind_name, name, shorten};
use crate::kpl;
use crate::records::{Arena, PartitionRecords, text};
use crate::shape::{self, Shape, Walk};

/// Reads the elements of `Records` from a cursor.
pub(crate) struct RecordReader<'a, 'e> {
    pub(crate) arena: Arena<'a>,
    epoch: &'e str,
    partitions: Vec<PartitionRecords<'a>>,
    /// Where each partition is, for events that mix them; the last one needs no look-up.
    index: HashMap<SourcePartition, usize>,
    current: usize,
    shape: Shape<'a, Members<'a>>,
}

/// The members of a record that are used, as they stand.
#[derive(Clone, Copy, Default)]
struct Members<'a> {
    /// It has an object `kinesis`.
    kinesis: bool,
    sequence: Option<Value<'a>>,
    partition_key: Option<Value<'a>>,
    data: Option<Value<'a>>,
    arrival: Option<Value<'a>>,
    event_source: Option<Value<'a>>,
    event_id: Option<Value<'a>>,
    stream: Option<Value<'a>>,
}

/// A member that differs from record to record.
#[derive(Clone, Copy)]
enum Varying {
    Sequence,
    PartitionKey,
    Data,
    Arrival,
    EventId,
}

impl<'a, 'e> RecordReader<'a, 'e> {
    pub(crate) fn new(body: &[u8], arena: &'a mut Vec<u8>, epoch: &'e str) -> Self {
        Self {
            arena: Arena::of(body, arena),
            epoch,
            partitions: Vec::new(),
            index: HashMap::new(),
            current: 0,
            shape: Shape::default(),
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
            let members = self.shape.read(cursor)?;
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
        let group = self.group(members)?;
        let record = SourceRecord {
            position,
            sub_position: 0,
            arrival_ms: members.arrival.and_then(arrival_ms),
            partition_key: self.arena.text(members.partition_key),
            headers: "",
            payload: self.arena.payload(members.data),
        };
        if let Some(group) = self.partitions.get_mut(group) {
            kpl::unpack(record, &mut group.records);
        }
        Ok(())
    }

    /// Index of the group of a record's source partition; made where it is new.
    fn group(&mut self, members: &Members<'a>) -> Result<usize, RecordProblem> {
        // Lambda sends a batch of one shard.
        if let (Some(current), Some(event_id), Some(stream)) = (
            self.partitions.get(self.current).map(|group| &group.partition),
            members.event_id.and_then(|id| id.unescaped()),
            members.stream.and_then(|stream| stream.unescaped()),
        ) && stream == current.source.as_bytes()
            && event_id.strip_prefix(current.partition.as_bytes()).is_some_and(|rest| rest.starts_with(b":"))
        {
            return Ok(self.current);
        }
        let event_id = text(members.event_id).unwrap_or_default();
        let shard = match event_id.split_once(':') {
            Some((shard, _)) if !shard.is_empty() => shard,
            _ => return Err(RecordProblem::NoShard { seen: shorten(&event_id) }),
        };
        let stream =
            text(members.stream).filter(|stream| !stream.is_empty()).ok_or(RecordProblem::NoSource)?;
        let partition = SourcePartition {
            source: stream.into_owned(),
            epoch: self.epoch.to_owned(),
            partition: shard.to_owned(),
        };
        let next = self.partitions.len();
        self.current = *self.index.entry(partition.clone()).or_insert(next);
        if self.current == next {
            self.partitions.push(PartitionRecords { partition, records: Vec::new() });
        }
        Ok(self.current)
    }
}

impl<'a> shape::Members<'a> for Members<'a> {
    type Varying = Varying;

    #[inline]
    fn place(&mut self, member: Varying) -> &mut Option<Value<'a>> {
        match member {
            Varying::Sequence => &mut self.sequence,
            Varying::PartitionKey => &mut self.partition_key,
            Varying::Data => &mut self.data,
            Varying::Arrival => &mut self.arrival,
            Varying::EventId => &mut self.event_id,
        }
    }

    fn walk(walk: &mut Walk<'_, 'a, Self>, cursor: &mut Cursor<'a>) -> Result<(), JsonError> {
        cursor.enter_object()?;
        while let Some(key) = cursor.next_key()? {
            match name(&key).as_ref() {
                b"kinesis" => walk_kinesis(walk, cursor)?,
                b"eventSource" => walk.members.event_source = Some(cursor.value()?),
                b"eventID" => walk.varying(cursor, Varying::EventId)?,
                b"eventSourceARN" => walk.members.stream = Some(cursor.value()?),
                _ => {}
            }
        }
        Ok(())
    }

    fn constant(self) -> Self {
        let Self { kinesis, event_source, stream, .. } = self;
        Self { kinesis, event_source, stream, ..Self::default() }
    }
}

fn walk_kinesis<'a>(walk: &mut Walk<'_, 'a, Members<'a>>, cursor: &mut Cursor<'a>) -> Result<(), JsonError> {
    if walk.members.kinesis {
        // Nothing of the one before counts, of which a record of the same shape would keep the values.
        walk.is_odd();
    }
    let Members { event_source, event_id, stream, .. } = walk.members;
    let kinesis = cursor.peek()? == Kind::Object;
    walk.members = Members { kinesis, event_source, event_id, stream, ..Members::default() };
    if !kinesis {
        return Ok(());
    }
    cursor.enter_object()?;
    while let Some(key) = cursor.next_key()? {
        match name(&key).as_ref() {
            b"sequenceNumber" => walk.varying(cursor, Varying::Sequence)?,
            b"partitionKey" => walk.varying(cursor, Varying::PartitionKey)?,
            b"data" => walk.varying(cursor, Varying::Data)?,
            b"approximateArrivalTimestamp" => walk.varying(cursor, Varying::Arrival)?,
            _ => {}
        }
    }
    Ok(())
}

/// Seconds as a number, or as a string; `None` for anything else.
fn arrival_ms(value: Value<'_>) -> Option<i64> {
    match value.kind {
        Kind::Number => seconds_to_ms(value.raw),
        Kind::String { .. } => value.text().and_then(|text| seconds_to_ms(text.as_bytes())),
        _ => None,
    }
}
