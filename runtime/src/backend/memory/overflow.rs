//! The shared counters, for subjects that find the memory backend full.

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
    /// The time from which on no shared counter has units in use, in microseconds since the Unix
    /// epoch.
    empty_at: AtomicU64,
}

struct OverflowCounter {
    /// The policy whose quotas and algorithm these counters follow.
    policy: Policy,
    counters: Counters,
}

impl OverflowCounter {
    fn new(policy: &Policy) -> Self {
        Self { policy: policy.clone(), counters: Counters::new(policy) }
    }

    /// Converts the counters if the quotas or the algorithm of the policy have changed, and returns
    /// them.
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

    /// Returns the first state of a subject that gets a slot of its own. If subjects of its policy
    /// were charged to the shared counter, this subject may have been one of them, so it starts
    /// with all units that are in use there.
    pub(super) fn newcomer(&self, policy: &Policy, now: Timestamp) -> Counters {
        if self.empty_at.load(Ordering::Relaxed) > now.micros()
            && let Some(shared) = lock(&self.counters).get_mut(policy.name())
        {
            return shared.follow(policy, now).clone();
        }
        Counters::new(policy)
    }
}
