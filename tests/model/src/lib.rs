//! The append and publish protocol as a model that a checker walks through completely.
//!
//! One shard, a handful of records, and every interleaving of ingesters (a retry beside a zombie),
//! publishers (any of them paused for as long as it takes) and the store. Every request may be lost
//! on the way, lose its reply, or be answered to a process that is dead. A process may be slow for as long
//! as it likes; one that has sent a request and is dead to the world is at the same time the request
//! that arrives late. The mapping cuts batches anew at will, rewinds, and skips.
//! What is left out: bytes. An entry is the set of records in it, a file the set of rows.
//!
//! The real code is in `crates/lake`; names here are those used there. [`Mutant`]s leave one step of
//! the protocol out; the checker must find each of them ([`Mutant::ALL`]).

mod ingest;
mod properties;
mod publish;
mod state;

pub use ingest::IngestAction;
pub use publish::PublishAction;
pub use state::{
    Checkpoint, Entry, File, IngestWork, Ingester, Pending, PublishWork, Publisher, State, Tail,
};

use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};

/// A step of the protocol that is left out, or done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// An entry is put whether or not its number is taken.
    NoFence,
    /// Records at or below the tail are appended again.
    NoDrop,
    /// A cold look-up trusts the listing alone, and uses numbers of deleted entries again.
    ListingAlone,
    /// A look-up whose listing is empty trusts the checkpoint that it read before: entries may have
    /// been published and deleted between the two.
    LookUpOnce,
    /// A remembered tail is used however old it is.
    TailForEver,
    /// Records after a refused one are appended.
    AppendPastRefusal,
    /// Files are made visible before the checkpoint lists them.
    CompleteBeforeCommit,
    /// A publisher whose commit was refused or not answered aborts its uploads.
    AbortOnRefusal,
    /// The checkpoint is replaced whatever version is there.
    CommitWithoutMatch,
    /// A lost file is put again at once, under a name of its own, without a commit.
    RebuildByPut,
    /// Entries are deleted while their files are pending.
    SweepWhilePending,
    /// Entries are deleted in any order.
    SweepOutOfOrder,
}

impl Mutant {
    /// Every mutant.
    pub const ALL: [Self; 12] = [
        Self::NoFence,
        Self::NoDrop,
        Self::ListingAlone,
        Self::LookUpOnce,
        Self::TailForEver,
        Self::AppendPastRefusal,
        Self::CompleteBeforeCommit,
        Self::AbortOnRefusal,
        Self::CommitWithoutMatch,
        Self::RebuildByPut,
        Self::SweepWhilePending,
        Self::SweepOutOfOrder,
    ];
}

impl Mutant {
    /// The bounds in which it shows.
    #[must_use]
    pub const fn bounds(self) -> Protocol {
        let bounds = match self {
            Self::NoFence
            | Self::NoDrop
            | Self::ListingAlone
            | Self::LookUpOnce
            | Self::TailForEver
            | Self::SweepOutOfOrder => Protocol::append(),
            Self::AppendPastRefusal => Protocol::refusal(),
            Self::CompleteBeforeCommit
            | Self::AbortOnRefusal
            | Self::CommitWithoutMatch
            | Self::RebuildByPut
            | Self::SweepWhilePending => Protocol::publish(),
        };
        bounds.with(self)
    }
}

/// The bounds within which everything is tried.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// Records of the shard, at most 8.
    pub records: u8,
    /// Ingesters that share the shard: a function, its retry, a zombie.
    pub ingesters: usize,
    /// Publishers.
    pub publishers: usize,
    /// Publishers work in one step, without faults: for bounds that look closely at append.
    pub atomic_publish: bool,
    /// Ingesters work in one step, without faults: for bounds that look closely at publish.
    pub atomic_append: bool,
    /// How many uploads may expire.
    pub expiries: u8,
    /// A record that is refused until it is mended, from 1.
    pub refused: Option<u8>,
    /// Whether the mapping may skip a record.
    pub may_skip: bool,
    /// What is wrong with the protocol, if anything.
    pub mutant: Option<Mutant>,
}

impl Protocol {
    /// Bounds that look closely at append: batches of up to three records, cut in all ways, and an
    /// ingester beside another that may be a zombie; publish in one step.
    #[must_use]
    pub const fn append() -> Self {
        Self {
            records: 3,
            ingesters: 2,
            publishers: 1,
            atomic_publish: true,
            atomic_append: false,
            expiries: 0,
            refused: None,
            may_skip: false,
            mutant: None,
        }
    }

    /// The same with a third ingester and a record less: two that are alive, and a zombie.
    #[must_use]
    pub const fn zombie() -> Self {
        Self { records: 2, ingesters: 3, ..Self::append() }
    }

    /// Bounds with a refused record and a mapping that skips.
    #[must_use]
    pub const fn refusal() -> Self {
        Self { ingesters: 2, refused: Some(2), may_skip: true, ..Self::append() }
    }

    /// Bounds that look closely at publish: two publishers, append in one step.
    #[must_use]
    pub const fn publish() -> Self {
        Self {
            records: 3,
            ingesters: 1,
            publishers: 2,
            atomic_publish: false,
            atomic_append: true,
            expiries: 2,
            refused: None,
            may_skip: false,
            mutant: None,
        }
    }

    /// Both in all detail, at the smallest bounds.
    #[must_use]
    pub const fn together() -> Self {
        Self {
            records: 2,
            ingesters: 2,
            publishers: 1,
            atomic_publish: false,
            atomic_append: false,
            expiries: 1,
            refused: None,
            may_skip: false,
            mutant: None,
        }
    }

    /// The same bounds with a mutant.
    #[must_use]
    pub const fn with(self, mutant: Mutant) -> Self {
        Self { mutant: Some(mutant), ..self }
    }

    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

/// One step of anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Of an ingester.
    Ingest(usize, IngestAction),
    /// Of a publisher.
    Publish(usize, PublishAction),
    /// The mapping gives up on its next record and goes on behind it.
    Skip,
    /// The refused record is mended.
    Mend,
    /// An entry becomes older than retention.
    Age(u8),
    /// An upload that was started long ago expires.
    Expire(usize),
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (index, ingester) in state.ingesters.iter().enumerate() {
            ingest::actions(self, state, ingester, |action| actions.push(Action::Ingest(index, action)));
        }
        for (index, publisher) in state.publishers.iter().enumerate() {
            publish::actions(self, state, publisher, |action| actions.push(Action::Publish(index, action)));
        }
        if self.may_skip && state.skipped.is_none() && state.pointer < self.records {
            actions.push(Action::Skip);
        }
        if state.refused.is_some() {
            actions.push(Action::Mend);
        }
        for (index, entry) in state.entries.iter().enumerate() {
            let number = index as u8 + 1;
            // Entries younger than a look-up outlive every use of what it found.
            let in_use = state.oldest_knowledge().is_some_and(|since| since < number);
            if !entry.is_old && !entry.is_deleted && (!in_use || self.is(Mutant::TailForEver)) {
                actions.push(Action::Age(number));
            }
        }
        if state.expiries_left > 0 {
            for (index, upload) in state.uploads.iter().enumerate() {
                if *upload {
                    actions.push(Action::Expire(index));
                }
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Ingest(index, action) => ingest::apply(self, &mut state, index, action),
            Action::Publish(index, action) => publish::apply(self, &mut state, index, action),
            Action::Skip => {
                state.pointer += 1;
                state.skipped = Some(state.pointer);
            }
            Action::Mend => state.refused = None,
            Action::Age(number) => state.entries[usize::from(number) - 1].is_old = true,
            Action::Expire(index) => {
                state.uploads[index] = false;
                state.expiries_left -= 1;
            }
        }
        state.tidy();
        // Which of several equal processes is in which state makes no difference.
        state.ingesters.sort();
        state.publishers.sort();
        (state != *last).then_some(state)
    }

    /// A mutant may append without end; what it breaks shows long before.
    fn within_boundary(&self, state: &State) -> bool {
        state.entries.len() <= usize::from(self.records) + 1
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

/// Explores `bounds` until a property is violated; says which, and in how many steps.
#[must_use]
pub fn first_violation(bounds: Protocol) -> Option<(&'static str, usize)> {
    let checker = bounds.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let discoveries = checker.discoveries();
    let violated =
        bounds.properties().into_iter().filter(|property| property.expectation == Expectation::Always);
    violated
        .filter_map(|property| {
            Some((property.name, discoveries.get(property.name)?.clone().into_actions().len()))
        })
        .min_by_key(|&(_, steps)| steps)
}
