//! What the tests of properties share: how many cases, of which algorithms, and the words they
//! have for what they see.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::RngAlgorithm;
use tollgate::{Decision, Outcome, QuotaState};

use super::{DAY, Expected, START};

/// What a decision tells.
pub fn said(decision: &Decision) -> Expected {
    said_of(decision.outcome(), decision.quotas())
}

/// What a store tells.
pub fn said_of(outcome: Outcome, quotas: &[QuotaState]) -> Expected {
    let never = quotas.iter().any(|state| state.retry_after().is_none());
    let wait = |state: &QuotaState| match never {
        true => state.retry_after().map(|_| Duration::ZERO),
        false => state.retry_after(),
    };
    let waits = quotas.iter().map(wait).collect();
    Expected { outcome, quotas: quotas.to_vec(), waits }
}

pub fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap()
}

/// So many random cases. A failure is printed with its smallest input; nothing is written
/// beside the tests.
pub fn cases(quick: u32, full: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        // A third of the time would go into better random numbers than these tests need.
        rng_algorithm: RngAlgorithm::XorShift,
        ..ProptestConfig::with_cases(crate::scaled(quick, full))
    }
}

/// The most units, admitted each at an instant, that any half-open window of `period` holds. One
/// that begins with an admission holds as much as any.
pub fn worst_window(admitted: &[(u64, u64)], period: u64) -> u64 {
    let window = |start: u64| {
        let inside = admitted.iter().filter(|(at, _)| (start..start + period).contains(at));
        inside.map(|(_, units)| units).sum()
    };
    admitted.iter().map(|(start, _)| window(*start)).max().unwrap_or(0)
}

/// Where a clock goes.
#[derive(Clone, Copy, Debug)]
pub enum Jump {
    Forward(u64),
    Back(u64),
    To(u64),
}

impl Jump {
    pub fn from(self, now: u64) -> u64 {
        match self {
            Self::Forward(span) => now.saturating_add(span),
            Self::Back(span) => now.saturating_sub(span),
            Self::To(instant) => instant,
        }
    }
}

/// Also to instants around `far`.
pub fn jump(far: impl Strategy<Value = u64>) -> impl Strategy<Value = Jump> {
    let span = || prop_oneof![0_u64..=5, 0_u64..=1_000_000, 0_u64..=800 * DAY];
    prop_oneof![
        4 => span().prop_map(Jump::Forward),
        3 => span().prop_map(Jump::Back),
        1 => prop_oneof![0_u64..=10, 0_u64..=2 * START, far].prop_map(Jump::To),
    ]
}

/// A test for each of the six algorithms, from one that takes the algorithm.
#[macro_export]
macro_rules! for_all_six {
    ($test:ident) => {
        mod $test {
            use tollgate::Algorithm;

            #[test]
            fn sliding_window() {
                super::$test(Algorithm::SlidingWindow);
            }
            #[test]
            fn sliding_window_counter() {
                super::$test(Algorithm::SlidingWindowCounter);
            }
            #[test]
            fn fixed_window() {
                super::$test(Algorithm::FixedWindow);
            }
            #[test]
            fn token_bucket() {
                super::$test(Algorithm::TokenBucket);
            }
            #[test]
            fn leaky_bucket() {
                super::$test(Algorithm::LeakyBucket);
            }
            #[test]
            fn gcra() {
                super::$test(Algorithm::Gcra);
            }
        }
    };
}

pub use for_all_six;
