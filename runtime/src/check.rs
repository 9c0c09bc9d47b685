//! One request to be decided, in the form in which it is passed on to the store.

use crate::Policy;

/// One request to be decided: its policy, its subject and its cost.
///
/// ```
/// use std::time::Duration;
/// use tollgate::{Check, Policy, Quota};
///
/// static EMAILS: Policy = Policy::new("emails", Quota::new(2, Duration::from_secs(60)));
///
/// let check = Check::new(&EMAILS, "alice", 1);
/// assert_eq!(check.policy.name(), "emails");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Check<'a> {
    /// The policy whose quotas apply; its name is part of the key.
    pub policy: &'a Policy,
    /// The subject whose requests are counted: the other part of the key.
    pub subject: &'a str,
    /// The units that the request takes from every quota; with 0 it takes nothing.
    pub cost: u32,
}

impl<'a> Check<'a> {
    /// Creates a check of a request of `subject` that takes `cost` units.
    #[inline]
    #[must_use]
    pub const fn new(policy: &'a Policy, subject: &'a str, cost: u32) -> Self {
        Self { policy, subject, cost }
    }

    /// Returns the same request at another cost.
    #[inline]
    #[must_use]
    pub const fn with_cost(self, cost: u32) -> Self {
        Self { cost, ..self }
    }

    /// Returns the same request under another policy.
    #[inline]
    #[must_use]
    pub const fn with_policy(self, policy: &'a Policy) -> Self {
        Self { policy, ..self }
    }

    /// Returns `true` if waiting does not help, because the cost exceeds the capacity of a quota.
    #[must_use]
    pub(crate) fn can_never_pass(&self) -> bool {
        self.policy.quotas().iter().any(|quota| self.cost > quota.capacity())
    }
}
