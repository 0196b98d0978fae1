//! What a replay tells: a bar, statistics, and a final count.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tripline_model::time::rfc3339;

use super::engine::{Listener, Telling};
use crate::text::{grouped, size};

/// Between two changes of the bar.
const REDRAW: Duration = Duration::from_millis(200);

/// Tells on standard error; the bar only on a terminal.
pub(super) struct Teller<F> {
    bar: ProgressBar,
    /// Bytes read.
    read: F,
    drawn: Duration,
    last: Telling,
}

impl<F: Fn() -> u64 + Send> Teller<F> {
    /// For inputs of this many bytes, of which `read` tells how many have been read.
    pub(super) fn new(bytes: u64, read: F) -> Self {
        let style = ProgressStyle::with_template(
            "{bar:20} {percent:>3} %  {bytes}/{total_bytes}  {elapsed}  {wide_msg}",
        );
        let bar = ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, read, drawn: Duration::ZERO, last: Telling::default() }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

impl<F: Fn() -> u64 + Send> Listener for Teller<F> {
    fn progress(&mut self, telling: &Telling) {
        if telling.elapsed < self.drawn + REDRAW {
            return;
        }
        self.drawn = telling.elapsed;
        self.bar.set_position((self.read)());
        let rate = rate(telling.records, telling.elapsed);
        let up_to = telling.latest_ms.map(rfc3339).unwrap_or_default();
        self.bar.set_message(format!(
            "{} sent, {}/s, lag {:.1} s, up to {up_to}",
            grouped(telling.records),
            grouped(rate),
            telling.lag.as_secs_f64()
        ));
    }

    fn statistics(&mut self, telling: &Telling) {
        let since = telling.elapsed.saturating_sub(self.last.elapsed);
        let (records, bytes) = (telling.records - self.last.records, telling.bytes - self.last.bytes);
        let up_to = telling.latest_ms.map_or_else(|| "none".to_owned(), rfc3339);
        let line = format!(
            "events up to {up_to} sent: {} records, {} in the last {:.0} s ({}/s, {}/s), replay lag {:.1} s",
            grouped(telling.records),
            grouped(records),
            since.as_secs_f64(),
            grouped(rate(records, since)),
            size(rate(bytes, since)),
            telling.lag.as_secs_f64()
        );
        self.last = *telling;
        self.bar.suspend(|| eprintln!("{line}"));
    }
}

/// So many a second.
pub(super) fn rate(count: u64, within: Duration) -> u64 {
    (count as f64 / within.as_secs_f64().max(0.001)) as u64
}

/// The final count.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Summary {
    /// Where events went.
    pub(super) target: String,
    /// It has come to its end.
    pub(super) complete: bool,
    /// Files that were to be read.
    pub(super) files: u64,
    /// Events read, after those left out by `--seek` and up to `--limit`.
    pub(super) read: u64,
    /// Records that the target has from all runs: what an audit behind it counts.
    pub(super) records: u64,
    /// Of these, events in their turn.
    pub(super) events: u64,
    /// Events held back.
    pub(super) late: u64,
    /// Events sent once more.
    pub(super) duplicates: u64,
    /// What is no event.
    pub(super) poison: u64,
    /// What the target will never take; not among the records.
    pub(super) refused: u64,
    /// Watermark records of this run; not among the records.
    pub(super) watermarks: u64,
    /// Records of earlier runs, by the checkpoint.
    pub(super) before: u64,
    /// Events before the one where the replay begins.
    pub(super) skipped: u64,
    /// Events that tell no time; they were sent.
    pub(super) untimed: u64,
    /// Events sent after a later one.
    pub(super) unordered: u64,
    /// Lines that no stream could hold, left out.
    pub(super) oversize: u64,
    /// Bytes of the records.
    pub(super) bytes: u64,
    /// Requests of this run.
    pub(super) requests: u64,
    /// Times that a record was sent again in this run.
    pub(super) retried: u64,
    /// Times that a record was put off by the target's limits in this run.
    pub(super) throttled: u64,
    /// Gaps of event time that were not waited for.
    pub(super) gaps_cut: u64,
    /// The latest event time that was sent in this run.
    pub(super) up_to: Option<String>,
    /// Of this run.
    pub(super) seconds: f64,
    /// Of this run.
    pub(super) records_a_second: u64,
}

impl Summary {
    /// As people read it.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        let mut line = |name: &str, count: u64, note: &str| {
            let text = format!("{name:<20}{:>12}   {note}", grouped(count));
            out.push_str(text.trim_end());
            out.push('\n');
        };
        let up_to = self.up_to.as_deref().map(|at| format!("up to {at}")).unwrap_or_default();
        line("events read", self.read, &format!("{} files", grouped(self.files)));
        line("records sent", self.records, &format!("to {} {up_to}", self.target));
        line("  events", self.events, "in their turn");
        for (name, count, note) in [
            ("  late", self.late, "held back on purpose"),
            ("  duplicates", self.duplicates, "on purpose"),
            ("  poison", self.poison, "on purpose"),
            ("  of earlier runs", self.before, "by the checkpoint"),
            ("watermarks", self.watermarks, "not among the records"),
            ("refused", self.refused, "the target will never take them"),
            ("skipped", self.skipped, "before --seek"),
            ("without a time", self.untimed, "sent with the event before them"),
            ("out of order", self.unordered, "sent after a later one; --order full sorts all"),
            ("oversize", self.oversize, "lines left out, no stream takes them"),
            ("retried", self.retried, ""),
            ("throttled", self.throttled, ""),
            ("gaps cut", self.gaps_cut, "longer than --max-wait"),
        ] {
            if count > 0 {
                line(name, count, note);
            }
        }
        let (rate, bytes) = (grouped(self.records_a_second), size(self.bytes));
        out.push_str(&format!("time                {:>10.2} s   {rate} records/s, {bytes}\n", self.seconds));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_tells_what_there_was_and_no_more() {
        let summary = Summary {
            target: "the Kinesis stream 'trips'".to_owned(),
            files: 2,
            read: 6_500,
            records: 6_530,
            events: 6_500,
            duplicates: 30,
            bytes: 3_000_000,
            seconds: 2.0,
            records_a_second: 3_265,
            up_to: Some("2019-03-31T23:59:59.000Z".to_owned()),
            ..Summary::default()
        };
        let expected = "events read                6,500   2 files\n\
                        records sent               6,530   to the Kinesis stream 'trips' up to 2019-03-31T23:59:59.000Z\n  \
                        events                   6,500   in their turn\n  \
                        duplicates                  30   on purpose\n\
                        time                      2.00 s   3,265 records/s, 3.0 MB\n";
        assert_eq!(summary.text(), expected);
    }
}
