//! Chance by seed: the same on every machine.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A run of numbers that follows from its seed.
#[derive(Clone, Debug)]
pub(super) struct Chance {
    seed: u64,
    drawn: u64,
}

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    fn next(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        xxh3_64_with_seed(&self.drawn.to_le_bytes(), self.seed)
    }

    /// From 0 up to, and without, `bound`; 0 where that is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product: each value as likely as any other but for one in 2^64.
        u64::try_from((u128::from(self.next()) * u128::from(bound)) >> 64).unwrap_or_default()
    }

    /// From 0 up to, and without, 1.
    pub(super) fn share(&mut self) -> f64 {
        // As many bits as a float has.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Around 0, with a standard deviation of 1.
    pub(super) fn normal(&mut self) -> f64 {
        // Box and Muller's; 1 less a share is never 0.
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.share()).cos()
    }

    /// One of some.
    pub(super) fn one_of<'c, T>(&mut self, choices: &'c [T]) -> Option<&'c T> {
        let index = self.below(choices.len() as u64);
        choices.get(usize::try_from(index).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_and_another_gives_others() {
        let draw = |seed| {
            let mut chance = Chance::new(seed);
            (0..20).map(|_| chance.below(1_000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn numbers_lie_where_they_are_said_to() {
        let mut chance = Chance::new(3);
        let mut sum = 0.0;
        for _ in 0..10_000 {
            assert!(chance.below(6) < 6);
            assert!((0.0..1.0).contains(&chance.share()));
            sum += chance.normal();
        }
        assert!((sum / 10_000.0).abs() < 0.05, "{sum}");
        assert_eq!(chance.below(0), 0);
        assert_eq!(chance.one_of::<u8>(&[]), None);
    }
}
