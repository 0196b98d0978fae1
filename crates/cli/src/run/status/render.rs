//! A moment of a run as text.

use std::time::Duration;

use tripline_model::time;

use super::meter::Rates;
use super::{Lag, Part, PartState, Totals};
use crate::text::{grouped, size};

/// Shards, topic-partitions or files that have a line.
const LINES: usize = 12;
/// Characters of a name and of a position that are shown.
const NAME: usize = 36;
const POSITION: usize = 14;

/// All that is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) elapsed: Duration,
    pub(super) parts: Vec<(String, Part)>,
    pub(super) totals: Totals,
    pub(super) rates: Rates,
    pub(super) given_up: (u64, u64),
    pub(super) newest_ms: Option<i64>,
    /// How long ago files were published last, and how many in all.
    pub(super) published: Option<(Duration, u64)>,
    pub(super) watermark_ms: Option<i64>,
    pub(super) is_publishing: bool,
    pub(super) bytes: Option<(u64, u64)>,
    pub(super) trouble: Option<(u32, String)>,
}

/// The lines of the live block.
pub(super) fn block(view: &View) -> Vec<String> {
    let mut lines = Vec::new();
    // Those that have ended are of least interest.
    let (going, ended): (Vec<_>, Vec<_>) =
        view.parts.iter().partition(|(_, part)| part.state != PartState::Ended);
    let shown = going.iter().chain(&ended).take(LINES);
    lines.extend(shown.map(|(name, part)| part_line(name, part)));
    if view.parts.len() > LINES {
        lines.push(format!("… and {} more", view.parts.len() - LINES));
    }
    lines.push(format!("{}  {}", clock(view.elapsed), speed(view)));
    lines.push(format!("          {}", outcome(view)));
    lines.extend(trouble(view));
    lines
}

/// The same in one line, for logs.
pub(super) fn line(view: &View) -> String {
    let parts = view.parts.len();
    let mut text = format!("{}  {parts} source partitions; {}", clock(view.elapsed), speed(view));
    if let Some(behind) = behind(view) {
        text = format!("{text}; {behind}");
    }
    let outcome = outcome(view);
    if !outcome.is_empty() {
        text = format!("{text}; {outcome}");
    }
    match trouble(view) {
        Some(trouble) => format!("{text}; {trouble}"),
        None => text,
    }
}

fn part_line(name: &str, part: &Part) -> String {
    let Part { position, lag, records, state } = part;
    let state = match state {
        PartState::Reading => "reading",
        PartState::Delivering => "delivering",
        PartState::Idle => "idle",
        PartState::Ended => "ended",
    };
    let lag = lag.map(told).unwrap_or_default();
    format!(
        "{:<NAME$}  {:>POSITION$}  {:>12} records  {lag:>20}  {state}",
        tail(name, NAME),
        tail(position, POSITION),
        grouped(*records)
    )
    .trim_end()
    .to_owned()
}

fn told(lag: Lag) -> String {
    match lag {
        Lag::Time(behind) if behind < Duration::from_secs(1) => format!("{} ms behind", behind.as_millis()),
        Lag::Time(behind) => format!("{} behind", clock(behind)),
        Lag::Records(behind) => format!("{} to come", grouped(behind)),
    }
}

/// Of all source partitions: the longest time, and the sum of records.
fn behind(view: &View) -> Option<String> {
    let lags = || view.parts.iter().filter_map(|(_, part)| part.lag);
    let longest = lags().filter_map(|lag| if let Lag::Time(time) = lag { Some(time) } else { None }).max();
    let records = lags().filter_map(|lag| if let Lag::Records(records) = lag { Some(records) } else { None });
    longest.map(Lag::Time).or_else(|| records.reduce(|sum, more| sum + more).map(Lag::Records)).map(told)
}

/// How much was read, and how fast it goes into each sink.
fn speed(view: &View) -> String {
    let View { totals, rates, .. } = view;
    let mut parts = vec![format!("{} read, {}/s", grouped(totals.read), grouped(rates.read))];
    if let Some((read, all)) = view.bytes {
        parts.push(format!("{} of {}", size(read), size(all)));
    }
    let sinks = [
        ("lake", rates.rows, "rows"),
        ("search", rates.documents, "documents"),
        ("kinesis", rates.kinesis, "records"),
        ("kafka", rates.kafka, "records"),
    ];
    for (sink, rate, what) in sinks {
        parts.extend(rate.map(|rate| format!("{sink} {} {what}/s", grouped(rate))));
    }
    parts.join("; ")
}

/// What came of it.
fn outcome(view: &View) -> String {
    let mut parts = Vec::new();
    parts.extend(view.totals.duplicates.map(|count| format!("{} duplicates", grouped(count))));
    parts.extend(view.totals.dead_letters.map(|count| format!("{} dead letters", grouped(count))));
    if view.given_up.1 > 0 {
        parts.push(format!("{} given up", grouped(view.given_up.1)));
    }
    parts.extend(view.newest_ms.map(|ms| format!("newest event {}", time::rfc3339(ms))));
    parts.extend(view.watermark_ms.map(|ms| format!("watermark {}", time::rfc3339(ms))));
    if view.is_publishing {
        parts.push("publishing…".to_owned());
    } else if let Some((ago, files)) = view.published {
        parts.push(format!("published {} ago, {} files so far", clock(ago), grouped(files)));
    }
    parts.join("; ")
}

fn trouble(view: &View) -> Option<String> {
    let (times, why) = view.trouble.as_ref()?;
    // Messages of servers may have several lines.
    let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(format!("failed {times} times: {why}"))
}

/// `1:02:03`, or `02:03`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes:02}:{seconds:02}")
    }
}

/// A text, or its end with `…` before it: names and positions differ there.
fn tail(text: &str, characters: usize) -> String {
    let count = text.chars().count();
    if count <= characters {
        return text.to_owned();
    }
    std::iter::once('…').chain(text.chars().skip(count - characters + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(number: u64, lag: Option<Lag>, state: PartState) -> (String, Part) {
        let position = "49590338271490256608559692538361571095921575989136588898".to_owned();
        (format!("shardId-{number:012}"), Part { position, lag, records: 1_000 * number, state })
    }

    fn view() -> View {
        View {
            elapsed: Duration::from_secs(3_723),
            parts: vec![
                shard(1, Some(Lag::Time(Duration::from_millis(250))), PartState::Idle),
                shard(2, Some(Lag::Time(Duration::from_secs(75))), PartState::Delivering),
            ],
            totals: Totals {
                read: 3_000,
                rows: Some(2_990),
                duplicates: Some(7),
                dead_letters: Some(3),
                ..Totals::default()
            },
            rates: Rates { read: 1_200, rows: Some(1_190), documents: Some(5), ..Rates::default() },
            newest_ms: Some(1_551_441_600_000),
            published: Some((Duration::from_secs(30), 1_517)),
            watermark_ms: Some(1_551_438_000_000),
            ..View::default()
        }
    }

    #[test]
    fn each_shard_has_a_line_and_the_run_two() {
        let expected = [
            "shardId-000000000001                  …5989136588898         1,000 records         250 ms behind  idle",
            "shardId-000000000002                  …5989136588898         2,000 records          01:15 behind  delivering",
            "1:02:03  3,000 read, 1,200/s; lake 1,190 rows/s; search 5 documents/s",
            "          7 duplicates; 3 dead letters; newest event 2019-03-01T12:00:00.000Z; watermark 2019-03-01T11:00:00.000Z; published 00:30 ago, 1,517 files so far",
        ];
        assert_eq!(block(&view()), expected);
    }

    #[test]
    fn of_many_shards_those_that_go_on_are_shown() {
        let mut view = view();
        view.parts = (0..20)
            .map(|number| {
                shard(number, None, if number < 10 { PartState::Ended } else { PartState::Reading })
            })
            .collect();
        let block = block(&view);
        assert!(block.first().is_some_and(|line| line.starts_with("shardId-000000000010")), "{block:#?}");
        assert_eq!(block.iter().filter(|line| line.starts_with("shardId")).count(), LINES);
        assert_eq!(block.get(LINES).map(String::as_str), Some("… and 8 more"));
        assert_eq!(block.len(), LINES + 3);
    }

    #[test]
    fn a_log_has_one_line_with_the_longest_lag_and_what_stands_in_the_way() {
        let mut view = view();
        view.trouble = Some((3, "the cluster\nis away".to_owned()));
        view.given_up = (1, 40);
        view.is_publishing = true;
        assert_eq!(
            line(&view),
            "1:02:03  2 source partitions; 3,000 read, 1,200/s; lake 1,190 rows/s; search 5 documents/s; 01:15 behind; \
             7 duplicates; 3 dead letters; 40 given up; newest event 2019-03-01T12:00:00.000Z; watermark 2019-03-01T11:00:00.000Z; publishing…; failed 3 \
             times: the cluster is away"
        );
        view.parts = vec![
            ("trips-0".to_owned(), Part { lag: Some(Lag::Records(1_000)), ..Part::default() }),
            ("trips-1".to_owned(), Part { lag: Some(Lag::Records(500)), ..Part::default() }),
        ];
        assert!(line(&view).contains("; 1,500 to come; "), "{}", line(&view));
    }

    #[test]
    fn a_function_that_does_not_say_what_it_did_is_given_no_numbers() {
        let view = View {
            elapsed: Duration::from_secs(12),
            totals: Totals { read: 10, ..Totals::default() },
            bytes: Some((500, 2_000)),
            ..View::default()
        };
        assert_eq!(line(&view), "00:12  0 source partitions; 10 read, 0/s; 500 B of 2.0 kB");
    }
}
