//! Why there is no sink.

use std::fmt;

/// A sink cannot be had: everything that is wrong with its options, at once.
#[derive(Debug, thiserror::Error)]
pub struct SearchError {
    faults: Vec<String>,
}

impl SearchError {
    pub(crate) const fn new(faults: Vec<String>) -> Self {
        Self { faults }
    }
}

impl fmt::Display for SearchError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the search cluster cannot be used: {}", self.faults.join("; "))
    }
}
