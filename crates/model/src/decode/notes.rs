//! What the decoder leaves for the documents of the same records, so that a record is parsed once for both.
//!
//! Of a record that is a row it is known that it is sound, and where its values stand; a document is the
//! record's own bytes, and needs but a few of them. Notes are a short cut and never a verdict: a record
//! without one is read as if there were no decoder.

use super::record::Span;
use super::{Reader, Record, Refusal, Values, value};
use crate::pipeline::{Event, IndexPart, Pipeline, Search, ValueSource};

/// Notes on a run of records.
#[derive(Debug)]
pub struct Notes {
    /// By index of the event type; `None` if it has no documents.
    needs: Vec<Option<Needs>>,
    /// By index of the record.
    records: Vec<Option<Note>>,
    spans: Vec<Option<Span>>,
}

/// A record's note: its event type, and where its spans begin.
#[derive(Clone, Copy, Debug)]
struct Note {
    event: usize,
    spans: usize,
}

/// What the documents of an event type need of a record.
#[derive(Debug)]
struct Needs {
    /// Indices of the fields whose values they need.
    fields: Vec<usize>,
    /// Numbers of the members of which they need to know at least whether they are there.
    members: Vec<usize>,
}

/// What is noted of one record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noted<'n> {
    pub(crate) event: usize,
    needs: &'n Needs,
    spans: &'n [Option<Span>],
}

impl Needs {
    fn of(event: &Event, search: &Search) -> Self {
        let of_source = |source: &ValueSource| match *source {
            ValueSource::Field(field) => Some(field),
            // Its key is needed anyway.
            ValueSource::Derived(_) => None,
        };
        let of_index = |part: &IndexPart| match part {
            IndexPart::Time(field, _) => Some(*field),
            IndexPart::Value(source) => of_source(source),
            IndexPart::Literal(_) | IndexPart::Now(_) => None,
        };
        let mut fields = event.timestamps.clone();
        fields.extend(event.id.iter().filter(|_| search.id));
        fields.extend(search.index.parts.iter().filter_map(of_index));
        fields.extend(search.routing.as_ref().and_then(of_source));
        fields.extend(event.derived.iter().map(|derived| derived.key));
        fields.sort_unstable();
        fields.dedup();
        let of_fields = fields.iter().filter_map(|&field| event.fields.get(field)).map(|field| field.member);
        let appended = search.timestamp_field.iter().chain(&search.ingested_at).map(|field| field.member);
        let derived = event.derived.iter().map(|derived| derived.member);
        let members = of_fields.chain(appended).chain(derived).collect();
        Self { fields, members }
    }
}

impl Notes {
    /// For `records` records, of which none is noted yet.
    #[must_use]
    pub fn new(pipeline: &Pipeline, records: usize) -> Self {
        let needs = |event: &Event| Some(Needs::of(event, event.search.as_ref()?));
        Self {
            needs: pipeline.events.iter().map(needs).collect(),
            records: vec![None; records],
            spans: Vec::new(),
        }
    }

    /// Notes the record with this index, which is a row of this event type.
    pub(super) fn put(&mut self, index: usize, event: usize, record: &Record<'_>) {
        let (needs, records) = (self.needs.get(event).and_then(Option::as_ref), self.records.len());
        if let (Some(needs), Some(note)) = (needs, self.records.get_mut(index)) {
            if self.spans.capacity() == 0 {
                // Most events are of one type.
                self.spans.reserve(records.saturating_sub(index) * needs.members.len());
            }
            *note = Some(Note { event, spans: self.spans.len() });
            self.spans.extend(needs.members.iter().map(|&member| record.span(member).copied()));
        }
    }

    /// What is noted of the record with this index.
    pub(crate) fn of(&self, index: usize) -> Option<Noted<'_>> {
        let Note { event, spans } = (*self.records.get(index)?)?;
        let needs = self.needs.get(event)?.as_ref()?;
        let spans = self.spans.get(spans..)?.get(..needs.members.len())?;
        Some(Noted { event, needs, spans })
    }
}

impl<'p> Reader<'p> {
    /// The values that documents need of a record that is noted, whose JSON is `payload`. As if it had been
    /// read here.
    pub(crate) fn noted<'v>(
        &mut self,
        payload: &'v [u8],
        arrival_ms: Option<i64>,
        noted: Noted<'v>,
    ) -> Result<Option<Values<'v>>, Refusal>
    where
        'p: 'v,
    {
        let Some(event) = self.pipeline.events.get(noted.event) else { return Ok(None) };
        let members = noted.needs.members.iter().copied();
        self.record.restore(arrival_ms, members.zip(noted.spans.iter().copied()));
        let fields = noted.needs.fields.as_slice();
        let mut cells = Vec::with_capacity(fields.len());
        for field in fields.iter().filter_map(|&index| event.fields.get(index)) {
            cells.push(value::read(payload, &self.record, field, &self.pipeline.limits)?);
        }
        Ok(Some(Values::some(event, fields, cells)))
    }
}
