//! Ids of documents.
//!
//! An id is made of the values of the event type's `id` fields, so that the same event has the same id
//! however it is delivered and however its values are spelled. An event type without such fields, or an
//! event without their values, has its place in the source for an id.

use std::fmt::Write as _;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::Values;
use crate::decode::Cell;
use crate::pipeline::Search;
use crate::source::{SourcePartition, SourceRecord};
use crate::time;

/// Longest id that the cluster takes, in bytes.
const ID_BYTES: usize = 512;

/// What the ids that come of places in `origin` begin with.
pub(super) fn prefix(origin: &SourcePartition) -> String {
    let whole = format!("{}\n{}\n{}", origin.source, origin.epoch, origin.partition);
    let mut prefix = String::new();
    push_capped(&mut prefix, &format!("{:016x}-{}", xxh3_64(whole.as_bytes()), origin.partition));
    prefix
}

/// Appends the id of an event's document.
pub(super) fn write(
    search: &Search,
    values: &Values<'_>,
    record: &SourceRecord<'_>,
    prefix: &str,
    id: &mut String,
) {
    let start = id.len();
    let cells = || values.event.id.iter().filter_map(|&field| values.cells.get(field));
    match values.event.id.as_slice() {
        [_] => cells().for_each(|cell| push_cell(id, cell)),
        [] => {}
        _ if cells().all(|cell| *cell == Cell::Null) => {}
        _ => {
            for (number, cell) in cells().enumerate() {
                if number > 0 {
                    id.push_str(&search.id_delimiter);
                }
                push_joined(id, cell, &search.id_delimiter);
            }
        }
    }
    if id.len() == start {
        // Writing to a string cannot fail.
        let _ = write!(id, "{prefix}-{}-{}", record.position, record.sub_position);
    }
    cap(id, start);
}

/// Appends a value in the one way in which it is spelled in ids.
pub(super) fn push_cell(text: &mut String, cell: &Cell<'_>) {
    let _ = match cell {
        Cell::Null => Ok(()),
        Cell::Bool(value) => write!(text, "{value}"),
        Cell::Integer(value) => write!(text, "{value}"),
        Cell::Float(value) => write!(text, "{value}"),
        Cell::Text(value) => text.write_str(value),
        Cell::Time(ms) => text.write_str(&time::rfc3339(*ms)),
    };
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

/// Appends a text of which no more than an id's length is wanted.
pub(super) fn push_capped(id: &mut String, text: &str) {
    let start = id.len();
    id.push_str(text);
    cap(id, start);
}

/// Cuts an id that is too long; a hash of the whole keeps it from meeting another.
fn cap(id: &mut String, start: usize) {
    let Some(whole) = id.get(start..).filter(|whole| whole.len() > ID_BYTES) else { return };
    let hash = format!("-{:032x}", xxh3_128(whole.as_bytes()));
    let mut end = start + ID_BYTES - hash.len();
    while !id.is_char_boundary(end) {
        end -= 1;
    }
    id.truncate(end);
    id.push_str(&hash);
}
