//! What quotas there are to try.

use std::time::Duration;

use proptest::prelude::*;
use tollgate::{Algorithm, Policy, Quota};

use super::MOST;

pub const DAY: u64 = 24 * 60 * 60 * 1_000_000;

/// The longest a bucket may take to fill, and a debt to be worked off.
pub const TEN_YEARS: u64 = 10 * 366 * DAY;

/// A quota's numbers: the period in microseconds, and a burst where there is a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    pub limit: u32,
    pub period: u64,
    pub burst: Option<u32>,
}

impl Numbers {
    pub const fn new(limit: u32, period: u64) -> Self {
        Self { limit, period, burst: None }
    }

    pub const fn burst(self, burst: u32) -> Self {
        Self { burst: Some(burst), ..self }
    }

    /// The most it can hold.
    pub fn capacity(&self) -> u64 {
        self.burst.unwrap_or(self.limit).into()
    }

    /// The most that any half-open window of one period may admit.
    pub fn bound(&self, algorithm: Algorithm) -> u64 {
        let limit = u64::from(self.limit);
        match algorithm {
            Algorithm::SlidingWindow => limit,
            Algorithm::SlidingWindowCounter | Algorithm::FixedWindow => 2 * limit - 1,
            _ => self.capacity() + limit - 1,
        }
    }

    /// The longest that anybody can be made to wait, in microseconds.
    pub fn longest_wait(&self, algorithm: Algorithm) -> u64 {
        match algorithm {
            Algorithm::SlidingWindow | Algorithm::FixedWindow => self.period,
            Algorithm::SlidingWindowCounter => 2 * self.period,
            _ => {
                let product = u128::from(self.capacity()) * u128::from(self.period);
                u64::try_from(product.div_ceil(self.limit.into())).unwrap()
            }
        }
    }

    /// The most units of a bucket's debt: those that flow within ten years.
    pub fn longest_debt(&self) -> u64 {
        let units = u128::from(TEN_YEARS) * u128::from(self.limit) / u128::from(self.period);
        u64::try_from(units).unwrap_or(MOST).min(MOST)
    }

    /// The most units that the windows after a fixed one may have to take.
    pub fn longest_owed(&self) -> u64 {
        u64::from(self.limit).saturating_mul(TEN_YEARS / self.period).min(MOST)
    }

    pub fn quota(&self) -> Quota {
        let quota = Quota::new(self.limit, Duration::from_micros(self.period));
        self.burst.map_or(quota, |burst| quota.burst(burst))
    }

    pub fn policy(algorithm: Algorithm, numbers: &[Self]) -> Policy {
        let policy = Policy::new("policy", numbers[0].quota()).algorithm(algorithm);
        numbers[1..].iter().fold(policy, |policy, numbers| policy.and(numbers.quota()))
    }
}

pub fn has_bucket(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::TokenBucket | Algorithm::LeakyBucket | Algorithm::Gcra)
}

/// Limits and periods over the whole range, and most often where something could go wrong:
/// small ones, the ends of the range, what does not divide, and where the sliding window
/// begins to share granules.
fn rate() -> impl Strategy<Value = (u32, u64)> {
    let any = (1_u32..=10_000_000, 1_000_u64..=366 * DAY);
    let any =
        any.prop_map(|(limit, period)| (limit.min(period.try_into().unwrap_or(u32::MAX)), period));
    prop_oneof![
        6 => (1_u32..=12, 1_000_u64..=100_000),
        3 => (1_u32..=12, 1_000_u64..=366 * DAY),
        2 => (1_020_u32..=1_030, 1_030_u64..=10_000_000),
        1 => (1_000_u32..=100_000, 100_000_u64..=10_000_000),
        1 => any,
        1 => Just((1, 366 * DAY)),
        1 => Just((1_000, 1_000)),
        1 => Just((1_000_000, 1_000_000)),
        1 => Just((999_983, 1_000_000)),
        1 => Just((u32::MAX, u64::from(u32::MAX))),
        1 => (u64::from(u32::MAX)..=366 * DAY).prop_map(|period| (u32::MAX, period)),
    ]
}

pub fn numbers(algorithm: Algorithm) -> BoxedStrategy<Numbers> {
    let limits = rate().prop_map(|(limit, period)| Numbers::new(limit, period));
    if !has_bucket(algorithm) {
        return limits.boxed();
    }
    let bursts = limits.prop_flat_map(|numbers| {
        let longest = (u128::from(TEN_YEARS) + 1) * u128::from(numbers.limit) - 1;
        let most = u32::try_from(longest / u128::from(numbers.period)).unwrap_or(u32::MAX);
        prop_oneof![
            2 => Just(numbers),
            1 => Just(numbers.burst(1)),
            3 => (1..=most.min(20)).prop_map(move |burst| numbers.burst(burst)),
            1 => (1..=most).prop_map(move |burst| numbers.burst(burst)),
            1 => Just(numbers.burst(most)),
        ]
    });
    bursts.boxed()
}

/// The quotas of one policy.
pub fn quotas(algorithm: Algorithm) -> impl Strategy<Value = Vec<Numbers>> {
    let several = |count| prop::collection::vec(numbers(algorithm), count);
    prop_oneof![3 => several(1..=1), 2 => several(2..=4)]
}
