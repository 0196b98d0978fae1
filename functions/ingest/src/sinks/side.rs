//! A sink beside the lake, and the dead letters of what it did not take.

use std::sync::{Arc, OnceLock};

use tripline_lake::Role;
use tripline_lake::journal::Journal;
use tripline_model::decode::{DeadLetter, Notes, Refusal, Stage};
use tripline_model::pipeline::{Pipeline, Target};
use tripline_model::source::SourceRecord;
use tripline_search::{Delivered, Refused, SearchCounts, SearchSink, Why};
use tripline_stream::sink::StreamSink;

use super::{Cause, Malformed, Place, Setback, Taken, first, forward, index_of};

/// Share of a delivery's time, and milliseconds at most, that are kept for its dead letters.
const LETTERS_SHARE: i64 = 10;
const LETTERS_MS: i64 = 10_000;

/// A sink beside the lake.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) outlet: Outlet,
    /// Its dead letters.
    pub(super) journal: Journal,
    pub(super) malformed: Malformed,
}

/// Where its records go.
#[derive(Debug)]
pub(super) enum Outlet {
    Search(SearchSink),
    Stream(Target, Arc<dyn StreamSink>),
}

impl Outlet {
    /// What it is, among the sinks of a function.
    fn role(&self) -> Role {
        match self {
            Self::Search(_) => Role::Search,
            Self::Stream(target, _) => (*target).into(),
        }
    }

    /// The stage of the events that it refuses.
    fn stage(&self) -> Stage {
        match self {
            Self::Search(_) => Stage::Search,
            Self::Stream(target, _) => (*target).into(),
        }
    }
}

/// What became of a run of records, but for their dead letters.
#[derive(Default)]
pub(super) struct Outcome {
    /// Counts, and the first record that must come again.
    pub(super) taken: Taken,
    /// Records that are dead letters, in their order.
    pub(super) refused: Vec<Refused>,
}

impl Side {
    /// The search sink, if it is one.
    pub(super) const fn search(&self) -> Option<&SearchSink> {
        match &self.outlet {
            Outlet::Search(sink) => Some(sink),
            Outlet::Stream(..) => None,
        }
    }

    /// `notes`: what the lake's decoder has noted of the records; `screen`: the search sink, where dead letters of every sink can be looked at.
    pub(super) async fn take(
        &self,
        pipeline: &Pipeline,
        place: Place<'_>,
        records: &[SourceRecord<'_>],
        notes: &OnceLock<Notes>,
        screen: Option<&SearchSink>,
        deadline_ms: i64,
    ) -> Taken {
        let began_ms = self.journal.now_ms();
        let delivery_deadline_ms = self.delivery_deadline_ms(deadline_ms);
        let Outcome { mut taken, refused } = match &self.outlet {
            Outlet::Search(sink) => search(sink, place, records, notes, delivery_deadline_ms).await,
            Outlet::Stream(target, sink) => {
                let left = delivery_deadline_ms.saturating_sub(self.journal.now_ms());
                forward::send((*target, &**sink), pipeline, place, records, left).await
            }
        };
        // Records that share a position share their fate: a mapping cannot ask for a part of them.
        if let Some(setback) = &mut taken.setback
            && let Some(record) = records.get(setback.from)
        {
            setback.from = index_of(records, record.position);
        }
        let end = taken.setback.as_ref().map_or(records.len(), |setback| setback.from);
        let before_end = || refused.iter().filter(|refused| refused.record < end);
        let own: Vec<DeadLetter<'_>> = before_end()
            .filter_map(|refused| Self::letter(refused, self.stage_of(refused)?, records))
            .collect();
        // What is no event is shown by the search sink alone, whoever keeps it.
        let shown: Vec<DeadLetter<'_>> = match &self.outlet {
            _ if screen.is_none() => Vec::new(),
            Outlet::Search(_) => before_end()
                .filter_map(|refused| {
                    let stage = self.stage_of(refused).unwrap_or(Stage::Decode);
                    Self::letter(refused, stage, records)
                })
                .collect(),
            Outlet::Stream(..) => own.clone(),
        };
        let show = async {
            match screen {
                Some(sink) => sink.show_letters(place.lane, &shown, delivery_deadline_ms).await,
                None => SearchCounts::default(),
            }
        };
        let keep = async {
            let earliest = own.first()?;
            let kept = self.journal.append_dead_letters(pipeline, place.lane, &own, deadline_ms).await;
            Some(kept.map_err(|error| {
                let from = index_of(records, earliest.record.position);
                Setback { from, cause: Cause::Journal(error) }
            }))
        };
        let (kept, counts) = tokio::join!(keep, show);
        taken.search.add(&counts);
        match kept {
            None => {}
            Some(Ok(appended)) => taken.letters.push(appended),
            Some(Err(setback)) => taken.setback = first(taken.setback, Some(setback)),
        }
        taken.millis.insert(self.outlet.role(), self.journal.now_ms().saturating_sub(began_ms));
        taken
    }

    /// Delivery leaves some of the time for its dead letters: a sink that is busy to the end must not bring
    /// records that it refused long before back again and again.
    fn delivery_deadline_ms(&self, deadline_ms: i64) -> i64 {
        let left = deadline_ms.saturating_sub(self.journal.now_ms()).max(0);
        deadline_ms.saturating_sub((left / LETTERS_SHARE).min(LETTERS_MS))
    }

    /// The stage of a dead letter; `None` where another keeps it.
    fn stage_of(&self, refused: &Refused) -> Option<Stage> {
        match (refused.malformed, self.malformed) {
            (false, _) => Some(self.outlet.stage()),
            (true, Malformed::Letter(stage)) => Some(stage),
            (true, Malformed::Elsewhere) => None,
        }
    }

    fn letter<'a>(
        refused: &'a Refused,
        stage: Stage,
        records: &[SourceRecord<'a>],
    ) -> Option<DeadLetter<'a>> {
        Some(DeadLetter {
            stage,
            record: *records.get(refused.record)?,
            refusal: Refusal { reason: refused.reason, message: refused.error.clone() },
            event_type: refused.event_type.as_deref(),
        })
    }
}

async fn search(
    sink: &SearchSink,
    place: Place<'_>,
    records: &[SourceRecord<'_>],
    notes: &OnceLock<Notes>,
    deadline_ms: i64,
) -> Outcome {
    let Delivered { refused, undelivered, counts } =
        sink.deliver_noted(place.first, records, notes, deadline_ms).await;
    let setback = undelivered.map(|undelivered| Setback {
        from: undelivered.record,
        cause: match undelivered.why {
            Why::Refused(refusal) => Cause::Refused(refusal),
            why => Cause::Search(why),
        },
    });
    Outcome { taken: Taken { search: counts, setback, ..Taken::default() }, refused }
}
