//! Which objects an invocation is about: an S3 notification, EventBridge's form of it, or a direct invocation.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An object that is to be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectName {
    pub(crate) bucket: String,
    pub(crate) key: String,
    /// The version, where the bucket has versions.
    pub(crate) version: Option<String>,
    /// Where to begin, if not at the first row.
    pub(crate) begin: Option<Begin>,
}

/// A row of the object that has this entity tag. Written anew it is another source, all of whose rows count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Begin {
    pub(crate) row: u64,
    pub(crate) tag: String,
}

/// What of an object is still to be taken in: a direct invocation can name it so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// Its URL.
    pub object: String,
    /// The row to begin with, where that is not the first: all before it are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// The entity tag of the object whose row that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

impl ObjectName {
    pub(crate) fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    /// All that was asked for.
    pub(crate) fn rest(&self) -> Rest {
        let begin = self.begin.clone();
        let (from, etag) = begin.map(|Begin { row, tag }| (row, tag)).unzip();
        Rest { object: self.url(), from, etag }
    }
}

/// What an invocation asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) objects: Vec<ObjectName>,
    /// The caller waits for an answer that says what is left; otherwise only an error brings the event again.
    pub(crate) direct: bool,
}

/// `{"backfill": {"objects": ["s3://bucket/key", …]}}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Direct {
    objects: Vec<Named>,
}

/// An object by its URL, or as an answer told what of it is left.
#[derive(Deserialize)]
#[serde(untagged, expecting = "an object is its URL, or what an answer has in \"left\"")]
enum Named {
    Url(String),
    Rest(Rest),
}

/// Of a record of a notification, and of EventBridge's `detail`.
#[derive(Deserialize)]
struct Told {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    key: String,
    /// In a notification.
    version_id: Option<String>,
    /// In EventBridge's event.
    #[serde(rename = "version-id")]
    version: Option<String>,
}

impl Told {
    fn name(self) -> ObjectName {
        let Object { key, version_id, version } = self.object;
        ObjectName { bucket: self.bucket.name, key, version: version_id.or(version), begin: None }
    }
}

impl Request {
    /// `None` where the body is about no objects.
    ///
    /// # Errors
    /// What is wrong with it, where it is.
    pub(crate) fn parse(body: &[u8]) -> Option<Result<Self, String>> {
        let mut body: Value = serde_json::from_slice(body).ok()?;
        if let Some(direct) = body.get_mut("backfill") {
            return Some(Self::direct(direct.take()));
        }
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        if let Some(Value::Array(records)) = body.get_mut("Records") {
            let is_s3 = |record: &Value| text(record, "eventSource").as_deref() == Some("aws:s3");
            if records.is_empty() || !records.iter().all(is_s3) {
                return None;
            }
            let created = |record: &&mut Value| {
                text(record, "eventName").is_some_and(|name| name.starts_with("ObjectCreated"))
            };
            let told = records.iter_mut().filter(created).map(|record| record["s3"].take());
            return Some(Self::told(told, true));
        }
        let is_created = text(&body, "source").as_deref() == Some("aws.s3")
            && text(&body, "detail-type").as_deref() == Some("Object Created");
        is_created.then(|| Self::told(body.get_mut("detail").map(Value::take).into_iter(), false))
    }

    fn direct(asked: Value) -> Result<Self, String> {
        let example = "expected {\"backfill\": {\"objects\": [\"s3://bucket/key\"]}}";
        let Direct { objects } =
            serde_json::from_value(asked).map_err(|error| format!("its \"backfill\": {error}; {example}"))?;
        let name = |named: Named| {
            let (url, begin) = match named {
                Named::Url(url) => (url, None),
                Named::Rest(Rest { object, from: Some(row), etag: Some(tag) }) => {
                    (object, Some(Begin { row, tag }))
                }
                Named::Rest(Rest { object, from: None, etag: None }) => (object, None),
                Named::Rest(Rest { object, .. }) => {
                    return Err(format!(
                        "{object:?} has one of \"from\" and \"etag\": name it as the answer did"
                    ));
                }
            };
            let parts = url.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
            match parts.filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty() && !key.ends_with('/')) {
                Some((bucket, key)) => {
                    Ok(ObjectName { bucket: bucket.to_owned(), key: key.to_owned(), version: None, begin })
                }
                None => Err(format!("{url:?} names no object; {example}")),
            }
        };
        Ok(Self { objects: objects.into_iter().map(name).collect::<Result<_, _>>()?, direct: true })
    }

    /// `encoded`: keys are as in the query of a URL.
    fn told(told: impl Iterator<Item = Value>, encoded: bool) -> Result<Self, String> {
        let name = |told: Value| {
            let told: Told = serde_json::from_value(told).map_err(|error| format!("its object: {error}"))?;
            let mut name = told.name();
            if encoded {
                name.key =
                    decoded(&name.key).ok_or_else(|| format!("the key {:?} is encoded wrongly", name.key))?;
            }
            Ok(name)
        };
        let objects: Result<Vec<_>, String> = told.map(name).collect();
        // Consoles make empty objects to show folders.
        Ok(Self {
            objects: objects?.into_iter().filter(|name| !name.key.ends_with('/')).collect(),
            direct: false,
        })
    }
}

/// `a+b%2Bc` as `a b+c`.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn object(bucket: &str, key: &str, version: Option<&str>) -> ObjectName {
        let (bucket, key, version) = (bucket.to_owned(), key.to_owned(), version.map(str::to_owned));
        ObjectName { bucket, key, version, begin: None }
    }

    #[test]
    fn a_notification_names_created_objects_by_encoded_keys() {
        let body = br#"{"Records":[
            {"eventVersion":"2.1","eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"trips"},
             "object":{"key":"a+b/%C3%A9%2B1.json","size":7,"eTag":"0123","versionId":"v1","sequencer":"00"}}},
            {"eventSource":"aws:s3","eventName":"ObjectRemoved:Delete","s3":{"bucket":{"name":"trips"},"object":{"key":"x"}}},
            {"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"trips"},"object":{"key":"folder/"}}}
        ]}"#;
        let request = Request::parse(body).unwrap().unwrap();
        assert_eq!(
            request,
            Request { objects: vec![object("trips", "a b/é+1.json", Some("v1"))], direct: false }
        );
    }

    #[test]
    fn event_bridge_names_an_object_by_its_key_as_it_is() {
        let body = br#"{"version":"0","source":"aws.s3","detail-type":"Object Created","detail":{"bucket":{"name":"trips"},
            "object":{"key":"a+b.json","size":7,"etag":"0123","version-id":"v1"},"reason":"PutObject"}}"#;
        let request = Request::parse(body).unwrap().unwrap();
        assert_eq!(
            request,
            Request { objects: vec![object("trips", "a+b.json", Some("v1"))], direct: false }
        );
    }

    #[test]
    fn a_direct_invocation_lists_urls_and_is_told_what_is_wrong_with_them() {
        let request =
            Request::parse(br#"{"backfill":{"objects":["s3://trips/a b.json"]}}"#).unwrap().unwrap();
        assert_eq!(request, Request { objects: vec![object("trips", "a b.json", None)], direct: true });
        for (body, told) in [
            (r#"{"backfill":{"objects":["s3://trips"]}}"#, "\"s3://trips\" names no object"),
            (r#"{"backfill":{"objects":["s3://trips/folder/"]}}"#, "names no object"),
            (r#"{"backfill":{"object":["s3://trips/a"]}}"#, "unknown field `object`"),
            (r#"{"backfill":{"objects":[1]}}"#, "an object is its URL"),
            (
                r#"{"backfill":{"objects":[{"object":"s3://trips/a","from":7}]}}"#,
                "has one of \"from\" and \"etag\"",
            ),
            (r#"{"backfill":1}"#, "expected {\"backfill\""),
        ] {
            let error = Request::parse(body.as_bytes()).unwrap().unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn what_an_answer_says_is_left_can_be_named_as_it_stands() {
        let rest = Rest { object: "s3://trips/a.json".to_owned(), from: Some(7), etag: Some("0".to_owned()) };
        let body = serde_json::json!({"backfill": {"objects": [rest]}}).to_string();
        let request = Request::parse(body.as_bytes()).unwrap().unwrap();
        let name = request.objects.first().unwrap();
        assert_eq!(name.rest(), rest);
        assert_eq!(name.begin, Some(Begin { row: 7, tag: "0".to_owned() }));
    }

    #[test]
    fn other_bodies_are_about_no_objects() {
        for body in ["{}", "[]", "1", "x", r#"{"Records":[]}"#, r#"{"Records":[{"eventSource":"aws:sqs"}]}"#]
        {
            assert_eq!(Request::parse(body.as_bytes()), None, "{body}");
        }
    }
}
