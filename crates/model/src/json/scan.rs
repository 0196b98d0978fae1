//! Scanning of strings and numbers.

use super::{Decimal, JsonError, Kind, block};

/// The bytes between a string's quotes.
pub(super) fn contents(raw: &[u8]) -> Option<&[u8]> {
    raw.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// How many bytes from `at` on are neither quote, backslash nor control character.
// Every string of an event passes here: a call would cost more than a short run.
#[inline]
fn plain_run(text: &[u8], at: usize) -> usize {
    let (blocks, rest) = text.get(at..).unwrap_or_default().as_chunks::<{ block::BYTES }>();
    let mut run = 0;
    for bytes in blocks {
        let special = block::special(bytes);
        if special != 0 {
            return run + special.trailing_zeros() as usize;
        }
        run += bytes.len();
    }
    run + short_plain_run(rest)
}

/// The same for less than a block: by words that may overlap.
#[inline]
fn short_plain_run(bytes: &[u8]) -> usize {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let run = block::plain_run(u64::from_le_bytes(*first));
        return if run < 8 { run } else { bytes.len() - 8 + block::plain_run(u64::from_le_bytes(*last)) };
    }
    let is_special = |byte: u8| byte == b'"' || byte == b'\\' || byte < 0x20;
    bytes.iter().take_while(|&&byte| !is_special(byte)).count()
}

/// Whether a text begins with `prefix`, a key: without the call that the standard library makes of it.
#[inline]
pub(super) fn begins_with_key(text: &[u8], prefix: &[u8]) -> bool {
    let Some(text) = text.get(..prefix.len()) else { return false };
    if let (Some(text_end), Some(end)) = (text.last_chunk::<8>(), prefix.last_chunk::<8>()) {
        let (words, others) = (text.as_chunks::<8>().0, prefix.as_chunks::<8>().0);
        return words.iter().zip(others).all(|(one, other)| one == other) && text_end == end;
    }
    text.iter().zip(prefix).fold(0, |differences, (one, other)| differences | (one ^ other)) == 0
}

/// Whether a text needs no escapes.
pub(super) fn is_plain(text: &[u8]) -> bool {
    plain_run(text, 0) == text.len()
}

/// Checks the string whose opening quote is at `start`. Returns the offset after its closing quote
/// and whether it has escapes.
#[inline]
pub(super) fn string(text: &[u8], start: usize) -> Result<(usize, bool), JsonError> {
    let mut at = start + 1;
    let mut escaped = false;
    loop {
        at += plain_run(text, at);
        match text.get(at) {
            Some(b'"') => return Ok((at + 1, escaped)),
            Some(b'\\') => {
                escaped = true;
                at = escape(text, at)?;
            }
            Some(_) => return Err(JsonError::ControlCharacter { offset: at }),
            None => return Err(JsonError::UnexpectedEnd { offset: text.len() }),
        }
    }
}

/// Checks the escape whose backslash is at `start`, a pair of surrogates being one. Returns the offset
/// after it.
fn escape(text: &[u8], start: usize) -> Result<usize, JsonError> {
    let bad = JsonError::BadEscape { offset: start };
    match text.get(start + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(start + 2),
        Some(b'u') => match four_digits(text, start + 2, bad)? {
            0xD800..=0xDBFF => {
                for (offset, wanted) in [(start + 6, b'\\'), (start + 7, b'u')] {
                    match text.get(offset) {
                        Some(&byte) if byte == wanted => {}
                        Some(_) => return Err(bad),
                        None => return Err(JsonError::UnexpectedEnd { offset: text.len() }),
                    }
                }
                match four_digits(text, start + 8, bad)? {
                    0xDC00..=0xDFFF => Ok(start + 12),
                    _ => Err(bad),
                }
            }
            0xDC00..=0xDFFF => Err(bad),
            _ => Ok(start + 6),
        },
        Some(_) => Err(bad),
        None => Err(JsonError::UnexpectedEnd { offset: text.len() }),
    }
}

fn four_digits(text: &[u8], start: usize, bad: JsonError) -> Result<u32, JsonError> {
    let mut unit = 0;
    for offset in start..start + 4 {
        let byte = *text.get(offset).ok_or(JsonError::UnexpectedEnd { offset: text.len() })?;
        unit = unit * 16 + char::from(byte).to_digit(16).ok_or(bad)?;
    }
    Ok(unit)
}

/// Resolves the escapes of a string's contents; `None` if one of them is bad.
pub(super) fn unescape(contents: &str) -> Option<String> {
    let mut text = String::with_capacity(contents.len());
    let mut rest = contents;
    while let Some((plain, after)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut characters = after.chars();
        let character = match characters.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let bad = JsonError::BadEscape { offset: 0 };
                let first = four_digits(after.as_bytes(), 1, bad).ok()?;
                characters = after.get(5..)?.chars();
                if (0xD800..=0xDBFF).contains(&first) {
                    let low = characters.as_str().strip_prefix("\\u")?;
                    let second = four_digits(low.as_bytes(), 0, bad).ok()?.checked_sub(0xDC00)?;
                    characters = low.get(4..)?.chars();
                    char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + second)?
                } else {
                    char::from_u32(first)?
                }
            }
            character @ ('"' | '\\' | '/') => character,
            _ => return None,
        };
        text.push(character);
        rest = characters.as_str();
    }
    text.push_str(rest);
    Some(text)
}

/// Checks the number that starts at `start` with a digit or `-`. Returns the offset after it.
pub(super) fn number(text: &[u8], start: usize) -> Result<usize, JsonError> {
    let mut at = start;
    if text.get(at) == Some(&b'-') {
        at += 1;
    }
    if text.get(at) == Some(&b'0') {
        at += 1;
        if text.get(at).is_some_and(u8::is_ascii_digit) {
            return Err(JsonError::BadNumber { offset: start });
        }
    } else {
        at = digits(text, at, start)?;
    }
    if text.get(at) == Some(&b'.') {
        at = digits(text, at + 1, start)?;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(text.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        at = digits(text, at, start)?;
    }
    Ok(at)
}

/// Passes over one digit or more.
fn digits(text: &[u8], from: usize, number: usize) -> Result<usize, JsonError> {
    let rest = text.get(from..).unwrap_or_default();
    match rest.iter().take_while(|byte| byte.is_ascii_digit()).count() {
        0 if rest.is_empty() => Err(JsonError::UnexpectedEnd { offset: text.len() }),
        0 => Err(JsonError::BadNumber { offset: number }),
        count => Ok(from + count),
    }
}

/// Looks at the value that a text begins with: its kind, its length, and what it is if it is a number. `None`
/// for an object, an array, a string with escapes, a number with an exponent or too many digits, and what is no
/// value.
#[inline]
pub(super) fn scalar(text: &[u8]) -> Option<(Kind, usize, Option<Decimal>)> {
    match text.first()? {
        b'"' => {
            let end = 1 + plain_run(text, 1);
            (text.get(end) == Some(&b'"')).then_some((Kind::String { escaped: false }, end + 1, None))
        }
        b'-' | b'0'..=b'9' => decimal(text).map(|(length, decimal)| (Kind::Number, length, Some(decimal))),
        b'n' => text.starts_with(b"null").then_some((Kind::Null, 4, None)),
        b't' => text.starts_with(b"true").then_some((Kind::True, 4, None)),
        b'f' => text.starts_with(b"false").then_some((Kind::False, 5, None)),
        _ => None,
    }
}

/// As [`number`] does for a short number, and for no other, in one go.
#[inline]
fn decimal(text: &[u8]) -> Option<(usize, Decimal)> {
    let negative = text.first() == Some(&b'-');
    let spelled = text.get(usize::from(negative)..)?;
    let (mut sum, mut count, mut whole) = (0_u64, 0, None);
    for &byte in spelled {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            sum = sum.wrapping_mul(10).wrapping_add(digit.into());
            count += 1;
        } else if byte == b'.' && whole.is_none() {
            whole = Some(count);
        } else if matches!(byte, b'e' | b'E') {
            return None;
        } else {
            break;
        }
    }
    let decimals = count - whole.unwrap_or(count);
    let leads_with_zero = count > decimals + 1 && spelled.first() == Some(&b'0');
    if count == decimals || count > Decimal::DIGITS || leads_with_zero || whole == Some(count) {
        return None;
    }
    let length = usize::from(negative) + count + usize::from(whole.is_some());
    Some((length, Decimal { negative, digits: sum, decimals: u8::try_from(decimals).ok()? }))
}
