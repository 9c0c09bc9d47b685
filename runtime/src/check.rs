//! One request to be judged: the value that travels from the doors to the stores.

use crate::Policy;

/// One request to be judged: by which policy, whose request it is, and how much it costs.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    /// The policy whose quotas apply; its name is part of the key.
    pub policy: &'a Policy,
    /// The subject whose requests are counted: the other part of the key.
    pub subject: &'a str,
    /// The units that the request takes of every quota; with 0 it takes nothing.
    pub cost: u32,
}

impl<'a> Check<'a> {
    /// Creates a check of a request of `subject` that takes `cost`.
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
}

impl<'a> crate::Operation<'a> {
    /// Returns the check that this operation is about; its cost is 0 for a reset.
    #[inline]
    pub(crate) fn check(&self) -> Check<'a> {
        let cost = match self.action {
            crate::Action::Charge { cost }
            | crate::Action::Peek { cost }
            | crate::Action::Refund { cost, .. } => cost,
            crate::Action::Reset => 0,
        };
        Check::new(self.policy, self.subject, cost)
    }

    /// Creates the charge of a check.
    pub(crate) const fn charge(check: Check<'a>) -> Self {
        let action = crate::Action::Charge { cost: check.cost };
        Self { policy: check.policy, subject: check.subject, action }
    }

    /// Creates the peek at a check, which charges nothing.
    pub(crate) const fn peek(check: Check<'a>) -> Self {
        let action = crate::Action::Peek { cost: check.cost };
        Self { policy: check.policy, subject: check.subject, action }
    }

    /// Creates the refund of a check that was charged at `stamp_micros`, by the store itself.
    pub(crate) const fn refund(check: Check<'a>, stamp_micros: u64) -> Self {
        let source = crate::Source::Store;
        let action = crate::Action::Refund { stamp_micros, cost: check.cost, source };
        Self { policy: check.policy, subject: check.subject, action }
    }
}
