//! A policy as a limiter keeps it now.

use std::ops::Deref;
use std::sync::Arc;

use crate::Policy;

/// What overrides have made of a policy.
#[derive(Debug)]
pub(crate) struct Overridden {
    pub(super) policy: Policy,
    pub(super) enabled: bool,
    #[cfg(feature = "axum")]
    pub(super) fields: crate::response::HeaderCache,
}

#[cfg(feature = "axum")]
impl Overridden {
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The policy in the words of its header fields.
    pub(crate) fn fields(&self) -> &crate::response::HeaderCache {
        &self.fields
    }
}

/// A policy as the program has it, or what overrides have made of it.
#[derive(Debug)]
pub(crate) struct Current<'a> {
    written: &'a Policy,
    overridden: Option<Arc<Overridden>>,
}

impl<'a> Current<'a> {
    #[inline]
    pub(crate) fn new(written: &'a Policy, overridden: Option<Arc<Overridden>>) -> Self {
        Self { written, overridden }
    }

    /// Whether it is in force at all.
    #[inline]
    pub(crate) fn is_enabled(&self) -> bool {
        self.overridden.as_ref().is_none_or(|overridden| overridden.enabled)
    }

    pub(super) fn replace(&mut self, overridden: Arc<Overridden>) {
        self.overridden = Some(overridden);
    }

    #[cfg(feature = "axum")]
    #[inline]
    pub(crate) fn overridden(&self) -> Option<&Arc<Overridden>> {
        self.overridden.as_ref()
    }
}

impl Deref for Current<'_> {
    type Target = Policy;

    #[inline]
    fn deref(&self) -> &Policy {
        self.overridden.as_ref().map_or(self.written, |overridden| &overridden.policy)
    }
}
