//! The journal's entries: batches, and how late their rows were.

use arrow_array::TimestampMillisecondArray;
use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMillisecondType;
use futures_util::TryStreamExt as _;
use tripline_model::batch::{DEAD_LETTER_TABLE, Section, metadata};

use super::{AT_ONCE, Survey, SurveyError, SurveyedBatch, SurveyedLane};
use crate::journal::entries;
use crate::journal::entry::Entry;
use crate::lane::Role;
use crate::store::ObjectStore;

/// Reads a lane's entries, in their order; those up to `published` are in the lane's totals already.
pub(super) async fn read(
    store: &dyn ObjectStore,
    folder: &str,
    published: u64,
    survey: &mut Survey,
) -> Result<(), SurveyError> {
    let mut newest_ms = None;
    let mut entries = entries(store, folder, 0, AT_ONCE);
    while let Some(listed) = entries.try_next().await? {
        match (listed.number, listed.entry) {
            (Some(number), Ok(entry)) => {
                add(&entry, listed.meta.size, number > published, &mut newest_ms, folder, survey);
            }
            (Some(_), Err(_)) => survey.left_out += 1,
            (None, _) => {}
        }
    }
    Ok(())
}

fn add(
    entry: &Entry,
    bytes: u64,
    is_waiting: bool,
    newest_ms: &mut Option<i64>,
    folder: &str,
    survey: &mut Survey,
) {
    let header = &entry.header;
    if is_waiting {
        let lane = survey.lanes.entry(folder.to_owned()).or_insert_with(|| SurveyedLane {
            lane: header.lane.clone(),
            totals: Default::default(),
            waiting_entries: 0,
            last: String::new(),
            event_time_max_ms: None,
            arrival_max_ms: None,
        });
        lane.totals.add(&header.totals);
        lane.waiting_entries += 1;
        lane.last = header.last.to_string();
        lane.event_time_max_ms = lane.event_time_max_ms.max(header.event_time_max_ms);
        lane.arrival_max_ms = lane.arrival_max_ms.max(header.arrival_max_ms);
    }
    // Lanes of other roles hold dead letters alone, whose records were counted in the first one.
    if header.lane.role != Role::Lake {
        return;
    }
    let records = header.totals.records;
    survey.batches.push(SurveyedBatch { written_at_ms: header.written_at_ms, records, bytes });
    match entry.sections() {
        Ok(sections) => {
            for times in sections.iter().filter_map(times) {
                let mut newest = *newest_ms;
                for &time in times.values() {
                    survey.lateness.add(newest.map_or(0, |newest| newest.saturating_sub(time)));
                    // A wild clock, which the header leaves out, makes nobody late.
                    newest = newest.max(Some(time).filter(|&time| Some(time) <= header.event_time_max_ms));
                }
            }
        }
        Err(_) => survey.left_out += 1,
    }
    *newest_ms = (*newest_ms).max(header.event_time_max_ms);
}

/// The event times of a section's rows; `None` of dead letters, which have none.
fn times(section: &Section) -> Option<&TimestampMillisecondArray> {
    let schema = section.rows.schema_ref();
    let column = schema.metadata().get(metadata::TIME_COLUMN)?;
    let times = section.rows.column_by_name(column)?.as_primitive_opt::<TimestampMillisecondType>()?;
    (*section.table != *DEAD_LETTER_TABLE).then_some(times)
}
