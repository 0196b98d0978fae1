//! All values of an event, for those who make something else of it than a row.

use super::value::{Cell, read, watermark};
use super::{Reader, Reason, Refusal, Unsound};
use crate::id;
use crate::partition::Part;
use crate::pipeline::{Event, EventKind, Field, ValueSource};

/// The values of the event at hand.
pub(crate) struct Values<'v> {
    pub(crate) event: &'v Event,
    /// Indices of the fields whose values are there; `None`: of all.
    fields: Option<&'v [usize]>,
    /// In the order of these fields.
    cells: Vec<Cell<'v>>,
}

impl<'v> Values<'v> {
    /// Those of all fields, in their order.
    fn all(event: &'v Event, cells: Vec<Cell<'v>>) -> Self {
        Self { event, fields: None, cells }
    }

    /// Those of the fields with these indices, in this order; the others are not known.
    pub(super) const fn some(event: &'v Event, fields: &'v [usize], cells: Vec<Cell<'v>>) -> Self {
        Self { event, fields: Some(fields), cells }
    }

    /// The value of the field with this index.
    pub(crate) fn cell(&self, field: usize) -> Option<&Cell<'v>> {
        let index = match self.fields {
            Some(fields) => fields.iter().position(|&own| own == field)?,
            None => field,
        };
        self.cells.get(index)
    }

    /// The timestamps, each with its field.
    pub(crate) fn timestamps(&self) -> impl Iterator<Item = (&'v Field, &Cell<'v>)> {
        let event = self.event;
        event.timestamps.iter().filter_map(|&index| event.fields.get(index).zip(self.cell(index)))
    }

    /// The value of the derived column with this index.
    pub(crate) fn derived(&self, column: usize) -> Option<&'v str> {
        let derived = self.event.derived.get(column)?;
        let key = self.cell(derived.key).map_or(Part::Null, Cell::part);
        derived.find(key).and_then(|number| derived.lookup.value(number))
    }

    /// Appends a value as text; of one that is null, nothing.
    pub(crate) fn push(&self, source: ValueSource, text: &mut String) {
        match source {
            ValueSource::Derived(column) => {
                text.push_str(self.derived(column).unwrap_or_default());
            }
            ValueSource::Field(field) => {
                if let Some(cell) = self.cell(field) {
                    id::push_cell(text, cell);
                }
            }
        }
    }
}

impl<'p> Reader<'p> {
    /// The values of the record that was read last, whose JSON is `payload` and whose event type has this
    /// index; `None` for a watermark event. The lake comes to the same verdict on a record that is not sound.
    pub(crate) fn values<'v>(&self, payload: &'v [u8], index: usize) -> Result<Option<Values<'v>>, Unsound>
    where
        'p: 'v,
    {
        let internal = || Refusal::new(Reason::Internal, "there is no such event type");
        let event = self.pipeline.events.get(index).ok_or_else(internal)?;
        let told = |refusal| Unsound { refusal, event_type: Some(event.type_value.clone()) };
        let limits = &self.pipeline.limits;
        if event.kind == EventKind::Watermark {
            watermark(payload, &self.record, event, limits).map_err(told)?;
            return Ok(None);
        }
        let mut cells = Vec::with_capacity(event.fields.len());
        for field in &event.fields {
            cells.push(read(payload, &self.record, field, limits).map_err(told)?);
        }
        #[cfg(test)]
        super::tests::panic_if_asked_to(payload);
        if event.unknown_fields_column.is_some() {
            self.record.unknown_text(payload, index, limits).map_err(told)?;
        }
        Ok(Some(Values::all(event, cells)))
    }
}
