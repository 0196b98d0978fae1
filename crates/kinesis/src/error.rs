//! Why there is no sink.

use std::fmt;

/// A stream cannot be used: everything that is wrong with its options, at once.
#[derive(Debug, thiserror::Error)]
pub struct KinesisError {
    stream: String,
    faults: Vec<String>,
}

impl KinesisError {
    pub(crate) fn new(stream: &str, faults: Vec<String>) -> Self {
        Self { stream: stream.to_owned(), faults }
    }
}

impl fmt::Display for KinesisError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the Kinesis stream '{}' cannot be used: {}", self.stream, self.faults.join("; "))
    }
}
