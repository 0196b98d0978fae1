//! What can go wrong with a store, sorted by what its caller can do about it.

use std::fmt::{self, Display};

/// What a caller can do about a [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Time-out, lost connection, 5xx, throttling, 409: the call may or may not have taken effect.
    /// Try again; a conditional write that is then refused may have been one's own.
    Unknown,
    /// Wrong, expired or insufficient credentials. Trying again does not help.
    Denied,
    /// A fault of the operator or the program: no such bucket, an invalid key, an unsuitable file
    /// system. Trying the same call again does not help.
    Invalid,
}

/// A failed call: what was tried, where, why it failed, and what to do. Never holds credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {action} {place}: {reason}; {advice}")]
pub struct StoreError {
    kind: ErrorKind,
    action: &'static str,
    place: Box<str>,
    reason: Box<str>,
    advice: Box<str>,
}

impl StoreError {
    /// `action` is a verb ("write", "list"), `place` the location with the key, `reason` what went
    /// wrong and `advice` what to do.
    pub fn new(
        kind: ErrorKind,
        action: &'static str,
        place: impl Into<String>,
        reason: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            action,
            place: place.into().into_boxed_str(),
            reason: reason.into().into_boxed_str(),
            advice: advice.into().into_boxed_str(),
        }
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown outcome",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
        })
    }
}

/// `location/key`, as errors name a place.
pub(super) fn place(location: &str, key: &str) -> String {
    if key.is_empty() { location.to_owned() } else { format!("{location}/{key}") }
}
