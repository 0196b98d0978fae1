//! The status for machines.

use serde_json::{Value, json};
use tripline_lake::checkpoint::LanePosition;
use tripline_lake::event_time::Activity;
use tripline_lake::status::{LaneLag, LaneStatus};

use super::Seen;
use super::ahead::{Ahead, By};

/// The status as JSON: times in milliseconds since 1970 UTC, ages in milliseconds.
pub(super) fn of(seen: &Seen<'_>) -> Value {
    let Seen { lake, pipeline, status, .. } = seen;
    let totals = status.totals();
    let pending = status.pending.map(|pending| {
        json!({
            "files": pending.files, "rows": pending.rows, "bytes": pending.bytes,
            "sinceMs": pending.since_ms, "ageMs": seen.age_ms(pending.since_ms),
        })
    });
    let checkpoint = status.written_at_ms.map(
        |at_ms| json!({ "generation": status.generation, "writtenAtMs": at_ms, "ageMs": seen.age_ms(at_ms) }),
    );
    json!({
        "lake": lake, "pipeline": pipeline, "nowMs": seen.now_ms,
        "checkpoint": checkpoint, "pending": pending,
        "lag": lag(seen, &status.lag()),
        "eventTimeMaxMs": status.event_time_max_ms(),
        "watermarkMs": status.watermark_ms,
        "watermarkLagMs": status.watermark_ms.map(|at_ms| seen.age_ms(at_ms)),
        "openPartitions": status.open_partitions, "duePartitions": status.due,
        "totals": totals,
        "lanes": status.lanes.iter().map(|lane| self::lane(seen, lane)).collect::<Vec<_>>(),
        "ahead": seen.ahead.iter().map(ahead).collect::<Vec<_>>(),
        "needs": seen.needs,
    })
}

fn lane(seen: &Seen<'_>, lane: &LaneStatus) -> Value {
    let reached = |position: &Option<LanePosition>| {
        let position = position.as_ref()?;
        Some(json!({ "entry": position.number, "position": position.last.to_string() }))
    };
    let stopped = lane.stopped.as_ref();
    json!({
        "lane": lane.lane(), "folder": lane.folder,
        "published": reached(&lane.published), "committed": reached(&lane.committed),
        "lag": lag(seen, &lane.lag),
        "eventTimeMaxMs": lane.event_time_max_ms(),
        "activity": seen.activity(lane).map(|activity| match activity {
            Activity::Active => "active",
            Activity::Idle => "idle",
            Activity::Apart => "apart",
        }),
        "totals": lane.committed.as_ref().map(|position| &position.totals),
        "stopped": stopped.map(|stopped| json!({ "entry": stopped.entry, "reason": stopped.reason })),
    })
}

fn lag(seen: &Seen<'_>, lag: &LaneLag) -> Value {
    json!({
        "entries": lag.entries, "records": lag.records, "bytes": lag.bytes,
        "oldestMs": lag.oldest_ms, "ageMs": lag.oldest_ms.map(|at_ms| seen.age_ms(at_ms)),
    })
}

fn ahead(ahead: &Ahead) -> Value {
    let (behind_ms, offsets) = match ahead.by {
        By::Time(behind) => (u64::try_from(behind.as_millis()).ok(), None),
        By::Offsets(offsets) => (None, Some(offsets)),
        By::Unknown => (None, None),
    };
    json!({ "partition": ahead.partition, "behindMs": behind_ms, "offsets": offsets })
}
