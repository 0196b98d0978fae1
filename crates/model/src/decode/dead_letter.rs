//! The table of dead letters.

use std::sync::{Arc, LazyLock};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::DecodeError;
use super::columns::{Column, Full};
use super::reason::Refusal;
use super::row_digest::digest;
use crate::batch::{DEAD_LETTER_TABLE, LakePartition, Section};
use crate::pipeline::{FieldType, table_metadata, timestamp};
use crate::source::{Payload, SourcePartition, SourceRecord};
use crate::time::{Civil, MAX_MS, MIN_MS};

/// Version of the dead-letter table's columns, which are the same for every pipeline.
const SCHEMA_VERSION: u32 = 1;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let columns = [
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
        ("arrival_time", timestamp(), true),
        ("failed_at", timestamp(), false),
    ];
    let fields: Vec<Field> =
        columns.into_iter().map(|(name, kind, null)| Field::new(name, kind, null)).collect();
    let ids = ["source", "partition", "position", "sub_position"];
    Arc::new(Schema::new_with_metadata(
        fields,
        table_metadata(DEAD_LETTER_TABLE, SCHEMA_VERSION, "failed_at", &ids),
    ))
});

/// The columns of the dead-letter table, the same for every pipeline.
///
/// | column | type | |
/// |---|---|---|
/// | `reason` | text | code of the [`Reason`](super::Reason) |
/// | `error` | text | what is wrong and where in the record |
/// | `event_type` | text, may be null | the type it told, cut to 128 bytes |
/// | `payload` | binary | the record's bytes; the envelope's text where that could not be decoded |
/// | `source`, `epoch`, `partition` | text | its [`SourcePartition`] |
/// | `position` | text | its position, in decimal digits |
/// | `sub_position` | int32 | its index within an aggregated record |
/// | `partition_key` | text | its partition key |
/// | `arrival_time` | timestamp, may be null | when the source took it in |
/// | `failed_at` | timestamp | when it was decoded; the time column |
///
/// A row is identified by source, partition, position and sub-position.
#[must_use]
pub fn dead_letter_schema() -> SchemaRef {
    SCHEMA.clone()
}

/// Longest type kept, in bytes: it is the sender's text.
const TYPE_BYTES: usize = 128;

/// Dead letters being collected.
#[derive(Debug)]
pub(super) struct DeadLetters {
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
    arrival_time: Column,
    failed_at: Column,
    rows: usize,
}

impl DeadLetters {
    pub(super) fn new() -> Self {
        let text = || Column::new(FieldType::String);
        Self {
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
        record: &SourceRecord<'_>,
        origin: &SourcePartition,
        refusal: &Refusal,
        event_type: Option<&str>,
        now_ms: i64,
    ) -> Result<(), Full> {
        let pushed = self.append(record, origin, refusal, event_type, now_ms);
        match pushed {
            Ok(()) => self.rows += 1,
            Err(Full) => {
                let rows = self.rows;
                self.columns_mut().into_iter().for_each(|column| column.truncate(rows));
            }
        }
        pushed
    }

    fn append(
        &mut self,
        record: &SourceRecord<'_>,
        origin: &SourcePartition,
        refusal: &Refusal,
        event_type: Option<&str>,
        now_ms: i64,
    ) -> Result<(), Full> {
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
        match record.arrival_ms {
            Some(ms) => _ = self.arrival_time.push_integer(ms),
            None => self.arrival_time.push_null(),
        }
        self.failed_at.push_integer(now_ms.clamp(MIN_MS, MAX_MS));
        Ok(())
    }

    fn columns_mut(&mut self) -> [&mut Column; 12] {
        [
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
            &mut self.arrival_time,
            &mut self.failed_at,
        ]
    }

    /// `now_ms` as for every row.
    pub(super) fn finish(self, now_ms: i64) -> Result<Section, DecodeError> {
        let columns = [
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
