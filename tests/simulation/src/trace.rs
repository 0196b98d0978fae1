//! What happened, in order, as one digest: the same seed gives the same to the bit.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use xxhash_rust::xxh3::Xxh3;

use crate::clock::VirtualClock;

/// More than any schedule has by far.
const MOST_STEPS: u64 = 1_000_000;

/// Takes in every store call, its outcome, every answer and every step of the mapping.
#[derive(Clone)]
pub(crate) struct Trace {
    clock: VirtualClock,
    is_printed: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    hash: Xxh3,
    line: String,
    steps: u64,
}

impl Trace {
    /// An empty trace. With `is_printed` each step goes to standard output too.
    #[must_use]
    pub(crate) fn new(clock: VirtualClock, is_printed: bool) -> Self {
        Self { clock, is_printed, state: Arc::default() }
    }

    /// Takes a step in.
    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { hash, line, steps } = &mut *state;
        line.clear();
        // Writing to a String cannot fail.
        let _ = writeln!(line, "{:>12} {what}", self.clock.elapsed());
        hash.update(line.as_bytes());
        *steps += 1;
        assert!(*steps < MOST_STEPS, "the schedule does not end");
        if self.is_printed {
            print!("{line}");
        }
    }

    /// The digest so far.
    #[must_use]
    pub(crate) fn digest(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).hash.digest()
    }

    /// Steps so far.
    #[must_use]
    pub(crate) fn steps(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).steps
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Trace").field("steps", &self.steps()).finish_non_exhaustive()
    }
}
