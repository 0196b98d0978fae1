//! What is known of an event without a pipeline: its time, and text to make a partition key of.

use std::cmp::Ordering;

use tripline_model::json::{self, JsonError, Kind, Limits, Value};
use tripline_model::time;

/// An event of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Its time in milliseconds since 1970 UTC; the time of the event before it in its file where it tells
    /// none that can be read.
    pub(super) time_ms: i64,
    /// It tells its time.
    pub(super) is_timed: bool,
    /// Number of its file, in the order of reading.
    pub(super) file: u32,
    /// Number of its line or row.
    pub(super) position: u64,
    /// Its bytes, as they are in the file.
    pub(super) data: Vec<u8>,
}

impl Event {
    /// By time, then by place, so that the same files always give the same order.
    fn order(&self) -> (i64, u32, u64) {
        (self.time_ms, self.file, self.position)
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order()).then_with(|| self.data.cmp(&other.data))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The time that an event tells in this member, in milliseconds since 1970 UTC: ISO 8601 text, or a number
/// of milliseconds. `None` where it is no JSON object, or has no such time.
pub(super) fn time_of(data: &[u8], attribute: &str) -> Option<i64> {
    let mut found = None;
    json::object(data, &Limits::default(), |key, value| {
        if key.text().as_deref() == Some(attribute) {
            found = time_in(&value);
        }
        Ok::<(), JsonError>(())
    })
    .ok()?;
    found
}

fn time_in(value: &Value<'_>) -> Option<i64> {
    let ms = match value.kind {
        Kind::String { .. } => return time::parse(value.text()?.as_bytes()).ok(),
        Kind::Number => std::str::from_utf8(value.raw).ok()?.parse().ok()?,
        _ => return None,
    };
    time::in_range(ms).then_some(ms)
}

/// The text of a member, for a partition key: a string's contents, anything else as it is spelled.
pub(super) fn text_of(data: &[u8], attribute: &str) -> Option<String> {
    let mut found = None;
    json::object(data, &Limits::default(), |key, value| {
        if key.text().as_deref() == Some(attribute) {
            found = match value.kind {
                Kind::Null => None,
                Kind::String { .. } => value.text().map(|text| text.into_owned()),
                _ => Some(String::from_utf8_lossy(value.raw).into_owned()),
            };
        }
        Ok::<(), JsonError>(())
    })
    .ok()?;
    found.filter(|text| !text.is_empty())
}

/// The event with all its times moved by so many milliseconds: every member that is an ISO 8601 datetime
/// with a time of day, and the one of this name if it is a number. `None` where it is no JSON object.
pub(super) fn moved(data: &[u8], attribute: &str, by_ms: i64) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(data.len() + 8);
    let mut copied = 0;
    json::object(data, &Limits::default(), |key, value| {
        let new = match value.kind {
            Kind::String { .. } => value
                .text()
                .filter(|text| text.contains(['T', 't']))
                .and_then(|text| time::parse(text.as_bytes()).ok())
                .map(|ms| format!("\"{}\"", time::rfc3339(ms.saturating_add(by_ms)))),
            Kind::Number if key.text().as_deref() == Some(attribute) => {
                time_in(&value).map(|ms| ms.saturating_add(by_ms).to_string())
            }
            _ => None,
        };
        // A value's text is a part of the whole, at the distance of their beginnings.
        let at = (value.raw.as_ptr() as usize).wrapping_sub(data.as_ptr() as usize);
        if let Some(new) = new
            && let Some(before) = data.get(copied..at)
        {
            out.extend_from_slice(before);
            out.extend_from_slice(new.as_bytes());
            copied = at + value.raw.len();
        }
        Ok::<(), JsonError>(())
    })
    .ok()?;
    out.extend_from_slice(data.get(copied..)?);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_tells_its_time_as_text_or_as_milliseconds() {
        let at = Some(1_514_766_940_000);
        for text in [
            r#"{"a":1,"at":"2018-01-01T00:35:40.000Z"}"#,
            r#" { "\u0061t" : "2018-01-01 00:35:40" } "#,
            r#"{"at":1514766940000}"#,
            r#"{"at":"2018-01-01T01:35:40+01:00"}"#,
        ] {
            assert_eq!(time_of(text.as_bytes(), "at"), at, "{text}");
        }
        for text in [
            "",
            "not json",
            r#"{"at":null}"#,
            r#"{"at":"soon"}"#,
            r#"{"at":1.5e3}"#,
            r#"{"at":99999999999999999}"#,
            r#"{"at":"2018-01-01T00:35:40.000Z""#,
            r#"[1]"#,
        ] {
            assert_eq!(time_of(text.as_bytes(), "at"), None, "{text}");
        }
    }

    #[test]
    fn all_times_of_an_event_move_together_and_nothing_else_does() {
        let event = br#"{"pickup":"2018-01-01T00:00:00.000Z", "at":1514764800000,"n":1514764800000,
            "day":"2018-01-01","drop":"2018-01-01T00:10:00Z","note":"T-shirt"}"#;
        let expected = r#"{"pickup":"2018-01-02T00:00:00.000Z", "at":1514851200000,"n":1514764800000,
            "day":"2018-01-01","drop":"2018-01-02T00:10:00.000Z","note":"T-shirt"}"#;
        let moved_event =
            moved(event, "at", 86_400_000).map(|event| String::from_utf8_lossy(&event).into_owned());
        assert_eq!(moved_event.as_deref(), Some(expected));
        assert_eq!(moved(b"no event", "at", 1), None);
    }

    #[test]
    fn a_members_text_is_its_contents_or_its_spelling() {
        let event = br#"{"id":12,"name":"a\"b","none":null,"empty":""}"#;
        assert_eq!(text_of(event, "id").as_deref(), Some("12"));
        assert_eq!(text_of(event, "name").as_deref(), Some("a\"b"));
        for absent in ["none", "empty", "other"] {
            assert_eq!(text_of(event, absent), None);
        }
    }
}
