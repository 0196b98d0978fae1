//! Where records go: the lake and the search cluster, side by side.

use tripline_lake::journal::{Appended, Journal, JournalError};
use tripline_lake::{Lake, Role};
use tripline_model::decode::{DeadLetter, Refusal, Stage};
use tripline_model::pipeline::Pipeline;
use tripline_model::source::{Position, SourcePartition, SourceRecord};
use tripline_search::{Delivered, Refused, SearchCounts, SearchSink, Why};

/// Share of a delivery's time, and milliseconds at most, that are kept for its dead letters.
const LETTERS_SHARE: i64 = 10;
const LETTERS_MS: i64 = 10_000;

/// The sinks of a function. Its lake holds the dead letters of all of them.
#[derive(Debug)]
pub struct Sinks {
    lake: Option<Journal>,
    search: Option<Search>,
}

#[derive(Debug)]
struct Search {
    sink: SearchSink,
    /// Its dead letters.
    journal: Journal,
    malformed: Malformed,
}

/// What the search sink does with a record that is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It makes a dead letter of this stage of it.
    Letter(Stage),
    /// Another sink, or another function, keeps it.
    Elsewhere,
}

/// Where records come from.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The source partition by which the journal knows them.
    pub lane: &'a SourcePartition,
    /// The one by which documents without an id of their own are named: that of their first delivery,
    /// where they are sent again.
    pub first: &'a SourcePartition,
}

impl<'a> Place<'a> {
    /// Records that come as they first do.
    #[must_use]
    pub const fn of(partition: &'a SourcePartition) -> Self {
        Self { lane: partition, first: partition }
    }
}

/// What became of a source partition's records.
#[derive(Debug, Default)]
pub struct Taken {
    /// In the lake.
    pub lake: Appended,
    /// In the search cluster.
    pub search: SearchCounts,
    /// Dead letters of the search sink.
    pub letters: Appended,
    /// The first record that must come again, and why; `None`: every sink has all of them safe.
    pub setback: Option<Setback>,
}

/// Why records must come again.
#[derive(Debug)]
pub struct Setback {
    /// Index of the first of them.
    pub from: usize,
    /// Why.
    pub cause: Cause,
}

/// What stands in a record's way.
#[derive(Debug)]
pub enum Cause {
    /// The journal: nothing of the source partition is known to be in.
    Journal(JournalError),
    /// The pipeline's policy is to fail, and the record is refused.
    Refused(Refusal),
    /// The search cluster.
    Search(Why),
}

impl Sinks {
    /// The lake alone.
    #[must_use]
    pub fn lake(lake: &Lake) -> Self {
        Self { lake: Some(lake.journal(Role::Lake)), search: None }
    }

    /// The search cluster alone.
    #[must_use]
    pub fn search(sink: SearchSink, lake: &Lake, malformed: Malformed) -> Self {
        let journal = lake.journal(Role::Search);
        Self { lake: None, search: Some(Search { sink, journal, malformed }) }
    }

    /// Both.
    #[must_use]
    pub fn both(sink: SearchSink, lake: &Lake) -> Self {
        let search = Search { sink, journal: lake.journal(Role::Search), malformed: Malformed::Elsewhere };
        Self { lake: Some(lake.journal(Role::Lake)), search: Some(search) }
    }

    /// Brings the records of one source partition, in order, into every sink, or as far as it gets
    /// before `deadline_ms` (milliseconds since 1970 UTC). No sink waits for another; what one has is
    /// dropped there, or written over itself, when the records come again for another.
    pub async fn take(
        &self,
        pipeline: &Pipeline,
        place: Place<'_>,
        records: &[SourceRecord<'_>],
        deadline_ms: i64,
    ) -> Taken {
        let lake = async {
            match &self.lake {
                Some(journal) => journal.append(pipeline, place.lane, records, deadline_ms).await,
                None => Ok(Appended::default()),
            }
        };
        let search = async {
            match &self.search {
                Some(search) => search.take(pipeline, place, records, deadline_ms).await,
                None => Taken::default(),
            }
        };
        let (appended, mut taken) = tokio::join!(lake, search);
        let in_lake = match appended {
            Ok(appended) => {
                let refused = appended.refused.clone();
                taken.lake = appended;
                refused.map(|(position, refusal)| Setback {
                    from: index_of(records, position),
                    cause: Cause::Refused(refusal),
                })
            }
            Err(error) => Some(Setback { from: 0, cause: Cause::Journal(error) }),
        };
        taken.setback = first(in_lake, taken.setback);
        taken
    }
}

impl Search {
    async fn take(
        &self,
        pipeline: &Pipeline,
        place: Place<'_>,
        records: &[SourceRecord<'_>],
        deadline_ms: i64,
    ) -> Taken {
        let Delivered { refused, undelivered, counts } =
            self.sink.deliver(place.first, records, self.delivery_deadline_ms(deadline_ms)).await;
        let undelivered = undelivered.map(|undelivered| Setback {
            // Records that share a position share their fate: a mapping cannot ask for a part of them.
            from: records
                .get(undelivered.record)
                .map_or(undelivered.record, |record| index_of(records, record.position)),
            cause: match undelivered.why {
                Why::Refused(refusal) => Cause::Refused(refusal),
                why => Cause::Search(why),
            },
        });
        let end = undelivered.as_ref().map_or(records.len(), |setback| setback.from);
        let letters: Vec<DeadLetter<'_>> = refused
            .iter()
            .filter(|refused| refused.record < end)
            .filter_map(|refused| self.letter(refused, records))
            .collect();
        let mut taken = Taken { search: counts, setback: undelivered, ..Taken::default() };
        let Some(earliest) = letters.first() else { return taken };
        match self.journal.append_dead_letters(pipeline, place.lane, &letters, deadline_ms).await {
            Ok(appended) => taken.letters = appended,
            Err(error) => {
                let from = index_of(records, earliest.record.position);
                let setback = Some(Setback { from, cause: Cause::Journal(error) });
                taken.setback = first(taken.setback, setback);
            }
        }
        taken
    }

    /// Delivery leaves some of the time for its dead letters: a cluster that is busy to the end must not
    /// bring records that it refused long before back again and again.
    fn delivery_deadline_ms(&self, deadline_ms: i64) -> i64 {
        let left = deadline_ms.saturating_sub(self.journal.now_ms()).max(0);
        deadline_ms.saturating_sub((left / LETTERS_SHARE).min(LETTERS_MS))
    }

    fn letter<'a>(&self, refused: &'a Refused, records: &[SourceRecord<'a>]) -> Option<DeadLetter<'a>> {
        let stage = match (refused.malformed, self.malformed) {
            (false, _) => Stage::Search,
            (true, Malformed::Letter(stage)) => stage,
            (true, Malformed::Elsewhere) => return None,
        };
        Some(DeadLetter {
            stage,
            record: *records.get(refused.record)?,
            refusal: Refusal { reason: refused.reason, message: refused.error.clone() },
            event_type: refused.event_type.as_deref(),
        })
    }
}

/// Index of the first record at a position.
fn index_of(records: &[SourceRecord<'_>], position: Position) -> usize {
    records.iter().position(|record| record.position == position).unwrap_or_default()
}

/// The setback that begins earlier.
fn first(one: Option<Setback>, other: Option<Setback>) -> Option<Setback> {
    one.into_iter().chain(other).min_by_key(|setback| setback.from)
}
