//! What a run leaves for those who operate it: log lines, without payloads, and metrics.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tripline_lake::invariants::{self, Invariant};
use tripline_lake::publish::{PublishError, PublishReport};
use tripline_metrics::catalogue::{
    COMPLETED_PARTITIONS, DELETED_ENTRIES, FAILED_PUBLISH_RUNS, FILE_BYTES, INVARIANT_VIOLATIONS, LATE_ROWS,
    LATENESS_MILLIS, PUBLISH_BACKLOG, PUBLISH_LAG_MILLIS, PUBLISH_MILLIS, PUBLISH_RUNS, PUBLISHED_BYTES,
    PUBLISHED_ENTRIES, PUBLISHED_FILES, PUBLISHED_ROWS, REBUILT_FILES, RECONCILE_GAP, STOPPED_LANES,
    WATERMARK_LAG_MILLIS,
};
use tripline_metrics::{Metrics, Points};

use crate::Summary;

pub(crate) fn observe(metrics: &Metrics, result: &Result<PublishReport, PublishError>, took: Duration) {
    let violations = invariants::take_unreported();
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match result {
        Ok(report) => log(report, violations, millis),
        Err(error) => tracing::error!(%error, invariant_violations = violations, "publish failed"),
    }
    if !metrics.is_on() {
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut points = Points::at(i64::try_from(now.as_millis()).unwrap_or_default());
    points.tell(PUBLISH_MILLIS, millis);
    points.tell(INVARIANT_VIOLATIONS, violations);
    match result {
        Ok(report) => tell(report, &mut points),
        Err(error) => {
            points.tell(FAILED_PUBLISH_RUNS, 1);
            points.tell(RECONCILE_GAP, u64::from(is_gap(error)));
        }
    }
    metrics.emit(&points);
}

/// Whether a run stopped as its files had not the rows of its entries.
fn is_gap(error: &PublishError) -> bool {
    matches!(error, PublishError::Invariant(violation) if violation.invariant == Invariant::CommitReconciles)
}

fn tell(report: &PublishReport, points: &mut Points) {
    let summary = Summary::of(report);
    points.tell(PUBLISH_RUNS, u64::from(!summary.gave_way));
    points.tell(PUBLISHED_ENTRIES, summary.entries);
    points.tell(PUBLISHED_ROWS, summary.rows);
    points.tell(PUBLISHED_FILES, summary.files);
    points.tell(PUBLISHED_BYTES, summary.bytes);
    points.tell_mean(FILE_BYTES, summary.bytes, summary.files);
    points.tell(PUBLISH_BACKLOG, u64::from(summary.more));
    points.tell(STOPPED_LANES, report.stopped.len() as u64);
    points.tell(RECONCILE_GAP, 0);
    points.tell(LATE_ROWS, report.late_rows);
    points.tell(COMPLETED_PARTITIONS, report.completed.len() as u64);
    for (metric, millis) in [
        (LATENESS_MILLIS, report.lateness_max_ms),
        (WATERMARK_LAG_MILLIS, report.watermark_lag_ms),
        (PUBLISH_LAG_MILLIS, report.lag_max_ms),
    ] {
        // A watermark ahead of the clock is none behind it.
        if let Some(millis) = millis {
            points.tell(metric, u64::try_from(millis).unwrap_or_default());
        }
    }
    points.tell(REBUILT_FILES, report.rebuilt);
    points.tell(DELETED_ENTRIES, report.deleted);
}

fn log(report: &PublishReport, invariant_violations: u64, millis: u64) {
    let summary = Summary::of(report);
    tracing::info!(
        entries = summary.entries,
        files = summary.files,
        rows = summary.rows,
        bytes = summary.bytes,
        commits = report.commits,
        rebuilt = report.rebuilt,
        deleted = summary.deleted,
        lag_max_ms = report.lag_max_ms,
        late_rows = summary.late_rows,
        lateness_max_ms = summary.lateness_max_ms,
        completed = summary.completed,
        watermark_ms = summary.watermark_ms,
        watermark_lag_ms = summary.watermark_lag_ms,
        more = summary.more,
        gave_way = summary.gave_way,
        stopped_lanes = report.stopped.len(),
        invariant_violations,
        millis,
        "published"
    );
    for mark in &report.completed {
        tracing::info!(
            table = mark.table,
            partition = mark.partition,
            rows = mark.rows,
            files = mark.files,
            late_rows = mark.late_rows,
            "partition is complete"
        );
    }
    if report.forgotten > 0 {
        tracing::warn!(partitions = report.forgotten, "too many partitions are open: these get no _SUCCESS");
    }
    for lane in &report.stopped {
        tracing::error!(lane = lane.folder, entry = lane.entry, reason = lane.reason, "lane stands still");
    }
}

#[cfg(test)]
mod tests {
    use tripline_lake::invariants::Violation;

    use super::*;

    #[test]
    fn a_gap_is_a_run_whose_files_lack_rows_and_no_other_fault() {
        let stopped = |invariant| PublishError::Invariant(Violation::new(invariant, "1 row"));
        assert!(is_gap(&stopped(Invariant::CommitReconciles)));
        assert!(!is_gap(&stopped(Invariant::OneOutcome)));
    }
}
