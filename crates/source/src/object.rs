//! What an object of a bucket is known by.

use std::fmt::Write as _;

use tripline_model::source::SourcePartition;

use crate::{SHARD, lane};

/// An object, as it is now: an object that is written anew with other bytes has another entity tag, and is another
/// source; the same bytes once more are the same one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectId {
    bucket: String,
    key: String,
    tag: String,
}

impl ObjectId {
    /// By the entity tag as the server has it, in quotes or not.
    #[must_use]
    pub fn new(bucket: &str, key: &str, tag: &str) -> Self {
        let tag = tag.trim_matches('"').to_owned();
        Self { bucket: bucket.to_owned(), key: key.to_owned(), tag }
    }

    /// The bucket's name.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The object's key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The entity tag, without quotes.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// `s3://bucket/key`, as people write it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    /// The object as a source partition: its URL, percent-encoded but for unreserved characters and slashes, and
    /// the entity tag as epoch.
    #[must_use]
    pub fn source_partition(&self) -> SourcePartition {
        let mut source = format!("s3://{}/", self.bucket);
        push_encoded(&mut source, self.key.as_bytes());
        SourcePartition { source, epoch: self.tag.clone(), partition: SHARD.to_owned() }
    }

    /// What the journal knows its records by, in deployments of this source epoch: the same wherever it is read.
    #[must_use]
    pub fn lane(&self, source_epoch: &str) -> SourcePartition {
        lane(&self.source_partition(), source_epoch)
    }
}

/// Adds a path, percent-encoded but for unreserved characters and slashes (RFC 3986).
pub(crate) fn push_encoded(url: &mut String, path: &[u8]) {
    for byte in path {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                url.push(char::from(*byte));
            }
            _ => {
                // A String takes all.
                let _ = write!(url, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_known_by_its_encoded_url_and_its_tag_without_quotes() {
        let partition = ObjectId::new("trips", "a b/é#1.json", "\"0123\"").source_partition();
        assert_eq!(partition.source, "s3://trips/a%20b/%C3%A9%231.json");
        assert_eq!(partition.epoch, "0123");
    }
}
