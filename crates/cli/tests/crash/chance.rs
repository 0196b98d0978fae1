//! Numbers from a seed.

use std::time::Duration;

/// SplitMix64.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// As likely between 1 and 2 as between 100 and 200.
    fn of_any_size(&mut self, least: f64, most: f64) -> f64 {
        let unit = self.next() as f64 / u64::MAX as f64;
        least * (most / least).powf(unit)
    }

    pub(crate) fn duration(&mut self, least: Duration, most: Duration) -> Duration {
        Duration::from_secs_f64(self.of_any_size(least.as_secs_f64(), most.as_secs_f64()))
    }

    pub(crate) fn size(&mut self, most: u32) -> u32 {
        self.of_any_size(1.0, f64::from(most) + 0.999) as u32
    }
}
