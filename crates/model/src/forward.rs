//! From records to events that go on into another stream.

use std::borrow::Cow;

use crate::document::push_string;

/// An event on its way into another stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// Index of its record among those that it was made of.
    pub record: usize,
    /// Its type.
    pub event_type: &'a str,
    /// What it is partitioned by: the event's id, or one of its fields; 1 to 256 bytes.
    pub key: String,
    /// Its JSON text.
    pub payload: Cow<'a, [u8]>,
    /// Its place in its source: the same at every delivery, and no other event's.
    pub source: String,
}

impl Outgoing<'_> {
    /// The event's JSON with its [`source`](Self::source) as one more member, its last, for streams whose
    /// records have no headers.
    #[must_use]
    pub fn with_source(&self, member: &str) -> Vec<u8> {
        let object = self.payload.trim_ascii();
        let open = object.strip_suffix(b"}").unwrap_or(object).trim_ascii_end();
        let mut json = Vec::with_capacity(open.len() + member.len() + self.source.len() + 8);
        json.extend_from_slice(open);
        if open != b"{" {
            json.push(b',');
        }
        push_string(&mut json, member);
        json.push(b':');
        push_string(&mut json, &self.source);
        json.push(b'}');
        json
    }
}
