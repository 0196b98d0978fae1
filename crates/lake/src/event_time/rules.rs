//! What a pipeline says about event time, as far as publish needs it.

use std::collections::BTreeMap;

use tripline_model::pipeline::{EventKind, LatePolicy, Pipeline};
use tripline_model::time_levels::TimeLevels;

/// When lanes are idle, partitions over, and what becomes of late rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventTimeRules {
    /// How far the watermark stays behind the least event time that an active lane has reached, milliseconds.
    pub allowed_lateness_ms: i64,
    /// A lane of which nothing was written for so long is idle, milliseconds.
    pub idle_after_ms: i64,
    /// What becomes of late rows.
    pub late: LatePolicy,
    /// The levels of the tables' partitions that are parts of the event time; without them a table's partitions
    /// are never over.
    levels: BTreeMap<String, TimeLevels>,
}

impl EventTimeRules {
    /// A pipeline's.
    #[must_use]
    pub fn of(pipeline: &Pipeline) -> Self {
        let of_rows = pipeline.events.iter().filter(|event| event.kind == EventKind::Rows);
        let levels =
            of_rows.filter_map(|event| Some((event.table.to_string(), TimeLevels::of(&event.partition)?)));
        Self {
            allowed_lateness_ms: pipeline.event_time.allowed_lateness_ms,
            idle_after_ms: pipeline.event_time.idle_after_ms,
            late: pipeline.event_time.late,
            levels: levels.collect(),
        }
    }

    /// When the time of a table's partition is over, milliseconds since 1970 UTC; `None`: never.
    #[must_use]
    pub fn end_ms(&self, table: &str, partition: &str) -> Option<i64> {
        self.levels.get(table)?.end_ms(partition)
    }
}
