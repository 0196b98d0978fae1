//! What a person wants to see after a run.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use tripline_lake::journal::entry::Totals;
use tripline_lake::publish::{FileFormat, PublishedFile};
use tripline_model::batch::{Counts, DEAD_LETTER_TABLE};
use tripline_model::pipeline::Pipeline;
use tripline_search::Shown;

use super::delivered::Delivered;
use crate::text::{grouped, size};

/// Columns of the table of rows; further values are summed up in a last one.
const COLUMNS: usize = 8;

/// Characters of a document that are shown at most.
const DOCUMENT_CHARACTERS: usize = 200;

pub(super) struct Summary<'a> {
    pub(super) lake: &'a str,
    /// `None` where the function is invoked over HTTP, as are the next two.
    pub(super) pipeline: Option<&'a Pipeline>,
    pub(super) read: u64,
    pub(super) added: Option<Added>,
    /// `None` where publishing was left to others.
    pub(super) published: Option<Published<'a>>,
    /// Files and rows that a function over HTTP says it published.
    pub(super) told: Option<&'a (u64, u64)>,
    pub(super) delivered: &'a Delivered,
    /// Where batches lie that were given up.
    pub(super) on_failure: Option<String>,
    /// What the search cluster has.
    pub(super) documents: &'a [Shown],
    pub(super) elapsed: Duration,
    pub(super) notes: &'a [String],
}

/// What is in the lake after a run, and what it wrote.
pub(super) struct Published<'a> {
    pub(super) totals: &'a Totals,
    pub(super) files: &'a [PublishedFile],
    pub(super) format: FileFormat,
}

/// Records that are in and were not before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Added {
    records: u64,
    rows: u64,
    dead_letters: u64,
    watermarks: u64,
    ignored: u64,
    dead_letter_reasons: BTreeMap<String, u64>,
}

impl Added {
    /// By the totals of the lake before and after. What others add meanwhile is counted too, and so is
    /// what was appended by a function that died before it could say so.
    pub(super) fn between(before: &Totals, after: &Totals) -> Self {
        let new = |of: fn(&Totals) -> u64| of(after) - of(before);
        let rows = |totals: &Totals| totals.rows() - dead_letters(totals);
        let of_reason = |(reason, count): (&String, &u64)| {
            let before = before.dead_letter_reasons.get(reason).copied().unwrap_or_default();
            (reason.clone(), count - before)
        };
        Self {
            records: new(|totals| totals.records),
            rows: rows(after) - rows(before),
            dead_letters: new(dead_letters),
            watermarks: new(|totals| totals.watermarks),
            ignored: new(|totals| totals.ignored),
            dead_letter_reasons: after.dead_letter_reasons.iter().map(of_reason).collect(),
        }
    }

    /// By the function's answers.
    pub(super) fn appended(delivered: &Delivered) -> Self {
        let Counts { records, rows, dead_letters, watermarks, ignored, .. } = delivered.appended;
        let reasons = delivered.dead_letter_reasons.iter();
        let dead_letter_reasons = reasons.map(|(&reason, &count)| (reason.to_owned(), count)).collect();
        Self { records, rows, dead_letters, watermarks, ignored, dead_letter_reasons }
    }
}

impl Summary<'_> {
    pub(super) fn print(&self) {
        print!("{}", self.text());
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let files = self.published.as_ref().map(|published| published.files).unwrap_or_default();
        let tables: BTreeSet<&str> = files.iter().map(|file| file.table.as_str()).collect();
        for table in tables.into_iter().filter(|&table| table != DEAD_LETTER_TABLE) {
            out.push_str(&rows_by_day(table, files));
        }
        self.totals(&mut out);
        for note in self.notes {
            line(&mut out, format_args!("note: {note}"));
        }
        match (self.pipeline, &self.published) {
            (None, _) => line(
                &mut out,
                format_args!("the function does not tell what became of them; `tripline audit` does"),
            ),
            (Some(pipeline), published) => {
                line(&mut out, format_args!("lake                {}", self.lake));
                match published {
                    Some(published) => self.queries(pipeline, published, &mut out),
                    None => line(&mut out, format_args!("not published yet   `tripline publish` does it")),
                }
            }
        }
        self.documents.iter().for_each(|shown| documents(shown, &mut out));
        out
    }

    fn totals(&self, out: &mut String) {
        line(out, format_args!("records read        {:>12}", grouped(self.read)));
        if let Some(added) = &self.added {
            self.added(added, out);
        }
        self.given_up(out);
        line(out, format_args!("invocations         {:>12}", grouped(self.delivered.invocations)));
        if self.delivered.failures > 0 {
            line(out, format_args!("  failed            {:>12}", grouped(self.delivered.failures)));
        }
        if self.delivered.deaths > 0 {
            line(out, format_args!("deaths on purpose   {:>12}", grouped(self.delivered.deaths)));
        }
        if let Some((files, rows)) = self.told {
            line(
                out,
                format_args!(
                    "files written       {:>12}   {} rows, says the function",
                    grouped(*files),
                    grouped(*rows)
                ),
            );
        }
        let seconds = self.elapsed.as_secs_f64();
        // An aggregated record is read as one and holds many.
        let within = self.added.as_ref().map_or(0, |added| added.records + self.delivered.duplicates);
        let rate = (self.read.max(within) as f64 / seconds.max(0.001)) as u64;
        line(out, format_args!("time                {seconds:>10.2} s   {} records/s", grouped(rate)));
    }

    fn given_up(&self, out: &mut String) {
        let (batches, records) = self.delivered.given_up;
        let Some(place) = self.on_failure.as_ref().filter(|_| batches > 0) else { return };
        line(
            out,
            format_args!(
                "given up            {:>12}   in {} batches, which lie in {place}",
                grouped(records),
                grouped(batches)
            ),
        );
        line(
            out,
            format_args!("                    `tripline redrive --failed-batches {place}` sends them again"),
        );
    }

    /// What the function says, or the lake shows, that became of the records.
    fn added(&self, added: &Added, out: &mut String) {
        let Added { records, rows, dead_letters, watermarks, ignored, dead_letter_reasons } = added;
        let place = if self.published.is_some() { "lake" } else { "journal" };
        line(out, format_args!("  new in the {place:<7}{:>12}", grouped(*records)));
        line(out, format_args!("    rows            {:>12}", grouped(*rows)));
        line(out, format_args!("    dead letters    {:>12}", grouped(*dead_letters)));
        for (reason, count) in dead_letter_reasons.iter().filter(|&(_, &count)| count > 0) {
            line(out, format_args!("      {reason:<20}{:>6}", grouped(*count)));
        }
        if *watermarks > 0 {
            line(out, format_args!("    watermarks      {:>12}", grouped(*watermarks)));
        }
        if *ignored > 0 {
            line(out, format_args!("    ignored         {:>12}", grouped(*ignored)));
        }
        line(out, format_args!("duplicates dropped  {:>12}", grouped(self.delivered.duplicates)));
        if self.read > 0 && *records == 0 {
            line(out, format_args!("nothing new: every record was in the {place} already"));
        }
        if let Some(Published { files, .. }) = self.published {
            let bytes: u64 = files.iter().map(|file| file.bytes).sum();
            let count = grouped(files.len() as u64);
            line(out, format_args!("files written       {count:>12}   {}", size(bytes)));
        }
        if let Some(search) = &self.delivered.search {
            let documents = grouped(search.created + search.updated);
            let (created, requests) = (grouped(search.created), grouped(search.requests));
            line(
                out,
                format_args!("documents indexed   {documents:>12}   {created} new, {requests} requests"),
            );
            if search.refused > search.malformed {
                let refused = grouped(search.refused - search.malformed);
                line(
                    out,
                    format_args!(
                        "  refused           {refused:>12}   dead letters, see the table dead_letter"
                    ),
                );
            }
        }
        for (target, counts) in &self.delivered.streams {
            let label = format!("{} records", target.name());
            line(out, format_args!("{label:<20}{:>12}", grouped(counts.taken)));
        }
    }

    fn queries(&self, pipeline: &Pipeline, published: &Published<'_>, out: &mut String) {
        let has_rows =
            |table: &&str| published.totals.tables.get(*table).is_some_and(|totals| totals.rows > 0);
        let Some(table) = pipeline.tables().find(has_rows) else { return };
        let folder = format!("{}/{table}", self.lake.trim_end_matches('/'));
        let (reader, pattern) = match published.format {
            FileFormat::Parquet => ("read_parquet", "**/*.parquet"),
            FileFormat::JsonLines => ("read_json", "**/*.json.gz"),
        };
        line(
            out,
            format_args!(
                "look at it          duckdb -c \"FROM {reader}('{folder}/{pattern}', hive_partitioning=true) LIMIT 10\""
            ),
        );
        if published.format == FileFormat::Parquet {
            line(
                out,
                format_args!(
                    "                    python -c \"import polars; print(polars.scan_parquet('{folder}', hive_partitioning=True).head(10).collect())\""
                ),
            );
        }
    }
}

fn dead_letters(totals: &Totals) -> u64 {
    totals.tables.get(DEAD_LETTER_TABLE).map_or(0, |table| table.rows)
}

/// How many documents there are, and some of them.
fn documents(shown: &Shown, out: &mut String) {
    let label = format!("index {}", shown.indices);
    line(out, format_args!("{label:<20}{:>12}   documents in all", grouped(shown.count)));
    for document in &shown.documents {
        let source = cut(&document.source, DOCUMENT_CHARACTERS);
        line(out, format_args!("  {}/{}  {source}", document.index, document.id));
    }
}

/// A text, or what fits of it with `…` at its end.
fn cut(text: &str, characters: usize) -> Cow<'_, str> {
    match text.char_indices().nth(characters) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

/// Rows by day, downwards, and by the first partition key, across.
fn rows_by_day(table: &str, files: &[PublishedFile]) -> String {
    let mut cells: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for file in files.iter().filter(|file| file.table == table) {
        let (day, value) = day_and_value(&file.partition);
        *cells.entry((day, value.clone())).or_default() += file.rows;
        *sums.entry(value).or_default() += file.rows;
    }
    let mut columns: Vec<(&String, &u64)> = sums.iter().collect();
    columns.sort_by(|one, other| other.1.cmp(one.1));
    let (shown, rest) = columns.split_at(columns.len().min(COLUMNS));
    let days: BTreeSet<&String> = cells.keys().map(|(day, _)| day).collect();
    let mut out = format!("{table:<12}");
    for (value, _) in shown {
        let _ = write!(out, "{value:>14}");
    }
    if !rest.is_empty() {
        let _ = write!(out, "{:>14}", "others");
    }
    out.push('\n');
    let cell =
        |day: &String, value: &String| cells.get(&(day.clone(), value.clone())).copied().unwrap_or_default();
    for day in days {
        let _ = write!(out, "{day:<12}");
        for (value, _) in shown {
            let _ = write!(out, "{:>14}", grouped(cell(day, value)));
        }
        if !rest.is_empty() {
            let others: u64 = rest.iter().map(|(value, _)| cell(day, value)).sum();
            let _ = write!(out, "{:>14}", grouped(others));
        }
        out.push('\n');
    }
    let _ = write!(out, "{:<12}", "all");
    for (_, sum) in shown {
        let _ = write!(out, "{:>14}", grouped(**sum));
    }
    if !rest.is_empty() {
        let _ = write!(out, "{:>14}", grouped(rest.iter().map(|(_, sum)| **sum).sum()));
    }
    out.push_str("\n\n");
    out
}

/// A partition's day, from its time keys, and its first other value.
fn day_and_value(partition: &str) -> (String, String) {
    let mut day = Vec::new();
    let mut value = None;
    for (key, of_key) in partition.split('/').filter_map(|component| component.split_once('=')) {
        match key {
            "year" | "month" | "day" => day.push(of_key),
            "hour" => {}
            _ => value = value.or(Some(of_key)),
        }
    }
    (day.join("-"), value.unwrap_or("rows").to_owned())
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use tripline_search::Document;

    use super::*;

    fn file(partition: &str, rows: u64) -> PublishedFile {
        PublishedFile {
            key: String::new(),
            table: "trip".into(),
            partition: partition.into(),
            rows,
            bytes: 10,
        }
    }

    #[test]
    fn documents_are_shown_with_their_ids_and_long_ones_are_cut() {
        let document = |id: &str, source: &str| Document {
            index: "trips-2019".to_owned(),
            id: id.to_owned(),
            source: source.to_owned(),
        };
        let long = format!("{{\"name\":\"{}\"}}", "é".repeat(200));
        let documents_shown = vec![document("1", "{\"a\":1}"), document("2", &long)];
        let shown = Shown { indices: "trips-*".to_owned(), count: 6_500, documents: documents_shown };
        let mut out = String::new();
        documents(&shown, &mut out);
        let expected = format!(
            "index trips-*              6,500   documents in all\n  trips-2019/1  {{\"a\":1}}\n  trips-2019/2  \
             {{\"name\":\"{}…\n",
            "é".repeat(DOCUMENT_CHARACTERS - 9)
        );
        assert_eq!(out, expected);
    }

    #[test]
    fn rows_are_summed_by_day_and_value() {
        let files = [
            file("pickup_borough=queens/year=2019/month=03/day=01/hour=07", 2),
            file("pickup_borough=manhattan/year=2019/month=03/day=01/hour=07", 1_000),
            file("pickup_borough=manhattan/year=2019/month=03/day=01/hour=08", 500),
            file("pickup_borough=manhattan/year=2019/month=03/day=02/hour=00", 1),
        ];
        let lines: Vec<Vec<String>> = rows_by_day("trip", &files)
            .lines()
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect();
        assert_eq!(lines.first().map(|line| line.join(" ")).as_deref(), Some("trip manhattan queens"));
        assert_eq!(lines.get(1).map(|line| line.join(" ")).as_deref(), Some("2019-03-01 1,500 2"));
        assert_eq!(lines.get(3).map(|line| line.join(" ")).as_deref(), Some("all 1,501 2"));
    }
}
