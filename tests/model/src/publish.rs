//! A publisher's steps: settle what is pending, upload, commit, complete, sweep.

use crate::state::{Checkpoint, File, Pending, PublishWork, Publisher, State, last_of};
use crate::{Mutant, Protocol};

/// A step of a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishAction {
    /// Loads the checkpoint.
    Load,
    /// Completes the next pending file and looks whether it is there.
    Complete,
    /// Builds lost files again, or sends the commit that nothing is pending.
    Resolve,
    /// Reads entries up to this number and uploads their file.
    Upload(u8),
    /// The commit is carried out; the publisher does not know yet.
    CommitArrives,
    /// The publisher learns what became of its commit.
    Learn,
    /// Deletes an entry.
    Delete(u8),
    /// Dies, or ends its run.
    Stop,
    /// Load, upload, commit and complete in one step.
    PublishAtOnce,
}

pub(crate) fn actions(
    bounds: &Protocol,
    state: &State,
    publisher: &Publisher,
    mut can: impl FnMut(PublishAction),
) {
    use PublishAction as A;
    if bounds.atomic_publish {
        if state.checkpoint.number < state.newest() {
            can(A::PublishAtOnce);
        }
        deletable(bounds, state, &state.checkpoint, &mut can);
        return;
    }
    if publisher.work != PublishWork::Idle {
        can(A::Stop);
    }
    match &publisher.work {
        PublishWork::Idle => can(A::Load),
        PublishWork::Settling { base, at, .. } => {
            can(if usize::from(*at) < base.pending.len() { A::Complete } else { A::Resolve });
            if bounds.is(Mutant::SweepWhilePending) {
                deletable(bounds, state, base, &mut can);
            }
        }
        PublishWork::Settled { base } => {
            for number in base.number + 1..=state.newest() {
                if state.entry(number).is_none() {
                    break;
                }
                can(A::Upload(number));
            }
            deletable(bounds, state, base, &mut can);
        }
        PublishWork::Committing { has_landed, is_given_up, .. } => {
            if !has_landed {
                can(A::CommitArrives);
            }
            if !is_given_up {
                can(A::Learn);
            }
        }
    }
}

/// Old published entries, the lowest first.
fn deletable(bounds: &Protocol, state: &State, base: &Checkpoint, can: &mut impl FnMut(PublishAction)) {
    for number in 1..=base.number {
        if let Some(entry) = state.entry(number) {
            if entry.is_old {
                can(PublishAction::Delete(number));
            }
            if !bounds.is(Mutant::SweepOutOfOrder) {
                return;
            }
        }
    }
}

pub(crate) fn apply(bounds: &Protocol, state: &mut State, index: usize, action: PublishAction) {
    let work = std::mem::take(&mut state.publishers[index].work);
    let next = match (action, work) {
        (PublishAction::Load, _) => settling(state.checkpoint.clone()),
        (PublishAction::Complete, PublishWork::Settling { base, at, mut lost }) => {
            let pending = base.pending[usize::from(at)];
            complete(state, pending);
            if !state.files[usize::from(pending.file)].is_visible {
                lost.push(pending.file);
            }
            PublishWork::Settling { base, at: at + 1, lost }
        }
        (PublishAction::Resolve, PublishWork::Settling { base, lost, .. }) => {
            resolve(bounds, state, base, &lost)
        }
        (PublishAction::Upload(number), PublishWork::Settled { base }) => upload(bounds, state, base, number),
        (PublishAction::CommitArrives, PublishWork::Committing { base, next, is_given_up, .. }) => {
            let has_landed = replace(bounds, state, base.version, &next);
            if is_given_up {
                PublishWork::Idle
            } else {
                PublishWork::Committing { base, next, has_landed, is_given_up }
            }
        }
        (PublishAction::Learn, PublishWork::Committing { base, next, has_landed, .. }) => {
            // It reads the checkpoint: run id and generation say whether it is this commit's.
            if has_landed && state.checkpoint == next {
                settling(next)
            } else {
                if bounds.is(Mutant::AbortOnRefusal) {
                    for pending in next.pending.iter().filter(|pending| !base.pending.contains(pending)) {
                        state.uploads[usize::from(pending.upload)] = false;
                    }
                }
                let may_arrive = !has_landed && state.checkpoint == base;
                if may_arrive {
                    PublishWork::Committing { base, next, has_landed, is_given_up: true }
                } else {
                    PublishWork::Idle
                }
            }
        }
        (PublishAction::Delete(number), work) => {
            state.entries[usize::from(number) - 1].is_deleted = true;
            work
        }
        (PublishAction::Stop, _) => PublishWork::Idle,
        (PublishAction::PublishAtOnce, _) => {
            let number = state.newest();
            let entries = (state.checkpoint.number + 1, number);
            let records = records_of(state, entries);
            state.files.push(File { entries, records, is_visible: true });
            let last = last_of(state.records_up_to(number));
            state.checkpoint = Checkpoint { version: number, number, last, pending: Vec::new() };
            PublishWork::Idle
        }
        _ => unreachable!("the action does not fit what the publisher is doing"),
    };
    state.publishers[index].work = next;
}

fn settling(base: Checkpoint) -> PublishWork {
    if base.pending.is_empty() {
        PublishWork::Settled { base }
    } else {
        PublishWork::Settling { base, at: 0, lost: Vec::new() }
    }
}

/// Completes an upload that is there; one that is gone leaves everything as it is.
fn complete(state: &mut State, pending: Pending) {
    let upload = &mut state.uploads[usize::from(pending.upload)];
    if std::mem::replace(upload, false) {
        state.files[usize::from(pending.file)].is_visible = true;
    }
}

fn resolve(bounds: &Protocol, state: &mut State, base: Checkpoint, lost: &[u8]) -> PublishWork {
    let mut pending = Vec::new();
    state.is_lost_by_abort |=
        !lost.is_empty() && state.checkpoint == base && state.expiries_left == bounds.expiries;
    for &file in lost {
        let entries = state.files[usize::from(file)].entries;
        if (entries.0..=entries.1).any(|number| state.entry(number).is_none()) {
            // Whoever goes by an old checkpoint may fail; by the current one nobody may.
            state.is_unrecoverable |= state.checkpoint == base && !state.files[usize::from(file)].is_visible;
            return PublishWork::Idle;
        }
        if bounds.is(Mutant::RebuildByPut) {
            let records = records_of(state, entries);
            state.files.push(File { entries, records, is_visible: true });
            continue;
        }
        state.uploads.push(true);
        pending.push(Pending { file, upload: state.uploads.len() as u8 - 1 });
    }
    let next = Checkpoint { version: base.version + 1, pending, ..base };
    PublishWork::Committing { base, next, has_landed: false, is_given_up: false }
}

fn upload(bounds: &Protocol, state: &mut State, base: Checkpoint, number: u8) -> PublishWork {
    let entries = (base.number + 1, number);
    let records = records_of(state, entries);
    state.files.push(File { entries, records, is_visible: bounds.is(Mutant::CompleteBeforeCommit) });
    state.uploads.push(true);
    let pending = vec![Pending { file: state.files.len() as u8 - 1, upload: state.uploads.len() as u8 - 1 }];
    let last = base.last.max(last_of(records));
    let next = Checkpoint { version: base.version + 1, number, last, pending };
    PublishWork::Committing { base, next, has_landed: false, is_given_up: false }
}

fn records_of(state: &State, entries: (u8, u8)) -> u8 {
    (entries.0..=entries.1).filter_map(|number| state.entry(number)).fold(0, |set, entry| set | entry.records)
}

/// Replaces the checkpoint if it has the version. `true`: it took effect.
pub(crate) fn replace(bounds: &Protocol, state: &mut State, version: u8, next: &Checkpoint) -> bool {
    if state.checkpoint.version != version && !bounds.is(Mutant::CommitWithoutMatch) {
        return false;
    }
    state.went_back |= next.number < state.checkpoint.number || next.version <= state.checkpoint.version;
    state.checkpoint = next.clone();
    true
}
