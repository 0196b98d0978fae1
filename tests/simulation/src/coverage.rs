//! Which rare things a schedule has seen: a simulation in which they never happen shows nothing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! features {
    ($($name:ident: $about:literal;)+) => {
        /// Something rare that a schedule may see.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Feature { $(#[doc = $about] $name),+ }

        impl Feature {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// What it is.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => $about),+ }
            }
        }
    };
}

features! {
    Bisected: "a batch was bisected";
    PartialResponse: "an answer named a refused record";
    SeveralIdentifiers: "an answer named several records";
    BatchWindow: "a batch was closed by its window";
    PayloadLimit: "a batch was cut by the payload limit";
    Redelivered: "a batch came again after its success";
    Rewound: "the mapping went back to an old position";
    GivenUpByRetries: "retries ran out";
    GivenUpByAge: "records grew too old";
    Split: "a shard was split";
    Merged: "shards were merged";
    ChildBeforeParent: "a child was read before its parent was done";
    TimedOut: "an invocation timed out";
    Killed: "an invocation was killed";
    ZombieCommitted: "an invocation committed after the mapping had given it up";
    Concurrent: "one sandbox had two invocations at once";
    ColdStartFailed: "a function could not start";
    Deadline: "an append ran out of time";
    Frozen: "a process froze in the midst of its work";
    Skewed: "a process had a wrong clock";
    DiedAtPoint: "a process died at a named point";
    RaceLost: "an entry's number was taken";
    LostEntryReply: "an entry was stored and its answer lost";
    LostCommitReply: "a checkpoint was stored and its answer lost";
    CommitRefused: "a checkpoint was refused";
    Conflict: "a write was answered with 409";
    LateEffect: "a request took effect long after it was given up";
    Hung: "a request was never answered";
    TailLookedUpAgain: "a warm function looked its tail up again";
    PublisherDied: "a publisher died or was stopped";
    PublisherGaveWay: "a publisher gave way to another";
    Overlapped: "two publishers ran at once";
    UploadExpired: "an upload expired";
    Rebuilt: "a lost file was built again";
    WatermarkMoved: "the watermark moved on";
    Completed: "a partition was marked as complete";
    CompletedWhileIdle: "a partition was complete without new rows";
    LateAppended: "late rows went into their partition";
    LateDiverted: "late rows went into the late table";
    WildClock: "a row was of the year 2041";
    EntriesDeleted: "entries were deleted";
    DeadLetters: "records became dead letters";
    Refused: "records were refused by policy";
    LeftOut: "records were left out by policy";
    FreshLake: "functions opened a lake that was not there yet";
    BothSinks: "one function fed the lake and the cluster";
    SearchAlone: "one function fed the cluster alone";
    TwoFunctions: "two functions read the same shards";
    DocumentRetried: "a document was taken that had been refused with 429";
    DocumentConflict: "a document gave way to one that was there";
    SearchDeadLetters: "documents that the cluster refused became dead letters";
    RedeliveredForSearch: "records came again for the cluster when the lake had them";
    SearchGaveUp: "a batch was not in the cluster in time";
    SearchStopped: "the cluster refused a function and delivery stopped";
    BulkBusy: "a bulk request was answered with 429";
    BulkHalved: "a bulk request was answered with 413";
    BulkNotUnderstood: "a bulk request was answered with 400";
    BulkInPart: "a bulk request was done in part and its answer lost";
    LostBulkReply: "a bulk request was done and its answer lost";
    BulkGarbled: "the answer to a bulk request was not about its documents";
    LateBulk: "a bulk request took effect long after it was given up";
    ClusterAway: "the cluster was away for minutes";
    ClusterForbids: "the cluster let nobody in for minutes";
}

/// What one schedule has seen. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<AtomicU64>);

impl Seen {
    /// Marks a feature as seen.
    pub fn saw(&self, feature: Feature) {
        self.0.fetch_or(1 << feature as u64, Ordering::Relaxed);
    }

    /// [`saw`](Self::saw), where it is so.
    pub fn saw_if(&self, is_so: bool, feature: Feature) {
        if is_so {
            self.saw(feature);
        }
    }
}

/// In how many schedules each feature was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: Vec<u64>,
}

impl Coverage {
    /// Adds a schedule.
    pub fn add(&mut self, seen: &Seen) {
        let bits = seen.0.load(Ordering::Relaxed);
        self.counts.resize(Feature::ALL.len(), 0);
        for (feature, count) in self.counts.iter_mut().enumerate() {
            *count += bits >> feature & 1;
        }
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        self.counts.resize(Feature::ALL.len(), 0);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// Every feature with the number of schedules that saw it.
    pub fn iter(&self) -> impl Iterator<Item = (Feature, u64)> {
        Feature::ALL
            .iter()
            .zip(self.counts.iter().chain(std::iter::repeat(&0)))
            .map(|(&feature, &count)| (feature, count))
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (feature, count) in self.iter() {
            writeln!(formatter, "{count:>8}  {}", feature.about())?;
        }
        Ok(())
    }
}
