//! Rows as JSON lines.

use std::io::Read as _;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use tripline_model::batch::Section;

use super::{InspectError, file};
use crate::publish::with_offset_zone;

/// Names the table of an entry's row.
const TABLE: &str = "_table";
/// What a file of JSON lines may unpack to here.
const MAX_TEXT_BYTES: u64 = 1 << 30;

pub(super) fn of_sections(sections: &[Section], limit: usize) -> Result<Vec<u8>, InspectError> {
    let mut out = Vec::new();
    for section in sections {
        let rows = section.rows.slice(0, section.rows.num_rows().min(limit));
        named(&section.table, &rows)
            .and_then(|rows| write(&rows, &mut out))
            .map_err(|error| InspectError::Unknown(format!("table {}: {error}", section.table)))?;
    }
    Ok(out)
}

pub(super) fn of_parquet(bytes: &Bytes, limit: usize) -> Result<Vec<u8>, InspectError> {
    let damaged = |error: String| InspectError::Parquet(error);
    let reader =
        file::builder(bytes)?.with_limit(limit).build().map_err(|error| damaged(error.to_string()))?;
    let mut out = Vec::new();
    for rows in reader {
        rows.and_then(|rows| write(&rows, &mut out)).map_err(|error| damaged(error.to_string()))?;
    }
    Ok(out)
}

/// The text of a file of JSON lines.
pub(super) fn unzip(bytes: &Bytes) -> Result<Vec<u8>, InspectError> {
    let mut text = Vec::new();
    let read = MultiGzDecoder::new(&bytes[..]).take(MAX_TEXT_BYTES).read_to_end(&mut text);
    match read {
        Ok(bytes) if bytes as u64 == MAX_TEXT_BYTES => {
            Err(InspectError::JsonLines("it unpacks to 1 GiB or more".to_owned()))
        }
        Ok(_) => Ok(text),
        Err(error) => {
            let place = format!("{error} after {} bytes of text", text.len());
            Err(InspectError::JsonLines(place))
        }
    }
}

/// Rows that begin with their table's name.
fn named(table: &str, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let names: ArrayRef = Arc::new(StringArray::from(vec![table; rows.num_rows()]));
    let field = Arc::new(Field::new(TABLE, DataType::Utf8, false));
    let fields: Vec<Arc<Field>> =
        std::iter::once(field).chain(rows.schema_ref().fields().iter().cloned()).collect();
    let columns = std::iter::once(names).chain(rows.columns().iter().cloned()).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn write(rows: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let mut writer = arrow_json::LineDelimitedWriter::new(out);
    writer.write(&with_offset_zone(rows)?)?;
    writer.finish()
}
