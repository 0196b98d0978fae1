//! What the function answers to its event source mapping.
//!
//! A partial batch response names records that failed; it counts only where the mapping sets
//! `FunctionResponseTypes = ["ReportBatchItemFailures"]`, otherwise any answer without an error is
//! success to the mapping, whatever it lists.

use serde::{Serialize, Serializer};
use tripline_model::source::Position;

/// A partial batch response: `{"batchItemFailures":[…]}`. With an empty list the batch succeeded.
///
/// For Kinesis the lowest sequence number in the list becomes the checkpoint: that record and all
/// after it are delivered again, also those that succeeded (AWS Lambda: "Configuring partial batch
/// response with Kinesis Data Streams and Lambda").
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BatchResponse {
    /// What is to be delivered again; empty means success.
    #[serde(rename = "batchItemFailures")]
    pub failures: Vec<BatchItemFailure>,
}

/// One entry of a partial batch response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BatchItemFailure {
    /// The first record of its source partition that is to be delivered again.
    #[serde(rename = "itemIdentifier")]
    pub item: ItemIdentifier,
}

/// How a mapping wants a record named; each kind of source has its own form, and the wrong one
/// makes the mapping deliver the whole batch again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ItemIdentifier {
    /// Kinesis: the sequence number, a text.
    SequenceNumber(#[serde(serialize_with = "as_text")] Position),
    /// Kafka: an object, in provisioned mode only; one entry per topic-partition, its lowest offset.
    Offset {
        /// `topic-partition`, the key of the event's `records`: `trips-0`.
        partition: String,
        /// Offset of the first record to be delivered again.
        offset: u64,
    },
}

impl BatchResponse {
    /// Everything was processed.
    #[must_use]
    pub const fn success() -> Self {
        Self { failures: Vec::new() }
    }

    /// Whether nothing is to be delivered again.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.failures.is_empty()
    }
}

fn as_text<S: Serializer>(position: &Position, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_an_empty_list() -> Result<(), serde_json::Error> {
        assert_eq!(serde_json::to_string(&BatchResponse::success())?, r#"{"batchItemFailures":[]}"#);
        Ok(())
    }

    #[test]
    fn kinesis_gets_the_sequence_number_as_text() -> Result<(), Box<dyn std::error::Error>> {
        let sequence = "49590338271490256608559692538361571095921575989136588898";
        let item = ItemIdentifier::SequenceNumber(sequence.parse()?);
        let response = BatchResponse { failures: vec![BatchItemFailure { item }] };
        let expected = format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{sequence}"}}]}}"#);
        assert_eq!(serde_json::to_string(&response)?, expected);
        Ok(())
    }

    #[test]
    fn kafka_gets_an_object() -> Result<(), serde_json::Error> {
        let item = ItemIdentifier::Offset { partition: "mytopic-0".to_owned(), offset: 15 };
        let response = BatchResponse { failures: vec![BatchItemFailure { item }] };
        assert_eq!(
            serde_json::to_string(&response)?,
            r#"{"batchItemFailures":[{"itemIdentifier":{"partition":"mytopic-0","offset":15}}]}"#
        );
        Ok(())
    }
}
