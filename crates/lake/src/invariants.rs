//! What must always hold, in one place, with ids that tests, logs and documents share.
//!
//! A check is always made. In a build with debug assertions, as tests are, a violation panics; in a
//! release it is logged, counted and handed to the caller as a [`Violation`], which stops where going
//! on would damage data. A violation is a bug of ours, or of somebody who wrote into the lake: no input
//! and no failure of a store leads to one.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! invariants {
    ($($name:ident, $id:literal, $statement:literal;)+) => {
        /// Something that must always hold. Ids are stable: one is never given to another statement.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Invariant {
            $(#[doc = concat!($id, ": ", $statement, ".")] $name),+
        }

        impl Invariant {
            /// All of them, in the order of their ids.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The id, as logs and failed tests tell it.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id),+ }
            }

            /// What must hold.
            #[must_use]
            pub const fn statement(self) -> &'static str {
                match self { $(Self::$name => $statement),+ }
            }
        }

        static COUNTS: [AtomicU64; Invariant::ALL.len()] = [const { AtomicU64::new(0) }; Invariant::ALL.len()];
    };
}

invariants! {
    RecordOnce, "I1", "a committed record is in the lake exactly once";
    NothingLost, "I2", "an acknowledged record is committed, and one that was given up lies at the on-failure destination";
    OneOutcome, "I3", "rows, dead letters, watermark events and records left out are disjoint and together the committed records";
    PartitionOfRow, "I4", "a row lies in the partition that its own values name";
    DocumentsAreEvents, "I5", "every acknowledged event has its document or is a dead letter of stage `search`, once, and there is no document without its event";
    PositionsAscend, "I6", "positions only grow, within an entry and from one entry of a lane to the next";
    TailForward, "I7", "a remembered tail only moves forward";
    CheckpointForward, "I8", "the checkpoint moves by one generation, no lane's position back, and on to new entries only with nothing pending";
    BatchReconciles, "I9", "records delivered are those committed, those that were in already, and those from the first refused one on";
    CommitReconciles, "I10", "the files of a commit hold the rows of exactly the entries that it covers";
    SeenAtMostOnce, "I11", "at every moment a reader sees a record at most once, and what it has seen stays";
    SweptWhenSettled, "I12", "an entry is deleted only when it is published, its files are visible and it is older than retention";
    ReplayChangesNothing, "I13", "delivering any range again, cut in any way, changes nothing";
    RebuiltAlike, "I14", "a file that is built again holds the rows that it was committed with";
    NewestDocument, "I15", "with `version = \"position\"` no document gives way to one of an earlier record";
    BulkWellFormed, "I16", "a bulk request is well-formed and no longer than the sink's options allow";
    WatermarkForward, "I17", "the watermark never moves back, nor further than the least event time that an active lane has reached, less the allowed lateness";
    MarkedWhenComplete, "I18", "a partition gets its `_SUCCESS` only behind the watermark and with nothing pending";
    MarkCounts, "I19", "a `_SUCCESS` counts the files and rows that were visible when it was written";
}

/// Violations that no log line has carried yet.
static UNREPORTED: AtomicU64 = AtomicU64::new(0);

/// An invariant does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} violated: {details} ({})", .invariant.id(), .invariant.statement())]
pub struct Violation {
    /// Which one.
    pub invariant: Invariant,
    /// What was found instead.
    pub details: String,
}

impl Violation {
    /// A violation, told by `details`.
    pub fn new(invariant: Invariant, details: impl Into<String>) -> Self {
        Self { invariant, details: details.into() }
    }
}

/// What a violation leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A panic, so that no test goes on with it.
    Panic,
    /// A log line, a count and a [`Violation`] for the caller.
    Report,
}

impl Mode {
    /// That of this build.
    pub const OF_BUILD: Self = if cfg!(debug_assertions) { Self::Panic } else { Self::Report };
}

/// Checks what this process's own code must have made true.
///
/// # Errors
/// [`Violation`] in a release; the caller stops, or says why it may go on.
///
/// # Panics
/// On a violation in a build with debug assertions.
pub fn require(invariant: Invariant, holds: bool, details: impl FnOnce() -> String) -> Result<(), Violation> {
    judge(Mode::OF_BUILD, invariant, holds, details)
}

/// Checks what was read from the store. Others can write there, so that a violation is an error in any
/// build and never a panic of ours.
///
/// # Errors
/// [`Violation`].
pub fn require_of_store(
    invariant: Invariant,
    holds: bool,
    details: impl FnOnce() -> String,
) -> Result<(), Violation> {
    judge(Mode::Report, invariant, holds, details)
}

/// [`require`] with the mode given.
///
/// # Errors
/// As [`require`].
///
/// # Panics
/// On a violation with [`Mode::Panic`].
#[allow(clippy::panic)]
pub fn judge(
    mode: Mode,
    invariant: Invariant,
    holds: bool,
    details: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds {
        return Ok(());
    }
    let violation = Violation::new(invariant, details());
    if mode == Mode::Panic {
        panic!("{violation}");
    }
    tracing::error!(invariant = invariant.id(), %violation, "invariant violated");
    if let Some(count) = COUNTS.get(invariant as usize) {
        count.fetch_add(1, Ordering::Relaxed);
    }
    UNREPORTED.fetch_add(1, Ordering::Relaxed);
    Err(violation)
}

/// How often each invariant was violated in this process.
pub fn violations() -> impl Iterator<Item = (Invariant, u64)> {
    Invariant::ALL.iter().zip(&COUNTS).map(|(&invariant, count)| (invariant, count.load(Ordering::Relaxed)))
}

/// Violations since the last call: each is told once, whichever invocation of the process asks.
#[must_use]
pub fn take_unreported() -> u64 {
    UNREPORTED.swap(0, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    #[should_panic(expected = "I6 violated: entry 2 begins with 5 after 7")]
    fn a_violation_panics_in_a_test() {
        let _ = require(Invariant::PositionsAscend, false, || "entry 2 begins with 5 after 7".to_owned());
    }

    #[test]
    fn a_violation_of_a_release_is_counted_told_once_and_returned() {
        let count = || violations().find(|(invariant, _)| *invariant == Invariant::RebuiltAlike).unwrap().1;
        let (before, _) = (count(), take_unreported());
        let violation =
            judge(Mode::Report, Invariant::RebuiltAlike, false, || "two rows of three".to_owned());
        let text = violation.unwrap_err().to_string();
        assert!(text.starts_with("I14 violated: two rows of three (a file that is built again"), "{text}");
        assert_eq!((count(), take_unreported()), (before + 1, 1));
        assert_eq!(take_unreported(), 0);
    }

    #[test]
    fn what_holds_costs_no_text() {
        let details = || -> String { panic!("not asked for") };
        judge(Mode::Report, Invariant::RecordOnce, true, details).unwrap();
        judge(Mode::Panic, Invariant::RecordOnce, true, details).unwrap();
    }

    #[test]
    fn ids_are_distinct_and_in_order() {
        let numbers: Vec<u32> = Invariant::ALL
            .iter()
            .map(|invariant| invariant.id().strip_prefix('I').unwrap().parse().unwrap())
            .collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    }
}
