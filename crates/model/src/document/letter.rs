//! Documents of dead letters: for looking at them beside the events. What counts is the lake's table, which has
//! their bytes.

use std::fmt::Write as _;

use super::{body, place};
use crate::decode::DeadLetter;
use crate::id;
use crate::pipeline::IndexName;
use crate::source::{Payload, SourcePartition};
use crate::time;

/// So much of a payload is shown, in bytes.
const EXCERPT_BYTES: usize = 4_096;

/// A member of a dead letter's document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterField {
    /// A text that is searched for as a whole.
    Text,
    /// A text that is shown and not searched for.
    Shown,
    /// A whole number.
    Integer,
    /// A time.
    Time,
}

/// The members of a dead letter's document, which are columns of the lake's table but for the last two: the
/// payload's length and as much of it as is worth a look.
#[must_use]
pub const fn letter_fields() -> [(&'static str, LetterField); 14] {
    [
        ("stage", LetterField::Text),
        ("reason", LetterField::Text),
        ("error", LetterField::Text),
        ("event_type", LetterField::Text),
        ("source", LetterField::Text),
        ("epoch", LetterField::Text),
        ("partition", LetterField::Text),
        ("position", LetterField::Text),
        ("sub_position", LetterField::Integer),
        ("partition_key", LetterField::Text),
        ("arrival_time", LetterField::Time),
        ("failed_at", LetterField::Time),
        ("payload_bytes", LetterField::Integer),
        ("payload", LetterField::Shown),
    ]
}

/// Makes documents of the dead letters of one source partition.
#[derive(Debug)]
pub struct LetterDocuments<'o> {
    origin: &'o SourcePartition,
    id_prefix: String,
    now_ms: i64,
    index: String,
}

impl<'o> LetterDocuments<'o> {
    /// For letters of `origin` that failed at `now_ms`, milliseconds since 1970 UTC.
    #[must_use]
    pub fn new(index: &IndexName, origin: &'o SourcePartition, now_ms: i64) -> Self {
        let mut name = String::new();
        place::timed_index(index, now_ms, &mut name);
        Self { origin, id_prefix: id::prefix(origin), now_ms, index: name }
    }

    /// Their index.
    #[must_use]
    pub fn index(&self) -> &str {
        &self.index
    }

    /// The id of a letter's document: that of no other letter, and the same whenever the record fails.
    #[must_use]
    pub fn id(&self, letter: &DeadLetter<'_>) -> String {
        let mut place = format!("{}-", letter.stage.code());
        id::push_place(&mut place, &self.id_prefix, &letter.record);
        let mut id = String::new();
        id::push_capped(&mut id, &place, id::DOCUMENT_BYTES);
        id
    }

    /// Appends a letter's document, which has no newline.
    pub fn write(&self, letter: &DeadLetter<'_>, document: &mut Vec<u8>) {
        let DeadLetter { stage, record, refusal, event_type } = letter;
        let (Payload::Bytes(payload) | Payload::Undecodable(payload)) = record.payload;
        let excerpt = String::from_utf8_lossy(payload.get(..EXCERPT_BYTES).unwrap_or(payload));
        document.extend_from_slice(b"{\"stage\":");
        body::push_string(document, stage.code());
        let mut text = |name: &str, value: &str| {
            document.extend_from_slice(b",\"");
            document.extend_from_slice(name.as_bytes());
            document.extend_from_slice(b"\":");
            body::push_string(document, value);
        };
        text("reason", refusal.reason.code());
        text("error", &refusal.message);
        if let Some(event_type) = event_type {
            text("event_type", event_type);
        }
        text("source", &self.origin.source);
        text("epoch", &self.origin.epoch);
        text("partition", &self.origin.partition);
        text("position", &record.position.to_string());
        text("partition_key", record.partition_key);
        if let Some(arrival_ms) = record.arrival_ms {
            text("arrival_time", &time::rfc3339(arrival_ms));
        }
        text("failed_at", &time::rfc3339(self.now_ms));
        text("payload", &excerpt);
        let mut numbers = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            numbers,
            ",\"sub_position\":{},\"payload_bytes\":{}}}",
            record.sub_position,
            payload.len()
        );
        document.extend_from_slice(numbers.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use serde_json::Value;

    use super::*;
    use crate::decode::tests::{NOW, TAXI, origin, record};
    use crate::decode::{Reason, Refusal, Stage};

    #[test]
    fn a_letter_is_shown_as_the_table_has_it_and_a_long_payload_in_part() {
        let origin = origin();
        let documents = LetterDocuments::new(TAXI.dead_letter_index.as_ref().unwrap(), &origin, NOW);
        let payload = [b"\"\xff\n".as_slice(), &[b'x'; 5_000]].concat();
        let refusal = Refusal::new(Reason::NotJson, "a \"quoted\" error");
        let letter = DeadLetter {
            stage: Stage::Decode,
            record: record(7, &payload),
            refusal,
            event_type: Some("trip"),
        };
        let mut bytes = Vec::new();
        documents.write(&letter, &mut bytes);
        assert!(!bytes.contains(&b'\n'));
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        let names: Vec<&str> = letter_fields().iter().map(|(name, _)| *name).collect();
        for name in document.as_object().unwrap().keys() {
            assert!(names.contains(&name.as_str()), "{name}");
        }
        assert_eq!(document.as_object().unwrap().len(), names.len());
        assert_eq!(document["error"], "a \"quoted\" error");
        assert_eq!((&document["position"], &document["payload_bytes"]), (&"7".into(), &5_003.into()));
        let shown = document["payload"].as_str().unwrap();
        assert!(shown.starts_with("\"\u{fffd}\nxxx"), "{shown}");
        assert_eq!(shown.chars().count(), EXCERPT_BYTES);
        assert!(documents.index().starts_with("taxi-dead-letters-2"), "{}", documents.index());
    }

    #[test]
    fn letters_of_one_record_differ_by_their_stage() {
        let origin = origin();
        let documents = LetterDocuments::new(TAXI.dead_letter_index.as_ref().unwrap(), &origin, NOW);
        let letter = |stage, position| DeadLetter {
            stage,
            record: record(position, b"{}"),
            refusal: Refusal::new(Reason::Rejected, ""),
            event_type: None,
        };
        let ids = [(Stage::Search, 7), (Stage::Kafka, 7), (Stage::Search, 8), (Stage::Search, 7)]
            .map(|(stage, position)| documents.id(&letter(stage, position)));
        assert_eq!(ids[0], ids[3]);
        assert!(ids[0] != ids[1] && ids[0] != ids[2], "{ids:?}");
    }
}
