//! Rows taken together, as a mapping takes records.

use tripline_model::source::{Payload, Position, SourceRecord};

use crate::{Entry, NumberedRecord, SourceError};

/// Bytes of records in a batch, beyond which it ends.
const BATCH_BYTES: usize = 4 << 20;

/// Rows of a file that follow one another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowBatch {
    /// The records.
    pub records: Vec<NumberedRecord>,
    /// Position and bytes of rows that are left out, as no stream could hold them.
    pub oversize: Vec<(u64, u64)>,
}

/// The rows of a file in batches. Where it cannot be read on, the rows before that are a batch, then comes the error,
/// and nothing after it.
#[derive(Debug)]
pub struct RowBatches<E> {
    entries: E,
    rows: usize,
    fault: Option<SourceError>,
    ended: bool,
}

impl<E: Iterator<Item = Result<Entry, SourceError>>> RowBatches<E> {
    /// In batches of at most so many rows and about 4 MiB.
    #[must_use]
    pub const fn new(entries: E, rows: usize) -> Self {
        Self { entries, rows, fault: None, ended: false }
    }

    /// Where the rows come from.
    #[must_use]
    pub const fn source(&self) -> &E {
        &self.entries
    }
}

impl<E: Iterator<Item = Result<Entry, SourceError>>> Iterator for RowBatches<E> {
    type Item = Result<RowBatch, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut batch, mut bytes) = (RowBatch::default(), 0);
        while !self.ended && batch.records.len() < self.rows && bytes < BATCH_BYTES {
            match self.entries.next() {
                Some(Ok(Entry::Record(record))) => {
                    bytes += record.data.len();
                    batch.records.push(record);
                }
                Some(Ok(Entry::Oversize { position, bytes })) => batch.oversize.push((position, bytes)),
                Some(Err(fault)) => (self.fault, self.ended) = (Some(fault), true),
                None => self.ended = true,
            }
        }
        if batch.is_empty() { self.fault.take().map(Err) } else { Some(Ok(batch)) }
    }
}

impl RowBatch {
    /// Whether it holds nothing, not even rows that are left out.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty() && self.oversize.is_empty()
    }

    /// Position of the last row; 0 where it holds nothing.
    #[must_use]
    pub fn last(&self) -> u64 {
        let record = self.records.last().map(|record| record.position);
        record.max(self.oversize.last().map(|(position, _)| *position)).unwrap_or_default()
    }

    /// The records as the journal takes them. They have no arrival time: a file does not know it, and the time of
    /// reading would make a second run look like a source made anew.
    #[must_use]
    pub fn source_records(&self) -> Vec<SourceRecord<'_>> {
        self.records.iter().map(source_record).collect()
    }
}

fn source_record(record: &NumberedRecord) -> SourceRecord<'_> {
    SourceRecord {
        position: Position::new(record.position),
        sub_position: 0,
        arrival_ms: None,
        partition_key: &record.partition_key,
        headers: "",
        payload: Payload::Bytes(&record.data),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io;

    use super::*;

    #[test]
    fn the_rows_before_a_fault_are_a_batch_of_their_own_and_nothing_follows_the_fault() {
        let row = |position: u64| {
            let (partition_key, data) = (position.to_string(), b"{}".to_vec());
            Ok(Entry::Record(NumberedRecord { position, partition_key, data }))
        };
        let fault = SourceError::Unreadable { path: "trips.gz".into(), error: io::Error::other("cut") };
        // A reader that is asked again after its fault might begin anew.
        let entries = (1..=3).map(row).chain([Err(fault)]).chain((4..=5).map(row));
        let mut batches = RowBatches::new(entries, 2);
        assert_eq!(batches.next().unwrap().unwrap().records.len(), 2);
        assert_eq!(batches.next().unwrap().unwrap().records.last().unwrap().position, 3);
        assert!(batches.next().unwrap().unwrap_err().to_string().contains("cut"));
        assert!(batches.next().is_none());
    }
}
