//! What all actors of a schedule share.

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tripline_lake::clock::Clock;
use tripline_lake::environment::{Environment, FailPoint, Mishaps};
use tripline_lake::invariants::{self, Invariant, Mode};

use crate::clock::{MINUTE, VirtualClock};
use crate::cluster::Indices;
use crate::coverage::{Feature, Seen};
use crate::dice::Dice;
use crate::mutant::Mutant;
use crate::schedule::{Schedule, Weather};
use crate::store::{Backing, Line};
use crate::trace::Trace;

/// A wrong clock is wrong by less than this: the margin that the protocol keeps is 15 minutes, of which
/// requests that take effect late need ten.
const SKEW: u64 = 2 * MINUTE;

/// A schedule under way.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    /// Its settings.
    pub(crate) schedule: Arc<Schedule>,
    /// The store.
    pub(crate) store: Backing,
    /// The search cluster.
    pub(crate) indices: Indices,
    /// The right time.
    pub(crate) clock: VirtualClock,
    /// Randomness.
    pub(crate) dice: Dice,
    /// What happens.
    pub(crate) trace: Trace,
    /// Which rare things happen.
    pub seen: Seen,
    /// What is not as it should be.
    pub(crate) mutant: Mutant,
    processes: Arc<AtomicU64>,
    broken: Arc<Broken>,
}

#[derive(Debug, Default)]
struct Broken {
    panic: Mutex<Option<Box<dyn std::any::Any + Send>>>,
    is_there: Notify,
}

/// A process: its line to the store and its environment.
#[derive(Debug)]
pub(crate) struct Process {
    /// Tells it from the others, in traces.
    pub(crate) number: u64,
    /// Its way to the store.
    pub(crate) line: Line,
    /// Its clock, randomness and mishaps.
    pub(crate) environment: Environment,
}

impl Scene {
    /// The scene at the beginning.
    #[must_use]
    pub(crate) fn new(
        schedule: Schedule,
        store: Backing,
        clock: VirtualClock,
        dice: Dice,
        trace: Trace,
        mutant: Mutant,
    ) -> Self {
        let (seen, processes, broken) = (Seen::default(), Arc::default(), Arc::default());
        let (schedule, indices) = (Arc::new(schedule), Indices::new(mutant));
        Self { schedule, store, indices, clock, dice, trace, seen, mutant, processes, broken }
    }

    /// A new process.
    #[must_use]
    pub(crate) fn process(&self, weather: Weather) -> Process {
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        let fortune = &self.schedule.fortune;
        let skew_ms = if self.dice.hits(fortune.skews) {
            self.seen.saw(Feature::Skewed);
            self.dice.roll(2 * SKEW) as i64 - SKEW as i64
        } else {
            0
        };
        let environment = Environment {
            clock: Arc::new(self.clock.skewed(skew_ms)),
            entropy: Arc::new(self.dice.fork()),
            mishaps: Arc::new(Struck {
                dice: self.dice.fork(),
                rate: fortune.mishaps,
                seen: self.seen.clone(),
            }),
        };
        Process { number, line: Line::new(number, self, weather), environment }
    }

    /// The environment of somebody whom nothing befalls.
    #[must_use]
    pub(crate) fn calm(&self) -> Environment {
        Environment {
            clock: Arc::new(self.clock),
            entropy: Arc::new(self.dice.fork()),
            ..Environment::default()
        }
    }

    /// The right time, milliseconds since 1970 UTC.
    #[must_use]
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Starts a task whose panic is the schedule's.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let broken = Arc::clone(&self.broken);
        let watched = async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                broken.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
                broken.is_there.notify_one();
            }
        };
        tokio::spawn(watched).abort_handle()
    }

    /// Runs `play` unless and until a task has panicked, and then panics with it.
    pub(crate) async fn unless_broken<T>(&self, play: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            () = self.broken.is_there.notified() => {}
            played = play => return played,
        }
        let panic = self.broken.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        resume_unwind(panic.unwrap_or_else(|| Box::new("a task panicked")))
    }
}

/// Panics when an invariant does not hold, in any build.
pub(crate) fn must(invariant: Invariant, holds: bool, details: impl FnOnce() -> String) {
    let _ = invariants::judge(Mode::Panic, invariant, holds, details);
}

/// Dies now and then at a named point.
#[derive(Debug)]
struct Struck {
    dice: Dice,
    rate: u64,
    seen: Seen,
}

impl Mishaps for Struck {
    fn strikes(&self, _point: FailPoint) -> bool {
        let strikes = self.dice.hits(self.rate);
        self.seen.saw_if(strikes, Feature::DiedAtPoint);
        strikes
    }
}
