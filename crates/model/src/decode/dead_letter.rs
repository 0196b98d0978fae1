//! The table of dead letters.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::columns::{Column, Full};
use super::reason::Refusal;
use super::row_digest::digest;
use super::{DecodeError, Reason};
use crate::batch::{Counts, DEAD_LETTER_TABLE, DecodedBatch, LakePartition, Section};
use crate::pipeline::{FieldType, Target, table_metadata, timestamp};
use crate::source::{Payload, SourcePartition, SourceRecord};
use crate::time::{Civil, MAX_MS, MIN_MS};

/// Version of the dead-letter table's columns, which are the same for every pipeline.
const SCHEMA_VERSION: u32 = 3;

/// How far a record got before it became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// It is no event: no sink has it.
    Decode,
    /// It is an event, and the search cluster did not take it: every other sink has it.
    Search,
    /// It is an event, and the Kinesis stream that events go on into will never take it.
    Kinesis,
    /// It is an event, and the Kafka topic that events go on into will never take it.
    Kafka,
}

impl From<Target> for Stage {
    fn from(target: Target) -> Self {
        match target {
            Target::Kinesis => Self::Kinesis,
            Target::Kafka => Self::Kafka,
        }
    }
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 4] = [Self::Decode, Self::Search, Self::Kinesis, Self::Kafka];

    /// Its code, as the table has it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Search => "search",
            Self::Kinesis => Target::Kinesis.name(),
            Self::Kafka => Target::Kafka.name(),
        }
    }
}

/// A record that a sink did not take.
#[derive(Clone, Debug)]
pub struct DeadLetter<'a> {
    /// How far it got.
    pub stage: Stage,
    /// The record.
    pub record: SourceRecord<'a>,
    /// Why it was not taken.
    pub refusal: Refusal,
    /// The type that it told, where it is known.
    pub event_type: Option<&'a str>,
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let columns = [
        ("stage", DataType::Utf8, false),
        ("reason", DataType::Utf8, false),
        ("error", DataType::Utf8, false),
        ("event_type", DataType::Utf8, true),
        ("payload", DataType::Binary, false),
        ("source", DataType::Utf8, false),
        ("epoch", DataType::Utf8, false),
        ("partition", DataType::Utf8, false),
        ("position", DataType::Utf8, false),
        ("sub_position", DataType::Int32, false),
        ("partition_key", DataType::Utf8, false),
        ("headers", DataType::Utf8, true),
        ("arrival_time", timestamp(), true),
        ("failed_at", timestamp(), false),
    ];
    let fields: Vec<Field> =
        columns.into_iter().map(|(name, kind, null)| Field::new(name, kind, null)).collect();
    let ids = ["stage", "source", "partition", "position", "sub_position"];
    Arc::new(Schema::new_with_metadata(
        fields,
        table_metadata(DEAD_LETTER_TABLE, SCHEMA_VERSION, "failed_at", &ids),
    ))
});

/// The columns of the dead-letter table, the same for every pipeline.
///
/// | column | type | |
/// |---|---|---|
/// | `stage` | text | code of the [`Stage`] at which it failed |
/// | `reason` | text | code of the [`Reason`](super::Reason) |
/// | `error` | text | what is wrong and where in the record |
/// | `event_type` | text, may be null | the type it told, cut to 128 bytes |
/// | `payload` | binary | the record's bytes; the envelope's text where that could not be decoded |
/// | `source`, `epoch`, `partition` | text | its [`SourcePartition`] |
/// | `position` | text | its position, in decimal digits |
/// | `sub_position` | int32 | its index within an aggregated record |
/// | `partition_key` | text | its partition key |
/// | `headers` | text, may be null | its headers, as [`SourceRecord::headers`] |
/// | `arrival_time` | timestamp, may be null | when the source took it in |
/// | `failed_at` | timestamp | when it was decoded; the time column |
///
/// A row is identified by stage, source, partition, position and sub-position.
#[must_use]
pub fn dead_letter_schema() -> SchemaRef {
    SCHEMA.clone()
}

/// Longest type kept, in bytes: it is the sender's text.
const TYPE_BYTES: usize = 128;

/// Dead letters being collected.
#[derive(Debug)]
pub(super) struct DeadLetters {
    stage: Column,
    reason: Column,
    error: Column,
    event_type: Column,
    payload: Column,
    source: Column,
    epoch: Column,
    partition: Column,
    position: Column,
    sub_position: Column,
    partition_key: Column,
    headers: Column,
    arrival_time: Column,
    failed_at: Column,
    rows: usize,
}

impl DeadLetters {
    pub(super) fn new() -> Self {
        let text = || Column::new(FieldType::String);
        Self {
            stage: text(),
            reason: text(),
            error: text(),
            event_type: text(),
            payload: Column::binary(),
            source: text(),
            epoch: text(),
            partition: text(),
            position: text(),
            sub_position: Column::new(FieldType::Int32),
            partition_key: text(),
            headers: text(),
            arrival_time: Column::new(FieldType::Timestamp),
            failed_at: Column::new(FieldType::Timestamp),
            rows: 0,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Appends a dead letter, or leaves no trace of it.
    pub(super) fn push(
        &mut self,
        letter: &DeadLetter<'_>,
        origin: &SourcePartition,
        now_ms: i64,
    ) -> Result<(), Full> {
        let pushed = self.append(letter, origin, now_ms);
        match pushed {
            Ok(()) => self.rows += 1,
            Err(Full) => {
                let rows = self.rows;
                self.columns_mut().into_iter().for_each(|column| column.truncate(rows));
            }
        }
        pushed
    }

    fn append(&mut self, letter: &DeadLetter<'_>, origin: &SourcePartition, now_ms: i64) -> Result<(), Full> {
        let DeadLetter { stage, record, refusal, event_type } = letter;
        self.stage.push_text(stage.code())?;
        self.reason.push_text(refusal.reason.code())?;
        self.error.push_text(&refusal.message)?;
        match event_type {
            Some(text) => {
                self.event_type.push_text(text.get(..text.floor_char_boundary(TYPE_BYTES)).unwrap_or(text))?
            }
            None => self.event_type.push_null(),
        }
        let (Payload::Bytes(payload) | Payload::Undecodable(payload)) = record.payload;
        self.payload.push_bytes(payload)?;
        self.source.push_text(&origin.source)?;
        self.epoch.push_text(&origin.epoch)?;
        self.partition.push_text(&origin.partition)?;
        self.position.push_text(&record.position.to_string())?;
        self.sub_position.push_integer(i32::try_from(record.sub_position).unwrap_or(i32::MAX).into());
        self.partition_key.push_text(record.partition_key)?;
        match record.headers {
            "" => self.headers.push_null(),
            headers => self.headers.push_text(headers)?,
        }
        match record.arrival_ms {
            Some(ms) => _ = self.arrival_time.push_integer(ms),
            None => self.arrival_time.push_null(),
        }
        self.failed_at.push_integer(now_ms.clamp(MIN_MS, MAX_MS));
        Ok(())
    }

    fn columns_mut(&mut self) -> [&mut Column; 14] {
        [
            &mut self.stage,
            &mut self.reason,
            &mut self.error,
            &mut self.event_type,
            &mut self.payload,
            &mut self.source,
            &mut self.epoch,
            &mut self.partition,
            &mut self.position,
            &mut self.sub_position,
            &mut self.partition_key,
            &mut self.headers,
            &mut self.arrival_time,
            &mut self.failed_at,
        ]
    }

    /// `now_ms` as for every row.
    pub(super) fn finish(self, now_ms: i64) -> Result<Section, DecodeError> {
        let columns = [
            self.stage,
            self.reason,
            self.error,
            self.event_type,
            self.payload,
            self.source,
            self.epoch,
            self.partition,
            self.position,
            self.sub_position,
            self.partition_key,
            self.headers,
            self.arrival_time,
            self.failed_at,
        ];
        let columns = columns.into_iter().map(Column::finish).collect::<Result<_, _>>()?;
        let rows = RecordBatch::try_new(dead_letter_schema(), columns)?;
        let Civil { year, month, day, .. } = Civil::from_ms(now_ms);
        Ok(Section {
            table: DEAD_LETTER_TABLE.into(),
            digest: digest(&rows)?,
            rows,
            partitions: vec![LakePartition { path: format!("year={year:04}/month={month:02}/day={day:02}") }],
            partition_of: vec![0; self.rows],
        })
    }
}

/// Makes rows of the dead-letter table of records that a sink did not take, in order.
///
/// The second value is how many were taken: fewer than all where the columns are full, and the rest
/// belongs to another batch.
///
/// # Errors
/// [`DecodeError`], which no records should lead to.
pub fn dead_letters(
    origin: &SourcePartition,
    letters: &[DeadLetter<'_>],
    now_ms: i64,
) -> Result<(DecodedBatch, usize), DecodeError> {
    let mut rows = DeadLetters::new();
    let mut reasons: BTreeMap<Reason, u64> = BTreeMap::new();
    let mut taken = 0;
    for letter in letters {
        if rows.push(letter, origin, now_ms).is_err() {
            break;
        }
        *reasons.entry(letter.refusal.reason).or_default() += 1;
        taken += 1;
    }
    let counts = Counts { records: taken as u64, dead_letters: taken as u64, ..Counts::default() };
    let dead_letter_reasons = reasons.into_iter().map(|(reason, count)| (reason.code(), count)).collect();
    let sections = if rows.is_empty() { Vec::new() } else { vec![rows.finish(now_ms)?] };
    Ok((DecodedBatch { sections, counts, event_time_max_ms: None, dead_letter_reasons }, taken))
}
