//! What events of all sources have in common: the records of a source partition, and memory for what
//! cannot be borrowed from an event's body.

use std::borrow::Cow;
use std::mem;
use std::str;

use base64_simd::AsOut as _;
use tripline_model::json::Value;
use tripline_model::source::{Payload, SourcePartition, SourceRecord};

/// The records of one source partition.
#[derive(Clone, Debug)]
pub struct PartitionRecords<'a> {
    /// Stream ARN, the operator's source epoch, and shard id.
    pub partition: SourcePartition,
    /// In the order in which they stand in the event.
    pub records: Vec<SourceRecord<'a>>,
}

/// Memory for what cannot be borrowed from the body as it stands.
pub(crate) struct Arena<'a> {
    free: &'a mut [u8],
}

impl<'a> Arena<'a> {
    /// As much memory as the body can need, from a buffer that is used again.
    pub(crate) fn of(body: &[u8], buffer: &'a mut Vec<u8>) -> Self {
        // Base64 and escapes only shrink, so that the body's size is enough; fresh zeroed memory is
        // not touched until it is written.
        if buffer.len() < body.len() {
            *buffer = Vec::new();
            *buffer = vec![0; body.len()];
        }
        Self { free: buffer }
    }

    /// Cuts a piece off; `None` only if the arena were too small, which its size rules out.
    fn take(&mut self, length: usize) -> Option<&'a mut [u8]> {
        let (piece, free) = mem::take(&mut self.free).split_at_mut_checked(length)?;
        self.free = free;
        Some(piece)
    }

    /// A record's data. What is not base64, or not even a string, is kept as it stands.
    pub(crate) fn payload(&mut self, data: Option<Value<'a>>) -> Payload<'a> {
        let Some(data) = data else { return Payload::Undecodable(b"") };
        let decoded = match data.unescaped() {
            Some(base64) => self.decode(base64),
            None => data.text().and_then(|base64| self.decode(base64.as_bytes())),
        };
        match (decoded, data.raw) {
            (Some(bytes), _) => Payload::Bytes(bytes),
            (None, [b'"', contents @ .., b'"']) => Payload::Undecodable(contents),
            (None, raw) => Payload::Undecodable(raw),
        }
    }

    fn decode(&mut self, base64: &[u8]) -> Option<&'a [u8]> {
        let length = base64_simd::STANDARD.decoded_length(base64).ok()?;
        let piece = self.take(length)?;
        base64_simd::STANDARD.decode(base64, piece.as_out()).ok().map(|bytes| &*bytes)
    }

    /// A string without its escapes; empty where there is none.
    pub(crate) fn text(&mut self, value: Option<Value<'a>>) -> &'a str {
        match text(value) {
            None => "",
            Some(Cow::Borrowed(plain)) => plain,
            Some(Cow::Owned(unescaped)) => self
                .take(unescaped.len())
                .and_then(|piece| {
                    piece.copy_from_slice(unescaped.as_bytes());
                    str::from_utf8(piece).ok()
                })
                .unwrap_or_default(),
        }
    }
}

/// A string without its escapes; `None` for anything else.
pub(crate) fn text(value: Option<Value<'_>>) -> Option<Cow<'_, str>> {
    value.and_then(|value| value.text())
}
