//! Saved Lambda events: a file that holds what a function was invoked with, one JSON object with
//! `Records` (Kinesis) or with `eventSource` and `records` (Kafka), on one line or pretty-printed.

use std::collections::HashMap;
use std::io::{self, BufRead, Read};

use serde::Deserialize;
use serde::de::IgnoredAny;

/// The largest file that is looked at as an event, unpacked: 64 MiB, ten times what Lambda sends.
pub(crate) const LARGEST_EVENT_BYTES: u64 = 64 * 1024 * 1024;

/// A saved event, to be handed to the function as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedEvent {
    /// `file://` URL of the file.
    pub url: String,
    /// The event's bytes as saved, unpacked where the file is compressed.
    pub body: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    #[serde(rename = "Records")]
    kinesis: Option<Vec<IgnoredAny>>,
    #[serde(rename = "records")]
    kafka: Option<HashMap<String, Vec<IgnoredAny>>>,
    event_source: Option<String>,
}

/// Whether a text is one JSON object of the shape in which Lambda hands records over.
pub(crate) fn is_event(text: &[u8]) -> bool {
    serde_json::from_slice::<Shape>(text)
        .is_ok_and(|shape| shape.kinesis.is_some() || (shape.kafka.is_some() && shape.event_source.is_some()))
}

/// Reads a whole text; `None` where it is larger than any event.
pub(crate) fn read_whole(reader: Box<dyn BufRead + Send>) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    let count = reader.take(LARGEST_EVENT_BYTES + 1).read_to_end(&mut body)?;
    Ok((count as u64 <= LARGEST_EVENT_BYTES).then_some(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_by_its_records() {
        for event in
            [r#"{"Records":[]}"#, r#"{"a":1,"Records":[{"kinesis":{}}]}"#, "{\n \"Records\": [\n ]\n}\n"]
        {
            assert!(is_event(event.as_bytes()), "{event}");
        }
        assert!(is_event(br#"{"eventSource":"aws:kafka","records":{"trips-0":[]}}"#));
    }

    #[test]
    fn a_trip_is_no_event() {
        for other in
            [r#"{"type":"trip"}"#, r#"{"Records":1}"#, r#"{"records":{}}"#, "[]", "{", r#"{"Records":[]} {}"#]
        {
            assert!(!is_event(other.as_bytes()), "{other}");
        }
    }
}
