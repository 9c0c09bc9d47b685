//! The shared counters of subjects for which there is no room.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use smol_str::SmolStr;

use super::{Lock, lock};
use crate::algorithm::{Counters, Mode};
use crate::micros::Timestamp;
use crate::verdict::Verdict;
use crate::{Check, Policy};

/// One shared counter per policy. A program has few policies, so there are few of these.
#[derive(Default)]
pub(super) struct Overflow {
    counters: Lock<HashMap<SmolStr, OverflowCounter>>,
    /// The instant from which on all of them are unused, in microseconds.
    empty_at: AtomicU64,
}

struct OverflowCounter {
    /// The form of the policy by which the counters count.
    policy: Policy,
    counters: Counters,
}

impl OverflowCounter {
    fn new(policy: &Policy) -> Self {
        Self { policy: policy.clone(), counters: Counters::new(policy) }
    }

    /// Counts by this form of the policy from now on.
    fn follow(&mut self, policy: &Policy, now: Timestamp) -> &mut Counters {
        if !self.policy.is_kept_like(policy) {
            self.counters.fit(&self.policy, policy, now);
            self.policy = policy.clone();
        }
        &mut self.counters
    }
}

impl Overflow {
    pub(super) fn charge(&self, check: &Check<'_>, now: Timestamp, verdict: &mut Verdict) {
        let policy = check.policy;
        let mut counters = lock(&self.counters);
        let shared = counters.entry(policy.name_handle());
        let shared = shared.or_insert_with(|| OverflowCounter::new(policy));
        let counters = shared.follow(policy, now);
        counters.decide(check, now, Mode::Charge, verdict);
        self.empty_at.fetch_max(counters.empty_at(policy).micros(), Ordering::Relaxed);
    }

    /// Returns the state of a subject for which there is room now. If others of its policy were
    /// counted here, it may have been among them, so what they used is taken for its own.
    pub(super) fn newcomer(&self, policy: &Policy, now: Timestamp) -> Counters {
        if self.empty_at.load(Ordering::Relaxed) > now.micros()
            && let Some(shared) = lock(&self.counters).get_mut(policy.name())
        {
            return shared.follow(policy, now).clone();
        }
        Counters::new(policy)
    }
}
