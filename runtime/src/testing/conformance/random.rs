//! Random operations and policies for the test suite.

use std::time::Duration;

use super::{Supported, policy};
use crate::operation::Action;
use crate::{Algorithm, Ban, Policy, Quota, Source};

/// A [SplitMix64](https://doi.org/10.1145/2714064.2660195) random number generator with a fixed
/// seed, so that all runs are the same.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Self {
        Self(1)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a random number less than `end`, which must be at least 1.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize]
    }

    /// Returns a random policy with one to three quotas. They are small enough to be used up. If bans
    /// are supported, it often has one.
    pub(super) fn policy(
        &mut self,
        algorithm: Algorithm,
        number: u32,
        supported: Supported,
    ) -> Policy {
        let quota = self.quota(algorithm);
        let mut all = policy(algorithm, &format!("trace {number}"), quota);
        for _ in 0..self.below(3) {
            all = all.and(self.quota(algorithm));
        }
        if supported.bans && self.below(4) > 0 {
            let after = self.of(&[1, 2, 3]);
            let first = Duration::from_millis(self.of(&[1, 100, 5_000]));
            all = all.ban(Ban::new(after, first).grow(self.of(&[1, 2, 3])).most(4 * first));
        }
        all
    }

    fn quota(&mut self, algorithm: Algorithm) -> Quota {
        let limit = self.of(&[1, 2, 3, 5, 7, 10, 30]);
        let quota = Quota::new(limit, Duration::from_millis(self.of(&[250, 1_000, 7_001, 60_000])));
        if algorithm.has_bucket() && self.below(2) == 0 {
            return quota.burst(self.of(&[1, 2, 5, 20]));
        }
        quota
    }

    /// Returns the time until the next action: zero, the time after which a request is just
    /// admitted again, a microsecond less, or a random time.
    pub(super) fn pause(&mut self, longest: Duration, retry_after: Duration) -> Duration {
        match self.below(8) {
            0..4 => Duration::ZERO,
            4 => retry_after,
            5 => retry_after.saturating_sub(Duration::from_micros(1)),
            6 => Duration::from_micros(self.below(longest.as_micros() as u64 / 8 + 1)),
            _ => Duration::from_micros(self.below(longest.as_micros() as u64 * 2)),
        }
    }

    /// Returns the next action and its cost. The action is returned twice, with the charge ids of
    /// the store and with those of the memory backend.
    pub(super) fn action(
        &mut self,
        capacity: u32,
        supported: Supported,
        charged: &mut Vec<(u32, [u64; 2])>,
    ) -> (u32, [Action; 2]) {
        let source = Source::Store;
        match self.below(20) {
            0 if supported.bans && self.below(3) > 0 => {
                let duration = Duration::from_micros(self.of(&[1_000, 123_456, 60_000_000]));
                let actions = [Action::Unban, Action::Ban { duration }];
                return (0, [self.of(&actions); 2]);
            }
            0 => return (0, [Action::Reset; 2]),
            1..4 if !charged.is_empty() => {
                let (cost, stamps) = charged.swap_remove(self.below(charged.len() as u64) as usize);
                if supported.settlements && self.below(2) == 0 {
                    let actual = self.of(&[0, cost / 2, cost, cost + 1, cost + capacity, 4 * cost]);
                    return (
                        cost,
                        stamps.map(|stamp_micros| Action::Settle { stamp_micros, actual, source }),
                    );
                }
                let forgives = supported.bans && self.below(2) == 0;
                return (
                    cost,
                    stamps.map(|stamp_micros| Action::Refund { stamp_micros, source, forgives }),
                );
            }
            4..7 => return (self.of(&[0, 1, 2, capacity]), [Action::Peek; 2]),
            _ => {}
        }
        (self.of(&[0, 1, 1, 1, 1, 1, 1, 2, capacity, capacity + 1]), [Action::Charge; 2])
    }
}
