//! What `serde_json` makes of records and events, and what is in aggregated records: naive readers to which
//! tests and fuzzers hold ours.
//!
//! They build every value, look at everything twice where that is plainer, and take their rules from
//! the documentation rather than from the code that is tested.

pub mod aggregate;
pub mod base64;
pub mod event;
pub mod number;
pub mod record;

/// A reading of JSON by `serde_json`.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading<T> {
    /// It is what was asked for.
    Read(T),
    /// It is not.
    Refused,
    /// `serde_json` cannot tell: a number is larger than a 64-bit float, or values are nested deeper than
    /// it goes.
    Unknown,
}

impl<T> Reading<T> {
    /// Of a text as a whole.
    fn of(text: &[u8], read: impl FnOnce(serde_json::Value) -> Option<T>) -> Self {
        match serde_json::from_slice(text) {
            Ok(value) => read(value).map_or(Self::Refused, Self::Read),
            Err(error) => {
                let message = error.to_string();
                let beyond = ["number out of range", "recursion limit exceeded"];
                if beyond.iter().any(|start| message.starts_with(start)) {
                    Self::Unknown
                } else {
                    Self::Refused
                }
            }
        }
    }
}
