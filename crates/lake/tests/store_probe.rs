//! The probe refuses a store that does not do what the protocol rests on, and says what it did.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use async_trait::async_trait;
use bytes::Bytes;
use tripline_lake::environment::SystemEntropy;
use tripline_lake::store::{
    Call, Completed, Condition, Fault, FaultStore, MemoryStore, Object, ObjectMeta, ObjectStore, Operation,
    ProbeError, Put, StoreError, probe,
};

/// What a [`BrokenStore`] does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    CreatesOverAnObject,
    ReplacesWhateverTheTag,
    ReplacesWhatIsMissing,
    LetsRacersWin,
    RefusesTheRightTag,
    ReadsLate,
    ListsAsWritten,
    ListsFolderByFolder,
    ListsFromTheStart,
    ListsLate,
    FoldsCase,
}

#[derive(Debug)]
struct BrokenStore {
    inner: MemoryStore,
    wrong: Wrong,
}

impl BrokenStore {
    async fn overwrite(&self, key: &str, body: Bytes) -> Result<Put, StoreError> {
        self.inner.delete(key).await?;
        self.inner.put(key, body, Condition::Absent).await
    }

    fn key(&self, key: &str) -> String {
        if self.wrong == Wrong::FoldsCase { key.to_lowercase() } else { key.to_owned() }
    }
}

#[async_trait]
impl ObjectStore for BrokenStore {
    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        if self.wrong == Wrong::ReadsLate {
            return Ok(None);
        }
        let found = self.inner.get(&self.key(key)).await?;
        Ok(found)
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        self.inner.head(&self.key(key)).await
    }

    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, StoreError> {
        let key = &self.key(key);
        let there = self.inner.head(key).await?;
        match (self.wrong, &condition) {
            (Wrong::CreatesOverAnObject, Condition::Absent) => self.overwrite(key, body).await,
            (Wrong::LetsRacersWin, Condition::Absent) => {
                // Looks first and writes later, as a server without a lock does.
                tokio::task::yield_now().await;
                if there.is_some() { Ok(Put::Refused) } else { self.overwrite(key, body).await }
            }
            (Wrong::ReplacesWhateverTheTag, Condition::Matches(_)) if there.is_some() => {
                self.overwrite(key, body).await
            }
            (Wrong::ReplacesWhatIsMissing, Condition::Matches(_)) if there.is_none() => {
                self.overwrite(key, body).await
            }
            (Wrong::RefusesTheRightTag, Condition::Matches(_)) => Ok(Put::Refused),
            _ => self.inner.put(key, body, condition).await,
        }
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.inner.delete(&self.key(key)).await
    }

    async fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        let start_after = start_after.filter(|_| self.wrong != Wrong::ListsFromTheStart);
        let mut found = self.inner.list(prefix, start_after, 1000).await?;
        match self.wrong {
            Wrong::ListsAsWritten => found.reverse(),
            Wrong::ListsFolderByFolder => found.sort_by_key(|meta| meta.key.replace('/', "\0")),
            Wrong::ListsLate => found.clear(),
            _ => {}
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.inner.list_folders(prefix).await
    }

    async fn start_upload(&self, key: &str) -> Result<String, StoreError> {
        self.inner.start_upload(key).await
    }

    async fn upload_part(
        &self,
        key: &str,
        upload: &str,
        part: u16,
        body: Bytes,
    ) -> Result<String, StoreError> {
        self.inner.upload_part(key, upload, part, body).await
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
    ) -> Result<Completed, StoreError> {
        self.inner.complete_upload(key, upload, parts).await
    }

    fn location(&self) -> String {
        "s3://broken".to_owned()
    }
}

async fn refusal(wrong: Wrong) -> String {
    let store = BrokenStore { inner: MemoryStore::default(), wrong };
    let error = probe(&store, &SystemEntropy).await.expect_err("the probe accepted it");
    assert!(matches!(error, ProbeError::Unsuitable { .. }), "{error}");
    assert!(store.inner.list("", None, 10).await.unwrap().is_empty(), "{wrong:?} left something");
    error.to_string()
}

#[tokio::test]
async fn a_store_that_breaks_a_rule_is_refused_by_the_name_of_the_rule() {
    let expected = [
        (Wrong::CreatesOverAnObject, "ignores If-None-Match: it created an object that was there"),
        (Wrong::ReplacesWhateverTheTag, "ignores If-Match: it replaced an object whose tag was another"),
        (Wrong::ReplacesWhatIsMissing, "ignores If-Match: it replaced an object that is not there"),
        (Wrong::LetsRacersWin, "ignores If-None-Match in a race"),
        (Wrong::RefusesTheRightTag, "refuses to replace an object by its right tag"),
        (Wrong::ReadsLate, "does not read back"),
        (Wrong::ListsAsWritten, "ascending order"),
        (Wrong::ListsFolderByFolder, "ascending order"),
        (Wrong::ListsFromTheStart, "begin a listing after the key"),
        (Wrong::ListsLate, "does not list what was just written"),
        (Wrong::FoldsCase, "differ in case"),
    ];
    for (wrong, fault) in expected {
        let refusal = refusal(wrong).await;
        assert!(refusal.contains(fault), "{wrong:?}: {refusal}");
        assert!(refusal.contains("s3://broken cannot be used"), "{refusal}");
    }
}

#[tokio::test]
async fn the_probe_outlives_lost_answers() {
    let dry = FaultStore::counting(MemoryStore::default());
    probe(&dry, &SystemEntropy).await.unwrap();
    let memory = MemoryStore::default();
    for index in 0..dry.calls().len() as u64 {
        for fault in [Fault::FailBefore, Fault::LoseReply] {
            let store = FaultStore::breaking(memory.clone(), index, fault);
            probe(&store, &SystemEntropy)
                .await
                .unwrap_or_else(|error| panic!("{fault:?} of call {index}: {error}"));
        }
    }
}

#[tokio::test]
async fn a_store_that_never_answers_is_no_verdict() {
    let silent = |call: &Call| (call.operation == Operation::List).then_some(Fault::FailBefore);
    let error = probe(&FaultStore::new(MemoryStore::default(), silent), &SystemEntropy).await.unwrap_err();
    assert!(matches!(error, ProbeError::Store(_)), "{error}");
}
