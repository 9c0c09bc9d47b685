//! The policies of the keys that are held, each once.

use std::collections::HashMap;
use std::sync::Arc;

use smol_str::SmolStr;

use super::{Lock, lock};
use crate::Policy;

/// As many as a program has names for, so few; of those that nobody uses any more, not many are
/// kept.
#[derive(Default)]
pub(crate) struct Policies {
    known: Lock<HashMap<SmolStr, Arc<Policy>>>,
}

impl Policies {
    /// The policy, shared with other keys that are counted alike.
    pub(crate) fn share(&self, policy: &Policy) -> Arc<Policy> {
        let mut known = lock(&self.known);
        if let Some(shared) = known.get(policy.name())
            && shared.counts_like(policy)
        {
            return Arc::clone(shared);
        }
        if known.len() == known.capacity() {
            // Before it grows, which is seldom.
            known.retain(|_, shared| Arc::strong_count(shared) > 1);
        }
        let shared = Arc::new(policy.clone());
        known.insert(policy.name_handle(), Arc::clone(&shared));
        shared
    }
}
