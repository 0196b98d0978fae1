//! Scanning of strings and numbers.

use super::JsonError;

/// The bytes between a string's quotes.
pub(super) fn contents(raw: &[u8]) -> Option<&[u8]> {
    raw.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks the bytes of `word` that end a run of plain string bytes. Only the lowest mark is exact.
const fn marks(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (control | (quote.wrapping_sub(ONES) & !quote) | (backslash.wrapping_sub(ONES) & !backslash)) & HIGHS
}

const fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// How many bytes from `at` on are neither quote, backslash nor control character.
// Every string of an event passes here: a call would cost more than a short run.
#[inline]
fn plain_run(text: &[u8], at: usize) -> usize {
    let bytes = text.get(at..).unwrap_or_default();
    let mut run = 0;
    while let Some(word) = bytes.get(run..).and_then(<[u8]>::first_chunk::<8>) {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return run + (marks.trailing_zeros() / 8) as usize;
        }
        run += 8;
        // Most strings are over by now; long ones go by blocks that the compiler vectorizes.
        while let Some(block) = bytes.get(run..).and_then(<[u8]>::first_chunk::<64>)
            && run >= 32
            && !block.iter().fold(false, |special, &byte| special | is_special(byte))
        {
            run += 64;
        }
    }
    run + bytes.get(run..).unwrap_or_default().iter().take_while(|&&byte| !is_special(byte)).count()
}

/// Whether a text needs no escapes.
pub(super) fn is_plain(text: &[u8]) -> bool {
    plain_run(text, 0) == text.len()
}

/// Checks the string whose opening quote is at `start`. Returns the offset after its closing quote
/// and whether it has escapes.
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
