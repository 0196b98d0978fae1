//! A store that tries again where the outcome of a call is unknown.

use std::future::Future;

use async_trait::async_trait;
use bytes::Bytes;

use crate::environment::Environment;
use crate::store::{Completed, Condition, ErrorKind, Object, ObjectMeta, ObjectStore, Put, StoreError};

/// Tries of one call. With waits of up to two seconds this bridges some seconds of throttling;
/// longer outages are the caller's: the batch is delivered again, the publish run is repeated.
const TRIES: u32 = 8;

/// Repeats calls whose outcome is [`ErrorKind::Unknown`], with full jitter.
///
/// A repeated conditional write may be refused because its first try took effect. Every caller
/// settles a refusal by reading what is there, so that needs no care here.
#[derive(Debug)]
pub(crate) struct Patience<S> {
    store: S,
    environment: Environment,
}

impl<S: ObjectStore> Patience<S> {
    pub(crate) fn new(store: S, environment: Environment) -> Self {
        Self { store, environment }
    }

    async fn repeat<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut tries = 0;
        loop {
            match call().await {
                Err(error) if error.kind() == ErrorKind::Unknown && tries + 1 < TRIES => {
                    tracing::debug!(%error, tries, "trying again");
                    tokio::time::sleep(self.environment.backoff(tries)).await;
                    tries += 1;
                }
                result => return result,
            }
        }
    }
}

#[async_trait]
impl<S: ObjectStore> ObjectStore for Patience<S> {
    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        self.repeat(|| self.store.get(key)).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        self.repeat(|| self.store.head(key)).await
    }

    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, StoreError> {
        self.repeat(|| self.store.put(key, body.clone(), condition.clone())).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.repeat(|| self.store.delete(key)).await
    }

    async fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        self.repeat(|| self.store.list(prefix, start_after, limit)).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.repeat(|| self.store.list_folders(prefix)).await
    }

    async fn start_upload(&self, key: &str) -> Result<String, StoreError> {
        self.repeat(|| self.store.start_upload(key)).await
    }

    async fn upload_part(
        &self,
        key: &str,
        upload: &str,
        number: u16,
        body: Bytes,
    ) -> Result<String, StoreError> {
        self.repeat(|| self.store.upload_part(key, upload, number, body.clone())).await
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
    ) -> Result<Completed, StoreError> {
        self.repeat(|| self.store.complete_upload(key, upload, parts)).await
    }

    fn location(&self) -> String {
        self.store.location()
    }
}
