//! SplitMix64: small, and specified to the bit.

/// Random numbers of a seed.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to and without `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True so many times in a thousand.
    pub(super) fn one_in_thousand(&mut self, times: u64) -> bool {
        self.below(1_000) < times
    }

    /// One of these by its weight.
    pub(super) fn weighted<T: Copy>(&mut self, choices: &[(T, u64)]) -> Option<T> {
        let mut place = self.below(choices.iter().map(|(_, weight)| weight).sum());
        for &(choice, weight) in choices {
            match place.checked_sub(weight) {
                None => return Some(choice),
                Some(rest) => place = rest,
            }
        }
        None
    }
}
