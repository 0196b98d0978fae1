//! From JSON values to column values.

use std::borrow::Cow;

use super::reason::{Reason, Refusal};
use super::record::{Record, Span, describe};
use crate::json::{self, Cursor, Kind, Value};
use crate::partition::Part;
use crate::pipeline::{DefaultValue, Event, Field, FieldType, Limits};
use crate::time::{self, MAX_MS, MIN_MS};

/// A field's value, as its column takes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell<'r> {
    Null,
    Bool(bool),
    /// An integer that fits the field's type.
    Integer(i64),
    Float(f64),
    Text(Cow<'r, str>),
    /// Milliseconds since 1970 UTC.
    Time(i64),
}

impl Cell<'_> {
    /// The value as look-ups and partitions take it.
    pub(crate) fn part(&self) -> Part<'_> {
        match self {
            Self::Null | Self::Float(_) => Part::Null,
            Self::Bool(value) => Part::Bool(*value),
            Self::Integer(value) | Self::Time(value) => Part::Integer(*value),
            Self::Text(text) => Part::Text(text),
        }
    }
}

/// Reads a field of the record at hand.
pub(crate) fn read<'r>(
    payload: &'r [u8],
    record: &Record<'_>,
    field: &Field,
    limits: &Limits,
) -> Result<Cell<'r>, Refusal> {
    let (value, offset) = match record.value(payload, field.member) {
        Some((value, offset)) if value.kind != Kind::Null => (value, offset),
        _ if field.default == Some(DefaultValue::ArrivalTime) && record.arrival_ms.is_some() => {
            return arrival(field, record.arrival_ms.unwrap_or_default());
        }
        null if field.required => return Err(missing(field, null.map(|(_, offset)| offset))),
        _ => return Ok(Cell::Null),
    };
    let wrong_type = || wrong_type(field, &value, offset);
    let span = record.span(field.member);
    let integer = || span.and_then(Span::integer).or_else(|| integer(&value));
    Ok(match field.kind {
        FieldType::Bool => match value.kind {
            Kind::True => Cell::Bool(true),
            Kind::False => Cell::Bool(false),
            _ => return Err(wrong_type()),
        },
        FieldType::Int32 => {
            let fits = |value: &i64| i32::try_from(*value).is_ok();
            Cell::Integer(integer().filter(fits).ok_or_else(wrong_type)?)
        }
        FieldType::Int64 => Cell::Integer(integer().ok_or_else(wrong_type)?),
        FieldType::Float64 => {
            Cell::Float(span.and_then(Span::float).or_else(|| float(&value)).ok_or_else(wrong_type)?)
        }
        FieldType::String => {
            let text = value.text().ok_or_else(wrong_type)?;
            if text.len() > limits.text_bytes {
                let (length, allowed) = (text.len(), limits.text_bytes);
                let message = format!(
                    "field `{}` at byte {offset} is {length} bytes, and {allowed} are allowed",
                    field.from
                );
                return Err(Refusal::new(Reason::TextTooLong, message));
            }
            Cell::Text(text)
        }
        FieldType::Timestamp => match timestamp(&value) {
            Ok(ms) => Cell::Time(ms),
            Err(NoTime::WrongType) => return Err(wrong_type()),
            Err(NoTime::Bad(error)) => {
                let message = format!("field `{}` at byte {offset}: {error}", field.from);
                return Err(Refusal::new(Reason::BadDatetime, message));
            }
        },
    })
}

/// The time of a watermark event.
pub(crate) fn watermark(
    payload: &[u8],
    record: &Record<'_>,
    event: &Event,
    limits: &Limits,
) -> Result<i64, Refusal> {
    let field = event.fields.get(event.event_time);
    match field.map(|field| read(payload, record, field, limits)).transpose()? {
        Some(Cell::Time(ms)) => Ok(ms),
        _ => Err(Refusal::new(Reason::Internal, "a watermark has no event time")),
    }
}

/// The time at which the record came, in place of a field's.
fn arrival(field: &Field, arrival_ms: i64) -> Result<Cell<'static>, Refusal> {
    if (MIN_MS..=MAX_MS).contains(&arrival_ms) {
        return Ok(Cell::Time(arrival_ms));
    }
    let message = format!(
        "field `{}` is missing, and the record's own time, {arrival_ms} ms, is outside the years 0001 to 9999",
        field.from
    );
    Err(Refusal::new(Reason::BadDatetime, message))
}

fn missing(field: &Field, null_at: Option<usize>) -> Refusal {
    let message = match null_at {
        None => format!("required field `{}` is missing", field.from),
        Some(offset) => format!("required field `{}` at byte {offset} is null", field.from),
    };
    Refusal::new(Reason::MissingField, message)
}

fn wrong_type(field: &Field, value: &Value<'_>, offset: usize) -> Refusal {
    let wanted = match field.kind {
        FieldType::Bool => "a boolean",
        FieldType::Int32 => "a 32-bit integer",
        FieldType::Int64 => "a 64-bit integer",
        FieldType::Float64 => "a 64-bit float",
        FieldType::String => "a string",
        FieldType::Timestamp => "a datetime or milliseconds since 1970",
    };
    // A number or a string may be of the right kind and yet not fit.
    let message = format!(
        "field `{}` at byte {offset} must be {wanted}: {} does not fit",
        field.from,
        describe(value.kind)
    );
    Refusal::new(Reason::WrongType, message)
}

/// An integral number, or a string that is one: `1`, `1.0`, `1e3`, `"123"`. `None` if it is something
/// else or does not fit 64 bits.
fn integer(value: &Value<'_>) -> Option<i64> {
    match value.kind {
        Kind::Number => integral(value.raw),
        Kind::String { .. } => numeric(&value.text()?).and_then(integral),
        _ => None,
    }
}

/// A number, or a string that is one. `None` if it is something else or no finite 64-bit float is near.
fn float(value: &Value<'_>) -> Option<f64> {
    let parse = |number: &[u8]| {
        std::str::from_utf8(number).ok()?.parse().ok().filter(|float: &f64| float.is_finite())
    };
    match value.kind {
        Kind::Number => parse(value.raw),
        Kind::String { .. } => numeric(&value.text()?).and_then(parse),
        _ => None,
    }
}

/// Why a value is no time.
enum NoTime {
    /// It is neither text nor an integral number.
    WrongType,
    /// There is no such time.
    Bad(time::DatetimeError),
}

/// A datetime's text, or milliseconds since 1970 UTC as an integral number.
fn timestamp(value: &Value<'_>) -> Result<i64, NoTime> {
    match value.kind {
        Kind::Number => {
            let ms = integral(value.raw).ok_or(NoTime::WrongType)?;
            if time::in_range(ms) { Ok(ms) } else { Err(NoTime::Bad(time::DatetimeError::OutOfRange)) }
        }
        Kind::String { .. } => {
            let text = match value.unescaped() {
                Some(text) => Cow::Borrowed(text),
                None => Cow::Owned(value.text().ok_or(NoTime::WrongType)?.into_owned().into_bytes()),
            };
            time::parse(&text).map_err(NoTime::Bad)
        }
        _ => Err(NoTime::WrongType),
    }
}

/// `text` if it is spelled as JSON spells numbers, and nothing else.
fn numeric(text: &str) -> Option<&[u8]> {
    let number = Cursor::new(text.as_bytes(), &json::Limits { depth: 0 }).ok()?.value().ok()?;
    (number.kind == Kind::Number && number.raw.len() == text.len()).then_some(text.as_bytes())
}

/// The value of a number's text if it is integral and fits. Exact: no detour by floats.
fn integral(number: &[u8]) -> Option<i64> {
    let (negative, digits) = match number.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, number),
    };
    let exponent_at = digits.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(digits.len());
    let (mantissa, exponent) = digits.split_at_checked(exponent_at)?;
    let (whole, fraction) = match mantissa.iter().position(|&byte| byte == b'.') {
        Some(point) => (mantissa.get(..point)?, mantissa.get(point + 1..)?),
        None => (mantissa, &[][..]),
    };
    let mut significant = whole.iter().chain(fraction).skip_while(|&&digit| digit == b'0').peekable();
    if significant.peek().is_none() {
        return Some(0);
    }
    // How many digits, leading zeros among them, stand before the point once the exponent is applied.
    let before_point = i64::try_from(whole.len()).ok()?.checked_add(read_exponent(exponent)?)?;
    let leading = whole.iter().chain(fraction).take_while(|&&digit| digit == b'0').count();
    let count = before_point.checked_sub(i64::try_from(leading).ok()?)?;
    if !(1..=19).contains(&count) {
        return None;
    }
    let mut sum = 0_i64;
    for _ in 0..count {
        let digit = i64::from(significant.next().map_or(0, |digit| digit - b'0'));
        // Summed up below zero, where there is room for one more.
        sum = sum.checked_mul(10)?.checked_sub(digit)?;
    }
    if significant.any(|&digit| digit != b'0') {
        return None;
    }
    if negative { Some(sum) } else { sum.checked_neg() }
}

/// The value of `e±digits`; 0 if it is empty, and `None` if it is beyond any use.
fn read_exponent(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.trim_start_matches(['e', 'E']);
    if text.is_empty() { Some(0) } else { text.parse::<i64>().ok() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(raw: &str) -> Value<'_> {
        Value { kind: Kind::Number, raw: raw.as_bytes() }
    }

    #[test]
    fn integers_are_exact_however_they_are_spelled() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("1.0", Some(1)),
            ("-1.000", Some(-1)),
            ("1e3", Some(1000)),
            ("1.5e1", Some(15)),
            ("1.5", None),
            ("1500E-2", Some(15)),
            ("1500e-3", None),
            ("0.001e3", Some(1)),
            ("0.0010e+3", Some(1)),
            ("0e99999999999999999999", Some(0)),
            ("1e99999999999999999999", None),
            ("1e-99999999999999999999", None),
            ("1e19", None),
            ("1e18", Some(1_000_000_000_000_000_000)),
            ("9007199254740993.0", Some(9_007_199_254_740_993)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-9223372036854775808", Some(i64::MIN)),
            ("-9223372036854775809", None),
            ("-9223372036854775808.0", Some(i64::MIN)),
            ("99999999999999999999999", None),
        ] {
            assert_eq!(integer(&number(text)), expected, "{text}");
        }
    }

    #[test]
    fn strings_count_as_numbers_only_if_spelled_as_json_numbers() {
        let text = |raw| Value { kind: Kind::String { escaped: false }, raw };
        assert_eq!(integer(&text(b"\"123\"")), Some(123));
        assert_eq!(float(&text(b"\"-2.5\"")), Some(-2.5));
        for raw in [
            &b"\"\""[..],
            b"\" 1\"",
            b"\"1 \"",
            b"\"+1\"",
            b"\"007\"",
            b"\"NaN\"",
            b"\"inf\"",
            b"\"0x1\"",
            b"\"null\"",
        ] {
            assert_eq!((integer(&text(raw)), float(&text(raw))), (None, None), "{raw:?}");
        }
        let escaped = Value { kind: Kind::String { escaped: true }, raw: b"\"1\\u0032\"" };
        assert_eq!((integer(&escaped), float(&escaped)), (Some(12), Some(12.0)));
    }

    #[test]
    fn floats_beyond_all_bounds_are_none() {
        assert_eq!(float(&number("1e400")), None);
        assert_eq!(float(&number("1e-400")), Some(0.0));
    }

    proptest! {
        #[test]
        fn every_integer_is_read_back(value: i64, zeros in 0_usize..4) {
            let text = value.to_string();
            prop_assert_eq!(integer(&number(&text)), Some(value));
            let padded = format!("{text}.{}", "0".repeat(zeros + 1));
            prop_assert_eq!(integer(&number(&padded)), Some(value));
            let shifted = format!("{text}{}e-{zeros}", "0".repeat(zeros));
            prop_assert_eq!(integer(&number(&shifted)), Some(value));
        }
    }
}
