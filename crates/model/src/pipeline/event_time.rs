//! Reads `[event_time]`: how far event time is, and what is late.

use super::faults::Faults;
use super::walk::Section;
use super::{Event, EventKind};

/// What moves event time on, and what becomes of rows that come behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTime {
    /// Whose event times count.
    pub from: EventTimeFrom,
    /// How far past its arrival an event time may lie and still count, milliseconds.
    pub future_bound_ms: i64,
    /// How far the watermark stays behind the least event time reached, milliseconds.
    pub allowed_lateness_ms: i64,
    /// A source partition of which nothing was written for so long is not waited for, milliseconds.
    pub idle_after_ms: i64,
    /// What becomes of late rows.
    pub late: LatePolicy,
}

/// Whose event times move the watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventTimeFrom {
    /// Those of rows.
    Rows,
    /// Those of watermark events.
    Watermarks,
    /// Those of either.
    Both,
}

/// What becomes of a row whose partition is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LatePolicy {
    /// It goes into its partition all the same, which is announced again.
    #[default]
    Append,
    /// It goes into the late table beside its own.
    Divert,
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// What stands in `[event_time]`, before it is known whether there are watermark events.
pub(super) struct Draft {
    from: Option<EventTimeFrom>,
    from_at: usize,
    future_bound_ms: i64,
    allowed_lateness_ms: i64,
    idle_after_ms: i64,
    late: LatePolicy,
}

pub(super) fn read(mut section: Section<'_>, faults: &mut Faults<'_>) -> Draft {
    let from = [
        ("rows", EventTimeFrom::Rows),
        ("watermarks", EventTimeFrom::Watermarks),
        ("both", EventTimeFrom::Both),
    ];
    let late = [("append", LatePolicy::Append), ("divert", LatePolicy::Divert)];
    let draft = Draft {
        from_at: section.place("from"),
        from: section.choice("from", &from, faults),
        future_bound_ms: section.duration_ms("future_bound", faults).unwrap_or(24 * HOUR_MS),
        allowed_lateness_ms: section.duration_ms("allowed_lateness", faults).unwrap_or(HOUR_MS),
        idle_after_ms: section.duration_ms("idle_after", faults).unwrap_or(HOUR_MS),
        late: section.choice("late", &late, faults).unwrap_or_default(),
    };
    section.finish(faults);
    draft
}

impl Draft {
    pub(super) fn settle(self, events: &[Event], faults: &mut Faults<'_>) -> EventTime {
        let watermarks = events.iter().any(|event| event.kind == EventKind::Watermark);
        if self.from == Some(EventTimeFrom::Watermarks) && !watermarks {
            let reason = "there is no event type of kind \"watermark\": use \"rows\"";
            faults.add(self.from_at, "event_time.from", reason);
        }
        let default = if watermarks { EventTimeFrom::Watermarks } else { EventTimeFrom::Rows };
        EventTime {
            from: self.from.unwrap_or(default),
            future_bound_ms: self.future_bound_ms,
            allowed_lateness_ms: self.allowed_lateness_ms,
            idle_after_ms: self.idle_after_ms,
            late: self.late,
        }
    }
}
