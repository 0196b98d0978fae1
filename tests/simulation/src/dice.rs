//! Seeded randomness.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tripline_lake::environment::Entropy;

/// The golden ratio's bits, by which splitmix64 steps.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// A stream of random numbers that a seed repeats. Clones draw from the same stream.
#[derive(Clone, Debug)]
pub(crate) struct Dice(Arc<AtomicU64>);

impl Dice {
    /// The numbers of a seed.
    #[must_use]
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(mix(seed.wrapping_add(STEP)))))
    }

    /// A stream of its own: what one draws does not change what the other gets.
    #[must_use]
    pub(crate) fn fork(&self) -> Self {
        Self::seeded(self.next())
    }

    /// A number below `sides`; 0 where there are none.
    #[must_use]
    pub(crate) fn roll(&self, sides: u64) -> u64 {
        self.next().checked_rem(sides).unwrap_or_default()
    }

    /// An index into something of this length.
    #[must_use]
    pub(crate) fn index(&self, length: usize) -> usize {
        self.roll(length as u64) as usize
    }

    /// A number of the range.
    #[must_use]
    pub(crate) fn between(&self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.roll(range.end() - range.start() + 1)
    }

    /// `true` so many times in a thousand.
    #[must_use]
    pub(crate) fn hits(&self, in_a_thousand: u64) -> bool {
        self.roll(1_000) < in_a_thousand
    }

    /// One of these.
    #[must_use]
    pub(crate) fn pick<T: Copy + Default>(&self, choices: &[T]) -> T {
        choices.get(self.index(choices.len())).copied().unwrap_or_default()
    }

    /// A time of less than `most_ms`.
    #[must_use]
    pub(crate) fn pause(&self, most_ms: u64) -> Duration {
        Duration::from_millis(self.roll(most_ms))
    }
}

impl Entropy for Dice {
    fn next(&self) -> u64 {
        mix(self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP))
    }
}

const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
