//! The fault drill: a seed decides how batches are cut and when functions die.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tripline_lake::FailPoint;
use tripline_lake::environment::Mishaps;

/// One in so many visits of a failure point kills the function…
const DEATH_ODDS: u64 = 24;
/// …until it has died so often: a run that visits thousands of points must come to an end.
const DEATHS: u64 = 25;

/// A seeded fault drill.
#[derive(Debug)]
pub(super) struct Drill {
    chance: Arc<Chance>,
}

impl Drill {
    pub(super) fn new(seed: u64) -> Self {
        Self { chance: Arc::new(Chance { state: Mutex::new(seed), deaths: AtomicU64::new(0) }) }
    }

    pub(super) fn mishaps(&self) -> Arc<dyn Mishaps> {
        Arc::clone(&self.chance) as Arc<dyn Mishaps>
    }

    /// How a batch is delivered: whole, perhaps after a part of it, and perhaps again from somewhere
    /// in the middle or from its start.
    pub(super) fn cuts(&mut self, records: usize) -> Vec<Range<usize>> {
        let mut cuts = Vec::new();
        for _ in 0..self.chance.below(3) {
            cuts.push(0..self.somewhere(records));
        }
        cuts.push(0..records);
        for _ in 0..self.chance.below(3) {
            let start = self.somewhere(records);
            cuts.push(start..records);
        }
        cuts.retain(|cut| !cut.is_empty());
        cuts
    }

    fn somewhere(&self, records: usize) -> usize {
        usize::try_from(self.chance.below(records as u64 + 1)).unwrap_or_default()
    }
}

/// SplitMix64: a few lines, and the same on every machine.
#[derive(Debug)]
struct Chance {
    state: Mutex<u64>,
    deaths: AtomicU64,
}

impl Chance {
    fn below(&self, bound: u64) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

impl Mishaps for Chance {
    fn strikes(&self, point: FailPoint) -> bool {
        // A publisher that dies with its work done has nobody left to report it; these two points
        // would change the summary and nothing else.
        let unreported = matches!(point, FailPoint::PublishAfterClear | FailPoint::PublishAfterDelete);
        !unreported
            && self.deaths.load(Ordering::Relaxed) < DEATHS
            && self.below(DEATH_ODDS) == 0
            && self.deaths.fetch_add(1, Ordering::Relaxed) < DEATHS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_drill() {
        let cuts = |seed| {
            let mut drill = Drill::new(seed);
            (0..50).map(|_| drill.cuts(100)).collect::<Vec<_>>()
        };
        assert_eq!(cuts(7), cuts(7));
        assert_ne!(cuts(7), cuts(8));
    }

    #[test]
    fn a_batch_is_always_delivered_whole_at_least_once() {
        let mut drill = Drill::new(1);
        for records in 1..200 {
            assert!(drill.cuts(records).contains(&(0..records)));
        }
    }
}
