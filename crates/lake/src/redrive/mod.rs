//! Redrive: what failed once is sent again, each record at most once more per redrive.
//!
//! Two kinds of records come back this way: dead letters, from the published table ([`Selection`]), and
//! batches that the event source mapping gave up, whose place in their lane has passed
//! ([`Coverage`]).
//!
//! A redrive of dead letters is an object under `_tripline/redrive/`, created before anything is sent. It
//! names a filter and the published files to which that applies. Files never change, so filter and files
//! are the exact set of letters, and stay so: a redrive that dies is repeated to the same end, and a
//! later one leaves out what an earlier one had. Letters are sent on lanes of their own, one for each
//! lane they came from, where the journal drops what is in already.

mod coverage;
mod filter;
mod letters;
mod manifest;

pub use coverage::Coverage;
pub use filter::Filter;
pub use letters::{Letter, LetterGroup};
pub use manifest::{Redrive, RedriveState, Selection, Sent};

use tripline_model::decode::Stage;
use tripline_model::source::{Position, SourcePartition};

use crate::checkpoint::CheckpointError;
use crate::journal::JournalError;
use crate::lane::Lane;
use crate::store::StoreError;

/// What follows [`AGAIN`] in the epoch of a batch that was given up.
const FAILED: &str = "failed-";

/// A redrive could not go on. What it sent stays, and is dropped as duplicate when it is repeated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedriveError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The checkpoint, which says where a lane stands, cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A lane cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file of dead letters cannot be read.
    #[error(
        "{location}/{key}: {reason}; restore the file, or move it out of the table to leave its dead letters out"
    )]
    UnreadableFile {
        /// Where the lake is.
        location: String,
        /// Key of the file.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// A redrive's own object cannot be read.
    #[error(
        "{location}/{key} is no redrive of this version: {reason}; restore the object's last good version"
    )]
    UnreadableRedrive {
        /// Where the lake is.
        location: String,
        /// Key of the object.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

/// The source partition under which records are sent again: the one that they came from, in an epoch of its own,
/// so that they have a lane of their own.
fn again(origin: &SourcePartition, suffix: &str) -> SourcePartition {
    SourcePartition { epoch: format!("{}{AGAIN}{suffix}", origin.epoch), ..origin.clone() }
}

/// Begins the part of an epoch that says that records were sent again. No operator's epoch has it.
pub const AGAIN: char = '~';

/// The source partition for dead letters of `origin` that redrive `number` sends. Each lane's letters go on
/// a lane of their own, those of an earlier redrive's lane too: only within one lane do they come in the
/// order of their positions.
#[must_use]
pub fn letters_origin(origin: &SourcePartition, number: u64, stage: Stage) -> SourcePartition {
    again(origin, &format!("redrive-{number}-{}", stage.code()))
}

/// The source partition for the records of a batch that its mapping gave up, from position `first` to
/// `last`, and whose place in their own lane has passed.
#[must_use]
pub fn batch_origin(origin: &SourcePartition, first: &str, last: &str) -> SourcePartition {
    again(origin, &format!("{FAILED}{first}-{last}"))
}

/// The source partition by which records first came.
#[must_use]
pub fn first_origin(origin: &SourcePartition) -> SourcePartition {
    let epoch = origin.epoch.split_once(AGAIN).map_or(origin.epoch.as_str(), |(first, _)| first);
    SourcePartition { epoch: epoch.to_owned(), ..origin.clone() }
}

/// Whether a lane's source partition is that of a batch of `origin` that was given up.
fn is_given_up_of(origin: &SourcePartition, candidate: &Lane) -> bool {
    let suffix = candidate.epoch.strip_prefix(&format!("{}{AGAIN}", origin.epoch));
    candidate.source == origin.source
        && candidate.partition == origin.partition
        && suffix.is_some_and(|suffix| suffix.starts_with(FAILED))
}

/// The first position of the given-up batch that a lane's epoch names.
fn given_up_from(epoch: &str) -> Option<Position> {
    let (_, suffix) = epoch.rsplit_once(AGAIN)?;
    suffix.strip_prefix(FAILED)?.split('-').next()?.parse().ok()
}
