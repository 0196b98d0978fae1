//! The report's page.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tripline_lake::journal::entry::Totals;
use tripline_lake::survey::{HOUR_MS, Lateness, Survey, SurveyedFile, SurveyedTable};
use tripline_model::batch::DEAD_LETTER_TABLE;
use tripline_model::pipeline::Pipeline;
use tripline_model::time::rfc3339;

use super::chart::{self, COLOURS, Series, escaped};
use super::time_axis::TimeAxis;
use crate::text::{grouped, size};

/// What the page is about.
pub(super) struct Subject<'s> {
    pub(super) pipeline: &'s Pipeline,
    pub(super) lake: &'s str,
    pub(super) survey: &'s Survey,
    pub(super) now_ms: i64,
}

/// Bounds of files' sizes, in bytes and words.
const SIZES: [(u64, &str); 7] = [
    (10_000, "up to 10 kB"),
    (100_000, "up to 100 kB"),
    (1_000_000, "up to 1 MB"),
    (10_000_000, "up to 10 MB"),
    (100_000_000, "up to 100 MB"),
    (1_000_000_000, "up to 1 GB"),
    (u64::MAX, "larger"),
];

const STYLE: &str = include_str!("page.css");

/// The whole page.
pub(super) fn html(subject: &Subject<'_>) -> String {
    let Subject { pipeline, lake, survey, now_ms } = subject;
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Tripline: {0}</title>\
         <style>{STYLE}</style></head><body><h1>{0}</h1><p>{1}, looked at {2}</p>",
        escaped(&pipeline.id),
        escaped(lake),
        rfc3339(*now_ms)
    );
    tiles(&mut page, survey);
    let of_rows = survey.tables.iter().filter(|(name, _)| *name != DEAD_LETTER_TABLE);
    for (name, table) in of_rows {
        section(&mut page, &format!("{name}: rows"), "by event time, UTC", &over_time(table, "rows"));
        let groups: Vec<(String, u64)> = table.groups().into_iter().take(20).collect();
        if groups.len() > 1 {
            let by = grouped_by(pipeline, name);
            section(&mut page, &format!("{name}: by {by}"), "rows", &chart::bars(&groups, "rows"));
        }
    }
    let late = Lateness::NAMES.iter().zip(survey.lateness.rows);
    let late: Vec<(String, u64)> = late.map(|(name, rows)| ((*name).to_owned(), rows)).collect();
    let about = "rows of the batches that are still in the journal, by how far their event time was behind the latest \
                 before them in their shard";
    section(&mut page, "Lateness", about, &chart::bars(&late, "rows"));
    section(&mut page, "Throughput", "records, by when their batch was committed", &throughput(survey));
    for (name, table) in &survey.tables {
        let sizes = chart::bars(&by_size(&table.files), "files");
        section(&mut page, &format!("{name}: sizes of files"), "visible files", &sizes);
    }
    match survey.tables.get(DEAD_LETTER_TABLE) {
        Some(letters) => {
            section(
                &mut page,
                "Dead letters",
                "by when they failed, UTC",
                &over_time(letters, "dead letters"),
            );
            section(
                &mut page,
                "Dead letters: why",
                "by reason",
                &chart::bars(&letters.groups(), "dead letters"),
            );
        }
        None => section(&mut page, "Dead letters", "none is published", ""),
    }
    lanes(&mut page, survey);
    page.push_str("</body></html>\n");
    page
}

fn section(page: &mut String, title: &str, about: &str, content: &str) {
    let _ = write!(page, "<section><h2>{}</h2><p>{}</p>{content}</section>", escaped(title), escaped(about));
}

/// The numbers that come first.
fn tiles(page: &mut String, survey: &Survey) {
    let mut totals = Totals::default();
    survey.lanes.values().for_each(|lane| totals.add(&lane.totals));
    let files = survey.tables.values().flat_map(|table| &table.files);
    let (count, bytes) = files.fold((0_u64, 0_u64), |(count, bytes), file| (count + 1, bytes + file.bytes));
    let visible: u64 = survey.tables.values().map(SurveyedTable::rows).sum();
    let waiting: u64 = survey.lanes.values().map(|lane| lane.waiting_entries).sum();
    let letters = totals.tables.get(DEAD_LETTER_TABLE).map_or(0, |table| table.rows);
    let tiles = [
        ("records committed", grouped(totals.records)),
        ("rows visible", grouped(visible)),
        ("dead letters", grouped(letters)),
        ("duplicates dropped", grouped(totals.duplicates)),
        ("files", grouped(count)),
        ("size", size(bytes)),
        ("batches waiting for publish", grouped(waiting)),
        ("files not visible yet", grouped(survey.pending_files)),
    ];
    page.push_str("<div class=\"tiles\">");
    for (name, value) in tiles {
        let _ = write!(page, "<div><b>{value}</b>{name}</div>");
    }
    page.push_str("</div>");
    if survey.left_out > 0 {
        let _ = write!(
            page,
            "<p class=\"warning\">{} objects are left out: they cannot be read, or are not this pipeline's. \
             <code>tripline audit</code> names them.</p>",
            grouped(survey.left_out)
        );
    }
}

/// What the outermost folders of a table are of, in words.
fn grouped_by<'p>(pipeline: &'p Pipeline, table: &str) -> &'p str {
    let event = pipeline.events.iter().find(|event| &*event.table == table);
    let levels = event.into_iter().flat_map(|event| &event.partition);
    let mut of_values =
        levels.filter(|level| !matches!(level.source, tripline_model::pipeline::PartitionSource::Time(_)));
    of_values.next().map_or("folder", |level| level.name.as_str())
}

/// A table's rows over time, the largest groups in colours of their own.
fn over_time(table: &SurveyedTable, what: &str) -> String {
    let Some((first, last)) = usual_hours(table) else { return String::new() };
    let axis = TimeAxis::over(first, last, HOUR_MS);
    let groups = table.groups();
    let own = if groups.len() > COLOURS { COLOURS - 1 } else { groups.len() };
    let index: BTreeMap<&str, usize> =
        groups.iter().enumerate().map(|(index, (name, _))| (name.as_str(), index.min(own))).collect();
    let named = groups.iter().take(own).map(|(name, _)| name.as_str());
    let names = named.chain((groups.len() > own).then_some("others"));
    let mut series: Vec<Series> =
        names.map(|name| Series { name: name.to_owned(), values: vec![0; axis.columns] }).collect();
    for (hour, of_groups) in table.hours.range(first..=last) {
        let column = axis.column(*hour);
        for (group, rows) in of_groups {
            let series = index.get(group.as_str()).and_then(|&index| series.get_mut(index));
            if let Some(value) = series.and_then(|series| series.values.get_mut(column)) {
                *value += rows;
            }
        }
    }
    let outside = table.hours.range(..first).chain(table.hours.range(last + 1..));
    let outside: u64 = outside.flat_map(|(_, groups)| groups.values()).sum();
    let outside = match outside {
        0 => String::new(),
        rows => format!("; {} far before or after are left out", grouped(rows)),
    };
    format!("<p>{} per {}{outside}</p>{}", escaped(what), axis.step, chart::columns(&axis, &series, what))
}

/// The hour at which more than a `few` rows have passed.
fn passing<'h>(
    few: u64,
    mut hours: impl Iterator<Item = (&'h i64, &'h BTreeMap<String, u64>)>,
) -> Option<i64> {
    let mut passed = 0_u64;
    let reached = hours.find(|(_, groups)| {
        passed += groups.values().sum::<u64>();
        passed > few
    });
    reached.map(|(hour, _)| *hour)
}

/// A share of rows this small, one in so many, at either end does not decide what is shown.
const FEW: u64 = 200;

/// The first and the last hour to show: all, unless a few rows with wild clocks make it far longer.
fn usual_hours(table: &SurveyedTable) -> Option<(i64, i64)> {
    let (first, last) = (*table.hours.first_key_value()?.0, *table.hours.last_key_value()?.0);
    let few = table.rows() / FEW;
    let usual = (passing(few, table.hours.iter())?, passing(few, table.hours.iter().rev())?);
    let far_longer = last.saturating_sub(first) / 4 > usual.1.saturating_sub(usual.0).max(24 * HOUR_MS);
    Some(if far_longer { usual } else { (first, last) })
}

fn throughput(survey: &Survey) -> String {
    let (Some(first), Some(last)) = (survey.batches.first(), survey.batches.last()) else {
        return "<p>No batch is in the journal any more.</p>".to_owned();
    };
    let axis = TimeAxis::over(first.written_at_ms, last.written_at_ms, 1_000);
    let mut values = vec![0; axis.columns];
    for batch in &survey.batches {
        if let Some(value) = values.get_mut(axis.column(batch.written_at_ms)) {
            *value += batch.records;
        }
    }
    let records: u64 = survey.batches.iter().map(|batch| batch.records).sum();
    let bytes: u64 = survey.batches.iter().map(|batch| batch.bytes).sum();
    let count = survey.batches.len() as u64;
    let series = [Series { name: String::new(), values }];
    format!(
        "<p>{} batches of {} records and {} on average; records per {}</p>{}",
        grouped(count),
        grouped(records / count.max(1)),
        size(bytes / count.max(1)),
        axis.step,
        chart::columns(&axis, &series, "records")
    )
}

fn by_size(files: &[SurveyedFile]) -> Vec<(String, u64)> {
    let mut counts = SIZES.map(|(_, name)| (name.to_owned(), 0));
    for file in files {
        let bucket = SIZES.iter().position(|&(bound, _)| file.bytes <= bound).unwrap_or(SIZES.len() - 1);
        if let Some((_, count)) = counts.get_mut(bucket) {
            *count += 1;
        }
    }
    counts.to_vec()
}

fn lanes(page: &mut String, survey: &Survey) {
    page.push_str(
        "<section><h2>Source partitions</h2><table><tr><th>role</th><th>source</th><th>partition</th>\
         <th>records</th><th>waiting</th><th>last position</th><th>latest event time</th><th>latest arrival</th></tr>",
    );
    let time = |ms: Option<i64>| ms.map_or_else(String::new, rfc3339);
    for lane in survey.lanes.values() {
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td>\
             <td>{}</td><td>{}</td></tr>",
            lane.lane.role,
            escaped(&lane.lane.source),
            escaped(&lane.lane.partition),
            grouped(lane.totals.records),
            grouped(lane.waiting_entries),
            escaped(&lane.last),
            time(lane.event_time_max_ms),
            time(lane.arrival_max_ms),
        );
    }
    page.push_str("</table></section>");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(hours: &[(i64, u64)]) -> SurveyedTable {
        let of = |&(hour, rows): &(i64, u64)| (hour * HOUR_MS, BTreeMap::from([("a".to_owned(), rows)]));
        let rows = hours.iter().map(|(_, rows)| rows).sum();
        SurveyedTable { files: vec![SurveyedFile { bytes: 1, rows }], hours: hours.iter().map(of).collect() }
    }

    #[test]
    fn a_few_wild_clocks_do_not_decide_what_is_shown() {
        let month: Vec<(i64, u64)> = (0..720).map(|hour| (hour, 10)).collect();
        let wild = [month.as_slice(), &[(200_000, 3)]].concat();
        let (first, last) = usual_hours(&table(&wild)).unwrap_or_default();
        assert!(
            (0..10).contains(&(first / HOUR_MS)) && (700..720).contains(&(last / HOUR_MS)),
            "{first} {last}"
        );
        let shown = over_time(&table(&wild), "rows");
        assert!(shown.contains("are left out"), "{shown}");
        assert_eq!(usual_hours(&table(&month)), Some((0, 719 * HOUR_MS)));
    }

    #[test]
    fn many_rows_far_away_are_shown() {
        let two = table(&[(0, 50), (200_000, 50)]);
        assert_eq!(usual_hours(&two), Some((0, 200_000 * HOUR_MS)));
    }
}
