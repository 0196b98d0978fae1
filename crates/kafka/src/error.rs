//! Why there is no sink, or no batch.

/// A cluster cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// Everything that is wrong with the options, at once.
    #[error("the Kafka cluster cannot be used: {}", .faults.join("; "))]
    Options {
        /// What is wrong with each, and what to do.
        faults: Vec<String>,
    },
    /// The cluster says no, and will as long as nobody changes something. A poller may be asked again.
    #[error("the Kafka cluster says no: {reason}")]
    Refused {
        /// What it refuses, and what to do.
        reason: String,
    },
    /// A poller was asked for a batch before it was told what became of the last one.
    #[error("the last batch was not answered: call `done` before the next `next_batch`")]
    Unanswered,
    /// The poller's thread is gone.
    #[error("the Kafka poller has ended: make a new one")]
    Ended,
}

impl KafkaError {
    pub(crate) fn fault(fault: impl Into<String>) -> Self {
        Self::Options { faults: vec![fault.into()] }
    }
}
