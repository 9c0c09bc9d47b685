//! Policies in effect: declared policies, and policies with an override applied.

use std::ops::Deref;
use std::sync::Arc;

use crate::Policy;
#[cfg(feature = "axum")]
use crate::response::HeaderCache;

/// A policy with an override applied.
#[derive(Debug)]
pub(crate) struct Overridden {
    pub(super) policy: Policy,
    pub(super) enabled: bool,
    #[cfg(feature = "axum")]
    headers: HeaderCache,
}

impl Overridden {
    pub(super) fn new(policy: Policy, enabled: bool) -> Self {
        Self {
            policy,
            enabled,
            #[cfg(feature = "axum")]
            headers: HeaderCache::new(),
        }
    }
}

#[cfg(feature = "axum")]
impl Overridden {
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns the cache of the texts in the policy's header fields.
    pub(crate) fn headers(&self) -> &HeaderCache {
        &self.headers
    }
}

/// The policy in effect: the declared policy, or that policy with an override applied.
#[derive(Debug)]
pub(crate) struct EffectivePolicy<'a> {
    declared: &'a Policy,
    overridden: Option<Arc<Overridden>>,
}

impl<'a> EffectivePolicy<'a> {
    #[inline]
    pub(crate) fn new(declared: &'a Policy, overridden: Option<Arc<Overridden>>) -> Self {
        Self { declared, overridden }
    }

    /// Returns `false` if an override has switched the policy off.
    #[inline]
    pub(crate) fn is_enabled(&self) -> bool {
        self.overridden.as_ref().is_none_or(|overridden| overridden.enabled)
    }

    /// Returns the policy with quotas that the arithmetic of counters is made for. A subject of a
    /// blocked policy can still be reset and banned.
    pub(crate) fn countable(mut self) -> Self {
        if let Some(policy) = Policy::countable(&self) {
            self.replace(Arc::new(Overridden::new(policy, self.is_enabled())));
        }
        self
    }

    pub(super) fn replace(&mut self, overridden: Arc<Overridden>) {
        self.overridden = Some(overridden);
    }

    #[cfg(feature = "axum")]
    #[inline]
    pub(crate) fn overridden(&self) -> Option<&Arc<Overridden>> {
        self.overridden.as_ref()
    }

    #[cfg(feature = "axum")]
    pub(crate) fn into_overridden(self) -> Option<Arc<Overridden>> {
        self.overridden
    }
}

impl Deref for EffectivePolicy<'_> {
    type Target = Policy;

    #[inline]
    fn deref(&self) -> &Policy {
        self.overridden.as_ref().map_or(self.declared, |overridden| &overridden.policy)
    }
}
