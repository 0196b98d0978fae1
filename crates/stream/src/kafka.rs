//! The event of a Kafka event source mapping, of Amazon MSK or a self-managed cluster (AWS Lambda:
//! "Using Lambda with Amazon MSK", "Using Lambda with self-managed Apache Kafka").
//!
//! ```json
//! {"eventSource": "aws:kafka", "eventSourceArn": "arn:aws:kafka:us-east-1:…:cluster/trips/…",
//!  "bootstrapServers": "b-1.…:9098,b-2.…:9098",
//!  "records": {"trips-0": [{
//!    "topic": "trips", "partition": 0, "offset": 15, "timestamp": 1545084650987,
//!    "timestampType": "CREATE_TIME", "key": "<base64>", "value": "<base64>",
//!    "headers": [{"source": [104, 101, 97]}]}]}}
//! ```
//!
//! A self-managed cluster's event has `"eventSource": "SelfManagedKafka"` and no ARN; its bootstrap
//! servers, sorted, stand for it (`kafka://b-1:9092,b-2:9092`). Members may come in any order, and
//! those that nobody uses, schema metadata among them, may have any shape, and headers too. Only what places
//! a record (its topic-partition and `offset`, the cluster) can fail the event.

use std::collections::HashMap;
use std::str;

use tripline_model::json::{Cursor, JsonError, Kind, Value};
use tripline_model::source::{Payload, Position, SourcePartition, SourceRecord};

use crate::event::{EnvelopeError, RecordProblem, kind_name, name, shorten};
use crate::records::{Arena, PartitionRecords};
use crate::shape::{self, Shape, Walk};

/// Reads `records` and what names the cluster, wherever they stand in the event.
#[derive(Default)]
pub(crate) struct Reader<'a> {
    /// `records` as it stood last; what is wrong with it matters only if the event is one of Kafka.
    records: Option<Result<Groups<'a>, EnvelopeError>>,
    source_arn: Option<Value<'a>>,
    bootstrap_servers: Option<Value<'a>>,
}

/// Topic-partitions by name, as each stood last.
#[derive(Default)]
struct Groups<'a> {
    read: Vec<Result<PartitionRecords<'a>, EnvelopeError>>,
    index: HashMap<String, usize>,
}

/// The members of a record that are used, as they stand: each differs from record to record.
#[derive(Clone, Copy, Default)]
struct Members<'a> {
    offset: Option<Value<'a>>,
    timestamp: Option<Value<'a>>,
    key: Option<Value<'a>>,
    value: Option<Value<'a>>,
    headers: Option<Value<'a>>,
}

impl<'a> Reader<'a> {
    pub(crate) const fn source_arn(&mut self, value: Value<'a>) {
        self.source_arn = Some(value);
    }

    pub(crate) const fn bootstrap_servers(&mut self, value: Value<'a>) {
        self.bootstrap_servers = Some(value);
    }

    /// Reads the value of `records` that is due.
    pub(crate) fn read(
        &mut self,
        cursor: &mut Cursor<'a>,
        arena: &mut Arena<'a>,
        epoch: &str,
    ) -> Result<(), JsonError> {
        let kind = cursor.peek()?;
        self.records = Some(if kind == Kind::Object {
            Ok(Groups::read(cursor, arena, epoch)?)
        } else {
            Err(EnvelopeError::Shape { seen: format!("an object whose \"records\" is {}", kind_name(kind)) })
        });
        Ok(())
    }

    /// The topic-partitions that have records, in the order in which they stand in the event, once it is
    /// known to be one of Kafka.
    pub(crate) fn finish(self, event_source: &str) -> Result<Vec<PartitionRecords<'a>>, EnvelopeError> {
        let without = |what: &str| EnvelopeError::Shape {
            seen: format!("an object of eventSource {:?} without {what}", shorten(event_source)),
        };
        let records = self.records.ok_or_else(|| without("\"records\""))??;
        let text = |value: Option<Value<'a>>| value.and_then(|value| value.text()).unwrap_or_default();
        let source = match (event_source, &*text(self.source_arn), &*text(self.bootstrap_servers)) {
            (_, arn, _) if !arn.is_empty() => arn.to_owned(),
            ("aws:kafka", ..) => return Err(without("a text \"eventSourceArn\"")),
            (.., "") => return Err(without("a text \"bootstrapServers\"")),
            (.., servers) => url_of(servers),
        };
        let mut partitions = records.read.into_iter().collect::<Result<Vec<_>, _>>()?;
        partitions.retain(|group| !group.records.is_empty());
        for group in &mut partitions {
            group.partition.source.clone_from(&source);
        }
        Ok(partitions)
    }
}

impl<'a> Groups<'a> {
    fn read(cursor: &mut Cursor<'a>, arena: &mut Arena<'a>, epoch: &str) -> Result<Self, JsonError> {
        let mut groups = Self::default();
        cursor.enter_object()?;
        while let Some(key) = cursor.next_key()? {
            let partition = String::from_utf8_lossy(&name(&key)).into_owned();
            let next = groups.read.len();
            let at = *groups.index.entry(partition.clone()).or_insert(next);
            let records = records(&partition, cursor, arena)?;
            let partition = SourcePartition { source: String::new(), epoch: epoch.to_owned(), partition };
            let group = records.map(|records| PartitionRecords { partition, records });
            match groups.read.get_mut(at) {
                Some(known) => *known = group,
                None => groups.read.push(group),
            }
        }
        Ok(groups)
    }
}

/// Reads the records of a topic-partition that are due.
fn records<'a>(
    partition: &str,
    cursor: &mut Cursor<'a>,
    arena: &mut Arena<'a>,
) -> Result<Result<Vec<SourceRecord<'a>>, EnvelopeError>, JsonError> {
    let kind = cursor.peek()?;
    if kind != Kind::Array || partition.is_empty() {
        let seen = format!(
            "an object whose \"records\" has {:?}, {}, where a topic-partition's array should be",
            shorten(partition),
            kind_name(kind)
        );
        return Ok(Err(EnvelopeError::Shape { seen }));
    }
    let mut records = Vec::new();
    let mut first_problem = None;
    let mut shape = Shape::<Members<'a>>::default();
    cursor.enter_array()?;
    for index in 0.. {
        if !cursor.next_element()? {
            break;
        }
        let kind = cursor.peek()?;
        let record = if kind == Kind::Object {
            shape.read(cursor)?.record(arena)
        } else {
            Err(RecordProblem::NotAnObject { seen: kind_name(kind) })
        };
        match record {
            Ok(record) => records.push(record),
            Err(problem) => {
                let partition = shorten(partition);
                first_problem.get_or_insert(EnvelopeError::KafkaRecord { partition, index, problem });
            }
        }
    }
    Ok(first_problem.map_or(Ok(records), Err))
}

/// A cluster by its bootstrap servers, in whatever order the mapping names them.
fn url_of(bootstrap_servers: &str) -> String {
    let mut servers: Vec<&str> = bootstrap_servers.split(',').map(str::trim).collect();
    servers.sort_unstable();
    format!("kafka://{}", servers.join(","))
}

#[derive(Clone, Copy)]
enum Member {
    Offset,
    Timestamp,
    Key,
    Value,
    Headers,
}

impl<'a> shape::Members<'a> for Members<'a> {
    type Varying = Member;

    #[inline]
    fn place(&mut self, member: Member) -> &mut Option<Value<'a>> {
        match member {
            Member::Offset => &mut self.offset,
            Member::Timestamp => &mut self.timestamp,
            Member::Key => &mut self.key,
            Member::Value => &mut self.value,
            Member::Headers => &mut self.headers,
        }
    }

    fn walk(walk: &mut Walk<'_, 'a, Self>, cursor: &mut Cursor<'a>) -> Result<(), JsonError> {
        cursor.enter_object()?;
        while let Some(key) = cursor.next_key()? {
            let member = match name(&key).as_ref() {
                b"offset" => Member::Offset,
                b"timestamp" => Member::Timestamp,
                b"key" => Member::Key,
                b"value" => Member::Value,
                b"headers" => Member::Headers,
                _ => continue,
            };
            walk.varying(cursor, member)?;
        }
        Ok(())
    }

    fn constant(self) -> Self {
        Self::default()
    }
}

impl<'a> Members<'a> {
    fn record(self, arena: &mut Arena<'a>) -> Result<SourceRecord<'a>, RecordProblem> {
        let offset = self.offset.ok_or(RecordProblem::NoOffset)?;
        // As a mapping is told offsets as machine integers, so they must be read.
        let position = number(offset).map(Position::new);
        let position = position.ok_or_else(|| RecordProblem::BadOffset { seen: raw(offset) })?;
        Ok(SourceRecord {
            position,
            sub_position: 0,
            arrival_ms: self.timestamp.and_then(number).and_then(|ms| i64::try_from(ms).ok()),
            partition_key: key(self.key, arena),
            headers: headers(self.headers),
            payload: match self.value {
                // A tombstone: nothing is what there is.
                None | Some(Value { kind: Kind::Null, .. }) => Payload::Bytes(b""),
                value => arena.payload(value),
            },
        })
    }
}

/// A record's key as text. Bytes that are no UTF-8 stay in base64, as does what is not base64.
fn key<'a>(value: Option<Value<'a>>, arena: &mut Arena<'a>) -> &'a str {
    let decoded = match value {
        Some(Value { kind: Kind::String { .. }, .. }) => arena.payload(value),
        _ => return "",
    };
    match decoded {
        Payload::Bytes(bytes) => str::from_utf8(bytes).unwrap_or_else(|_| arena.text(value)),
        Payload::Undecodable(_) => arena.text(value),
    }
}

/// A record's headers as they stand; of an array without any, and of anything else, nothing.
fn headers(value: Option<Value<'_>>) -> &str {
    match value {
        Some(Value { kind: Kind::Array, raw: [b'[', inner @ .., b']'] }) if inner.trim_ascii().is_empty() => {
            ""
        }
        Some(Value { kind: Kind::Array, raw }) => str::from_utf8(raw).unwrap_or_default(),
        _ => "",
    }
}

/// A whole number that is not negative; `None` for a timestamp of -1, which says that there is none.
fn number(value: Value<'_>) -> Option<u64> {
    if value.kind != Kind::Number {
        return None;
    }
    str::from_utf8(value.raw).ok()?.parse().ok()
}

fn raw(value: Value<'_>) -> String {
    shorten(&String::from_utf8_lossy(value.raw))
}
