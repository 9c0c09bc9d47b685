//! Where subjects are counted for whom there is no room.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use smol_str::SmolStr;

use super::{Lock, lock};
use crate::Policy;
use crate::algorithm::{Counters, Micros, Mode};
use crate::backend::Verdict;

/// One shared counter per policy. A program has few policies, so there are few of these.
#[derive(Default)]
pub(super) struct Overflow {
    counters: Lock<HashMap<SmolStr, Counters>>,
    /// When all of them will be whole again.
    whole_at: AtomicU64,
}

impl Overflow {
    pub(super) fn charge(&self, policy: &Policy, now: Micros, cost: u32, verdict: &mut Verdict) {
        let mut counters = lock(&self.counters);
        let counters =
            counters.entry(policy.name_handle().clone()).or_insert_with(|| Counters::new(policy));
        counters.fit(policy, now);
        counters.decide(policy, now, cost, Mode::Charge, verdict);
        self.whole_at.fetch_max(counters.empty_at(policy), Ordering::Relaxed);
    }

    /// The state of a subject for whom there is a place now. If others of its policy were
    /// counted here, it may have been among them, and what they used is taken for its own.
    pub(super) fn newcomer(&self, policy: &Policy, now: Micros) -> Counters {
        if self.whole_at.load(Ordering::Relaxed) > now
            && let Some(counters) = lock(&self.counters).get_mut(policy.name())
        {
            counters.fit(policy, now);
            return counters.clone();
        }
        Counters::new(policy)
    }
}
