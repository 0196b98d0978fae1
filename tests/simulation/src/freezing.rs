//! A process that stands still for a while in the midst of its work.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use crate::coverage::Feature;
use crate::scene::Scene;

/// Steps before which a process that will freeze does so.
const STEPS: u64 = 40;

/// Runs a future and, once, leaves it alone for some time: neither answers nor timers reach it then.
/// Its clock goes on.
pub(crate) struct Freezing<F> {
    process: Pin<Box<F>>,
    steps_left: u64,
    nap: Option<Duration>,
    sleeping: Option<Pin<Box<Sleep>>>,
}

impl<F: Future> Freezing<F> {
    /// Freezes `process`, if its fortune will have it, for `longest_ms` at most.
    pub(crate) fn new(scene: &Scene, longest_ms: u64, process: F) -> Self {
        let dice = &scene.dice;
        let nap = dice.hits(scene.schedule.fortune.freezes).then(|| dice.pause(longest_ms));
        scene.seen.saw_if(nap.is_some(), Feature::Frozen);
        Self { process: Box::pin(process), steps_left: dice.roll(STEPS), nap, sleeping: None }
    }

    /// How long it will stand still.
    pub(crate) fn nap(&self) -> Duration {
        self.nap.unwrap_or_default()
    }
}

impl<F: Future> Future for Freezing<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.steps_left == 0
            && let Some(nap) = self.nap.take()
        {
            self.sleeping = Some(Box::pin(sleep(nap)));
        }
        self.steps_left = self.steps_left.saturating_sub(1);
        if let Some(sleeping) = &mut self.sleeping {
            if sleeping.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.sleeping = None;
        }
        self.process.as_mut().poll(context)
    }
}
