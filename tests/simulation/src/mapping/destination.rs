//! The on-failure destination: a bucket, which gets the records themselves.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tripline_stream::mapping::delivery::Condition;

/// What was given up, by the records' numbers.
#[derive(Debug, Default)]
pub(crate) struct Destination(Mutex<BTreeMap<u64, Condition>>);

impl Destination {
    /// Takes records in. One that was given up before, and came again, is there already.
    pub(crate) fn take(&self, numbers: &[u64], condition: Condition) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.extend(numbers.iter().map(|&number| (number, condition)));
    }

    /// Whether it has a record.
    #[must_use]
    pub(crate) fn has(&self, number: u64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&number)
    }
}
