//! All values of an event, for those who make something else of it than a row.

use super::value::{Cell, read, watermark};
use super::{Reader, Reason, Refusal, Unsound};
use crate::id;
use crate::partition::Part;
use crate::pipeline::{Derived, Event, EventKind, ValueSource};

/// The values of the event at hand.
pub(crate) struct Values<'v> {
    pub(crate) event: &'v Event,
    /// In the order of the fields.
    pub(crate) cells: Vec<Cell<'v>>,
    /// In the order of the derived columns.
    pub(crate) derived: Vec<Option<&'v str>>,
}

impl<'v> Values<'v> {
    pub(super) fn new(event: &'v Event, cells: Vec<Cell<'v>>) -> Self {
        let of = |derived: &'v Derived| {
            let key = cells.get(derived.key).map_or(Part::Null, Cell::part);
            derived.find(key).and_then(|number| derived.lookup.value(number))
        };
        let derived = event.derived.iter().map(of).collect();
        Self { event, cells, derived }
    }

    /// Appends a value as text; of one that is null, nothing.
    pub(crate) fn push(&self, source: ValueSource, text: &mut String) {
        match source {
            ValueSource::Derived(column) => {
                text.push_str(self.derived.get(column).copied().flatten().unwrap_or_default());
            }
            ValueSource::Field(field) => {
                if let Some(cell) = self.cells.get(field) {
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
        Ok(Some(Values::new(event, cells)))
    }
}
