//! What marks of complete partitions say, beside what a reader sees.

use std::collections::BTreeMap;

use tripline_lake::checkpoint::Checkpoint;
use tripline_lake::event_time::Mark;
use tripline_lake::invariants::Invariant;
use tripline_lake::layout::{SUCCESS, file_generation};
use tripline_lake::store::ObjectStore;
use tripline_model::pipeline::LatePolicy;

use crate::rides::latest_time;
use crate::scene::{Scene, must};

/// The marks that are there. Read before the files, so that what they count must be among those.
pub(crate) async fn read(scene: &Scene) -> Vec<Mark> {
    let store = &scene.store.memory;
    let mut marks = Vec::new();
    for object in store.list("", None, usize::MAX).await.unwrap_or_default() {
        if !object.key.ends_with(&format!("/{SUCCESS}")) {
            continue;
        }
        let found = store.get(&object.key).await.ok().flatten();
        let mark: Option<Mark> = found.and_then(|object| serde_json::from_slice(&object.body).ok());
        must(Invariant::MarkCounts, mark.is_some(), || format!("{} is no mark", object.key));
        marks.extend(mark);
    }
    marks
}

/// Marks count what is visible, lie behind the watermark, and late rows are where they belong. `rows`: of each
/// file.
pub(crate) fn judge(
    scene: &Scene,
    marks: &[Mark],
    rows: &BTreeMap<&str, u64>,
    checkpoint: Option<&Checkpoint>,
) {
    let Some(checkpoint) = checkpoint else { return };
    let rules = &scene.schedule.publish.options.event_time;
    let watermark_ms = checkpoint.watermark_ms;
    let may_be = latest_time() - rules.allowed_lateness_ms;
    must(Invariant::WatermarkForward, watermark_ms <= Some(may_be), || {
        format!("{watermark_ms:?} is ahead of every sound clock")
    });
    for mark in marks {
        must(Invariant::MarkedWhenComplete, Some(mark.end_ms) <= watermark_ms, || {
            format!("{mark:?} too early")
        });
        let folder = format!("{}/{}/", mark.table, mark.partition);
        let below = || rows.iter().filter(|(key, _)| key.starts_with(&folder));
        let generation = |key: &str| file_generation(key).unwrap_or_default();
        let counted = below().filter(|(key, _)| (mark.since..=mark.generation).contains(&generation(key)));
        let (files, counted_rows) = counted.fold((0, 0), |(files, sum), (_, rows)| (files + 1, sum + rows));
        must(Invariant::MarkCounts, (files, counted_rows) == (mark.files, mark.rows), || {
            format!("{mark:?}, and {counted_rows} rows in {files} files are there")
        });
        if rules.late == LatePolicy::Divert {
            let appended: Vec<_> = below().filter(|(key, _)| generation(key) > mark.generation).collect();
            must(Invariant::PartitionOfRow, appended.is_empty(), || {
                format!("late rows of {mark:?}: {appended:?}")
            });
        }
    }
    let diverted = rows.keys().filter_map(|key| key.strip_prefix("ride_late/")?.rsplit_once('/'));
    for (partition, _) in diverted {
        let is_over = rules.end_ms("ride", partition) <= watermark_ms;
        must(Invariant::PartitionOfRow, is_over && rules.late == LatePolicy::Divert, || {
            format!("rows of {partition} were diverted at {watermark_ms:?}")
        });
    }
}
