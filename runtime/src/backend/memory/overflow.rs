//! The shared counters, for subjects that find the memory backend full.

use std::collections::HashMap;

use smol_str::SmolStr;

use super::{Lock, lock};
use crate::algorithm::{Counters, Mode, Settlement};
use crate::micros::Timestamp;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::verdict::Verdict;
use crate::{Check, Policy, Settled};

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

    /// Returns the counters in the form of `policy`.
    fn translated(&self, policy: &Policy, now: Timestamp) -> Counters {
        if self.policy.is_kept_like(policy) {
            self.counters.clone()
        } else {
            self.counters.translated(&self.policy, policy, now)
        }
    }
}

impl Overflow {
    pub(super) fn charge(&self, check: &Check<'_>, now: Timestamp, verdict: &mut Verdict) {
        let policy = check.policy;
        let mut counters = lock(&self.counters);
        let shared = counters.entry(policy.name_handle());
        let shared = shared.or_insert_with(|| OverflowCounter::new(policy));
        if shared.policy.is_kept_like(policy) {
            shared.counters.decide(check, now, Mode::Charge, verdict);
        } else {
            let mut counters = shared.translated(policy, now);
            counters.decide(check, now, Mode::Charge, verdict);
            if verdict.is_allowed() && check.cost > 0 {
                *shared = OverflowCounter { policy: policy.clone(), counters };
            } else {
                verdict.end_at(shared.counters.no_units_from(&shared.policy), now);
            }
        }
        self.note_use(shared);
    }

    /// Looks at a check of a subject that has no slot of its own.
    pub(super) fn peek(&self, check: &Check<'_>, now: Timestamp, verdict: &mut Verdict) {
        let (mut counters, ends) = self.first_state(check.policy, now);
        counters.decide(check, now, Mode::Peek, verdict);
        verdict.end_at(ends, now);
    }

    /// Charges what a request took beyond its charge. The key of that is gone.
    pub(super) fn settle(&self, check: &Check<'_>, settlement: Settlement) -> Settled {
        let policy = check.policy;
        let mut counters = lock(&self.counters);
        let shared = counters.entry(policy.name_handle());
        let shared = shared.or_insert_with(|| OverflowCounter::new(policy));
        let settled = shared.counters.settle(&shared.policy, policy, settlement);
        self.note_use(shared);
        settled
    }

    fn note_use(&self, shared: &OverflowCounter) {
        let empty_at = shared.counters.empty_at(&shared.policy);
        self.empty_at.fetch_max(empty_at.micros(), Ordering::Relaxed);
    }

    /// Returns the first state of a subject that gets a slot of its own.
    pub(super) fn newcomer(&self, policy: &Policy, now: Timestamp) -> Counters {
        self.first_state(policy, now).0
    }

    /// Returns the first state of a subject, and the time from which on it is that of one without charges.
    /// If subjects of its policy were charged to the shared counter, this subject may have been one of
    /// them, so it starts with all units that are in use there.
    fn first_state(&self, policy: &Policy, now: Timestamp) -> (Counters, Timestamp) {
        if self.empty_at.load(Ordering::Relaxed) > now.micros()
            && let Some(shared) = lock(&self.counters).get(policy.name())
        {
            return (shared.translated(policy, now), shared.counters.no_units_from(&shared.policy));
        }
        (Counters::new(policy), Timestamp::EPOCH)
    }
}
