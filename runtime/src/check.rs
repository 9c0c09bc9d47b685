//! The check: one request that the limiter has to decide, with its policy, subject and cost.

use crate::Policy;

/// One request that the limiter has to admit or refuse: its policy, its subject and its cost.
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
    /// The policy whose quotas apply to the request. Its name is one part of the key of the
    /// counters.
    pub policy: &'a Policy,
    /// The subject whose requests are counted, for example a user. It is the other part of the key.
    pub subject: &'a str,
    /// The number of units that the request takes from every quota. A cost of 0 takes nothing.
    pub cost: u32,
}

impl<'a> Check<'a> {
    /// Creates the check of a request by `subject` under `policy` that takes `cost` units.
    #[inline]
    #[must_use]
    pub const fn new(policy: &'a Policy, subject: &'a str, cost: u32) -> Self {
        Self { policy, subject, cost }
    }

    /// Returns a copy of the check with this cost.
    #[inline]
    #[must_use]
    pub const fn with_cost(self, cost: u32) -> Self {
        Self { cost, ..self }
    }

    /// Returns a copy of the check with this policy.
    #[inline]
    #[must_use]
    pub const fn with_policy(self, policy: &'a Policy) -> Self {
        Self { policy, ..self }
    }

    /// Returns `true` if the request can never be admitted, because its cost exceeds the capacity
    /// of a quota.
    #[must_use]
    pub(crate) fn can_never_pass(&self) -> bool {
        self.policy.quotas().iter().any(|quota| self.cost > quota.capacity())
    }
}
