//! Policies in effect.

#[cfg(feature = "axum")]
use std::any::Any;
#[cfg(feature = "axum")]
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
#[cfg(feature = "axum")]
use std::sync::OnceLock;

use crate::Policy;

/// A policy with an override applied.
#[derive(Debug)]
pub(crate) struct Overridden {
    pub(super) policy: Policy,
    pub(super) enabled: bool,
    #[cfg(feature = "axum")]
    slot: CacheSlot,
}

impl Overridden {
    pub(super) fn new(policy: Policy, enabled: bool) -> Self {
        Self {
            policy,
            enabled,
            #[cfg(feature = "axum")]
            slot: CacheSlot::default(),
        }
    }
}

#[cfg(feature = "axum")]
impl Overridden {
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns the slot for a value that depends on the policy alone, which lives as long as the
    /// override.
    pub(crate) fn slot(&self) -> &CacheSlot {
        &self.slot
    }
}

/// A value that is created on first use, of a type that only its user knows.
#[cfg(feature = "axum")]
#[derive(Default)]
pub(crate) struct CacheSlot(OnceLock<Box<dyn Any + Send + Sync>>);

#[cfg(feature = "axum")]
impl CacheSlot {
    /// Returns the value, which `create` makes on first use. All uses of one slot must be of one
    /// type.
    #[expect(clippy::expect_used, reason = "the type is a matter of the program, not of its input")]
    pub(crate) fn get_or_create<T: Any + Send + Sync>(&self, create: impl FnOnce() -> T) -> &T {
        let value = self.0.get_or_init(|| Box::new(create()));
        value.downcast_ref().expect("all uses of a slot are of one type")
    }
}

#[cfg(feature = "axum")]
impl fmt::Debug for CacheSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheSlot").finish_non_exhaustive()
    }
}

/// The policy in effect: the declared one, or one with an override applied.
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

    pub(super) fn replace(&mut self, overridden: Arc<Overridden>) {
        self.overridden = Some(overridden);
    }

    #[cfg(feature = "axum")]
    #[inline]
    pub(crate) fn overridden(&self) -> Option<&Arc<Overridden>> {
        self.overridden.as_ref()
    }
}

impl Deref for EffectivePolicy<'_> {
    type Target = Policy;

    #[inline]
    fn deref(&self) -> &Policy {
        self.overridden.as_ref().map_or(self.declared, |overridden| &overridden.policy)
    }
}
