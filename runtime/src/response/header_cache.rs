//! A cache of the texts in a policy's header fields.

use std::sync::OnceLock;

use super::policy_text::PolicyText;
use crate::Policy;

/// A cache of the texts that depend only on the policy. They are formatted at the first use.
#[derive(Debug)]
pub(crate) struct HeaderCache {
    text: OnceLock<PolicyText>,
    /// `true` if the cache is part of a static, and so is never dropped.
    in_static: bool,
}

/// Clones start empty, because the owner of a clone may change the policy.
impl Clone for HeaderCache {
    fn clone(&self) -> Self {
        Self { text: OnceLock::new(), in_static: false }
    }
}

impl HeaderCache {
    pub(crate) const fn new() -> Self {
        Self { text: OnceLock::new(), in_static: false }
    }

    pub(crate) const fn in_static() -> Self {
        Self { text: OnceLock::new(), in_static: true }
    }

    pub(crate) fn text(&self, policy: &Policy) -> &PolicyText {
        let new = if self.in_static { PolicyText::in_static } else { PolicyText::new };
        self.text.get_or_init(|| new(policy))
    }
}
