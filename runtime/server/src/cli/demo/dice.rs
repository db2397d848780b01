//! Numbers that look random and are the same for the same seed, on every machine. Never the system's
//! randomness: what a seed shows can be shown again.

/// SplitMix64.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Of `0..n`, each as likely. `n` is not 0.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.roll()) * u128::from(n)) >> 64) as u64
    }

    /// Of `from..=to`.
    pub(super) fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// True once in `n` on average.
    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    /// An index of `weights`, each as likely as its weight says.
    pub(super) fn weighted(&mut self, weights: impl Iterator<Item = u64> + Clone) -> usize {
        let mut left = self.below(weights.clone().sum());
        for (at, weight) in weights.enumerate() {
            if left < weight {
                return at;
            }
            left -= weight;
        }
        unreachable!("`left` is below the sum of the weights")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_rolls_the_same_and_all_sides_come_up() {
        let rolls = |seed| {
            let mut dice = Dice::new(seed);
            (0..600).map(|_| dice.below(6)).collect::<Vec<_>>()
        };
        assert_eq!(rolls(1), rolls(1));
        assert_ne!(rolls(1), rolls(2));
        for side in 0..6 {
            let times = rolls(1).iter().filter(|roll| **roll == side).count();
            assert!((60..140).contains(&times), "{side} came up {times} times of 600");
        }
        let mut dice = Dice::new(3);
        let heavy = (0..1_000).filter(|_| dice.weighted([1, 9].into_iter()) == 1).count();
        assert!((850..950).contains(&heavy), "{heavy} of 1,000");
    }
}
