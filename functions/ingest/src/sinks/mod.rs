//! Where records go: the lake, the search cluster and other streams, side by side.

mod forward;
mod side;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use futures_util::future::join_all;
use tripline_lake::journal::{Appended, Journal, JournalError};
use tripline_lake::{Lake, Role};
use tripline_model::decode::{Refusal, Stage};
use tripline_model::pipeline::{Pipeline, Target};
use tripline_model::source::{Position, SourcePartition, SourceRecord};
use tripline_search::{SearchCounts, SearchSink, Why};
use tripline_stream::sink::{SentCounts, StreamSink};

use side::{Outlet, Side};

/// The sinks of a function. Its lake holds the dead letters of all of them.
#[derive(Debug, Default)]
pub struct Sinks {
    lake: Option<Journal>,
    sides: Vec<Side>,
}

/// What a sink beside the lake does with a record that is no event.
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
    /// In other streams.
    pub streams: BTreeMap<Target, SentCounts>,
    /// Dead letters of the sinks beside the lake, each in a lane of its own.
    pub letters: Vec<Appended>,
    /// How long each sink took, in milliseconds.
    pub millis: BTreeMap<Role, i64>,
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
    /// Another stream.
    Stream {
        /// Of which kind.
        target: Target,
        /// What keeps the record out.
        error: String,
    },
}

impl Sinks {
    /// The lake alone.
    #[must_use]
    pub fn lake(lake: &Lake) -> Self {
        Self { lake: Some(lake.journal(Role::Lake)), sides: Vec::new() }
    }

    /// These, and a search cluster.
    #[must_use]
    pub fn with_search(self, sink: SearchSink, lake: &Lake, malformed: Malformed) -> Self {
        self.with(Outlet::Search(sink), lake.journal(Role::Search), malformed)
    }

    /// These, and a stream.
    #[must_use]
    pub fn with_stream(
        self,
        target: Target,
        sink: Arc<dyn StreamSink>,
        lake: &Lake,
        malformed: Malformed,
    ) -> Self {
        self.with(Outlet::Stream(target, sink), lake.journal(target.into()), malformed)
    }

    fn with(mut self, outlet: Outlet, journal: Journal, malformed: Malformed) -> Self {
        self.sides.push(Side { outlet, journal, malformed });
        self
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
        let notes = OnceLock::new();
        // First, so that the others find what it has noted. Under another name a topic may tell another type.
        let noted = place.lane == place.first && !self.sides.is_empty();
        let lake = async {
            match &self.lake {
                Some(journal) => {
                    let began_ms = journal.now_ms();
                    let appended = if noted {
                        journal.append_noting(pipeline, place.lane, records, &notes, deadline_ms).await
                    } else {
                        journal.append(pipeline, place.lane, records, deadline_ms).await
                    };
                    (appended, Some(journal.now_ms().saturating_sub(began_ms)))
                }
                None => (Ok(Appended::default()), None),
            }
        };
        let screen = self.sides.iter().find_map(Side::search);
        let sides =
            self.sides.iter().map(|side| side.take(pipeline, place, records, &notes, screen, deadline_ms));
        let sides = join_all(sides);
        let ((appended, lake_millis), sides) = tokio::join!(biased; lake, sides);
        let mut taken = sides.into_iter().fold(Taken::default(), Taken::and);
        taken.millis.extend(lake_millis.map(|millis| (Role::Lake, millis)));
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

impl Taken {
    /// What two sinks made of the same records.
    fn and(mut self, other: Self) -> Self {
        self.search.add(&other.search);
        for (target, counts) in &other.streams {
            self.streams.entry(*target).or_default().add(counts);
        }
        self.letters.extend(other.letters);
        self.millis.extend(other.millis);
        self.setback = first(self.setback, other.setback);
        self
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
