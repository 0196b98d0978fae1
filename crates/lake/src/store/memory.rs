//! The store in memory, for tests and simulations.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use xxhash_rust::xxh3::xxh3_128;

use super::error::{ErrorKind, StoreError, place};
use super::key::{check_folder, check_key, check_prefix};
use super::{Completed, Condition, ETag, MAX_PARTS, MIN_PART_BYTES, Object, ObjectMeta, ObjectStore, Put};
use crate::clock::{Clock, SystemClock};

/// Objects in memory. Every call takes effect at one moment. Times come from the given clock.
///
/// Clones share the objects.
#[derive(Clone)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    min_part_bytes: usize,
    repeats_are_done: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, (Bytes, ObjectMeta)>,
    uploads: HashMap<String, Upload>,
    /// Numbers the uploads, so that a simulation with a seed repeats itself exactly.
    started: u64,
}

struct Upload {
    key: String,
    parts: BTreeMap<u16, Bytes>,
}

impl MemoryStore {
    /// An empty store whose objects get their times from `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, min_part_bytes: MIN_PART_BYTES, repeats_are_done: false, state: Arc::default() }
    }

    /// Allows parts smaller than S3 does, so that a simulation has uploads of several parts.
    #[must_use]
    pub fn with_min_part_bytes(mut self, bytes: usize) -> Self {
        self.min_part_bytes = bytes;
        self
    }

    /// Answers a completion of no known upload with [`Completed::Done`] when there is an object at the
    /// key, as some servers do, and not with [`Completed::Gone`].
    #[must_use]
    pub fn with_repeats_done(mut self) -> Self {
        self.repeats_are_done = true;
        self
    }

    /// The ids and keys of uploads that are neither completed nor expired, ascending by key and id.
    pub fn uploads(&self) -> Vec<(String, String)> {
        let state = self.state();
        let mut all: Vec<_> =
            state.uploads.iter().map(|(id, upload)| (upload.key.clone(), id.clone())).collect();
        all.sort();
        all
    }

    /// Drops an upload as the bucket's lifecycle rule does.
    pub fn expire_upload(&self, upload: &str) {
        self.state().uploads.remove(upload);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self, state: &mut State, key: &str, body: Bytes) -> ETag {
        let tag = content_tag(&body);
        let meta = ObjectMeta {
            key: key.to_owned(),
            size: body.len() as u64,
            tag: tag.clone(),
            modified_ms: self.clock.now_ms(),
        };
        state.objects.insert(key.to_owned(), (body, meta));
        tag
    }

    fn invalid(&self, action: &'static str, key: &str, reason: String, advice: &str) -> StoreError {
        StoreError::new(ErrorKind::Invalid, action, place(&self.location(), key), reason, advice)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("MemoryStore")
            .field("objects", &state.objects.len())
            .field("uploads", &state.uploads.len())
            .finish()
    }
}

/// The tag of a content: as with S3's own, the same bytes have the same tag.
pub(super) fn content_tag(body: &[u8]) -> ETag {
    ETag::new(format!("{:032x}", xxh3_128(body)))
}

#[async_trait]
impl ObjectStore for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        check_key("read", &self.location(), key)?;
        let found = self.state().objects.get(key).cloned();
        Ok(found.map(|(body, meta)| Object { body, meta }))
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        check_key("look at", &self.location(), key)?;
        Ok(self.state().objects.get(key).map(|(_, meta)| meta.clone()))
    }

    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, StoreError> {
        check_key("write", &self.location(), key)?;
        let mut state = self.state();
        let current = state.objects.get(key).map(|(_, meta)| &meta.tag);
        let holds = match (&condition, current) {
            (Condition::Absent, None) => true,
            (Condition::Matches(tag), Some(current)) => tag == current,
            (Condition::Absent, Some(_)) | (Condition::Matches(_), None) => false,
        };
        if !holds {
            return Ok(Put::Refused);
        }
        let tag = self.store(&mut state, key, body);
        Ok(Put::Stored { tag })
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        check_key("delete", &self.location(), key)?;
        self.state().objects.remove(key);
        Ok(())
    }

    async fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        check_prefix("list", &self.location(), prefix)?;
        let from = match start_after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let state = self.state();
        Ok(state
            .objects
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(_, (_, meta))| meta.clone())
            .collect())
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        check_folder("list", &self.location(), prefix)?;
        let state = self.state();
        let names: BTreeSet<String> = state
            .objects
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .map_while(|(key, _)| key.strip_prefix(prefix))
            .filter_map(|rest| rest.split_once('/').map(|(name, _)| name.to_owned()))
            .collect();
        Ok(names.into_iter().collect())
    }

    async fn start_upload(&self, key: &str) -> Result<String, StoreError> {
        check_key("start an upload of", &self.location(), key)?;
        let mut state = self.state();
        state.started = state.started.saturating_add(1);
        let id = format!("upload-{:08}", state.started);
        state.uploads.insert(id.clone(), Upload { key: key.to_owned(), parts: BTreeMap::new() });
        Ok(id)
    }

    async fn upload_part(
        &self,
        key: &str,
        upload: &str,
        number: u16,
        body: Bytes,
    ) -> Result<String, StoreError> {
        const ACTION: &str = "upload a part of";
        check_key(ACTION, &self.location(), key)?;
        if !(1..=MAX_PARTS).contains(&number) {
            let reason = format!("there is no part {number}");
            return Err(self.invalid(ACTION, key, reason, "number parts from 1 to 10000"));
        }
        let tag = content_tag(&body);
        let mut state = self.state();
        match state.uploads.get_mut(upload).filter(|upload| upload.key == key) {
            Some(upload) => {
                upload.parts.insert(number, body);
                Ok(tag.as_str().to_owned())
            }
            None => {
                let reason = "the upload is gone".to_owned();
                Err(self.invalid(ACTION, key, reason, "start another"))
            }
        }
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
    ) -> Result<Completed, StoreError> {
        const ACTION: &str = "complete the upload of";
        check_key(ACTION, &self.location(), key)?;
        let mut state = self.state();
        let Some(found) = state.uploads.get(upload).filter(|upload| upload.key == key) else {
            let done = self.repeats_are_done && state.objects.contains_key(key);
            return Ok(if done { Completed::Done } else { Completed::Gone });
        };
        let advice = "upload the file again";
        if parts.is_empty() {
            return Err(self.invalid(ACTION, key, "it has no parts".to_owned(), advice));
        }
        let mut body = BytesMut::new();
        for (number, tag) in (1_u16..).zip(parts) {
            let part = found.parts.get(&number).filter(|part| content_tag(part).as_str() == tag);
            let Some(part) = part else {
                let reason = format!("part {number} is not there or has another tag");
                return Err(self.invalid(ACTION, key, reason, advice));
            };
            if usize::from(number) < parts.len() && part.len() < self.min_part_bytes {
                let reason = format!("part {number} is smaller than {} bytes", self.min_part_bytes);
                return Err(self.invalid(ACTION, key, reason, advice));
            }
            body.extend_from_slice(part);
        }
        self.store(&mut state, key, body.freeze());
        state.uploads.remove(upload);
        Ok(Completed::Done)
    }

    fn location(&self) -> String {
        "memory:".to_owned()
    }
}
