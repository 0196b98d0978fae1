//! Many schedules, on all cores.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::coverage::Coverage;
use crate::mutant::Mutant;
use crate::world::{self, Played};

/// Which schedules to play.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// The first seed.
    pub first: u64,
    /// How many seeds, from the first on.
    pub schedules: u64,
    /// Stop after this time.
    pub time: Option<Duration>,
    /// What is not as it should be.
    pub mutant: Mutant,
}

/// What a campaign without a failure came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Schedules played.
    pub schedules: u64,
    /// Steps in all of them: store calls, answers and the like.
    pub steps: u64,
    /// Digest over all of them, whatever the order in which they ended.
    pub digest: u64,
    /// Which rare things happened in how many.
    pub coverage: Coverage,
    /// How long it took.
    pub elapsed: Duration,
}

/// A schedule in which something did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What did not hold.
    pub message: String,
}

impl Campaign {
    /// Plays the schedules until one fails.
    ///
    /// # Errors
    /// [`Failure`], of the lowest seed that was found to fail.
    pub fn play(&self) -> Result<Summary, Failure> {
        let began = Instant::now();
        let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
        let state = Mutex::new((Summary::default(), None::<Failure>));
        let work = || {
            let mut own = Summary::default();
            while !failed.load(Ordering::Relaxed) && self.time.is_none_or(|time| began.elapsed() < time) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= self.schedules {
                    break;
                }
                let seed = self.first.wrapping_add(index);
                match play_one(seed, self.mutant, false) {
                    Ok(played) => own.add(seed, &played),
                    Err(failure) => {
                        failed.store(true, Ordering::Relaxed);
                        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                        let is_lower = state.1.as_ref().is_none_or(|other| failure.seed < other.seed);
                        state.1 = if is_lower { Some(failure) } else { state.1.take() };
                    }
                }
            }
            state.lock().unwrap_or_else(PoisonError::into_inner).0.merge(&own);
        };
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(work);
            }
        });
        let (summary, failure) = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match failure {
            Some(failure) => Err(failure),
            None => Ok(Summary { elapsed: began.elapsed(), ..summary }),
        }
    }
}

/// Plays one schedule, on this thread.
///
/// # Errors
/// [`Failure`] when something does not hold in it.
pub fn play_one(seed: u64, mutant: Mutant, is_printed: bool) -> Result<Played, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| Failure { seed, message: error.to_string() })?;
    catch_unwind(AssertUnwindSafe(|| runtime.block_on(world::play(seed, mutant, is_printed))))
        .map_err(|panic| Failure { seed, message: message_of(&*panic) })
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text").to_owned()
}

impl Summary {
    fn add(&mut self, seed: u64, played: &Played) {
        self.schedules += 1;
        self.steps += played.steps;
        self.digest ^= played.digest.rotate_left((seed % 64) as u32);
        self.coverage.add(&played.seen);
    }

    fn merge(&mut self, other: &Self) {
        self.schedules += other.schedules;
        self.steps += other.steps;
        self.digest ^= other.digest;
        self.coverage.merge(&other.coverage);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { schedules, steps, digest, elapsed, .. } = self;
        let seconds = elapsed.as_secs_f64();
        writeln!(
            formatter,
            "{schedules} schedules, {steps} steps, {seconds:.1} s, digest {digest:016x}; of them with"
        )?;
        write!(formatter, "{}", self.coverage)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, message } = self;
        write!(formatter, "{message}\nseed {seed}; to repeat it: make sim SEED={seed} SCHEDULES=1")
    }
}

impl std::error::Error for Failure {}
