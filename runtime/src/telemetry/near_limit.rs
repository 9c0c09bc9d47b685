//! What a near-limit hook is told.

use super::Told;
use crate::{Policy, Quota};

/// An admission that leaves little of a quota, for the function of
/// [`LimiterBuilder::on_near_limit`](crate::LimiterBuilder::on_near_limit).
#[derive(Debug)]
pub struct NearLimit<'a> {
    policy: &'a Policy,
    subject: &'a str,
    quota: &'a Quota,
    remaining: u32,
}

impl<'a> NearLimit<'a> {
    /// The first quota of which less than `part` remains.
    pub(super) fn of(told: &Told<'a>, part: f64) -> Option<Self> {
        let Told { policy, subject, verdict, .. } = *told;
        let mut quotas = policy.quotas().iter().zip(verdict.quotas());
        quotas.find_map(|(quota, state)| {
            let remaining = state.remaining();
            let is_near = f64::from(remaining) < part * f64::from(quota.capacity());
            is_near.then_some(Self { policy, subject, quota, remaining })
        })
    }

    /// The policy that admitted.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        self.policy
    }

    /// Whose request it was: an address, the hash of a credential, or what a key function gave.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.subject
    }

    /// The quota of which little remains; of several, the first.
    #[must_use]
    pub fn quota(&self) -> &Quota {
        self.quota
    }

    /// How much more it would admit.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.remaining
    }
}
