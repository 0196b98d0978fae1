//! Dead letters as the published table has them.

use std::collections::BTreeMap;
use std::io::BufReader;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMillisecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::ArrowError;
use flate2::bufread::MultiGzDecoder;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tripline_model::decode::{Reason, Stage, dead_letter_schema};
use tripline_model::source::{Payload, Position, SourcePartition, SourceRecord};

use crate::publish::{FileFormat, offset_zone_schema};
use crate::store::Object;

/// Column of the stage.
const STAGE: &str = "stage";
/// Columns that older files do not have: before there was a stage there was only one.
const LATER: [&str; 2] = [STAGE, "headers"];

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// How far the record got.
    pub stage: Stage,
    /// Reason code.
    pub reason: String,
    /// The type that it told.
    pub event_type: Option<String>,
    /// When it failed, milliseconds since 1970 UTC.
    pub failed_at_ms: i64,
    /// Where it comes from.
    pub origin: SourcePartition,
    /// Its position.
    pub position: Position,
    /// Its index within an aggregated record.
    pub sub_position: u32,
    /// Its partition key.
    pub partition_key: String,
    /// Its headers, as [`SourceRecord::headers`].
    pub headers: String,
    /// When the source took it in, milliseconds since 1970 UTC.
    pub arrival_ms: Option<i64>,
    /// Its bytes.
    pub payload: Vec<u8>,
}

impl Letter {
    /// The record, as it was delivered.
    #[must_use]
    pub fn record(&self) -> SourceRecord<'_> {
        let payload = if self.reason == Reason::UndecodablePayload.code() {
            Payload::Undecodable(&self.payload)
        } else {
            Payload::Bytes(&self.payload)
        };
        SourceRecord {
            position: self.position,
            sub_position: self.sub_position,
            arrival_ms: self.arrival_ms,
            partition_key: &self.partition_key,
            headers: &self.headers,
            payload,
        }
    }
}

/// Letters of one stage and source partition, in the order of their positions, each once.
#[derive(Clone, Debug)]
pub struct LetterGroup {
    /// How far they got.
    pub stage: Stage,
    /// Where they come from.
    pub origin: SourcePartition,
    /// The letters.
    pub letters: Vec<Letter>,
}

/// Puts letters in groups.
pub(super) fn grouped(letters: Vec<Letter>) -> Vec<LetterGroup> {
    let mut groups: BTreeMap<(Stage, SourcePartition), Vec<Letter>> = BTreeMap::new();
    for letter in letters {
        groups.entry((letter.stage, letter.origin.clone())).or_default().push(letter);
    }
    let in_order = |((stage, origin), mut letters): (_, Vec<Letter>)| {
        letters.sort_by_key(|letter| (letter.position, letter.sub_position));
        letters.dedup_by_key(|letter| (letter.position, letter.sub_position));
        LetterGroup { stage, origin, letters }
    };
    groups.into_iter().map(in_order).collect()
}

/// Reads a file of the table.
pub(super) fn read(key: &str, object: &Object) -> Result<Vec<Letter>, String> {
    let batches = if key.ends_with(FileFormat::JsonLines.extension()) {
        json_lines(&object.body)
    } else {
        ParquetRecordBatchReaderBuilder::try_new(object.body.clone())
            .and_then(ParquetRecordBatchReaderBuilder::build)
            .map_err(ArrowError::from)
            .and_then(Iterator::collect)
    };
    let mut letters = Vec::new();
    for batch in batches.map_err(|error| error.to_string())? {
        let columns = Columns::of(&batch)?;
        for row in 0..batch.num_rows() {
            letters.push(columns.letter(row)?);
        }
    }
    Ok(letters)
}

fn json_lines(body: &[u8]) -> Result<Vec<RecordBatch>, ArrowError> {
    let schema = offset_zone_schema(&dead_letter_schema());
    arrow_json::ReaderBuilder::new(schema).build(BufReader::new(MultiGzDecoder::new(body)))?.collect()
}

/// The columns of a batch that a letter is made of.
struct Columns<'a>(&'a RecordBatch);

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, String> {
        let schema = dead_letter_schema();
        let type_of = |name: &str| batch.column_by_name(name).map(|column| column.data_type().clone());
        for field in schema.fields().iter().filter(|field| !LATER.contains(&field.name().as_str())) {
            let is_time = field.data_type().is_temporal();
            if !type_of(field.name())
                .is_some_and(|kind| &kind == field.data_type() || (is_time && kind.is_temporal()))
            {
                return Err(format!("it has no column `{}` of {}", field.name(), field.data_type()));
            }
        }
        Ok(Self(batch))
    }

    fn column(&self, name: &str) -> Option<&'a dyn Array> {
        self.0.column_by_name(name).map(|column| &**column)
    }

    fn text(&self, name: &str, row: usize) -> Option<&'a str> {
        let column = self.column(name)?.as_string_opt::<i32>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    fn required(&self, name: &str, row: usize) -> Result<String, String> {
        self.text(name, row).map(str::to_owned).ok_or_else(|| format!("row {row} has no `{name}`"))
    }

    fn time(&self, name: &str, row: usize) -> Option<i64> {
        let column = self.column(name)?.as_primitive_opt::<TimestampMillisecondType>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    fn letter(&self, row: usize) -> Result<Letter, String> {
        let code = self.text(STAGE, row).unwrap_or(Stage::Decode.code());
        let stage = Stage::ALL
            .into_iter()
            .find(|stage| stage.code() == code)
            .ok_or_else(|| format!("row {row} has the stage {code:?}, which is not known"))?;
        let position = self.required("position", row)?;
        let sub_position =
            self.column("sub_position").and_then(|column| column.as_primitive_opt::<Int32Type>());
        let payload = self.column("payload").and_then(|column| column.as_binary_opt::<i32>());
        Ok(Letter {
            stage,
            reason: self.required("reason", row)?,
            event_type: self.text("event_type", row).map(str::to_owned),
            failed_at_ms: self.time("failed_at", row).unwrap_or_default(),
            origin: SourcePartition {
                source: self.required("source", row)?,
                epoch: self.required("epoch", row)?,
                partition: self.required("partition", row)?,
            },
            position: position
                .parse()
                .map_err(|error| format!("row {row}: position {position:?}: {error}"))?,
            sub_position: sub_position.map_or(0, |column| u32::try_from(column.value(row)).unwrap_or(0)),
            partition_key: self.required("partition_key", row)?,
            headers: self.text("headers", row).unwrap_or_default().to_owned(),
            arrival_ms: self.time("arrival_time", row),
            payload: payload.map(|column| column.value(row).to_vec()).unwrap_or_default(),
        })
    }
}
