//! An ingester's steps: look the tail up, drop, put, and what follows from each answer.

use crate::state::{IngestWork, Records, State, Tail, bit, last_of, range};
use crate::{Ingester, Mutant, Protocol};

/// A step of an ingester.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngestAction {
    /// The mapping delivers records, first to last.
    Deliver(u8, u8),
    /// Reads the checkpoint.
    ReadCheckpoint,
    /// Lists the lane.
    List,
    /// Drops what is in and sends the rest, or answers when nothing is left.
    Send,
    /// The PUT is carried out, and answered.
    Put,
    /// The PUT is carried out, and the answer is lost: it is sent again.
    PutUnanswered,
    /// Reads the checkpoint again, as the listing was empty.
    ReadAgain,
    /// Gives the batch up, and remembers the tail.
    GiveUp,
    /// Reads the entry that has the number.
    ReadEntry,
    /// Dies, times out, or forgets as time passes.
    Forget,
    /// Everything from look-up to answer in one step.
    AppendAtOnce(u8, u8),
}

pub(crate) fn actions(
    bounds: &Protocol,
    state: &State,
    ingester: &Ingester,
    mut can: impl FnMut(IngestAction),
) {
    use IngestAction as A;
    if ingester.work != IngestWork::Idle || ingester.tail.is_some() {
        can(A::Forget);
    }
    match &ingester.work {
        IngestWork::Idle => {
            // From anywhere up to the mapping's place (a retry, a rewind), and as long as it likes.
            for first in 1..=(state.pointer + 1).min(bounds.records) {
                for last in first..=bounds.records {
                    can(if bounds.atomic_append {
                        A::AppendAtOnce(first, last)
                    } else {
                        A::Deliver(first, last)
                    });
                }
            }
        }
        IngestWork::LookUp { .. } => can(A::ReadCheckpoint),
        IngestWork::List { .. } => can(A::List),
        IngestWork::Again { .. } => can(A::ReadAgain),
        IngestWork::Ready { .. } => can(A::Send),
        IngestWork::Sent { .. } => {
            can(A::Put);
            can(A::PutUnanswered);
            can(A::GiveUp);
        }
        IngestWork::Overtaken { .. } => can(A::ReadEntry),
    }
}

pub(crate) fn apply(bounds: &Protocol, state: &mut State, index: usize, action: IngestAction) {
    let ingester = state.ingesters[index].clone();
    let (tail, work) = (ingester.tail, ingester.work);
    match (action, work) {
        (IngestAction::Deliver(first, last), _) => {
            let batch = (first, last);
            state.ingesters[index].tail = None;
            state.ingesters[index].work = match tail {
                Some(tail) => IngestWork::Ready { batch, tail },
                None => IngestWork::LookUp { batch, since: state.newest() },
            };
        }
        (IngestAction::ReadCheckpoint, IngestWork::LookUp { batch, since }) => {
            let found = published(state);
            state.ingesters[index].work = IngestWork::List { batch, since, found };
        }
        (IngestAction::List, IngestWork::List { batch, since, found }) => {
            state.ingesters[index].work = match listed(bounds, state, found) {
                Some(tail) => IngestWork::Ready { batch, tail },
                None if bounds.is(Mutant::ListingAlone) => {
                    IngestWork::Ready { batch, tail: Tail { number: 0, last: 0 } }
                }
                None if bounds.is(Mutant::LookUpOnce) => IngestWork::Ready { batch, tail: found },
                None => IngestWork::Again { batch, since, found },
            };
        }
        (IngestAction::ReadAgain, IngestWork::Again { batch, since, found }) => {
            let now = published(state);
            state.ingesters[index].work = if now == found {
                IngestWork::Ready { batch, tail: found }
            } else {
                IngestWork::List { batch, since, found: now }
            };
        }
        (IngestAction::Send, IngestWork::Ready { batch, tail }) => {
            let records = fresh(bounds, state, batch, tail);
            if records == 0 {
                answer(state, index, batch, tail);
            } else {
                state.ingesters[index].work = IngestWork::Sent { batch, tail, records };
            }
        }
        (IngestAction::Put, IngestWork::Sent { batch, tail, records }) => {
            let number = tail.number + 1;
            if put(bounds, state, number, records) {
                let tail = Tail { number, last: last_of(records).max(tail.last) };
                answer(state, index, batch, tail);
            } else {
                state.ingesters[index].work = IngestWork::Overtaken { batch, tail };
            }
        }
        (IngestAction::PutUnanswered, IngestWork::Sent { tail, records, .. }) => {
            put(bounds, state, tail.number + 1, records);
        }
        (IngestAction::GiveUp, IngestWork::Sent { tail, .. }) => {
            state.ingesters[index] = Ingester { tail: Some(tail), work: IngestWork::Idle };
        }
        (IngestAction::ReadEntry, IngestWork::Overtaken { batch, tail }) => {
            let number = tail.number + 1;
            state.ingesters[index].work = match state.entry(number) {
                Some(entry) => {
                    let tail = Tail { number, last: last_of(entry.records) };
                    IngestWork::Ready { batch, tail }
                }
                None => {
                    state.ingesters[index].tail = None;
                    IngestWork::LookUp { batch, since: state.newest() }
                }
            };
        }
        (IngestAction::Forget, _) => {
            state.ingesters[index].tail = None;
            state.ingesters[index].work = IngestWork::Idle;
        }
        (IngestAction::AppendAtOnce(first, last), _) => {
            let known = state.records_up_to(state.newest());
            let records = range(first, last) & !range(1, last_of(known));
            if records != 0 {
                state.put_entry(state.newest() + 1, records);
            }
            acknowledge(state, range(first, last));
        }
        _ => unreachable!("the action does not fit what the ingester is doing"),
    }
}

fn published(state: &State) -> Tail {
    Tail { number: state.checkpoint.number, last: state.checkpoint.last }
}

/// The newest entry that a listing after the checkpoint's position shows.
fn listed(bounds: &Protocol, state: &State, found: Tail) -> Option<Tail> {
    let after = if bounds.is(Mutant::ListingAlone) { 0 } else { found.number };
    (after + 1..=state.newest())
        .rev()
        .find_map(|number| Some(Tail { number, last: last_of(state.entry(number)?.records) }))
}

/// What of the batch is not in yet, up to the first refused record.
fn fresh(bounds: &Protocol, state: &State, batch: (u8, u8), tail: Tail) -> Records {
    let delivered = range(batch.0, batch.1);
    let known = if tail.last == 0 || bounds.is(Mutant::NoDrop) { 0 } else { range(1, tail.last) };
    let new = delivered & !known;
    match state.refused {
        Some(refused) if new & bit(refused) != 0 => {
            if bounds.is(Mutant::AppendPastRefusal) {
                new & !bit(refused)
            } else {
                new & (bit(refused) - 1)
            }
        }
        _ => new,
    }
}

pub(crate) fn put(bounds: &Protocol, state: &mut State, number: u8, records: Records) -> bool {
    if bounds.is(Mutant::NoFence) && state.entry(number).is_some() {
        // The new object takes the old one's place.
        state.entries[usize::from(number) - 1].is_deleted = true;
    }
    state.put_entry(number, records)
}

/// The invocation ends. What was delivered and lies at or below the tail is done; the mapping delivers
/// the rest again.
fn answer(state: &mut State, index: usize, batch: (u8, u8), tail: Tail) {
    let known = if tail.last == 0 { 0 } else { range(1, tail.last) };
    acknowledge(state, range(batch.0, batch.1) & known);
    state.ingesters[index] = Ingester { tail: Some(tail), work: IngestWork::Idle };
}

fn acknowledge(state: &mut State, done: Records) {
    state.acknowledged |= done;
    state.pointer = state.pointer.max(last_of(done));
}
