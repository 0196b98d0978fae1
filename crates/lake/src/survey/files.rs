//! Published files: how large they are, and when their rows' times are.

use std::collections::BTreeMap;
use std::io::BufReader;

use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array as _, RecordBatch};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tripline_model::batch::{DEAD_LETTER_TABLE, metadata};

use super::{HOUR_MS, SurveyError, SurveyedFile, SurveyedTable};
use crate::audit::labels;
use crate::layout::is_published_name;
use crate::publish::{FileFormat, file_metadata, offset_zone_schema};
use crate::store::ObjectStore;

/// Groups the rows of dead letters.
const REASON: &str = "reason";
/// Folders that are parts of times group nothing.
const TIME_PARTS: [&str; 4] = ["year", "month", "day", "hour"];

/// A file as it is counted.
pub(super) struct Counted {
    file: SurveyedFile,
    hours: BTreeMap<i64, BTreeMap<String, u64>>,
}

impl Counted {
    pub(super) fn add_to(self, table: &mut SurveyedTable) {
        table.files.push(self.file);
        for (hour, groups) in self.hours {
            let sums = table.hours.entry(hour).or_default();
            for (group, rows) in groups {
                *sums.entry(group).or_default() += rows;
            }
        }
    }
}

/// Reads a file; `None` where it is not the pipeline's, or cannot be read.
pub(super) async fn read(
    store: &dyn ObjectStore,
    pipeline: &str,
    table: &str,
    key: &str,
    schema: Option<SchemaRef>,
) -> Result<Option<Counted>, SurveyError> {
    let name = key.rsplit('/').next().unwrap_or_default();
    let is_parquet = key.ends_with(FileFormat::Parquet.extension());
    let is_json_lines = key.ends_with(FileFormat::JsonLines.extension()) && is_published_name(name);
    if !is_parquet && !is_json_lines {
        return Ok(None);
    }
    let Some(object) = store.get(key).await? else { return Ok(None) };
    let group = if table == DEAD_LETTER_TABLE { Err(REASON) } else { Ok(group_of(key)) };
    let bytes = object.body.len() as u64;
    let counted = if is_parquet {
        parquet(object.body, pipeline, group)
    } else {
        schema.map_or(Ok(None), |schema| json_lines(&object.body, &schema, group).map(Some))
    };
    Ok(counted.ok().flatten().map(|hours| {
        let rows = hours.values().flat_map(BTreeMap::values).sum();
        Counted { file: SurveyedFile { bytes, rows }, hours }
    }))
}

/// The outermost partition value that is no part of a time, as its folder spells it.
fn group_of(key: &str) -> &str {
    let levels = key.split('/').filter_map(|level| level.split_once('='));
    let mut of_values = levels.filter(|(name, _)| !TIME_PARTS.contains(name));
    of_values.next().map_or("rows", |(_, value)| value)
}

type Hours = BTreeMap<i64, BTreeMap<String, u64>>;

fn parquet(body: Bytes, pipeline: &str, group: Result<&str, &str>) -> Result<Option<Hours>, ArrowError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(body)?;
    let labels = labels(builder.metadata());
    let Some(time) = labels.get(metadata::TIME_COLUMN).map(String::as_str) else { return Ok(None) };
    if labels.get(file_metadata::PIPELINE).map(String::as_str) != Some(pipeline) {
        return Ok(None);
    }
    let columns = [Some(time), group.err()].into_iter().flatten();
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns);
    let batches = builder.with_projection(mask).build()?;
    count(time, group, batches).map(Some)
}

fn json_lines(body: &[u8], schema: &Schema, group: Result<&str, &str>) -> Result<Hours, ArrowError> {
    let time = schema.metadata().get(metadata::TIME_COLUMN).map(String::as_str).unwrap_or_default();
    let columns = [Some(time), group.err()].into_iter().flatten();
    let fields: Result<Vec<_>, ArrowError> =
        columns.map(|name| schema.field_with_name(name).cloned()).collect();
    let projected = offset_zone_schema(&Schema::new(fields?));
    let lines = BufReader::new(MultiGzDecoder::new(body));
    count(time, group, arrow_json::ReaderBuilder::new(projected).build(lines)?)
}

/// Counts rows by hour and group: the same for all, or the value of a column.
fn count(
    time: &str,
    group: Result<&str, &str>,
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
) -> Result<Hours, ArrowError> {
    let mut hours = Hours::new();
    for batch in batches {
        let batch = batch?;
        let missing = |name: &str| ArrowError::SchemaError(format!("no column {name}"));
        let times = batch
            .column_by_name(time)
            .and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>());
        let times = times.ok_or_else(|| missing(time))?;
        let groups = match group {
            Ok(_) => None,
            Err(name) => {
                let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
                Some(column.ok_or_else(|| missing(name))?)
            }
        };
        for (row, time) in times.iter().enumerate() {
            let Some(time) = time else { continue };
            let group = match (group, groups) {
                (Ok(group), _) => group,
                (Err(_), Some(groups)) if groups.is_valid(row) => groups.value(row),
                _ => "unknown",
            };
            let sums = hours.entry(time.div_euclid(HOUR_MS) * HOUR_MS).or_default();
            match sums.get_mut(group) {
                Some(rows) => *rows += 1,
                None => _ = sums.insert(group.to_owned(), 1),
            }
        }
    }
    Ok(hours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_grouped_by_the_outermost_folder_that_is_no_part_of_a_time() {
        for (key, group) in [
            ("trip/pickup_borough=queens/year=2019/part-1.parquet", "queens"),
            ("trip/year=2019/month=03/zone=4/part-1.parquet", "4"),
            ("trip/year=2019/part-1.parquet", "rows"),
            ("trip/part-1.parquet", "rows"),
        ] {
            assert_eq!(group_of(key), group, "{key}");
        }
    }
}
