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

impl RowBatch {
    /// The next rows, at most so many and about 4 MiB of them; `None` at the end.
    ///
    /// # Errors
    /// When they cannot be read. What was read before them is lost with them, to be read again.
    pub fn read(
        entries: &mut impl Iterator<Item = Result<Entry, SourceError>>,
        rows: usize,
    ) -> Result<Option<Self>, SourceError> {
        let (mut batch, mut bytes) = (Self::default(), 0);
        while batch.records.len() < rows && bytes < BATCH_BYTES {
            match entries.next().transpose()? {
                Some(Entry::Record(record)) => {
                    bytes += record.data.len();
                    batch.records.push(record);
                }
                Some(Entry::Oversize { position, bytes }) => batch.oversize.push((position, bytes)),
                None => break,
            }
        }
        Ok((!batch.records.is_empty() || !batch.oversize.is_empty()).then_some(batch))
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
