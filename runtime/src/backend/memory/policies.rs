//! The policies of all stored keys. A policy is stored once, and the keys share it.

use std::collections::HashMap;
use std::sync::Arc;

use smol_str::SmolStr;

use super::{Lock, lock};
use crate::Policy;

/// Shared policies, by name. A program has few policies. Those that no key uses any more are
/// removed before the map grows.
#[derive(Default)]
pub(crate) struct SharedPolicies {
    known: Lock<HashMap<SmolStr, Arc<Policy>>>,
}

impl SharedPolicies {
    /// Returns the policy as a shared pointer, which is the same for all keys as long as the quotas
    /// and the algorithm of the policy do not change.
    pub(crate) fn share(&self, policy: &Policy) -> Arc<Policy> {
        let mut known = lock(&self.known);
        if let Some(shared) = known.get(policy.name())
            && shared.counts_like(policy)
        {
            return Arc::clone(shared);
        }
        if known.len() == known.capacity() {
            // The map is about to grow. This happens seldom, so unused policies are removed here.
            known.retain(|_, shared| Arc::strong_count(shared) > 1);
        }
        let shared = Arc::new(policy.clone());
        known.insert(policy.name_handle(), Arc::clone(&shared));
        shared
    }
}
