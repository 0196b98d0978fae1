//! Ids of events: of their documents, and what they are partitioned by in other streams.
//!
//! An id is made of the values of the event type's `id` fields, so that the same event has the same id
//! however it is delivered and however its values are spelled. An event type without such fields, or an
//! event without their values, has its place in the source for an id.

use std::fmt::Write as _;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::decode::{Cell, Values};
use crate::source::{SourcePartition, SourceRecord};
use crate::time;

/// Longest id that a search cluster takes, in bytes.
pub(crate) const DOCUMENT_BYTES: usize = 512;

/// What the places in `origin` begin with.
pub(crate) fn prefix(origin: &SourcePartition) -> String {
    let whole = format!("{}\n{}\n{}", origin.source, origin.epoch, origin.partition);
    let mut prefix = String::new();
    let readable = format!("{:016x}-{}", xxh3_64(whole.as_bytes()), origin.partition);
    push_capped(&mut prefix, &readable, DOCUMENT_BYTES);
    prefix
}

/// Appends a record's place in the source that `prefix` is of: no other record's.
pub(crate) fn push_place(text: &mut String, prefix: &str, record: &SourceRecord<'_>) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{prefix}-{}-{}", record.position, record.sub_position);
}

/// Appends the id of an event, in `max_bytes` or fewer. `delimiter` stands between the values of several
/// fields.
pub(crate) fn push_id(
    values: &Values<'_>,
    delimiter: &str,
    record: &SourceRecord<'_>,
    prefix: &str,
    max_bytes: usize,
    id: &mut String,
) {
    let start = id.len();
    let cells = || values.event.id.iter().filter_map(|&field| values.cell(field));
    match values.event.id.as_slice() {
        [_] => cells().for_each(|cell| push_cell(id, cell)),
        [] => {}
        _ if cells().all(|cell| *cell == Cell::Null) => {}
        _ => {
            for (number, cell) in cells().enumerate() {
                if number > 0 {
                    id.push_str(delimiter);
                }
                push_joined(id, cell, delimiter);
            }
        }
    }
    if id.len() == start {
        push_place(id, prefix, record);
    }
    cap(id, start, max_bytes);
}

/// Appends a value in the one way in which it is spelled in ids.
pub(crate) fn push_cell(text: &mut String, cell: &Cell<'_>) {
    let _ = match cell {
        Cell::Null => Ok(()),
        Cell::Bool(value) => write!(text, "{value}"),
        Cell::Integer(value) => {
            push_integer(text, *value);
            Ok(())
        }
        Cell::Float(value) => write!(text, "{value}"),
        Cell::Text(value) => text.write_str(value),
        Cell::Time(ms) => text.write_str(&time::rfc3339(*ms)),
    };
}

/// As `write!` would, which costs as much as the rest of a document's place.
fn push_integer(text: &mut String, value: i64) {
    let mut digits = [0_u8; 20];
    let (mut start, mut rest) = (digits.len(), value.unsigned_abs());
    for (at, place) in digits.iter_mut().enumerate().rev() {
        // A digit fits a byte.
        *place = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        (start, rest) = (at, rest / 10);
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        text.push('-');
    }
    text.push_str(
        digits.get(start..).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default(),
    );
}

/// As [`push_cell`], for one of several values. A null is `%`, and a text's own `%` and delimiters are
/// escaped: else different values could come to one id, and one event would overwrite another.
fn push_joined(id: &mut String, cell: &Cell<'_>, delimiter: &str) {
    match cell {
        Cell::Null => id.push('%'),
        Cell::Text(text) => {
            for character in text.chars() {
                if character == '%' || delimiter.contains(character) {
                    let mut buffer = [0; 4];
                    for byte in character.encode_utf8(&mut buffer).bytes() {
                        let _ = write!(id, "%{byte:02X}");
                    }
                } else {
                    id.push(character);
                }
            }
        }
        _ => push_cell(id, cell),
    }
}

/// Appends a text of which no more than `max_bytes` are wanted.
pub(crate) fn push_capped(id: &mut String, text: &str, max_bytes: usize) {
    let start = id.len();
    id.push_str(text);
    cap(id, start, max_bytes);
}

/// Cuts what is longer than `max_bytes`; a hash of the whole keeps it from meeting another.
fn cap(id: &mut String, start: usize, max_bytes: usize) {
    let Some(whole) = id.get(start..).filter(|whole| whole.len() > max_bytes) else { return };
    let hash = format!("-{:032x}", xxh3_128(whole.as_bytes()));
    let mut end = (start + max_bytes).saturating_sub(hash.len()).max(start);
    while !id.is_char_boundary(end) {
        end -= 1;
    }
    id.truncate(end);
    id.push_str(&hash);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_integer_is_spelled_as_rust_spells_it(value in prop_oneof![any::<i64>(), -20..20_i64, Just(i64::MIN)]) {
            let mut text = "id ".to_owned();
            push_integer(&mut text, value);
            prop_assert_eq!(text, format!("id {value}"));
        }
    }
}
