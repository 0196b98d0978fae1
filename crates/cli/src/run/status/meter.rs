//! Rates over the last seconds.

use std::collections::VecDeque;
use std::time::Duration;

use super::Totals;

/// What rates are taken over.
const SPAN: Duration = Duration::from_secs(10);

/// Totals of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Meter(VecDeque<(Duration, Totals)>);

/// Per second; `None` where there is no such sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) read: u64,
    pub(super) rows: Option<u64>,
    pub(super) documents: Option<u64>,
    pub(super) kinesis: Option<u64>,
    pub(super) kafka: Option<u64>,
}

impl Meter {
    /// Takes the totals after `elapsed` in; returns how fast they have grown of late.
    pub(super) fn rates(&mut self, elapsed: Duration, totals: Totals) -> Rates {
        if self.0.is_empty() {
            self.0.push_back((Duration::ZERO, Totals::default()));
        }
        self.0.push_back((elapsed, totals));
        // One that is older than the span stays: rates are taken from it on.
        while self.0.get(1).is_some_and(|(at, _)| elapsed.saturating_sub(*at) >= SPAN) {
            self.0.pop_front();
        }
        let (since, before) = self.0.front().copied().unwrap_or_default();
        let seconds = elapsed.saturating_sub(since).as_secs_f64().max(0.001);
        let rate = |now: u64, before: u64| (now.saturating_sub(before) as f64 / seconds).round() as u64;
        let of = |now: Option<u64>, before: Option<u64>| now.map(|now| rate(now, before.unwrap_or_default()));
        Rates {
            read: rate(totals.read, before.read),
            rows: of(totals.rows, before.rows),
            documents: of(totals.documents, before.documents),
            kinesis: of(totals.kinesis, before.kinesis),
            kafka: of(totals.kafka, before.kafka),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_seconds() {
        let mut meter = Meter::default();
        let totals = |read| Totals { read, rows: Some(read / 2), ..Totals::default() };
        let second = Duration::from_secs;
        assert_eq!(meter.rates(second(2), totals(200)).read, 100);
        for at in 3..=20 {
            let rates = meter.rates(second(at), totals(200 + (at - 2) * 50));
            assert_eq!(rates.documents, None);
        }
        let rates = meter.rates(second(21), totals(200 + 19 * 50));
        assert_eq!((rates.read, rates.rows), (50, Some(25)));
        // Nothing any more.
        for at in 22..40 {
            meter.rates(second(at), totals(200 + 19 * 50));
        }
        assert_eq!(meter.rates(second(40), totals(200 + 19 * 50)).read, 0);
    }
}
