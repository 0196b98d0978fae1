//! Reads the answer to a bulk request, item by item, building nothing of the rest.

use std::fmt::Write as _;

use tripline_model::json::{Cursor, JsonError, Kind, Limits, Value};
use xxhash_rust::xxh3::xxh3_64;

use crate::verdict::Act;

/// What the cluster's mapper goes on with once it has said what is wrong: values of the document, which are
/// nothing for logs and columns of errors.
const VALUES_FOLLOW: [&str; 3] =
    ["Preview of field's value", "in document with id", "The prefix of the first immense term"];

/// Longest text of the cluster's that is kept of an item, in bytes.
const REASON_BYTES: usize = 512;

/// How deep an answer may nest: causes have causes.
const LIMITS: Limits = Limits { depth: 256 };

/// What the cluster says of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ItemReply {
    pub(crate) act: Act,
    /// Hash of the id; see [`id_hash`].
    pub(crate) id: Option<u64>,
    pub(crate) status: u16,
    pub(crate) result: Result,
    /// The cluster's reason, where there is one.
    pub(crate) error: Option<String>,
}

/// What was done, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Result {
    Created,
    Updated,
    Deleted,
    Noop,
    NotFound,
    Untold,
}

/// An answer that is not that to a bulk request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReplyError {
    #[error("the answer is no JSON: {0}")]
    Json(#[from] JsonError),
    #[error("the answer has no items")]
    NoItems,
    #[error("item {0} of the answer tells no status")]
    NoStatus(usize),
}

/// By which ids are compared: the cluster's answer names each.
pub(crate) fn id_hash(id: &str) -> u64 {
    xxh3_64(id.as_bytes())
}

/// Reads the items of an answer, in their order.
pub(crate) fn read(text: &[u8]) -> std::result::Result<Vec<ItemReply>, ReplyError> {
    let mut cursor = Cursor::new(text, &LIMITS)?;
    let mut items = None;
    cursor.enter_object()?;
    while let Some(key) = cursor.next_key()? {
        if key.unescaped() == Some(b"items") && cursor.peek()? == Kind::Array {
            items = Some(read_items(&mut cursor)?);
        }
    }
    cursor.finish()?;
    items.ok_or(ReplyError::NoItems)
}

fn read_items(cursor: &mut Cursor<'_>) -> std::result::Result<Vec<ItemReply>, ReplyError> {
    let mut items = Vec::new();
    cursor.enter_array()?;
    while cursor.next_element()? {
        let mut item = None;
        cursor.enter_object()?;
        while let Some(key) = cursor.next_key()? {
            let acts = [Act::Index, Act::Create, Act::Update, Act::Delete];
            if let Some(act) = acts.into_iter().find(|act| key.unescaped() == Some(act.name().as_bytes())) {
                item = read_item(cursor, act)?;
            }
        }
        items.push(item.ok_or(ReplyError::NoStatus(items.len()))?);
    }
    Ok(items)
}

fn read_item(cursor: &mut Cursor<'_>, act: Act) -> std::result::Result<Option<ItemReply>, ReplyError> {
    let (mut id, mut status, mut result, mut error) = (None, None, Result::Untold, None);
    cursor.enter_object()?;
    while let Some(key) = cursor.next_key()? {
        match key.unescaped() {
            Some(b"_id") => id = cursor.value()?.text().map(|id| id_hash(&id)),
            Some(b"status") => status = number(&cursor.value()?),
            Some(b"result") => {
                result = match cursor.value()?.unescaped() {
                    Some(b"created") => Result::Created,
                    Some(b"updated") => Result::Updated,
                    Some(b"deleted") => Result::Deleted,
                    Some(b"noop") => Result::Noop,
                    Some(b"not_found") => Result::NotFound,
                    _ => Result::Untold,
                }
            }
            Some(b"error") => error = Some(read_error(cursor)?),
            _ => {}
        }
    }
    Ok(status.map(|status| ItemReply { act, id, status, result, error }))
}

/// The reason for which a request was refused as a whole, in the cluster's words or in those of what stands
/// before it, cut to a bound.
pub(crate) fn reason(text: &[u8]) -> String {
    let told = || {
        let mut cursor = Cursor::new(text, &LIMITS).ok()?;
        cursor.enter_object().ok()?;
        let mut found = None;
        while let Some(key) = cursor.next_key().ok()? {
            match key.unescaped() {
                Some(b"error") => found = Some(read_error(&mut cursor).ok()?),
                // Amazon's own refusals.
                Some(b"message" | b"Message") => {
                    found = cursor.value().ok()?.text().map(std::borrow::Cow::into_owned);
                }
                _ => {}
            }
        }
        found
    };
    let mut reason = told().unwrap_or_else(|| String::from_utf8_lossy(text).into_owned());
    cut(&mut reason);
    reason
}

/// `type: reason`, and the type of what caused it: the reasons of causes are parsers', and quote the value
/// that they could not parse.
fn read_error(cursor: &mut Cursor<'_>) -> std::result::Result<String, JsonError> {
    let mut text = String::new();
    if cursor.peek()? != Kind::Object {
        text.push_str(&cursor.value()?.text().unwrap_or_default());
        cut(&mut text);
        return Ok(text);
    }
    let (mut kind, mut reason, mut cause) = (None, None, None);
    cursor.enter_object()?;
    while let Some(key) = cursor.next_key()? {
        match key.unescaped() {
            Some(b"type") => kind = cursor.value()?.text(),
            Some(b"reason") => reason = cursor.value()?.text(),
            Some(b"caused_by") if cursor.peek()? == Kind::Object => cause = read_cause(cursor)?,
            _ => {}
        }
    }
    text.push_str(&kind.unwrap_or_default());
    if let Some(reason) = reason {
        let colon = if text.is_empty() { "" } else { ": " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{colon}{reason}");
    }
    cut(&mut text);
    if let Some(cause) = cause.filter(|cause| !cause.is_empty()) {
        let _ = write!(text, " (caused by {cause})");
        cut(&mut text);
    }
    Ok(text)
}

/// The type of a cause.
fn read_cause(cursor: &mut Cursor<'_>) -> std::result::Result<Option<String>, JsonError> {
    let mut kind = None;
    cursor.enter_object()?;
    while let Some(key) = cursor.next_key()? {
        if key.unescaped() == Some(b"type") {
            kind = cursor.value()?.text().map(std::borrow::Cow::into_owned);
        }
    }
    Ok(kind)
}

fn number(value: &Value<'_>) -> Option<u16> {
    std::str::from_utf8(value.raw).ok()?.parse().ok()
}

/// Cuts a text before values of the document, and to the bound, between characters.
fn cut(text: &mut String) {
    if let Some(end) = VALUES_FOLLOW.iter().filter_map(|phrase| text.find(phrase)).min() {
        text.truncate(end);
        text.truncate(text.trim_end().len());
    }
    if text.len() > REASON_BYTES {
        let mut end = REASON_BYTES;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_answer_of_a_real_cluster_is_read() {
        let text = r#"{"took":3,"errors":true,"items":[
          {"index":{"_index":"a","_id":"1","_version":1,"result":"created","status":201,"_shards":{"total":2}}},
          {"index":{"_id":"2","status":400,"error":{"type":"mapper_parsing_exception","reason":"failed to parse",
            "caused_by":{"type":"illegal_argument_exception","reason":"For input string: \"x\""}}}},
          {"delete":{"_id":null,"result":"not_found","status":404}},
          {"update":{"status":200,"result":"noop"}},
          {"create":{"error":"old servers say a text","status":409}}]}"#;
        let items = read(text.as_bytes()).unwrap();
        let got: Vec<_> = items.iter().map(|item| (item.act, item.status, item.result)).collect();
        assert_eq!(
            got,
            [
                (Act::Index, 201, Result::Created),
                (Act::Index, 400, Result::Untold),
                (Act::Delete, 404, Result::NotFound),
                (Act::Update, 200, Result::Noop),
                (Act::Create, 409, Result::Untold),
            ]
        );
        assert_eq!((items[0].id, items[2].id), (Some(id_hash("1")), None));
        assert_eq!(
            items[1].error.as_deref(),
            Some("mapper_parsing_exception: failed to parse (caused by illegal_argument_exception)")
        );
        assert_eq!(items[4].error.as_deref(), Some("old servers say a text"));
    }

    #[test]
    fn what_is_no_answer_to_a_bulk_request_is_told_apart() {
        for (text, expected) in [
            ("{\"took\":1}", ReplyError::NoItems),
            ("{\"items\":{}}", ReplyError::NoItems),
            ("{\"items\":[{\"index\":{\"_id\":\"1\"}}]}", ReplyError::NoStatus(0)),
            ("{\"items\":[{}]}", ReplyError::NoStatus(0)),
            ("{\"items\":[{\"index\":{\"status\":70000}}]}", ReplyError::NoStatus(0)),
        ] {
            assert_eq!(read(text.as_bytes()), Err(expected), "{text}");
        }
        for text in ["", "<html>", "{\"items\":[{\"index\":{\"status\":201}}]", "{\"items\":[7]}", "[]"] {
            assert!(matches!(read(text.as_bytes()), Err(ReplyError::Json(_))), "{text}");
        }
    }

    #[test]
    fn reasons_are_told_in_whatever_words_and_cut() {
        for (text, expected) in [
            ("{\"message\": \"The request signature\"}", "The request signature"),
            ("{\"Message\":\"Request size exceeded\"}", "Request size exceeded"),
            ("{\"error\":{\"root_cause\":[],\"type\":\"a\",\"reason\":\"b\"},\"status\":400}", "a: b"),
            ("{\"error\":\"no handler\"}", "no handler"),
            ("<html>Bad Gateway</html>", "<html>Bad Gateway</html>"),
            ("", ""),
        ] {
            assert_eq!(reason(text.as_bytes()), expected);
        }
        let long = reason("é".repeat(1_000).as_bytes());
        assert!(long.len() < 520 && long.ends_with('…'));
    }

    #[test]
    fn values_of_the_document_are_not_taken_over() {
        let preview = "failed to parse field [at] of type [date] in document with id 'me'. Preview of field's \
                       value: 'secret'";
        let cause = json!({ "type": "illegal_argument_exception", "reason": "failed to parse date field [secret]",
            "caused_by": { "type": "date_time_parse_exception", "reason": "Text 'secret' could not be parsed" } });
        let error = json!({ "type": "mapper_parsing_exception", "reason": preview, "caused_by": cause });
        let answer = json!({ "items": [{ "index": { "_id": "me", "status": 400, "error": error } }] });
        let expected = "mapper_parsing_exception: failed to parse field [at] of type [date] (caused by \
                        illegal_argument_exception)";
        assert_eq!(read(answer.to_string().as_bytes()).unwrap()[0].error.as_deref(), Some(expected));
        assert_eq!(reason(json!({ "error": error, "status": 400 }).to_string().as_bytes()), expected);
        for text in [
            json!({ "error": preview }).to_string(),
            json!({ "message": preview }).to_string(),
            preview.to_owned(),
        ] {
            assert_eq!(reason(text.as_bytes()), "failed to parse field [at] of type [date]");
        }
        let long = format!("{}Preview of field's value: 'secret'", "x".repeat(500));
        assert_eq!(reason(long.as_bytes()), "x".repeat(500));
    }

    fn item() -> impl Strategy<Value = Value> {
        let error = prop_oneof![
            Just(Value::Null),
            "[a-z_]{0,12}".prop_map(|kind| json!({ "type": kind, "reason": "r", "index": "i" })),
            "[ -~é]{0,20}".prop_map(Value::from),
        ];
        let act = prop::sample::select(vec!["index", "create", "update", "delete"]);
        let id = prop::option::of("[ -~é\"\\\\]{1,12}");
        (act, id, 100_u16..600, error, any::<bool>()).prop_map(|(act, id, status, error, more)| {
            let mut item = json!({ "_id": id, "status": status });
            if !error.is_null() {
                item["error"] = error;
            }
            if more {
                item["_shards"] = json!({ "failed": 0, "status": 7 });
            }
            json!({ act: item })
        })
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_writes(items in prop::collection::vec(item(), 0..20), pretty: bool) {
            let answer = json!({ "errors": true, "items": items, "took": 1 });
            let text = if pretty { serde_json::to_string_pretty(&answer) } else { serde_json::to_string(&answer) };
            let read = read(text.unwrap().as_bytes()).unwrap();
            prop_assert_eq!(read.len(), items.len());
            for (read, item) in read.iter().zip(&items) {
                let (act, said) = item.as_object().unwrap().iter().next().unwrap();
                prop_assert_eq!(read.act.name(), act);
                prop_assert_eq!(u64::from(read.status), said["status"].as_u64().unwrap());
                prop_assert_eq!(read.id, said["_id"].as_str().map(id_hash));
                prop_assert_eq!(read.error.is_some(), said.get("error").is_some());
            }
        }

        #[test]
        fn any_bytes_give_an_answer_or_an_error(text in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = read(&text);
            prop_assert!(reason(&text).len() < 520);
        }
    }
}
