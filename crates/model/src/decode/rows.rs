//! The rows of one event type.

use arrow_array::RecordBatch;

use super::DecodeError;
use super::columns::{Column, Full};
use super::reason::{Reason, Refusal};
use super::record::Record;
use super::row_digest::digest;
use super::value;
use crate::batch::Section;
use crate::partition::{Part, Partitioner};
use crate::pipeline::{Event, FieldType, Limits, PartitionSource};

/// A table being filled.
#[derive(Debug)]
pub(super) struct Rows<'p> {
    event: &'p Event,
    fields: Vec<Column>,
    derived: Vec<Column>,
    unknown: Option<Column>,
    partitioner: Partitioner<'p>,
    partition_of: Vec<u16>,
    /// Numbers of the row's derived values.
    numbers: Vec<Option<u32>>,
    /// Rows that are whole.
    rows: usize,
}

impl From<Full> for Refusal {
    fn from(_: Full) -> Self {
        Self::full("text")
    }
}

impl<'p> Rows<'p> {
    pub(super) fn new(event: &'p Event) -> Self {
        Self {
            event,
            fields: event.fields.iter().map(|field| Column::new(field.kind)).collect(),
            derived: event.derived.iter().map(|_| Column::new(FieldType::String)).collect(),
            unknown: event.unknown_fields_column.as_ref().map(|_| Column::new(FieldType::String)),
            partitioner: Partitioner::new(&event.partition),
            partition_of: Vec::new(),
            numbers: Vec::new(),
            rows: 0,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Appends the record as a row and returns its event time, or leaves no trace of it. `index` is that
    /// of the event type.
    pub(super) fn push(
        &mut self,
        payload: &[u8],
        record: &Record<'_>,
        index: usize,
        limits: &Limits,
    ) -> Result<i64, Refusal> {
        let event_time = self.append(payload, record, index, limits);
        match event_time {
            Ok(_) => self.rows += 1,
            Err(_) => self.cut(),
        }
        event_time
    }

    /// Drops what is not a whole row.
    pub(super) fn cut(&mut self) {
        for column in self.fields.iter_mut().chain(&mut self.derived).chain(&mut self.unknown) {
            column.truncate(self.rows);
        }
        self.partition_of.truncate(self.rows);
    }

    fn append(
        &mut self,
        payload: &[u8],
        record: &Record<'_>,
        index: usize,
        limits: &Limits,
    ) -> Result<i64, Refusal> {
        for (field, column) in self.event.fields.iter().zip(&mut self.fields) {
            let plain = record.span(field.member);
            if !plain.is_some_and(|value| column.push_plain(value, payload, limits.text_bytes)) {
                column.push(&value::read(payload, record, field, limits)?)?;
            }
        }
        #[cfg(test)]
        super::tests::panic_if_asked_to(payload);
        self.numbers.clear();
        for (derived, column) in self.event.derived.iter().zip(&mut self.derived) {
            let number = derived.find(self.fields.get(derived.key).map_or(Part::Null, Column::last));
            match number.and_then(|number| derived.lookup.value(number)) {
                Some(text) => column.push_text(text)?,
                None => column.push_null(),
            }
            self.numbers.push(number);
        }
        if let Some(column) = &mut self.unknown {
            match record.unknown_text(payload, index, limits)? {
                Some(text) => column.push_text(&text)?,
                None => column.push_null(),
            }
        }
        let event_time = match self.fields.get(self.event.event_time).map(Column::last) {
            Some(Part::Integer(ms)) => ms,
            _ => return Err(Refusal::new(Reason::Internal, "a row has no event time")),
        };
        let (event, fields, numbers) = (self.event, &self.fields, &self.numbers);
        let part = |source: &PartitionSource| match *source {
            PartitionSource::Field(index) => fields.get(index).map_or(Part::Null, Column::last),
            PartitionSource::Derived(index) => {
                let number = numbers.get(index).copied().flatten();
                let text = event
                    .derived
                    .get(index)
                    .zip(number)
                    .and_then(|(found, number)| found.lookup.value(number));
                number.zip(text).map_or(Part::Null, |(number, text)| Part::Numbered(number, text))
            }
            PartitionSource::Time(_) => Part::Null,
        };
        let partition =
            self.partitioner.locate(event_time, part).ok_or_else(|| Refusal::full("partitions"))?;
        self.partition_of.push(partition);
        Ok(event_time)
    }

    pub(super) fn finish(self) -> Result<Section, DecodeError> {
        let columns = self.fields.into_iter().chain(self.derived).chain(self.unknown);
        let columns = columns.map(Column::finish).collect::<Result<_, _>>()?;
        let rows = RecordBatch::try_new(self.event.schema.clone(), columns)?;
        Ok(Section {
            table: self.event.table.clone(),
            digest: digest(&rows)?,
            rows,
            partitions: self.partitioner.into_partitions(),
            partition_of: self.partition_of,
        })
    }
}
