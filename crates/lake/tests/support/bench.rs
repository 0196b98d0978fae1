//! A lake in memory, what is done to it, and a process's own view of its store.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tripline_lake::journal::{Appended, Journal, JournalError};
use tripline_lake::publish::{PublishOptions, PublishReport};
use tripline_lake::store::{
    Completed, Condition, ErrorKind, MemoryStore, Object, ObjectMeta, ObjectStore, Operation, Put, StoreError,
};
use tripline_lake::{FailPoint, Lake, Lane, Role};

use super::*;

pub const DAY_MS: i64 = 24 * HOUR_MS;

pub type Before = Arc<dyn Fn(Operation, &str) -> Option<BoxFuture<'static, ()>> + Send + Sync>;
pub type Bend<T> = Arc<dyn Fn(&str, T) -> T + Send + Sync>;

/// A process's own view of a shared store: something else may happen before any of its calls, and
/// some answers may be bent.
#[derive(Clone)]
pub struct View {
    pub inner: MemoryStore,
    pub before: Before,
    pub put: Option<Bend<Put>>,
    pub list: Option<Bend<Vec<ObjectMeta>>>,
    pub head: Option<Bend<Option<ObjectMeta>>>,
    /// Key that this process may not read.
    pub denied: Option<String>,
}

impl View {
    pub fn of(inner: &MemoryStore) -> Self {
        let before: Before = Arc::new(|_, _| None);
        Self { inner: inner.clone(), before, put: None, list: None, head: None, denied: None }
    }

    pub fn before(
        self,
        hook: impl Fn(Operation, &str) -> Option<BoxFuture<'static, ()>> + Send + Sync + 'static,
    ) -> Self {
        Self { before: Arc::new(hook), ..self }
    }

    /// Lets a publisher run from start to end before the first call for which `when` holds.
    pub fn with_rival(
        self,
        rival: Lake,
        when: impl Fn(Operation, &str) -> bool + Send + Sync + 'static,
    ) -> Self {
        let ran = AtomicBool::new(false);
        self.before(move |operation, key| {
            if !when(operation, key) || ran.swap(true, Ordering::SeqCst) {
                return None;
            }
            let rival = rival.clone();
            Some(Box::pin(async move {
                publish(&rival).await;
            }))
        })
    }

    async fn call(&self, operation: Operation, key: &str) {
        // A moment at which time-outs and other tasks have their turn, as with any real store.
        tokio::task::yield_now().await;
        if let Some(other) = (self.before)(operation, key) {
            other.await;
        }
    }
}

impl fmt::Debug for View {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("View")
    }
}

#[async_trait::async_trait]
impl ObjectStore for View {
    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        self.call(Operation::Get, key).await;
        if self.denied.as_deref() == Some(key) {
            return Err(StoreError::new(ErrorKind::Denied, "read", key, "it is archived", "restore it"));
        }
        self.inner.get(key).await
    }
    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        self.call(Operation::Head, key).await;
        let found = self.inner.head(key).await?;
        Ok(self.head.as_ref().map_or(found.clone(), |bend| bend(key, found)))
    }
    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, StoreError> {
        self.call(Operation::Put, key).await;
        let answer = self.inner.put(key, body, condition).await?;
        Ok(self.put.as_ref().map_or(answer.clone(), |bend| bend(key, answer)))
    }
    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.call(Operation::Delete, key).await;
        self.inner.delete(key).await
    }
    async fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        self.call(Operation::List, prefix).await;
        let found = self.inner.list(prefix, start_after, limit).await?;
        Ok(self.list.as_ref().map_or(found.clone(), |bend| bend(prefix, found)))
    }
    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.call(Operation::ListFolders, prefix).await;
        self.inner.list_folders(prefix).await
    }
    async fn start_upload(&self, key: &str) -> Result<String, StoreError> {
        self.call(Operation::StartUpload, key).await;
        self.inner.start_upload(key).await
    }
    async fn upload_part(
        &self,
        key: &str,
        upload: &str,
        number: u16,
        body: Bytes,
    ) -> Result<String, StoreError> {
        self.call(Operation::UploadPart, key).await;
        self.inner.upload_part(key, upload, number, body).await
    }
    async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
    ) -> Result<Completed, StoreError> {
        self.call(Operation::CompleteUpload, key).await;
        self.inner.complete_upload(key, upload, parts).await
    }
    fn location(&self) -> String {
        self.inner.location()
    }
}

pub async fn open(store: impl ObjectStore, world: &World) -> Lake {
    Lake::open(Arc::new(store), world.environment.clone(), &pipeline()).await.unwrap()
}

pub async fn bench() -> (World, MemoryStore, Lake) {
    let world = world(None);
    let store = MemoryStore::new(world.clock.clone());
    let lake = open(store.clone(), &world).await;
    (world, store, lake)
}

pub async fn append_to(
    journal: &Journal,
    name: &str,
    numbers: RangeInclusive<u64>,
) -> Result<Appended, JournalError> {
    let records = Records::range(numbers);
    journal.append(&pipeline(), &shard(name), &records.borrow(), FAR).await
}

pub async fn append(lake: &Lake, numbers: RangeInclusive<u64>) -> Appended {
    append_to(&lake.journal(Role::Lake), "shard-0", numbers).await.unwrap()
}

pub async fn publish(lake: &Lake) -> PublishReport {
    lake.publisher(PublishOptions::default()).run(FAR).await.unwrap()
}

/// A world in which a process dies at a point.
pub fn dying(world: &World, point: FailPoint) -> World {
    let mut environment = world.environment.clone();
    environment.mishaps = Arc::new(DieAt { at: Some((point, 1)), ..DieAt::default() });
    World { environment, ..world.clone() }
}

pub async fn die_at(point: FailPoint, store: &MemoryStore, world: &World) {
    let lake = open(store.clone(), &dying(world, point)).await;
    lake.publisher(PublishOptions::default()).run(FAR).await.unwrap_err();
}

pub fn expire_uploads(store: &MemoryStore) {
    for (_, upload) in store.uploads() {
        store.expire_upload(&upload);
    }
}

pub fn folder(name: &str) -> String {
    Lane::new("rides", Role::Lake, &shard(name)).folder()
}

pub async fn bodies(store: &MemoryStore, prefix: &str) -> BTreeMap<String, Bytes> {
    let mut found = BTreeMap::new();
    for object in store.list(prefix, None, 1000).await.unwrap() {
        found.insert(object.key.clone(), store.get(&object.key).await.unwrap().unwrap().body);
    }
    found
}
