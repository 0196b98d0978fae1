//! A store whose calls fail as planned: before they are done, after (the reply is lost), or with the
//! death of the process.
//!
//! A walk over every failure: run the scenario once with [`Plan`] "never", read
//! [`FaultStore::calls`], and run it again for each call and each [`Fault`].

use std::fmt;
use std::future::{Future, pending};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use super::error::{ErrorKind, StoreError, place};
use super::{Completed, Condition, Object, ObjectMeta, ObjectStore, Put};

/// The calls of an [`ObjectStore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// [`ObjectStore::get`]
    Get,
    /// [`ObjectStore::head`]
    Head,
    /// [`ObjectStore::put`]
    Put,
    /// [`ObjectStore::delete`]
    Delete,
    /// [`ObjectStore::list`]
    List,
    /// [`ObjectStore::list_folders`]
    ListFolders,
    /// [`ObjectStore::start_upload`]
    StartUpload,
    /// [`ObjectStore::upload_part`]
    UploadPart,
    /// [`ObjectStore::complete_upload`]
    CompleteUpload,
}

/// One call, as a [`Plan`] sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Counts the calls of this [`FaultStore`] from 0.
    pub index: u64,
    /// Which call.
    pub operation: Operation,
    /// Its key or prefix.
    pub key: String,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nothing is done; the caller gets [`ErrorKind::Unknown`].
    FailBefore,
    /// It is done; the caller gets [`ErrorKind::Unknown`].
    LoseReply,
    /// The process dies before it is done: this and every later call of the store never returns.
    CrashBefore,
    /// The process dies after it is done, without an answer.
    CrashAfter,
}

impl Fault {
    /// Every fault, for walks.
    pub const ALL: [Self; 4] = [Self::FailBefore, Self::LoseReply, Self::CrashBefore, Self::CrashAfter];

    /// Whether the process dies of it.
    pub fn is_crash(self) -> bool {
        matches!(self, Self::CrashBefore | Self::CrashAfter)
    }
}

/// Decides what becomes of each call. A closure `Fn(&Call) -> Option<Fault>` is one.
pub trait Plan: Send + Sync + 'static {
    /// `None`: the call goes through.
    fn fault(&self, call: &Call) -> Option<Fault>;
}

impl<F: Fn(&Call) -> Option<Fault> + Send + Sync + 'static> Plan for F {
    fn fault(&self, call: &Call) -> Option<Fault> {
        self(call)
    }
}

/// A store in front of `S` that follows a [`Plan`]; it stands for one process's connection, so a
/// test gives each simulated process its own over a shared store. Clones are the same process.
#[derive(Clone)]
pub struct FaultStore<S> {
    inner: S,
    plan: Arc<dyn Plan>,
    calls: Arc<Mutex<Vec<Call>>>,
    crashed: Arc<watch::Sender<bool>>,
}

impl<S: ObjectStore> FaultStore<S> {
    /// `inner` behind `plan`.
    pub fn new(inner: S, plan: impl Plan) -> Self {
        let crashed = Arc::new(watch::Sender::new(false));
        Self { inner, plan: Arc::new(plan), calls: Arc::default(), crashed }
    }

    /// Only counts the calls.
    pub fn counting(inner: S) -> Self {
        Self::new(inner, |_: &Call| None)
    }

    /// Breaks call number `index` (from 0) with `fault`, and no other.
    pub fn breaking(inner: S, index: u64, fault: Fault) -> Self {
        Self::new(inner, move |call: &Call| (call.index == index).then_some(fault))
    }

    /// The calls so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.log().clone()
    }

    /// Whether the process has died.
    pub fn has_crashed(&self) -> bool {
        *self.crashed.borrow()
    }

    /// Runs the process: `None` when it died on the way. The process is then dropped, which is
    /// what a kill does to it.
    pub async fn run<F: Future>(&self, process: F) -> Option<F::Output> {
        let mut crashed = self.crashed.subscribe();
        tokio::select! {
            biased;
            _ = crashed.wait_for(|crashed| *crashed) => None,
            output = process => Some(output),
        }
    }

    fn log(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call<T>(
        &self,
        operation: Operation,
        key: &str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        // Each call is a moment at which other tasks may run, before and after it takes effect:
        // the stores for tests answer at once, and nothing would ever interleave.
        tokio::task::yield_now().await;
        if self.has_crashed() {
            return pending().await;
        }
        let call = {
            let mut log = self.log();
            let call = Call { index: log.len() as u64, operation, key: key.to_owned() };
            log.push(call.clone());
            call
        };
        let fault = self.plan.fault(&call);
        match fault {
            Some(Fault::FailBefore) => return Err(self.unknown(&call)),
            Some(Fault::CrashBefore) => return self.crash().await,
            Some(Fault::LoseReply | Fault::CrashAfter) | None => {}
        }
        let answer = work.await;
        tokio::task::yield_now().await;
        match fault {
            Some(Fault::LoseReply) => Err(self.unknown(&call)),
            Some(Fault::CrashAfter) => self.crash().await,
            _ => answer,
        }
    }

    async fn crash<T>(&self) -> T {
        self.crashed.send_replace(true);
        pending().await
    }

    fn unknown(&self, call: &Call) -> StoreError {
        StoreError::new(
            ErrorKind::Unknown,
            "get an answer about",
            place(&self.inner.location(), &call.key),
            format!("call {} ({:?}) failed as planned", call.index, call.operation),
            "try again",
        )
    }
}

impl<S: fmt::Debug> fmt::Debug for FaultStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultStore").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[async_trait]
impl<S: ObjectStore> ObjectStore for FaultStore<S> {
    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        self.call(Operation::Get, key, self.inner.get(key)).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        self.call(Operation::Head, key, self.inner.head(key)).await
    }

    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, StoreError> {
        self.call(Operation::Put, key, self.inner.put(key, body, condition)).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.call(Operation::Delete, key, self.inner.delete(key)).await
    }

    async fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        self.call(Operation::List, prefix, self.inner.list(prefix, start_after, limit)).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.call(Operation::ListFolders, prefix, self.inner.list_folders(prefix)).await
    }

    async fn start_upload(&self, key: &str) -> Result<String, StoreError> {
        self.call(Operation::StartUpload, key, self.inner.start_upload(key)).await
    }

    async fn upload_part(
        &self,
        key: &str,
        upload: &str,
        number: u16,
        body: Bytes,
    ) -> Result<String, StoreError> {
        let work = self.inner.upload_part(key, upload, number, body);
        self.call(Operation::UploadPart, key, work).await
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
    ) -> Result<Completed, StoreError> {
        let work = self.inner.complete_upload(key, upload, parts);
        self.call(Operation::CompleteUpload, key, work).await
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}
