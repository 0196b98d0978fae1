//! The object store that a pipeline's journal, checkpoint and lake live in, and its only coordinator.
//!
//! [`ObjectStore`] is the part of S3 that the protocol needs and nothing more. What is missing is
//! missing on purpose:
//! - no unconditional write: a write either creates a key or replaces the version it was told of, so
//!   that a late writer never wins silently;
//! - no abort of an upload: a checkpoint that this process has not seen yet may list it. Strays are
//!   left to the bucket's lifecycle rule (`AbortIncompleteMultipartUpload`).
//!
//! Three stores behave alike, shown by one conformance suite: [`S3Store`], [`FolderStore`] (a local
//! folder, crash-safe) and [`MemoryStore`] (tests and simulations). [`probe()`] refuses a server that
//! ignores conditions or lists out of order. [`FaultStore`] breaks calls on purpose.

mod error;
mod fault;
mod folder;
mod key;
mod memory;
mod options;
mod pages;
mod probe;
#[cfg(feature = "s3")]
mod s3;
mod unique;

use std::fmt::{self, Debug, Display};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use error::{ErrorKind, StoreError};
pub use fault::{Call, Fault, FaultStore, Operation, Plan};
pub use folder::FolderStore;
pub use memory::MemoryStore;
pub use options::{Credentials, StoreOptions, open};
pub use pages::objects;
pub use probe::{ProbeError, probe};
#[cfg(feature = "s3")]
pub use s3::{S3Store, s3_client};

/// The smallest part of a multipart upload in bytes, except for the last part, which may have any
/// size (Amazon S3 multipart upload limits). Every store here holds to it.
pub const MIN_PART_BYTES: usize = 5 * 1024 * 1024;

/// The largest part number (Amazon S3 multipart upload limits).
pub const MAX_PARTS: u16 = 10_000;

/// Objects under one root, named by keys relative to it.
///
/// A key is `component/component/…` in UTF-8: no empty, `.` or `..` component, no control character,
/// at most 255 bytes per component and 900 in all, and none of `_tripline/tmp`, `_tripline/uploads`
/// and `_tripline/lock`, which are [`FolderStore`]'s own. Any other key is an [`ErrorKind::Invalid`]
/// error before anything is asked of the store.
///
/// Reads and listings see every write that was answered before they began, as S3's have since
/// December 2020.
///
/// Any call may be dropped at any time. Nothing of it runs on afterwards in this process, but a
/// request that was already sent may still take effect: read [`ErrorKind::Unknown`].
#[async_trait]
pub trait ObjectStore: Debug + Send + Sync + 'static {
    /// The whole object; `None` when there is none.
    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError>;

    /// What [`get`](Self::get) would say of the object, without its body.
    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError>;

    /// Writes the whole object, if `condition` holds at that moment; atomically, durably.
    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, StoreError>;

    /// Deletes the object; it is fine when there is none.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;

    /// The objects whose keys begin with `prefix` (any text; it need not end at a `/`) and are
    /// greater than `start_after` (which need not exist), in ascending byte order of their keys, at
    /// most `limit`. Fewer than `limit` means that was all.
    async fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError>;

    /// The distinct next path components below `prefix` (empty, or ending in `/`) that have objects
    /// below them: names without `/`, all of them, ascending. Objects directly at `prefix` are not
    /// among them.
    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError>;

    /// Starts a multipart upload of `key` and returns its id. Nothing is visible at `key` until
    /// [`complete_upload`](Self::complete_upload).
    async fn start_upload(&self, key: &str) -> Result<String, StoreError>;

    /// Stores part `number` (1 to [`MAX_PARTS`]) and returns its tag. The same number again replaces
    /// the part. An upload that is gone is [`ErrorKind::Invalid`]: start another.
    async fn upload_part(
        &self,
        key: &str,
        upload: &str,
        number: u16,
        body: Bytes,
    ) -> Result<String, StoreError>;

    /// Makes the parts 1, 2, 3…, given by their tags, the object at `key`, whatever is there.
    ///
    /// Unconditional, the one such write, and safe to be: the key belongs to one upload (its name is
    /// never used twice), and any number of processes may repeat the completion of the same parts.
    /// A repeat says [`Completed::Done`] or [`Completed::Gone`] as the server likes. Beside another
    /// completion that is still under way, some servers say `Done` before the object is visible: look
    /// at the key before anything that the object was made from is deleted.
    async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
    ) -> Result<Completed, StoreError>;

    /// The root, for messages: `s3://bucket/prefix`, or the folder. Never holds credentials.
    fn location(&self) -> String;
}

/// Whether `place`, `s3://bucket/key` or an absolute path, lies below the root that
/// [`ObjectStore::location`] names.
#[must_use]
pub fn lies_below(root: &str, place: &str) -> bool {
    place.strip_prefix(root.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'))
}

/// An object and what the store says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The whole content.
    pub body: Bytes,
    /// Key, size, tag and time, of exactly this content.
    pub meta: ObjectMeta,
}

/// What a store says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The key, relative to the store's root.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// The version's tag. From [`ObjectStore::list`] it may be [weak](ETag::is_weak).
    pub tag: ETag,
    /// When the version was written, in milliseconds since the epoch by the store's own clock. S3
    /// gives whole seconds, and for a multipart upload the time at which it was started or completed.
    pub modified_ms: i64,
}

/// A version's tag: equal tags of one key mean equal content. Without the quotes it has in HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ETag(String);

impl ETag {
    /// A tag from its text as a server sends it; quotes around it are taken off.
    pub fn new(text: impl Into<String>) -> Self {
        let text: String = text.into();
        let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match bare {
            Some(bare) => Self(bare.to_owned()),
            None => Self(text),
        }
    }

    /// The tag without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a weak validator (RFC 9110 section 8.8.1): one that tells a change of the
    /// object without having read it. [`FolderStore`] lists these, so as not to read every file. A
    /// weak tag equals no strong one, and is an error in [`Condition::Matches`].
    pub fn is_weak(&self) -> bool {
        self.0.starts_with("W/")
    }
}

impl Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What must be true of a key for a write to take place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// There is no object (`If-None-Match: *`).
    Absent,
    /// The object has this tag (`If-Match`).
    Matches(ETag),
}

/// The answer to a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a refused write did not take place"]
pub enum Put {
    /// It was written, and this is the new version's tag.
    Stored {
        /// Good for a following [`Condition::Matches`].
        tag: ETag,
    },
    /// The condition did not hold (412; for [`Condition::Matches`] also when there is no object).
    /// After an [`ErrorKind::Unknown`] try of the same write, it may have been that try that broke it.
    Refused,
}

/// The answer to the completion of a multipart upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an upload that is gone may have left no object"]
pub enum Completed {
    /// The object is there, or another completion that is under way will put it there.
    Done,
    /// There is no such upload: it was completed before, was aborted, expired, or never was. Look at
    /// the key to tell which.
    Gone,
}

#[async_trait]
impl<S: ObjectStore + ?Sized> ObjectStore for Arc<S> {
    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        (**self).get(key).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        (**self).head(key).await
    }

    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, StoreError> {
        (**self).put(key, body, condition).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        (**self).delete(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        (**self).list(prefix, start_after, limit).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        (**self).list_folders(prefix).await
    }

    async fn start_upload(&self, key: &str) -> Result<String, StoreError> {
        (**self).start_upload(key).await
    }

    async fn upload_part(
        &self,
        key: &str,
        upload: &str,
        number: u16,
        body: Bytes,
    ) -> Result<String, StoreError> {
        (**self).upload_part(key, upload, number, body).await
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
    ) -> Result<Completed, StoreError> {
        (**self).complete_upload(key, upload, parts).await
    }

    fn location(&self) -> String {
        (**self).location()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below_a_root_begins_with_whole_components_of_it() {
        for (root, place) in [
            ("s3://trips/lake", "s3://trips/lake/_journal/x/1"),
            ("s3://trips", "s3://trips/in.json"),
            ("/data/lake", "/data/lake/trip/1.parquet"),
            ("/", "/data"),
        ] {
            assert!(lies_below(root, place), "{root} {place}");
        }
        for (root, place) in [
            ("s3://trips/lake", "s3://trips/lake-input/1.json"),
            ("s3://trips/lake", "s3://trips/lake"),
            ("s3://trips", "s3://trips-2/in.json"),
            ("/data/lake", "s3://data/lake/1"),
            ("memory:", "s3://data/lake/1"),
        ] {
            assert!(!lies_below(root, place), "{root} {place}");
        }
    }
}
