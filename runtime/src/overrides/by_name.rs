//! The overrides of several policies.

use std::collections::BTreeMap;

use super::settings::Override;

/// A set of overrides by the names of their policies, for
/// [`Limiter::set_overrides`](crate::Limiter::set_overrides).
///
/// ```
/// use tollgate::{Limiter, MemoryBackend, Override, Overrides, Policy, Quota};
/// use std::time::Duration;
///
/// const SEARCH: Policy = Policy::new("search", Quota::new(10, Duration::from_secs(60)));
///
/// let limiter = Limiter::builder(MemoryBackend::new()).declare(SEARCH).build();
/// limiter.set_overrides(Overrides::new().with("search", Override::new().limit(5)))?;
/// # Ok::<_, tollgate::overrides::OverridesError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    by_name: BTreeMap<String, Override>,
}

impl Overrides {
    /// Creates an empty set: every policy is as declared.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an override for the policy of this name, or replaces the one that exists.
    #[must_use]
    pub fn with(mut self, policy: impl Into<String>, changes: Override) -> Self {
        self.by_name.insert(policy.into(), changes);
        self
    }

    /// Removes the override for the policy of this name.
    #[must_use]
    pub fn without(mut self, policy: &str) -> Self {
        self.by_name.remove(policy);
        self
    }

    /// Returns the override for the policy of this name, if there is one.
    #[must_use]
    pub fn get(&self, policy: &str) -> Option<&Override> {
        self.by_name.get(policy)
    }

    /// Returns all overrides, ordered by the names of the policies.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Override)> {
        self.by_name.iter().map(|(name, changes)| (name.as_str(), changes))
    }

    /// Returns `true` if there are no overrides.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}
