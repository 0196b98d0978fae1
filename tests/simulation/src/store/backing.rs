//! What is at the other end of all lines: a sound store, or one with a fault that no schedule may miss.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tripline_lake::layout::{CHECKPOINT, JOURNAL};
use tripline_lake::store::{
    Completed, Condition, MemoryStore, Object, ObjectMeta, ObjectStore, Put, StoreError,
};

use crate::mutant::Mutant;

/// The store of a schedule. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Backing {
    /// The objects themselves.
    pub(crate) memory: MemoryStore,
    mutant: Mutant,
    /// The checkpoint before the present one, and reads so far.
    old: Arc<Mutex<(Option<Object>, u64)>>,
}

impl Backing {
    /// A store that is sound but for `mutant`.
    #[must_use]
    pub(crate) fn new(memory: MemoryStore, mutant: Mutant) -> Self {
        Self { memory, mutant, old: Arc::default() }
    }

    /// Every object's key with its tag.
    ///
    /// # Errors
    /// None, with the store in memory.
    pub(crate) async fn contents(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let all = self.memory.list("", None, usize::MAX).await?;
        Ok(all.into_iter().map(|object| (object.key, object.tag.as_str().to_owned())).collect())
    }

    fn ignores(&self, key: &str, condition: &Condition) -> bool {
        match self.mutant {
            Mutant::IgnoresIfNoneMatch => *condition == Condition::Absent && key.starts_with(JOURNAL),
            Mutant::IgnoresIfMatch => key == CHECKPOINT,
            _ => false,
        }
    }
}

#[async_trait]
impl ObjectStore for Backing {
    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        if self.mutant == Mutant::ReadsOldCheckpoint && key == CHECKPOINT {
            let mut old = self.old.lock().unwrap_or_else(PoisonError::into_inner);
            old.1 += 1;
            if old.1.is_multiple_of(2) && old.0.is_some() {
                return Ok(old.0.clone());
            }
        }
        self.memory.get(key).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        self.memory.head(key).await
    }

    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, StoreError> {
        if self.mutant == Mutant::ReadsOldCheckpoint && key == CHECKPOINT {
            let present = self.memory.get(key).await?;
            self.old.lock().unwrap_or_else(PoisonError::into_inner).0 = present;
        }
        if self.ignores(key, &condition) {
            self.memory.delete(key).await?;
            return self.memory.put(key, body, Condition::Absent).await;
        }
        self.memory.put(key, body, condition).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.memory.delete(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        self.memory.list(prefix, after, limit).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.memory.list_folders(prefix).await
    }

    async fn start_upload(&self, key: &str) -> Result<String, StoreError> {
        self.memory.start_upload(key).await
    }

    async fn upload_part(
        &self,
        key: &str,
        upload: &str,
        number: u16,
        body: Bytes,
    ) -> Result<String, StoreError> {
        self.memory.upload_part(key, upload, number, body).await
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
    ) -> Result<Completed, StoreError> {
        self.memory.complete_upload(key, upload, parts).await
    }

    fn location(&self) -> String {
        self.memory.location()
    }
}
