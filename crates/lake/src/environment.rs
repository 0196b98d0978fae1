//! What the protocol needs from the world around it: time, randomness and, in tests, mishaps.

use std::fmt::Debug;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use crate::clock::{Clock, SystemClock};

/// A source of unpredictable numbers, for run ids and for the spread of retries.
pub trait Entropy: Debug + Send + Sync {
    /// The next number.
    fn next(&self) -> u64;
}

/// Seeded by the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn next(&self) -> u64 {
        // Every `RandomState` has keys of its own, derived from the system's randomness.
        RandomState::new().build_hasher().finish()
    }
}

macro_rules! fail_points {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// The named places at which a process may die: one before and after each effect of
        /// append and publish. Tests walk all of them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FailPoint { $($(#[$doc])* $name),+ }

        impl FailPoint {
            /// Every point there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
        }
    };
}

fail_points! {
    /// A batch is here, the lane's tail is not known yet.
    AppendStart,
    /// The tail is known and the entry is built, not sent.
    AppendBeforePut,
    /// The entry is committed, the caller does not know.
    AppendAfterPut,
    /// Another entry has the number, and has not been read yet.
    AppendAfterRefusal,
    /// The checkpoint is loaded.
    PublishLoaded,
    /// Some or all entries of the run are read.
    PublishAfterRead,
    /// An upload has been started, without parts.
    PublishAfterUploadStart,
    /// A file's parts are all there.
    PublishAfterUpload,
    /// All files are there, none visible.
    PublishBeforeCommit,
    /// The checkpoint lists the files, none is visible.
    PublishAfterCommit,
    /// One file of several is visible.
    PublishAfterComplete,
    /// One `_SUCCESS` of several is written.
    PublishAfterMark,
    /// All files are visible, the checkpoint still lists them as pending.
    PublishBeforeClear,
    /// The checkpoint lists nothing as pending.
    PublishAfterClear,
    /// A lost upload has been built again, not committed.
    PublishAfterRebuild,
    /// One entry past retention has been deleted.
    PublishAfterDelete,
}

/// Decides whether a process dies at a point. Production code never does.
pub trait Mishaps: Debug + Send + Sync {
    /// `true`: die here.
    fn strikes(&self, point: FailPoint) -> bool;
}

#[derive(Clone, Copy, Debug)]
struct NoMishaps;

impl Mishaps for NoMishaps {
    fn strikes(&self, _point: FailPoint) -> bool {
        false
    }
}

/// The process "died" at a point: raised only by tests and fault drills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped on purpose at {0:?}")]
pub struct Crash(pub FailPoint);

/// Time, randomness and mishaps, shared by everything that runs in one process.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Deaths on purpose.
    pub mishaps: Arc<dyn Mishaps>,
}

impl Default for Environment {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy), mishaps: Arc::new(NoMishaps) }
    }
}

impl Environment {
    /// Dies here if a mishap strikes.
    pub(crate) fn reach(&self, point: FailPoint) -> Result<(), Crash> {
        // Tells a reader of the log how far a process came that was killed.
        tracing::trace!(?point, "reached");
        if self.mishaps.strikes(point) { Err(Crash(point)) } else { Ok(()) }
    }

    /// Now, milliseconds since 1970 UTC.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// A wait before try `attempt` (from 0): full jitter over an exponentially growing window of
    /// at most two seconds.
    pub(crate) fn backoff(&self, attempt: u32) -> std::time::Duration {
        let window = 50_u64.saturating_mul(1 << attempt.min(6)).min(2_000);
        std::time::Duration::from_millis(self.entropy.next() % window)
    }
}
