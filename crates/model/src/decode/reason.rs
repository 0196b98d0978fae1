//! Why a record is not a row.

use crate::json::JsonError;

/// Why a record became a dead letter or was refused. Codes are stable: people filter by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A time is not spelled as one, does not exist or is outside the years 0001 to 9999.
    BadDatetime,
    /// The index that it belongs to cannot be named, or is not one that the pipeline allows.
    BadIndex,
    /// Not the record's fault: the batch can hold no more. It must be finished and another begun with
    /// this record.
    BatchFull,
    /// Its document is larger than a request to the search cluster may be.
    DocumentTooLarge,
    /// Decoding it panicked: a bug.
    Internal,
    /// A required field is missing or null.
    MissingField,
    /// It does not tell its type.
    MissingType,
    /// JSON, and not an object.
    NotAnObject,
    /// Not JSON.
    NotJson,
    /// Not UTF-8.
    NotUtf8,
    /// It is empty, or a `null`.
    NullValue,
    /// The search cluster refused its document, or a stream will never take it.
    Rejected,
    /// A text is longer than the pipeline's `limits.text_bytes`.
    TextTooLong,
    /// Nested deeper than the pipeline's `limits.nesting`.
    TooDeep,
    /// Longer than the pipeline's `limits.record_bytes`.
    TooLarge,
    /// There is something after the object.
    TrailingData,
    /// The envelope that brought it could not be decoded.
    UndecodablePayload,
    /// Its type is none of the pipeline's.
    UnknownType,
    /// The search cluster has a newer document of its id.
    VersionConflict,
    /// A schema registry's header stands before what is no JSON, or cannot be unpacked.
    WireFormat,
    /// A field is of another type than the pipeline says, or does not fit it.
    WrongType,
}

impl Reason {
    /// Every reason, in order of the code.
    pub const ALL: [Self; 21] = [
        Self::BadDatetime,
        Self::BadIndex,
        Self::BatchFull,
        Self::DocumentTooLarge,
        Self::Internal,
        Self::MissingField,
        Self::MissingType,
        Self::NotAnObject,
        Self::NotJson,
        Self::NotUtf8,
        Self::NullValue,
        Self::Rejected,
        Self::TextTooLong,
        Self::TooDeep,
        Self::TooLarge,
        Self::TrailingData,
        Self::UndecodablePayload,
        Self::UnknownType,
        Self::VersionConflict,
        Self::WireFormat,
        Self::WrongType,
    ];

    /// Its code, such as `wrong-type`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadDatetime => "bad-datetime",
            Self::BadIndex => "bad-index",
            Self::BatchFull => "batch-full",
            Self::DocumentTooLarge => "document-too-large",
            Self::Internal => "internal",
            Self::MissingField => "missing-field",
            Self::MissingType => "missing-type",
            Self::NotAnObject => "not-an-object",
            Self::NotJson => "not-json",
            Self::NotUtf8 => "not-utf8",
            Self::NullValue => "null-value",
            Self::Rejected => "rejected",
            Self::TextTooLong => "text-too-long",
            Self::TooDeep => "too-deep",
            Self::TooLarge => "too-large",
            Self::TrailingData => "trailing-data",
            Self::UndecodablePayload => "undecodable-payload",
            Self::UnknownType => "unknown-type",
            Self::VersionConflict => "version-conflict",
            Self::WireFormat => "wire-format",
            Self::WrongType => "wrong-type",
        }
    }
}

/// Why a record was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", reason.code())]
pub struct Refusal {
    /// The reason.
    pub reason: Reason,
    /// What is wrong and where in the record; names fields and byte offsets, never the payload.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    pub(super) fn full(what: &str) -> Self {
        Self::new(
            Reason::BatchFull,
            format!("the batch can hold no more {what}: finish it and begin another"),
        )
    }
}

impl From<JsonError> for Refusal {
    fn from(error: JsonError) -> Self {
        let reason = match error {
            JsonError::NotUtf8 { .. } => Reason::NotUtf8,
            JsonError::TooDeep { .. } => Reason::TooDeep,
            JsonError::TrailingData { .. } => Reason::TrailingData,
            JsonError::UnexpectedByte { .. }
            | JsonError::UnexpectedEnd { .. }
            | JsonError::BadEscape { .. }
            | JsonError::BadNumber { .. }
            | JsonError::ControlCharacter { .. } => Reason::NotJson,
        };
        Self::new(reason, error.to_string())
    }
}
