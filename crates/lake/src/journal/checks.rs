//! What append checks of its own work: before it commits an entry, and before it answers.

use tripline_model::batch::{DEAD_LETTER_TABLE, DecodedBatch};
use tripline_model::source::{Position, SourceRecord};

use super::Appended;
use super::tail::Tail;
use crate::invariants::{Invariant, Violation, require};

/// An entry after `tail` holds nothing that is in already.
pub(super) fn follows(tail: &Tail, (first, last): (Position, Position)) -> Result<(), Violation> {
    require(Invariant::PositionsAscend, tail.last < Some(first) && first <= last, || {
        format!("an entry of records {first} to {last} after {tail}")
    })
}

/// Each record of an entry has one outcome, and each row one partition.
pub(super) fn outcomes(batch: &DecodedBatch) -> Result<(), Violation> {
    let rows_of = |is_dead: bool| -> u64 {
        let sections = batch.sections.iter();
        let of_kind = sections.filter(|section| (&*section.table == DEAD_LETTER_TABLE) == is_dead);
        of_kind.map(|section| section.rows.num_rows() as u64).sum()
    };
    let counts = &batch.counts;
    let is_sum = counts.records == counts.rows + counts.dead_letters + counts.watermarks + counts.ignored;
    let is_counted = (rows_of(false), rows_of(true)) == (counts.rows, counts.dead_letters);
    require(Invariant::OneOutcome, is_sum && is_counted, || {
        format!("{counts:?} with {} rows and {} dead letters", rows_of(false), rows_of(true))
    })?;
    let is_placed = batch.sections.iter().all(|section| {
        section.partition_of.len() == section.rows.num_rows()
            && section.partition_of.iter().all(|&index| usize::from(index) < section.partitions.len())
    });
    require(Invariant::PartitionOfRow, is_placed, || "a row has no partition".to_owned())
}

/// What is answered once `tail` is the lane's: all records before the refused one are in and counted.
pub(super) fn answer(tail: &Tail, records: &[SourceRecord<'_>], done: &Appended) -> Result<(), Violation> {
    let taken = match &done.refused {
        Some((at, _)) => records.partition_point(|record| record.position < *at),
        None => records.len(),
    };
    require(Invariant::BatchReconciles, done.counts.records + done.duplicates == taken as u64, || {
        format!(
            "{taken} of {} records taken, {:?}, {} duplicates",
            records.len(),
            done.counts,
            done.duplicates
        )
    })?;
    let last = records.get(..taken).and_then(<[_]>::last).map(|record| record.position);
    require(Invariant::NothingLost, last <= tail.last, || {
        format!("{taken} records are answered for at {tail}")
    })
}
