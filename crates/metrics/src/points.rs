//! What one document tells.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrique_writer_core::{Entry, EntryWriter, MetricFlags, Observation, Value, ValueWriter};

use crate::catalogue::Metric;

/// Values of metrics at one time.
#[derive(Clone, Debug)]
pub struct Points {
    at_ms: i64,
    values: Vec<(Metric, Observation)>,
}

impl Points {
    /// None yet, at a time in milliseconds since 1970 UTC.
    #[must_use]
    pub const fn at(at_ms: i64) -> Self {
        Self { at_ms, values: Vec::new() }
    }

    /// Tells a value; a zero only where the metric is told always.
    pub fn tell(&mut self, metric: Metric, value: u64) {
        if value > 0 || metric.always {
            self.values.push((metric, Observation::Unsigned(value)));
        }
    }

    /// Tells how many values there are, by their sum.
    pub fn tell_mean(&mut self, metric: Metric, sum: u64, count: u64) {
        if count > 0 {
            // Sizes and times: far below what a double holds exactly.
            #[allow(clippy::cast_precision_loss)]
            let total = sum as f64;
            self.values.push((metric, Observation::Repeated { total, occurrences: count }));
        }
    }
}

/// A document: points, and the dimensions by which they are told apart.
pub(crate) struct Document<'a> {
    pub(crate) dimensions: &'a [(&'static str, &'a str)],
    pub(crate) points: &'a Points,
}

impl Entry for Document<'_> {
    fn write<'a>(&'a self, writer: &mut impl EntryWriter<'a>) {
        let since_1970 = Duration::from_millis(u64::try_from(self.points.at_ms).unwrap_or_default());
        writer.timestamp(SystemTime::checked_add(&UNIX_EPOCH, since_1970).unwrap_or(UNIX_EPOCH));
        for (name, value) in self.dimensions {
            writer.value(*name, *value);
        }
        for (metric, value) in &self.points.values {
            writer.value(metric.name, &Point { metric, value });
        }
    }
}

struct Point<'a> {
    metric: &'a Metric,
    value: &'a Observation,
}

impl Value for Point<'_> {
    fn write(&self, writer: impl ValueWriter) {
        writer.metric([*self.value], self.metric.unit, [], MetricFlags::empty());
    }
}
