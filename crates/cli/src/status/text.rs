//! The status for people.

use std::fmt::Write as _;
use std::time::Duration;

use tripline_lake::event_time::Activity;
use tripline_lake::status::{LaneLag, LaneStatus};
use tripline_model::batch::DEAD_LETTER_TABLE;
use tripline_model::time::rfc3339;

use super::Seen;
use super::ahead::By;
use crate::text::{grouped, size};

/// What is printed.
pub(super) fn of(seen: &Seen<'_>) -> String {
    let mut out = String::new();
    head(&mut out, seen);
    for lane in &seen.status.lanes {
        self::lane(&mut out, seen, lane);
    }
    for ahead in seen.ahead {
        let by = match ahead.by {
            By::Time(behind) if behind.is_zero() => "has nothing that the lake lacks".to_owned(),
            By::Offsets(0) => "has nothing that the lake lacks".to_owned(),
            By::Time(behind) => format!("is {} ahead of the lake", duration(behind)),
            By::Offsets(offsets) => format!("is {} offsets ahead of the lake", grouped(offsets)),
            By::Unknown => "does not say how far it is ahead".to_owned(),
        };
        let _ = writeln!(out, "source {} {by}", ahead.partition);
    }
    for need in seen.needs {
        let _ = writeln!(out, "NEEDS YOU {need}");
    }
    let verdict = if seen.needs.is_empty() { "nothing needs a person" } else { "something needs a person" };
    let _ = writeln!(out, "status: {verdict}");
    out
}

/// What is said of the lake as a whole, a line each.
fn head(out: &mut String, seen: &Seen<'_>) {
    let Seen { lake, pipeline, status, .. } = seen;
    let _ = writeln!(out, "{lake}: pipeline {pipeline}, {} lanes", status.lanes.len());
    let checkpoint = match status.written_at_ms {
        Some(at_ms) => format!("generation {}, {}", status.generation, ago(seen, at_ms)),
        None => "none: nothing has been published yet".to_owned(),
    };
    let pending = match &status.pending {
        Some(pending) => format!(
            "{} files with {} rows, {}, committed {}: the next publish completes them",
            grouped(pending.files),
            grouped(pending.rows),
            size(pending.bytes),
            ago(seen, pending.since_ms)
        ),
        None => "no file".to_owned(),
    };
    let totals = status.totals();
    let letters = totals.tables.get(DEAD_LETTER_TABLE).map_or(0, |table| table.rows);
    let reasons: Vec<String> = totals
        .dead_letter_reasons
        .iter()
        .map(|(reason, count)| format!("{reason} {}", grouped(*count)))
        .collect();
    let reasons = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(", ")) };
    let newest = status.event_time_max_ms().map_or_else(|| "none".to_owned(), |ms| at(seen, ms));
    let watermark = status.watermark_ms.map_or_else(|| "none".to_owned(), |ms| at(seen, ms));
    let partitions = format!(
        "{} open, {} complete without their _SUCCESS yet",
        grouped(status.open_partitions),
        grouped(status.due)
    );
    let lines = [
        ("checkpoint", checkpoint),
        ("pending", pending),
        ("waiting", waiting(seen, &status.lag())),
        ("newest event", newest),
        ("watermark", watermark),
        ("partitions", partitions),
        ("dead letters", format!("{}{reasons}", grouped(letters))),
    ];
    for (name, line) in lines {
        let _ = writeln!(out, "  {name:<13} {line}");
    }
}

/// Why the watermark does not wait for a lane, if it does not.
fn standing(seen: &Seen<'_>, lane: &LaneStatus) -> &'static str {
    match seen.activity(lane) {
        Some(Activity::Idle) => "; idle: the watermark does not wait for it",
        Some(Activity::Apart) => "; no stream: the watermark does not look at it",
        Some(Activity::Active) | None => "",
    }
}

fn lane(out: &mut String, seen: &Seen<'_>, lane: &LaneStatus) {
    let name = lane.lane().map_or_else(|| lane.folder.clone(), ToString::to_string);
    let _ = writeln!(out, "{name}");
    let reached = |position: &Option<tripline_lake::checkpoint::LanePosition>| {
        position.as_ref().map_or_else(
            || "nothing".to_owned(),
            |position| format!("entry {}, position {}", position.number, position.last),
        )
    };
    let _ = writeln!(out, "  {:<13} {}", "published", reached(&lane.published));
    let _ = writeln!(out, "  {:<13} {}", "committed", reached(&lane.committed));
    let _ = writeln!(out, "  {:<13} {}", "waiting", waiting(seen, &lane.lag));
    if let Some(ms) = lane.event_time_max_ms() {
        let _ = writeln!(out, "  {:<13} {}{}", "newest event", at(seen, ms), standing(seen, lane));
    }
    if let Some(stopped) = &lane.stopped {
        let _ = writeln!(out, "  {:<13} entry {}: {}", "STOPPED", stopped.entry, stopped.reason);
    }
}

fn waiting(seen: &Seen<'_>, lag: &LaneLag) -> String {
    let Some(oldest_ms) = lag.oldest_ms else { return "nothing".to_owned() };
    format!(
        "{} entries with {} records, {}, the oldest {}",
        grouped(lag.entries),
        grouped(lag.records),
        size(lag.bytes),
        ago(seen, oldest_ms)
    )
}

fn ago(seen: &Seen<'_>, at_ms: i64) -> String {
    let age = u64::try_from(seen.age_ms(at_ms)).unwrap_or_default();
    format!("{} ago", duration(Duration::from_millis(age)))
}

fn at(seen: &Seen<'_>, at_ms: i64) -> String {
    format!("{}, {}", rfc3339(at_ms), ago(seen, at_ms))
}

/// A duration in its two largest units.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut left = seconds;
    let mut shown = Vec::new();
    for (unit, name) in parts {
        let count = left / unit;
        left %= unit;
        if count > 0 {
            shown.push(format!("{count} {name}"));
        } else if !shown.is_empty() {
            break;
        }
    }
    shown.truncate(2);
    if shown.is_empty() { format!("{} ms", duration.subsec_millis()) } else { shown.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_their_two_largest_units() {
        for (ms, told) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1 s"),
            (61_000, "1 min 1 s"),
            (3_600_000, "1 h"),
            (3_601_000, "1 h"),
            (90_061_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(ms)), told);
        }
    }
}
