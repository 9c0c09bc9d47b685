//! The argument of `on_near_limit` functions.

use super::CheckEvent;
use crate::check::Check;
use crate::{Policy, Quota};

/// An admission after which little of a quota remains. It is passed to the function of
/// [`LimiterBuilder::on_near_limit`](crate::LimiterBuilder::on_near_limit).
#[derive(Debug)]
pub struct NearLimit<'a> {
    policy: &'a Policy,
    subject: &'a str,
    quota: &'a Quota,
    remaining: u32,
}

impl<'a> NearLimit<'a> {
    /// Returns the admission with the first quota that has less than `fraction` of its capacity
    /// remaining; `None` if there is no such quota.
    pub(super) fn of(event: &CheckEvent<'a>, fraction: f64) -> Option<Self> {
        let CheckEvent { check: Check { policy, subject, .. }, verdict, .. } = *event;
        let mut quotas = policy.quotas().iter().zip(verdict.quotas());
        quotas.find_map(|(quota, state)| {
            let remaining = state.remaining();
            let is_near = f64::from(remaining) < fraction * f64::from(quota.capacity());
            is_near.then_some(Self { policy, subject, quota, remaining })
        })
    }

    /// Returns the policy that admitted the request.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        self.policy
    }

    /// Returns the subject of the request: an address, the hash of a credential, or the result of a
    /// key function.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.subject
    }

    /// Returns the quota that is nearly used up. If there are several, returns the first.
    #[must_use]
    pub fn quota(&self) -> &Quota {
        self.quota
    }

    /// Returns the number of units of that quota that remain after the admission.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.remaining
    }
}
