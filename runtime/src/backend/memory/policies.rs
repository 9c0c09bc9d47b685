//! The policies of the keys that are held, each stored once.

use std::collections::HashMap;
use std::sync::Arc;

use smol_str::SmolStr;

use super::{Lock, lock};
use crate::Policy;

/// Shared policies, by name. A program has few, and those that no key uses any more are removed
/// before the map grows.
#[derive(Default)]
pub(crate) struct SharedPolicies {
    known: Lock<HashMap<SmolStr, Arc<Policy>>>,
}

impl SharedPolicies {
    /// Returns the policy, shared with other keys that are counted by the same form of it.
    pub(crate) fn share(&self, policy: &Policy) -> Arc<Policy> {
        let mut known = lock(&self.known);
        if let Some(shared) = known.get(policy.name())
            && shared.counts_like(policy)
        {
            return Arc::clone(shared);
        }
        if known.len() == known.capacity() {
            // The map is about to grow, which is seldom.
            known.retain(|_, shared| Arc::strong_count(shared) > 1);
        }
        let shared = Arc::new(policy.clone());
        known.insert(policy.name_handle(), Arc::clone(&shared));
        shared
    }
}
