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
use tripline_model::source::SourcePartition;

use crate::checkpoint::CheckpointError;
use crate::journal::JournalError;
use crate::store::StoreError;

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
    #[error("{location}/{key}: {reason}; restore the file, or leave its dead letters out with a filter")]
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

/// Begins the part of an epoch that says that records were sent again.
const AGAIN: char = '~';

/// The source partition for dead letters of `origin` that redrive `number` sends.
#[must_use]
pub fn letters_origin(origin: &SourcePartition, number: u64, stage: Stage) -> SourcePartition {
    // A letter that comes from a redrive itself goes by where it first came from.
    let first = SourcePartition { epoch: first_epoch(&origin.epoch).to_owned(), ..origin.clone() };
    again(&first, &format!("redrive-{number}-{}", stage.code()))
}

/// The source partition for the records of a batch that its mapping gave up, from position `first` to
/// `last`, and whose place in their own lane has passed.
#[must_use]
pub fn batch_origin(origin: &SourcePartition, first: &str, last: &str) -> SourcePartition {
    again(origin, &format!("failed-{first}-{last}"))
}

/// An epoch without what redrives add to it.
#[must_use]
pub fn first_epoch(epoch: &str) -> &str {
    epoch.split_once(AGAIN).map_or(epoch, |(first, _)| first)
}
