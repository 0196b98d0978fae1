//! Looks at what is in the cluster: how many documents an event type's indices have, and some of them.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::json;
use tripline_model::json::{Cursor, JsonError, Limits};
use tripline_model::pipeline::Search;

use crate::environment::Environment;
use crate::error::SearchError;
use crate::options::SearchOptions;
use crate::reply;
use crate::transport::Transport;
use crate::verdict::advice;

/// How deep an answer may nest: documents are a part of it.
const LIMITS: Limits = Limits { depth: 1_024 };

/// What an event type's indices have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The indices: names or patterns, with commas between.
    pub indices: String,
    /// The documents in them, whoever sent them.
    pub count: u64,
    /// Some of them.
    pub documents: Vec<Document>,
}

/// A document as the cluster has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Its index.
    pub index: String,
    /// Its id.
    pub id: String,
    /// Its JSON, byte for byte.
    pub source: String,
}

/// The documents cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[error("cannot look at {indices}: {reason}")]
pub struct ShowError {
    indices: String,
    reason: String,
}

/// The cluster, for looking at it.
#[derive(Debug)]
pub struct Viewer {
    transport: Transport,
    timeout: Duration,
}

impl Viewer {
    /// Nothing is asked of the cluster yet.
    ///
    /// # Errors
    /// [`SearchError`] with everything that is wrong with the options.
    pub async fn connect(options: &SearchOptions, environment: &Environment) -> Result<Self, SearchError> {
        let transport = Transport::connect(options, environment).await?;
        Ok(Self { transport, timeout: options.request_timeout })
    }

    /// What an event type's indices have, and this many of the documents at most. Where a cluster takes its
    /// time to show what was written, as Serverless does, that may be missing yet.
    ///
    /// # Errors
    /// [`ShowError`].
    pub async fn show(&self, search: &Search, documents: usize) -> Result<Shown, ShowError> {
        let indices = indices(search);
        match self.ask(&indices, documents).await {
            Ok((count, documents)) => Ok(Shown { indices, count, documents }),
            Err(reason) => Err(ShowError { indices, reason }),
        }
    }

    async fn ask(&self, indices: &str, documents: usize) -> Result<(u64, Vec<Document>), String> {
        let folder = escaped(indices);
        // Documents would be found by themselves some second later. Not every cluster lets itself be asked to
        // hurry, and none needs to.
        let refresh = format!("/{folder}/_refresh");
        drop(self.transport.ask(Method::POST, &refresh, Vec::new(), self.timeout).await);
        // An index that nothing was written to is not there.
        let path = format!("/{folder}/_search?allow_no_indices=true&ignore_unavailable=true");
        let query = json!({ "size": documents, "track_total_hits": true }).to_string().into_bytes();
        let answer = self.transport.ask(Method::POST, &path, query, self.timeout).await;
        let answer = answer.map_err(|failure| failure.reason)?;
        if answer.status != 200 {
            let (status, reason) = (answer.status, reply::reason(&answer.body));
            return Err(format!("{status} {reason}; {}", advice(status)));
        }
        match read(&answer.body) {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err("the answer is not that to a search".to_owned()),
            Err(error) => Err(format!("the answer is not that to a search: {error}")),
        }
    }
}

/// The indices that an event type's documents may be in. A pattern that begins with a text of the event would
/// fit indices of others too: such a pipeline says which are its own.
fn indices(search: &Search) -> String {
    let pattern = search.index.pattern();
    if pattern.starts_with('*') && !search.allow.is_empty() { search.allow.join(",") } else { pattern }
}

/// Escapes what signers and proxies do not agree on, or what ends a path's component.
fn escaped(indices: &str) -> String {
    let mut out = String::with_capacity(indices.len());
    for byte in indices.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The number of documents and some of them; `None` where the answer tells neither.
fn read(text: &Bytes) -> Result<Option<(u64, Vec<Document>)>, JsonError> {
    let mut cursor = Cursor::new(text, &LIMITS)?;
    let mut found = None;
    cursor.enter_object()?;
    while let Some(key) = cursor.next_key()? {
        if key.unescaped() == Some(b"hits") {
            found = read_hits(&mut cursor)?;
        }
    }
    cursor.finish()?;
    Ok(found)
}

fn read_hits(cursor: &mut Cursor<'_>) -> Result<Option<(u64, Vec<Document>)>, JsonError> {
    let (mut count, mut documents) = (None, Vec::new());
    cursor.enter_object()?;
    while let Some(key) = cursor.next_key()? {
        match key.unescaped() {
            Some(b"total") => {
                cursor.enter_object()?;
                while let Some(key) = cursor.next_key()? {
                    if key.unescaped() == Some(b"value") {
                        count = str::from_utf8(cursor.value()?.raw).ok().and_then(|raw| raw.parse().ok());
                    }
                }
            }
            Some(b"hits") => {
                cursor.enter_array()?;
                while cursor.next_element()? {
                    documents.push(read_document(cursor)?);
                }
            }
            _ => {}
        }
    }
    Ok(count.map(|count| (count, documents)))
}

fn read_document(cursor: &mut Cursor<'_>) -> Result<Document, JsonError> {
    let mut document = Document::default();
    cursor.enter_object()?;
    while let Some(key) = cursor.next_key()? {
        let name = key.unescaped();
        let member = match name {
            Some(b"_index") => &mut document.index,
            Some(b"_id") => &mut document.id,
            Some(b"_source") => &mut document.source,
            _ => continue,
        };
        let value = cursor.value()?;
        *member = value.text().map_or_else(|| String::from_utf8_lossy(value.raw).into_owned(), Into::into);
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_answer_is_its_number_of_documents_and_their_bytes() {
        let answer = r#"{"took": 3, "timed_out": false, "_shards": {"total": 1}, "hits": {
            "total": {"value": 12345, "relation": "eq"}, "max_score": 1.0, "hits": [
            {"_index": "clicks", "_id": "a\"b", "_score": 1.0, "_source": {"z": 1.50, "a": "é"}},
            {"_index": "clicks", "_id": "c", "_source": {}}]}}"#;
        let document = |id: &str, source: &str| Document {
            index: "clicks".to_owned(),
            id: id.to_owned(),
            source: source.to_owned(),
        };
        let documents = vec![document("a\"b", r#"{"z": 1.50, "a": "é"}"#), document("c", "{}")];
        assert_eq!(read(&Bytes::from(answer)).unwrap(), Some((12_345, documents)));
    }

    #[test]
    fn an_answer_to_something_else_is_not_taken_for_no_documents() {
        for answer in ["{}", r#"{"hits": {}}"#, r#"{"hits": {"total": {"value": "many"}, "hits": []}}"#] {
            assert_eq!(read(&Bytes::from(answer)).unwrap(), None, "{answer}");
        }
        for answer in ["", "<html>", "[]", r#"{"hits": 3}"#, r#"{"hits": {"total": 3, "hits": []}}"#] {
            assert!(read(&Bytes::from(answer)).is_err(), "{answer}");
        }
    }

    #[test]
    fn names_of_indices_are_one_component_of_a_path() {
        assert_eq!(escaped("trips-*,a_b.c~"), "trips-%2A%2Ca_b.c~");
        assert_eq!(escaped("naïve/../x?y"), "na%C3%AFve%2F..%2Fx%3Fy");
    }
}
