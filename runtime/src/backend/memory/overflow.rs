//! Where subjects are counted for whom there is no room.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use smol_str::SmolStr;

use super::lock;
use crate::Policy;
use crate::algorithm::{Counters, Mode};
use crate::backend::Verdict;

/// One shared counter per policy. A program has few policies, so there are few of these.
#[derive(Default)]
pub(super) struct Overflow {
    counters: Mutex<HashMap<SmolStr, Counters>>,
    checks: AtomicU64,
}

impl Overflow {
    pub(super) fn decide(&self, policy: &Policy, now: u64, cost: u32, mode: Mode) -> Verdict {
        if self.checks.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                policy = policy.name(),
                "the memory backend is full of subjects that are being refused; new subjects \
                 now share one counter per policy and may be refused early. Raise \
                 `max_keys`, or find out who sends so many distinct keys"
            );
        }
        let mut counters = lock(&self.counters);
        let counters =
            counters.entry(policy.name_handle().clone()).or_insert_with(|| Counters::new(policy));
        counters.decide(policy, now, cost, mode)
    }

    pub(super) fn count(&self) -> u64 {
        self.checks.load(Ordering::Relaxed)
    }
}
