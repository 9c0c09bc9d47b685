//! Where subjects are counted for whom there is no room.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use smol_str::SmolStr;

use super::{Lock, lock};
use crate::Policy;
use crate::Verdict;
use crate::algorithm::{Counters, Micros, Mode};

/// One shared counter per policy. A program has few policies, so there are few of these.
#[derive(Default)]
pub(super) struct Overflow {
    counters: Lock<HashMap<SmolStr, Shared>>,
    /// When all of them will be whole again.
    whole_at: AtomicU64,
}

struct Shared {
    /// By which it counts.
    policy: Policy,
    counters: Counters,
}

impl Shared {
    fn new(policy: &Policy) -> Self {
        Self { policy: policy.clone(), counters: Counters::new(policy) }
    }

    /// Counts by this form of the policy from now on.
    fn follow(&mut self, policy: &Policy, now: Micros) -> &mut Counters {
        if !self.policy.is_kept_like(policy) {
            self.counters.fit(&self.policy, policy, now);
            self.policy = policy.clone();
        }
        &mut self.counters
    }
}

impl Overflow {
    pub(super) fn charge(&self, policy: &Policy, now: Micros, cost: u32, verdict: &mut Verdict) {
        let mut counters = lock(&self.counters);
        let shared = counters.entry(policy.name_handle()).or_insert_with(|| Shared::new(policy));
        let counters = shared.follow(policy, now);
        counters.decide(policy, now, cost, Mode::Charge, verdict);
        self.whole_at.fetch_max(counters.empty_at(policy), Ordering::Relaxed);
    }

    /// The state of a subject for whom there is a place now. If others of its policy were
    /// counted here, it may have been among them, and what they used is taken for its own.
    pub(super) fn newcomer(&self, policy: &Policy, now: Micros) -> Counters {
        if self.whole_at.load(Ordering::Relaxed) > now
            && let Some(shared) = lock(&self.counters).get_mut(policy.name())
        {
            return shared.follow(policy, now).clone();
        }
        Counters::new(policy)
    }
}
