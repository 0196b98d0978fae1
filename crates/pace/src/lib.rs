//! How many requests of a sink may be under way: one more after as many as may be were taken, half when the
//! other side is busy.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Shared by all that a sink sends at a time.
#[derive(Debug)]
pub struct Pace {
    most: usize,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    /// How many may be; it grows by parts of one.
    allowed: f64,
    under_way: usize,
    /// How often it was halved: the requests of one moment are refused together, and halve it once.
    halvings: u64,
}

/// The right to have a request under way; it ends when this is dropped.
#[derive(Debug)]
pub struct Permit<'p> {
    pace: &'p Pace,
    halvings: u64,
}

impl Pace {
    /// At most `most` at once, which it begins with.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let state = State { allowed: as_float(most), under_way: 0, halvings: 0 };
        Self { most, state: Mutex::new(state), freed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to send now, if there is one to have.
    pub fn try_begin(&self) -> Option<Permit<'_>> {
        let mut state = self.state();
        if as_float(state.under_way) + 1.0 > state.allowed.max(1.0) {
            return None;
        }
        state.under_way += 1;
        Some(Permit { pace: self, halvings: state.halvings })
    }

    /// Returns when a request has ended since this was called.
    pub fn freed(&self) -> impl Future<Output = ()> {
        self.freed.notified()
    }

    /// How many may be under way.
    #[cfg(test)]
    fn allowed(&self) -> usize {
        let allowed = self.state().allowed;
        (1..=self.most).rev().find(|&many| as_float(many) <= allowed).unwrap_or(1)
    }
}

impl Permit<'_> {
    /// The request was taken: one more may be under way after as many of these as may be now.
    pub fn taken(self) {
        let mut state = self.pace.state();
        state.allowed = (state.allowed + 1.0 / state.allowed.max(1.0)).min(as_float(self.pace.most));
    }

    /// The other side was busy: half as many may be under way.
    pub fn refused(self) {
        let mut state = self.pace.state();
        if state.halvings == self.halvings {
            state.allowed = (state.allowed / 2.0).max(1.0);
            state.halvings += 1;
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.pace.state();
        state.under_way = state.under_way.saturating_sub(1);
        drop(state);
        self.pace.freed.notify_waiters();
    }
}

fn as_float(many: usize) -> f64 {
    u32::try_from(many).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn no_more_are_under_way_than_may_be() {
        let pace = Pace::new(2);
        let first = pace.try_begin().unwrap();
        let second = pace.try_begin();
        assert!(second.is_some() && pace.try_begin().is_none());
        first.taken();
        assert!(pace.try_begin().is_some());
    }

    #[test]
    fn those_refused_together_halve_it_once_and_success_brings_it_back() {
        let pace = Pace::new(8);
        let permits: Vec<_> = (0..8).map(|_| pace.try_begin().unwrap()).collect();
        permits.into_iter().for_each(Permit::refused);
        assert_eq!(pace.allowed(), 4);
        for _ in 0..10 {
            pace.try_begin().unwrap().refused();
        }
        assert_eq!(pace.allowed(), 1);
        for _ in 0..100 {
            pace.try_begin().unwrap().taken();
        }
        assert_eq!(pace.allowed(), 8);
    }
}
