//! What a record is, before anything is made of it: the steps that columns and documents share.

use std::borrow::Cow;

use super::reason::{Reason, Refusal};
use super::record::{Record, describe};
use super::wire;
use crate::json::{self, Kind};
use crate::pipeline::{Members, NullPolicy, Pipeline, Policy};
use crate::source::{Payload, SourcePartition, SourceRecord};

/// A record that is not sound, and the type that it told.
pub(crate) struct Unsound {
    pub(crate) refusal: Refusal,
    pub(crate) event_type: Option<String>,
}

impl From<Refusal> for Unsound {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, event_type: None }
    }
}

impl Unsound {
    /// Decoding the record panicked.
    pub(crate) fn panicked() -> Self {
        Refusal::new(Reason::Internal, "decoding panicked: please report this record").into()
    }
}

/// Reads records as far as their event type.
#[derive(Debug)]
pub(crate) struct Reader<'p> {
    pub(crate) pipeline: &'p Pipeline,
    /// The record read last.
    pub(crate) record: Record<'p>,
    /// Index of the event type of records that do not tell theirs.
    untold: Option<usize>,
}

impl<'p> Reader<'p> {
    /// For records of `origin`.
    pub(crate) fn new(pipeline: &'p Pipeline, origin: &SourcePartition) -> Self {
        let of_topic =
            |topic| pipeline.events.iter().position(|event| event.topics.iter().any(|own| own == topic));
        let untold = origin.topic().and_then(of_topic).or(pipeline.default_event);
        Self { pipeline, record: Record::new(&pipeline.members), untold }
    }

    /// Reads a record: its JSON text and the index of its event type.
    pub(crate) fn read<'r>(&mut self, record: &SourceRecord<'r>) -> Result<(Cow<'r, [u8]>, usize), Unsound> {
        let payload = match record.payload {
            Payload::Bytes(payload) => payload,
            Payload::Undecodable(_) => {
                let message = "the envelope's data cannot be decoded: it is kept as it stands";
                return Err(Refusal::new(Reason::UndecodablePayload, message).into());
            }
        };
        let limits = &self.pipeline.limits;
        if payload.len() > limits.record_bytes {
            let (length, allowed) = (payload.len(), limits.record_bytes);
            let message = format!("the record is {length} bytes, and {allowed} are allowed");
            return Err(Refusal::new(Reason::TooLarge, message).into());
        }
        let payload = wire::json_of(payload, limits.record_bytes)?;
        if is_null(&payload) {
            return Err(Refusal::new(Reason::NullValue, "the record is empty or a null").into());
        }
        self.record.arrival_ms = record.arrival_ms;
        self.record.read(&payload, &json::Limits { depth: limits.nesting })?;
        let index = self.event_index(&payload)?;
        Ok((payload, index))
    }

    /// Index of the record's event type.
    fn event_index(&self, payload: &[u8]) -> Result<usize, Unsound> {
        let pipeline = self.pipeline;
        let told = self.record.value(payload, Members::TYPE).filter(|(value, _)| value.kind != Kind::Null);
        let Some((value, offset)) = told else {
            let missing = || {
                let message =
                    format!("field `{}`, which tells the type, is missing or null", pipeline.type_field);
                Refusal::new(Reason::MissingType, message).into()
            };
            return self.untold.ok_or_else(missing);
        };
        let Some(text) = value.text() else {
            let found = describe(value.kind);
            let message =
                format!("field `{}` at byte {offset}, which tells the type, is {found}", pipeline.type_field);
            return Err(Refusal::new(Reason::WrongType, message).into());
        };
        pipeline.event_of_type(&text).ok_or_else(|| {
            let message = format!(
                "field `{}` at byte {offset} tells a type that is none of the pipeline's",
                pipeline.type_field
            );
            Unsound {
                refusal: Refusal::new(Reason::UnknownType, message),
                event_type: Some(Cow::into_owned(text)),
            }
        })
    }
}

/// What becomes of a record that is not sound.
pub(crate) fn policy(pipeline: &Pipeline, reason: Reason) -> Policy {
    match reason {
        Reason::BatchFull => Policy::Fail,
        // A bug of ours is no reason to lose a record, whatever the pipeline says of bad ones.
        Reason::Internal if pipeline.on_malformed == Policy::Ignore => Policy::DeadLetter,
        Reason::MissingType | Reason::UnknownType => pipeline.on_unknown_type,
        Reason::NullValue => match pipeline.on_null {
            NullPolicy::DeadLetter => Policy::DeadLetter,
            NullPolicy::Fail => Policy::Fail,
            NullPolicy::Ignore | NullPolicy::Delete { .. } => Policy::Ignore,
        },
        _ => pipeline.on_malformed,
    }
}

/// Whether a record says that there is nothing: no bytes, or `null`, white space apart.
fn is_null(payload: &[u8]) -> bool {
    matches!(payload.trim_ascii(), b"" | b"null")
}
