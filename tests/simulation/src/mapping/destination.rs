//! The on-failure destination: a bucket, which gets the records themselves.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Why a mapping gave records up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// `MaximumRetryAttempts`.
    RetryAttemptsExhausted,
    /// `MaximumRecordAgeInSeconds`.
    RecordAgeExceeded,
}

/// What was given up, by the records' numbers.
#[derive(Debug, Default)]
pub(crate) struct Destination(Mutex<BTreeMap<u64, Reason>>);

impl Destination {
    /// Takes records in. One that was given up before, and came again, is there already.
    pub(crate) fn take(&self, numbers: &[u64], reason: Reason) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.extend(numbers.iter().map(|&number| (number, reason)));
    }

    /// Whether it has a record.
    #[must_use]
    pub(crate) fn has(&self, number: u64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&number)
    }
}
