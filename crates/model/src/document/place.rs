//! Where a document belongs.

use std::fmt::Write as _;

use super::index;
use crate::decode::{Cell, Reason, Refusal, Values};
use crate::pipeline::{
    IndexName, IndexPart, Search, TimeFormat, TimePart, TimeToken, ValueSource, VersionFrom,
};
use crate::source::SourceRecord;
use crate::time::{Civil, MS_PER_HOUR};

/// Writes the index of an event's document over `name`; it is still to be [`check`]ed.
pub(super) fn index(
    search: &Search,
    values: &Values<'_>,
    now_ms: i64,
    name: &mut String,
) -> Result<(), Refusal> {
    name.clear();
    for part in &search.index.parts {
        match part {
            IndexPart::Literal(text) => name.push_str(text),
            IndexPart::Now(format) => push_time(name, format, now_ms),
            IndexPart::Time(field, format) => match values.cell(*field) {
                Some(Cell::Time(ms)) => push_time(name, format, *ms),
                _ => return Err(nameless(values, ValueSource::Field(*field), "is missing or null")),
            },
            IndexPart::Value(source) => {
                let before = name.len();
                push_value(name, values, *source);
                // What a text begins with must not become what the name begins with.
                while before == 0 && name.starts_with(index::NEVER_FIRST) {
                    name.remove(0);
                }
                if name.len() == before {
                    return Err(nameless(values, *source, "is missing, null or without letters and digits"));
                }
            }
        }
    }
    Ok(())
}

/// What tells an event's index from that of others of its type, where no more than a time does: the hour.
pub(super) fn hour(search: &Search, values: &Values<'_>) -> Option<i64> {
    let mut hour = None;
    for part in &search.index.parts {
        match part {
            IndexPart::Literal(_) | IndexPart::Now(_) => {}
            IndexPart::Time(field, _) => match values.cell(*field) {
                Some(Cell::Time(ms)) if hour.is_none_or(|hour| hour == ms.div_euclid(MS_PER_HOUR)) => {
                    hour = Some(ms.div_euclid(MS_PER_HOUR));
                }
                _ => return None,
            },
            IndexPart::Value(_) => return None,
        }
    }
    Some(hour.unwrap_or_default())
}

/// Writes an index that is the same for every event over `name`.
pub(super) fn fixed_index(search: &Search, name: &mut String) -> Result<(), Refusal> {
    timed_index(&search.index, 0, name);
    check(search, name)
}

/// Writes an index that only the time of now tells from others over `name`.
pub(super) fn timed_index(index: &IndexName, now_ms: i64, name: &mut String) {
    name.clear();
    for part in &index.parts {
        match part {
            IndexPart::Literal(text) => name.push_str(text),
            IndexPart::Now(format) => push_time(name, format, now_ms),
            IndexPart::Value(_) | IndexPart::Time(..) => {}
        }
    }
}

/// Whether there can be an index of this name, and may be.
pub(super) fn check(search: &Search, name: &str) -> Result<(), Refusal> {
    let bad = |message: &str| Err(Refusal::new(Reason::BadIndex, message));
    if name.len() > index::NAME_BYTES {
        return bad("its index would have a name of more than 255 bytes");
    }
    if !index::is_sound(name) {
        return bad("its index would have a name that no index can have");
    }
    if !search.allow.is_empty() && !search.allow.iter().any(|pattern| index::fits(name, pattern)) {
        return bad("its index is not one that `allow` lists");
    }
    Ok(())
}

fn nameless(values: &Values<'_>, source: ValueSource, what: &str) -> Refusal {
    let name = match source {
        ValueSource::Field(field) => values.event.fields.get(field).map(|field| field.from.as_str()),
        ValueSource::Derived(column) => values.event.derived.get(column).map(|column| column.name.as_str()),
    };
    let name = name.unwrap_or_default();
    Refusal::new(Reason::BadIndex, format!("field `{name}`, which names the index, {what}"))
}

fn push_value(name: &mut String, values: &Values<'_>, source: ValueSource) {
    match source {
        ValueSource::Derived(column) => {
            index::push_sanitised(name, values.derived(column).unwrap_or_default());
        }
        // Writing to a string cannot fail.
        ValueSource::Field(field) => match values.cell(field) {
            Some(Cell::Text(text)) => index::push_sanitised(name, text),
            Some(Cell::Integer(value)) => _ = write!(name, "{value}"),
            Some(Cell::Bool(value)) => _ = write!(name, "{value}"),
            _ => {}
        },
    }
}

fn push_time(name: &mut String, format: &TimeFormat, ms: i64) {
    let time = Civil::from_ms(ms);
    for token in &format.0 {
        match token {
            TimeToken::Part(TimePart::Year) => {
                push_two_digits(name, time.year / 100);
                push_two_digits(name, time.year % 100);
            }
            TimeToken::Part(TimePart::Month) => push_two_digits(name, time.month.into()),
            TimeToken::Part(TimePart::Day) => push_two_digits(name, time.day.into()),
            TimeToken::Part(TimePart::Hour) => push_two_digits(name, time.hour.into()),
            TimeToken::Between(character) => name.push(*character),
        }
    }
}

/// Appends a number below 100. `write!` would cost more than the rest of a name.
fn push_two_digits(name: &mut String, number: u16) {
    name.extend(
        [number / 10, number % 10].into_iter().filter_map(|digit| char::from_digit(digit.into(), 10)),
    );
}

/// Writes what a document is routed by over `routing`; `false` if it is routed by its id.
pub(super) fn routing(search: &Search, values: &Values<'_>, routing: &mut String) -> bool {
    routing.clear();
    let Some(source) = search.routing else { return false };
    values.push(source, routing);
    !routing.is_empty()
}

/// The external version of a record's document: its offset, where positions are as short as that, else the
/// time at which the source took it in. One that tells neither gives way to any other.
pub(super) fn version(search: &Search, record: &SourceRecord<'_>) -> Option<u64> {
    match search.version {
        VersionFrom::None => None,
        VersionFrom::Position => {
            let offset = record.position.as_u64().filter(|offset| i64::try_from(*offset).is_ok());
            let arrival = || record.arrival_ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or_default();
            Some(offset.unwrap_or_else(arrival))
        }
    }
}
