//! A process's own line to the store: slow, lossy, sometimes dead.

use std::collections::BTreeSet;
use std::fmt;
use std::future::{Future, pending};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::sleep;
use tripline_lake::layout::{CHECKPOINT, JOURNAL};
use tripline_lake::store::{
    Completed, Condition, ErrorKind, Object, ObjectMeta, ObjectStore, Operation, Put, StoreError,
};

use super::Backing;
use crate::clock::{MINUTE, SECOND};
use crate::coverage::Feature;
use crate::dice::Dice;
use crate::scene::Scene;
use crate::schedule::Weather;

/// A request that was sent takes effect within this time or never. S3 closes connections long before;
/// the margin that the protocol keeps is 15 minutes.
const LATEST: u64 = 10 * MINUTE;
/// A client waits so long for an answer, at most.
const CLIENT_TIMEOUT: u64 = 30 * SECOND;

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Works,
    Fails,
    Conflicts,
    LosesReply,
    TakesEffectLate,
    Hangs,
}

/// One process's way to the store. Clones are the same process.
#[derive(Clone)]
pub(crate) struct Line {
    process: u64,
    scene: Scene,
    weather: Weather,
    dice: Dice,
    /// Lanes that this process has listed.
    listed: Arc<Mutex<BTreeSet<String>>>,
}

impl fmt::Debug for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Line").field("process", &self.process).finish_non_exhaustive()
    }
}

impl Line {
    /// A line for a process with this number.
    #[must_use]
    pub(crate) fn new(process: u64, scene: &Scene, weather: Weather) -> Self {
        Self { process, scene: scene.clone(), weather, dice: scene.dice.fork(), listed: Arc::default() }
    }

    fn pause(&self) -> Duration {
        let most = if self.dice.hits(self.weather.slow) {
            self.weather.slowest
        } else {
            self.weather.slowest.min(40)
        };
        self.dice.pause(most)
    }

    fn fate(&self, operation: Operation) -> Fate {
        let weather = &self.weather;
        let roll = self.dice.roll(1_000);
        let mut below = 0;
        let mut within = |share: u64| {
            below += share;
            roll < below
        };
        if within(weather.fails) {
            Fate::Fails
        } else if within(weather.loses_reply) {
            Fate::LosesReply
        } else if within(weather.late) {
            Fate::TakesEffectLate
        } else if within(weather.hangs) {
            Fate::Hangs
        } else if operation == Operation::Put && within(weather.conflicts) {
            Fate::Conflicts
        } else {
            Fate::Works
        }
    }

    /// `describe` tells an answer for the trace; `work` is the request, which may outlive its caller.
    async fn call<T: Send + 'static>(
        &self,
        operation: Operation,
        key: &str,
        describe: impl Fn(&Result<T, StoreError>) -> String + Send + Sync + 'static,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        sleep(self.pause()).await;
        let (process, seen) = (self.process, &self.scene.seen);
        let note = {
            let (trace, key) = (self.scene.trace.clone(), key.to_owned());
            move |what: &str| trace.note(format_args!("{process} {operation:?} {key} {what}"))
        };
        let lost =
            || StoreError::new(ErrorKind::Unknown, "get an answer from", "memory", "lost", "try again");
        match self.fate(operation) {
            Fate::Works => {
                let answer = work.await;
                note(&describe(&answer));
                sleep(self.pause()).await;
                answer
            }
            Fate::Fails => {
                note("503");
                Err(lost())
            }
            Fate::Conflicts => {
                note("409");
                seen.saw(Feature::Conflict);
                Err(lost())
            }
            Fate::LosesReply => {
                let answer = work.await;
                note(&format!("{}, lost", describe(&answer)));
                if operation == Operation::Put && answer.is_ok() {
                    seen.saw_if(key == CHECKPOINT, Feature::LostCommitReply);
                    seen.saw_if(key.starts_with(JOURNAL), Feature::LostEntryReply);
                }
                sleep(self.pause()).await;
                Err(lost())
            }
            Fate::TakesEffectLate => {
                let lateness = self.dice.pause(LATEST);
                note("late");
                seen.saw(Feature::LateEffect);
                self.scene.spawn(async move {
                    sleep(lateness).await;
                    let answer = work.await;
                    note(&format!("{}, late", describe(&answer)));
                });
                sleep(self.dice.pause(CLIENT_TIMEOUT)).await;
                Err(lost())
            }
            Fate::Hangs => {
                seen.saw(Feature::Hung);
                if self.dice.hits(500) {
                    note(&describe(&work.await));
                }
                note("hangs");
                pending().await
            }
        }
    }

    fn watch_list(&self, prefix: &str) {
        if prefix.starts_with(JOURNAL) {
            let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
            let is_new = listed.insert(prefix.to_owned());
            self.scene.seen.saw_if(!is_new, Feature::TailLookedUpAgain);
        }
    }

    fn watch_put(&self, key: &str) -> impl Fn(&Result<Put, StoreError>) -> String + Send + Sync + 'static {
        let seen = self.scene.seen.clone();
        let (is_commit, is_entry) = (key == CHECKPOINT, key.starts_with(JOURNAL));
        move |answer| {
            let refused = matches!(answer, Ok(Put::Refused));
            seen.saw_if(refused && is_commit, Feature::CommitRefused);
            seen.saw_if(refused && is_entry, Feature::RaceLost);
            told(answer)
        }
    }
}

fn told<T: fmt::Debug>(answer: &Result<T, StoreError>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => error.to_string(),
    }
}

/// Bodies are told by their tags.
fn told_object(answer: &Result<Option<Object>, StoreError>) -> String {
    told(&answer.as_ref().map(|found| found.as_ref().map(|object| &object.meta)).map_err(Clone::clone))
}

/// `self`'s store and owned arguments, in a future that may outlive the caller.
macro_rules! request {
    ($line:expr, $($name:ident = $value:expr),*; |$store:ident| $call:expr) => {{
        let $store: Backing = $line.scene.store.clone();
        $(let $name = $value;)*
        async move { $call.await }
    }};
}

#[async_trait]
impl ObjectStore for Line {
    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        let work = request!(self, key = key.to_owned(); |store| store.get(&key));
        self.call(Operation::Get, key, told_object, work).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        let work = request!(self, key = key.to_owned(); |store| store.head(&key));
        self.call(Operation::Head, key, told, work).await
    }

    async fn put(&self, key: &str, body: Bytes, condition: Condition) -> Result<Put, StoreError> {
        let describe = self.watch_put(key);
        let work = request!(self, key = key.to_owned(); |store| store.put(&key, body, condition));
        self.call(Operation::Put, key, describe, work).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let work = request!(self, key = key.to_owned(); |store| store.delete(&key));
        self.call(Operation::Delete, key, told, work).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        self.watch_list(prefix);
        let work = request!(self, prefix = prefix.to_owned(), after = after.map(str::to_owned);
            |store| store.list(&prefix, after.as_deref(), limit));
        let keys = |answer: &Result<Vec<ObjectMeta>, StoreError>| match answer {
            Ok(found) => format!("{:?}", found.iter().map(|object| &object.key).collect::<Vec<_>>()),
            Err(error) => error.to_string(),
        };
        self.call(Operation::List, prefix, keys, work).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let work = request!(self, prefix = prefix.to_owned(); |store| store.list_folders(&prefix));
        self.call(Operation::ListFolders, prefix, told, work).await
    }

    async fn start_upload(&self, key: &str) -> Result<String, StoreError> {
        let work = request!(self, key = key.to_owned(); |store| store.start_upload(&key));
        self.call(Operation::StartUpload, key, told, work).await
    }

    async fn upload_part(
        &self,
        key: &str,
        upload: &str,
        number: u16,
        body: Bytes,
    ) -> Result<String, StoreError> {
        let work = request!(self, key = key.to_owned(), upload = upload.to_owned();
            |store| store.upload_part(&key, &upload, number, body));
        self.call(Operation::UploadPart, key, told, work).await
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
    ) -> Result<Completed, StoreError> {
        let work = request!(self, key = key.to_owned(), upload = upload.to_owned(), parts = parts.to_vec();
            |store| store.complete_upload(&key, &upload, &parts));
        self.call(Operation::CompleteUpload, key, told, work).await
    }

    fn location(&self) -> String {
        self.scene.store.location()
    }
}
