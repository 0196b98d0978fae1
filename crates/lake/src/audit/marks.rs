//! Marks: each `_SUCCESS` lies behind the watermark and counts what is there.

use std::collections::BTreeMap;

use super::files::AuditedFile;
use super::{Audit, AuditError, breach};
use crate::checkpoint::Checkpoint;
use crate::event_time::Mark;
use crate::invariants::Invariant;
use crate::layout::file_generation;
use crate::store::ObjectStore;

/// Files and rows of a partition, by the generation that committed them.
#[derive(Debug, Default)]
struct Committed(BTreeMap<u64, (u64, u64)>);

impl Committed {
    fn add(&mut self, key: &str, rows: u64) {
        let of_generation = self.0.entry(file_generation(key).unwrap_or_default()).or_default();
        of_generation.0 += 1;
        of_generation.1 = of_generation.1.saturating_add(rows);
    }

    /// Files and rows of these generations.
    fn within(&self, generations: std::ops::RangeInclusive<u64>) -> (u64, u64) {
        let sum =
            |(files, rows): (u64, u64), more: &(u64, u64)| (files + more.0, rows.saturating_add(more.1));
        // A range that ends before it begins has nothing; the map would not have it.
        if generations.is_empty() {
            (0, 0)
        } else {
            self.0.range(generations).map(|(_, more)| more).fold((0, 0), sum)
        }
    }
}

/// Compares the marks at `keys`, and the partitions that are open, with the files.
pub(super) async fn audit_marks(
    store: &dyn ObjectStore,
    keys: Vec<String>,
    (checkpoint, visible): (&Checkpoint, &[AuditedFile]),
    audit: &mut Audit,
) -> Result<(), AuditError> {
    let mut committed = BTreeMap::<(&str, &str), Committed>::new();
    for file in visible {
        let place = (file.table.as_str(), file.partition.as_str());
        committed.entry(place).or_default().add(&file.key, file.found.rows);
    }
    let there = |table: &str, partition: &str, generations| {
        committed.get(&(table, partition)).map_or((0, 0), |committed| committed.within(generations))
    };
    let mut faults = Vec::new();
    for key in keys {
        let mark = store.get(&key).await?.and_then(|object| Mark::parse(&object.body));
        // Somebody else's says nothing of ours, and readers skip it.
        let Some(mark) = mark.filter(|mark| mark.key() == key) else { continue };
        audit.marks += 1;
        if Some(mark.end_ms) > checkpoint.watermark_ms {
            let what = format_args!("{key}: its time is not over by the watermark");
            faults.push(breach(Invariant::MarkedWhenComplete, what));
        }
        let found = there(&mark.table, &mark.partition, mark.since..=mark.generation);
        if found != (mark.files, mark.rows) {
            let what = format_args!(
                "{key}: it counts {} rows in {} files where {} in {} are there",
                mark.rows, mark.files, found.1, found.0
            );
            faults.push(breach(Invariant::MarkCounts, what));
        }
    }
    // What is pending may be there or not.
    let settled = checkpoint.open.iter().filter(|_| checkpoint.pending.is_empty());
    for (table, partitions) in settled {
        for (partition, open) in partitions {
            if Some(open.end_ms) <= checkpoint.watermark_ms {
                let what = format_args!("{table}/{partition}: it is complete and has no mark");
                faults.push(breach(Invariant::MarkedWhenComplete, what));
            }
            let found = there(table, partition, open.since..=u64::MAX);
            if found != (open.files, open.rows) {
                let what = format_args!(
                    "{table}/{partition}: the checkpoint counts {} rows in {} files where {} in {} are there",
                    open.rows, open.files, found.1, found.0
                );
                faults.push(breach(Invariant::MarkCounts, what));
            }
        }
    }
    audit.faults.append(&mut faults);
    Ok(())
}
