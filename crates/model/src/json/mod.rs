//! A borrowed JSON scanner: it checks a text and hands out spans of it, allocating nothing.
//!
//! It accepts what RFC 8259 accepts, and `serde_json` with it; but a number may be of any size,
//! because the scanner does not convert numbers. It refuses texts that nest deeper than
//! [`Limits::depth`], and strings whose `\u` escapes are lone surrogates. Duplicate keys are handed
//! over as they come.
//!
//! [`object()`] and [`array()`] walk one level. [`Cursor`] walks any number of levels in a single pass.
//!
//! ```
//! use tripline_model::json::{self, JsonError, Limits};
//!
//! let mut fare = None;
//! json::object(br#"{"vendor_id": 2, "fare_amount": 14.0}"#, &Limits::default(), |key, value| {
//!     if key.unescaped() == Some(b"fare_amount") {
//!         fare = Some(value.raw);
//!     }
//!     Ok::<(), JsonError>(())
//! })?;
//! assert_eq!(fare, Some(b"14.0".as_slice()));
//! # Ok::<(), JsonError>(())
//! ```

mod block;
mod cursor;
mod scan;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub(crate) use cursor::Scalar;
pub use cursor::{Cursor, Mark, Stretch};

/// What a [`Value`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `null`
    Null,
    /// `true`
    True,
    /// `false`
    False,
    /// A number, spelled as RFC 8259 allows, of any size.
    Number,
    /// A string.
    String {
        /// There is a `\` in it, so that its contents are not its spelling.
        escaped: bool,
    },
    /// An object.
    Object,
    /// An array.
    Array,
}

/// A checked JSON value: its kind and its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its text, without white space around it; a string's text has its quotes.
    pub raw: &'a [u8],
}

impl<'a> Value<'a> {
    /// The contents of a string; `None` if the value is not one.
    ///
    /// Borrowed, unless there are escapes to resolve.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'a, str>> {
        match self.kind {
            Kind::String { escaped: false } => {
                std::str::from_utf8(scan::contents(self.raw)?).ok().map(Cow::Borrowed)
            }
            Kind::String { escaped: true } => {
                let contents = std::str::from_utf8(scan::contents(self.raw)?).ok()?;
                scan::unescape(contents).map(Cow::Owned)
            }
            _ => None,
        }
    }

    /// The contents of a string that has no escapes; `None` if it has some, or is not a string.
    #[must_use]
    pub fn unescaped(&self) -> Option<&'a [u8]> {
        match self.kind {
            Kind::String { escaped: false } => scan::contents(self.raw),
            _ => None,
        }
    }
}

/// What a number is that has no exponent and is short enough: `digits` with the point before the last
/// `decimals` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub(crate) negative: bool,
    pub(crate) digits: u64,
    pub(crate) decimals: u8,
}

impl Decimal {
    /// Most digits, before and after the point: as many as fit 63 bits whatever they are.
    const DIGITS: usize = 18;

    /// The number, if it is spelled without a point.
    #[inline]
    pub(crate) fn integer(&self) -> Option<i64> {
        let magnitude = i64::try_from(self.digits).ok().filter(|_| self.decimals == 0)?;
        Some(if self.negative { -magnitude } else { magnitude })
    }

    /// The 64-bit float nearest to the number, where it can be told at once: where its digits are exact as a
    /// float, as the power of ten is, their quotient is that float.
    #[inline]
    pub(crate) fn float(&self) -> Option<f64> {
        const POWERS: [f64; Decimal::DIGITS + 1] = [
            1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
            1e18,
        ];
        let power =
            POWERS.get(usize::from(self.decimals)).filter(|_| self.digits <= 1 << f64::MANTISSA_DIGITS)?;
        let magnitude = self.digits as f64 / power;
        Some(if self.negative { -magnitude } else { magnitude })
    }
}

/// What the scanner puts up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many objects and arrays may be open at once. The scanner does not recurse, so this
    /// protects those who read the text later rather than the stack.
    pub depth: usize,
}

impl Default for Limits {
    /// 64 levels.
    fn default() -> Self {
        Self { depth: 64 }
    }
}

/// Why a text is not the JSON that was asked for. Offsets are in bytes from the start of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The text is not UTF-8.
    #[error("not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// Where the first wrong sequence starts.
        offset: usize,
    },
    /// Something else is due here.
    #[error("unexpected byte at byte {offset}")]
    UnexpectedByte {
        /// Where the byte is.
        offset: usize,
    },
    /// The text ends within a value.
    #[error("unexpected end at byte {offset}")]
    UnexpectedEnd {
        /// The length of the text.
        offset: usize,
    },
    /// More objects and arrays are open than [`Limits::depth`] allows.
    #[error("nested too deep at byte {offset}")]
    TooDeep {
        /// Where the object or array starts that is one too many.
        offset: usize,
    },
    /// There is something after the value.
    #[error("trailing data at byte {offset}")]
    TrailingData {
        /// Where it starts.
        offset: usize,
    },
    /// An escape that JSON does not have, or a surrogate without its partner.
    #[error("bad escape at byte {offset}")]
    BadEscape {
        /// Where its `\` is.
        offset: usize,
    },
    /// A number that is not spelled as JSON spells numbers.
    #[error("bad number at byte {offset}")]
    BadNumber {
        /// Where the number starts.
        offset: usize,
    },
    /// A control character in a string, which JSON wants escaped.
    #[error("control character in a string at byte {offset}")]
    ControlCharacter {
        /// Where the character is.
        offset: usize,
    },
}

impl JsonError {
    /// Where in the text, in bytes from its start.
    #[must_use]
    pub const fn offset(&self) -> usize {
        match *self {
            Self::NotUtf8 { offset }
            | Self::UnexpectedByte { offset }
            | Self::UnexpectedEnd { offset }
            | Self::TooDeep { offset }
            | Self::TrailingData { offset }
            | Self::BadEscape { offset }
            | Self::BadNumber { offset }
            | Self::ControlCharacter { offset } => offset,
        }
    }
}

/// Whether a text can stand between quotes as it is.
pub(crate) fn is_plain(text: &str) -> bool {
    scan::is_plain(text.as_bytes())
}

/// Calls `member(key, value)` for each member of the one object in `text`, in order. Nested values
/// are checked in full and handed over as spans.
///
/// Members are handed over before the rest of the text is known to be good.
///
/// # Errors
/// The first error of `member`, or a [`JsonError`] if the whole text, white space around it apart, is
/// not one object.
pub fn object<'a, E: From<JsonError>>(
    text: &'a [u8],
    limits: &Limits,
    mut member: impl FnMut(Value<'a>, Value<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let mut cursor = Cursor::new(text, limits)?;
    cursor.enter_object()?;
    while let Some(key) = cursor.next_key()? {
        let value = cursor.value()?;
        member(key, value)?;
    }
    cursor.finish()?;
    Ok(())
}

/// Calls `element(value)` for each element of the one array in `text`, as [`object`] does for members.
///
/// # Errors
/// As for [`object`].
pub fn array<'a, E: From<JsonError>>(
    text: &'a [u8],
    limits: &Limits,
    mut element: impl FnMut(Value<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let mut cursor = Cursor::new(text, limits)?;
    cursor.enter_array()?;
    while cursor.next_element()? {
        let value = cursor.value()?;
        element(value)?;
    }
    cursor.finish()?;
    Ok(())
}
