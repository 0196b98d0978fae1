//! An object for people.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use tripline_lake::checkpoint::Checkpoint;
use tripline_lake::inspect::{FileFacts, Inspected};
use tripline_lake::journal::entry::{Header, Totals};
use tripline_lake::redrive::{Redrive, RedriveState};
use tripline_model::schema::{ColumnDefinition, History, Version};
use tripline_model::time::rfc3339;

use crate::text::{grouped, size};

/// What is printed.
pub(super) fn of(name: &str, bytes: u64, inspected: &Inspected) -> String {
    let mut out = Lines(String::new());
    match inspected {
        Inspected::Entry(header) => {
            out.title(name, &format!("entry {} of the journal, {}", header.number, size(bytes)));
            entry(&mut out, header);
        }
        Inspected::Parquet(facts) => {
            out.title(name, &format!("Parquet, {} rows, {}", grouped(facts.rows), size(bytes)));
            file(&mut out, facts);
        }
        Inspected::JsonLines { rows, bytes: raw } => {
            let told =
                format!("JSON lines, {} rows, {}, {} unpacked", grouped(*rows), size(bytes), size(*raw));
            out.title(name, &told);
        }
        Inspected::Checkpoint(found) => {
            out.title(name, &format!("checkpoint, generation {}", found.generation));
            checkpoint(&mut out, found);
        }
        Inspected::Identity { pipeline, location } => {
            out.title(name, "identity of a lake");
            out.line("pipeline", pipeline);
            out.line("proved at", location);
        }
        Inspected::Schemas(found) => {
            out.title(name, "versions of a pipeline's columns");
            schemas(&mut out, found);
        }
        Inspected::Redrive(found) => {
            out.title(name, &format!("redrive {} of dead letters", found.number));
            redrive(&mut out, found);
        }
        _ => out.title(name, "something newer than this tool"),
    }
    out.0
}

struct Lines(String);

impl Lines {
    fn title(&mut self, name: &str, what: &str) {
        let _ = writeln!(self.0, "{name}: {what}");
    }

    fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "  {name:<13} {value}");
    }

    fn time(&mut self, name: &str, at_ms: Option<i64>) {
        if let Some(at_ms) = at_ms {
            self.line(name, rfc3339(at_ms));
        }
    }

    fn totals(&mut self, totals: &Totals) {
        let Totals { records, duplicates, watermarks, ignored, .. } = totals;
        let counts = [
            (records, "records"),
            (duplicates, "duplicates dropped"),
            (watermarks, "watermarks"),
            (ignored, "ignored"),
        ];
        let told: Vec<String> =
            counts.iter().map(|(count, what)| format!("{} {what}", grouped(**count))).collect();
        self.line("totals", told.join(", "));
        for (table, totals) in &totals.tables {
            self.line(
                "table",
                format_args!("{table}: {} rows, digest {:016x}", grouped(totals.rows), totals.digest),
            );
        }
        for (reason, count) in &totals.dead_letter_reasons {
            self.line("dead letters", format_args!("{reason}: {}", grouped(*count)));
        }
    }
}

fn schemas(out: &mut Lines, history: &History) {
    for Version { seen_at_ms, definition } in &history.versions {
        out.line("version", format_args!("{}, seen first at {}", definition.version, rfc3339(*seen_at_ms)));
        for (name, table) in &definition.tables {
            let column = |column: &ColumnDefinition| format!("{} {}", column.name, column.kind.name());
            let columns: Vec<String> = table.columns.iter().map(column).collect();
            out.line("table", format_args!("{name}: {}", columns.join(", ")));
        }
    }
}

fn entry(out: &mut Lines, header: &Header) {
    out.line("lane", &header.lane);
    out.line("folder", header.lane.folder());
    out.line("range", format_args!("{} to {}", header.first, header.last));
    out.time("written", Some(header.written_at_ms));
    out.time("arrival", header.arrival_max_ms);
    out.time("newest event", header.event_time_max_ms);
    out.totals(&header.totals);
    for section in &header.sections {
        let told = format!(
            "{}: {} rows, {}, {} unpacked, {} partitions",
            section.table,
            grouped(section.rows),
            size(section.length),
            size(section.raw_length),
            grouped(section.partitions.len() as u64)
        );
        out.line("section", told);
        for partition in &section.partitions {
            let path = if partition.path.is_empty() { "all in one" } else { &partition.path };
            out.line("", format_args!("{path}: {} rows", grouped(partition.rows)));
        }
    }
}

fn file(out: &mut Lines, facts: &FileFacts) {
    if let Some(by) = &facts.created_by {
        out.line("written by", by);
    }
    for (key, value) in &facts.labels {
        out.line("label", format_args!("{key} = {value}"));
    }
    for (number, group) in (1..).zip(&facts.row_groups) {
        let told = format!(
            "{number}: {} rows, {}, {} unpacked",
            grouped(group.rows),
            size(group.compressed),
            size(group.uncompressed)
        );
        out.line("row group", told);
    }
    let joined = |texts: &BTreeSet<String>| texts.iter().map(String::as_str).collect::<Vec<_>>().join("+");
    for column in &facts.columns {
        let told = format!(
            "{} {}{}: {}, {} unpacked, {}, {}",
            column.name,
            column.data_type,
            if column.nullable { "" } else { " required" },
            size(column.compressed),
            size(column.uncompressed),
            joined(&column.encodings),
            joined(&column.compression)
        );
        out.line("column", told);
    }
}

fn checkpoint(out: &mut Lines, found: &Checkpoint) {
    out.line("pipeline", &found.pipeline);
    out.line("run", &found.run);
    out.time("written", Some(found.written_at_ms));
    out.totals(&found.totals());
    for (folder, position) in &found.lanes {
        out.line("lane", &position.lane);
        out.line("", format_args!("{folder}: entry {}, position {}", position.number, position.last));
    }
    for file in &found.pending {
        let told = format!("{}: {} rows, {}", file.key, grouped(file.contents.rows), size(file.bytes));
        out.line("pending", told);
    }
}

fn redrive(out: &mut Lines, found: &Redrive) {
    out.time("begun", Some(found.begun_at_ms));
    out.line("letters", &found.filter);
    out.line("sinks", found.sinks.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
    match found.state {
        RedriveState::Running => out.line("state", "begun, and not done: `tripline redrive` finishes it"),
        RedriveState::Done { at_ms, sent } => {
            out.time("done", Some(at_ms));
            let told = format!(
                "{} letters, {} failed again, {} had been sent before",
                grouped(sent.letters),
                grouped(sent.failed_again),
                grouped(sent.sent_before)
            );
            out.line("sent", told);
        }
    }
    for file in &found.files {
        out.line("file", file);
    }
}
