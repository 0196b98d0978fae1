//! A document's bytes: the record's own, with members appended.
//!
//! They are copied as they stand. Only what the cluster could not take is changed: newlines between
//! tokens become spaces, as a bulk request is made of lines; of members of one name the last stays; and a
//! timestamp spelled in a way that date mappings do not know is spelled anew.

use std::collections::HashSet;

use crate::decode::{Cell, Reason, Record, Refusal, Values};
use crate::json::{self, Cursor, JsonError, Kind, Limits, Value};
use crate::pipeline::{Field, FieldType, Search};
use crate::time;

/// Appends the document to `body`.
pub(super) fn write(
    payload: &[u8],
    record: &Record<'_>,
    search: &Search,
    values: &Values<'_>,
    now_ms: i64,
    body: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let appended = || appended(payload, record, search, values, now_ms);
    let start = body.len();
    let twice = record.has_repeated(payload) || appended().any(|(_, member, _)| record.has(member));
    let odd = |(field, cell): (&Field, &Cell<'_>)| odd_time(payload, record, field, cell);
    if twice || values.timestamps().any(odd) {
        let dropped: Vec<&str> = appended().map(|(name, ..)| name).collect();
        rewrite(payload, record, values, &dropped, body)?;
    } else {
        let object = payload.trim_ascii();
        push_line(body, object.strip_suffix(b"}").unwrap_or(object).trim_ascii_end());
    }
    for (name, _, value) in appended() {
        if body.len() > start + 1 {
            body.push(b',');
        }
        push_string(body, name);
        body.push(b':');
        match value {
            Added::Text(text) => push_string(body, text),
            Added::Time(ms) => push_string(body, &time::rfc3339(ms)),
        }
    }
    body.push(b'}');
    Ok(())
}

/// A member's value that is not the record's own.
enum Added<'v> {
    Text(&'v str),
    /// Milliseconds since 1970 UTC.
    Time(i64),
}

/// The members that are appended: name, number and value.
fn appended<'v>(
    payload: &'v [u8],
    record: &'v Record<'_>,
    search: &'v Search,
    values: &'v Values<'v>,
    now_ms: i64,
) -> impl Iterator<Item = (&'v str, usize, Added<'v>)> {
    let event = values.event;
    let defaults = values.timestamps().filter_map(move |(field, cell)| match cell {
        Cell::Time(ms) if field.default.is_some() => {
            let is_there = |(value, _): (Value<'_>, usize)| value.kind != Kind::Null;
            let own = record.value(payload, field.member).is_some_and(is_there);
            (!own).then_some((field.from.as_str(), field.member, Added::Time(*ms)))
        }
        _ => None,
    });
    let derived = event.derived.iter().enumerate().filter_map(|(column, derived)| {
        Some((derived.name.as_str(), derived.member, Added::Text(values.derived(column)?)))
    });
    let timestamp = search.timestamp_field.iter().filter_map(move |field| {
        let of_event = event.fields.get(event.event_time).map(|field| field.member) == Some(field.member);
        match values.cell(event.event_time) {
            Some(Cell::Time(ms)) if !of_event => Some((field.name.as_str(), field.member, Added::Time(*ms))),
            _ => None,
        }
    });
    let ingested = search.ingested_at.iter();
    let ingested = ingested.map(move |field| (field.name.as_str(), field.member, Added::Time(now_ms)));
    defaults.chain(derived).chain(timestamp).chain(ingested)
}

/// Appends a JSON text, without the newlines that may be between its tokens.
fn push_line(body: &mut Vec<u8>, text: &[u8]) {
    let start = body.len();
    body.extend_from_slice(text);
    if memchr::memchr2(b'\n', b'\r', text).is_some() {
        for byte in body.get_mut(start..).unwrap_or_default() {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
}

/// Whether a timestamp is spelled in a way that `strict_date_optional_time||epoch_millis` does not know.
fn odd_time(payload: &[u8], record: &Record<'_>, field: &Field, cell: &Cell<'_>) -> bool {
    let value = || record.value(payload, field.member).map(|(value, _)| value);
    matches!(cell, Cell::Time(_))
        && field.kind == FieldType::Timestamp
        && value().is_some_and(|value| !plain_time(&value))
}

fn plain_time(value: &Value<'_>) -> bool {
    match value.kind {
        Kind::Number => value.raw.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-'),
        _ => value.unescaped().is_some_and(plain_text),
    }
}

/// `YYYY-MM-DD`, or that with `T`, a time of day and maybe `Z` or an offset of less than 18 hours.
fn plain_text(text: &[u8]) -> bool {
    let (_, time) = text.split_at_checked(10).unwrap_or_default();
    match time.split_first() {
        None => true,
        // The decoder has read it: what is left to tell apart are the zones.
        Some((b'T', [.., b'Z'])) => true,
        Some((b'T', time)) => {
            let zone = time.iter().position(|byte| matches!(byte, b'Z' | b'z' | b'+' | b'-'));
            match zone.and_then(|at| time.get(at..)).unwrap_or_default() {
                [] | [b'Z'] | [b'+' | b'-', b'0', ..] => true,
                [b'+' | b'-', b'1', hour, ..] => *hour < b'8',
                _ => false,
            }
        }
        Some(_) => false,
    }
}

/// Copies the object member by member, without its end: of members of one name the last, of those to be
/// appended none, and timestamps as the cluster takes them.
fn rewrite(
    payload: &[u8],
    record: &Record<'_>,
    values: &Values<'_>,
    dropped: &[&str],
    body: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let members = members(payload).map_err(Refusal::from)?;
    let mut seen = HashSet::new();
    let mut kept = Vec::with_capacity(members.len());
    for (key, value) in members.iter().rev() {
        let name = key.text().ok_or_else(|| Refusal::new(Reason::Internal, "a key is no text"))?;
        if !dropped.contains(&&*name) && seen.insert(name.clone()) {
            kept.push((name, key, value));
        }
    }
    body.push(b'{');
    for (number, (name, key, value)) in kept.iter().rev().enumerate() {
        if number > 0 {
            body.push(b',');
        }
        body.extend_from_slice(key.raw);
        body.push(b':');
        let time = values.timestamps().find_map(|(field, cell)| match cell {
            Cell::Time(ms) if field.from == **name && odd_time(payload, record, field, cell) => Some(*ms),
            _ => None,
        });
        match time {
            Some(ms) => push_string(body, &time::rfc3339(ms)),
            None => push_line(body, value.raw),
        }
    }
    Ok(())
}

fn members(payload: &[u8]) -> Result<Vec<(Value<'_>, Value<'_>)>, JsonError> {
    // Its depth was checked when the record was read.
    let mut cursor = Cursor::new(payload, &Limits { depth: usize::MAX })?;
    cursor.enter_object()?;
    let mut members = Vec::new();
    while let Some(key) = cursor.next_key()? {
        members.push((key, cursor.value()?));
    }
    Ok(members)
}

/// Appends a number in decimal: `write!` costs as much as all of a document's short texts.
pub fn push_number(body: &mut Vec<u8>, mut number: u64) {
    let start = body.len();
    loop {
        // A digit fits a byte.
        body.push(b'0' + u8::try_from(number % 10).unwrap_or_default());
        number /= 10;
        if number == 0 {
            break;
        }
    }
    body.get_mut(start..).unwrap_or_default().reverse();
}

/// Appends a text as a JSON string.
pub fn push_string(body: &mut Vec<u8>, text: &str) {
    body.push(b'"');
    if json::is_plain(text) {
        body.extend_from_slice(text.as_bytes());
        body.push(b'"');
        return;
    }
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => body.extend_from_slice(&[b'\\', byte]),
            0..0x20 => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let digit = |half: u8| HEX.get(usize::from(half)).copied().unwrap_or(b'0');
                body.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            }
            _ => body.push(byte),
        }
    }
    body.push(b'"');
}
