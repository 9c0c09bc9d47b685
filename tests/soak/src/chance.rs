//! Chance, by a seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

/// A stream of random numbers: the same for the same seed and the same number of the stream.
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(stream);
        Self(random)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(end)) >> 64) as u64
    }

    /// A number from `least` to `most`.
    pub(crate) fn within(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    pub(crate) fn is_one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    /// A time, by an exponential distribution.
    pub(crate) fn wait(&mut self, mean: u64) -> u64 {
        let share = (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        (-(1.0 - share).ln() * mean as f64) as u64
    }
}
