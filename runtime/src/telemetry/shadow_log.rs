//! The log of requests that policies in shadow mode would have refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use smol_str::SmolStr;

use crate::Clock;

/// The time in which one refusal of a policy is logged, in microseconds: a minute.
const PERIOD: u64 = 60_000_000;
/// The largest number of policies that are told apart.
const MAX_POLICIES: usize = 1_000;

/// Chooses the refusals that are logged at `info`: the first one of each policy in a minute. A
/// policy in shadow mode is often one that refuses nearly everything, so a line for each of its
/// refusals would fill the disk.
pub(crate) struct ShadowLog {
    clock: Arc<dyn Clock>,
    policies: Mutex<HashMap<SmolStr, Told>>,
}

/// The state of one policy.
struct Told {
    at: u64,
    /// The number of refusals since then.
    since: u64,
}

impl ShadowLog {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, policies: Mutex::default() }
    }

    /// Counts a refusal. If it is to be logged, returns the number of those since the last one that
    /// were not.
    pub(super) fn count(&self, policy: &str) -> Option<u64> {
        let now = self.clock.now_micros();
        let mut policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = policies.get_mut(policy) {
            // The clock may have been set back.
            if now.abs_diff(told.at) < PERIOD {
                told.since += 1;
                return None;
            }
            let since = told.since;
            *told = Told { at: now, since: 0 };
            return Some(since);
        }
        if policies.len() >= MAX_POLICIES {
            return None;
        }
        policies.insert(policy.into(), Told { at: now, since: 0 });
        Some(0)
    }
}
