//! Overrides: a limiter's policies in effect, in place of those that the program declares.

use super::Limiter;
use crate::overrides::EffectivePolicy;
use crate::overrides::OverridesError;
use crate::{Check, Overrides, Policy};

impl Limiter {
    /// Replaces all overrides at once. They apply to requests that are checked from then on. The
    /// counts of earlier requests stay, and weigh against the new limits. Each change is logged as
    /// a `tracing` event of the target `tollgate::audit`.
    ///
    /// Policies of annotations can be overridden, and those that were
    /// [declared](crate::LimiterBuilder::declare).
    ///
    /// # Errors
    ///
    /// If one of them names no such policy, or would make its policy invalid. Then the present
    /// overrides stay.
    pub fn set_overrides(&self, overrides: Overrides) -> Result<(), OverridesError> {
        self.update_overrides(|_| overrides)
    }

    /// Replaces the overrides by the result of `change`, which receives the present ones. Of two
    /// concurrent updates, neither undoes the other. `change` must not read or replace this
    /// limiter's overrides itself: an update within an update would wait forever.
    ///
    /// # Errors
    ///
    /// If one of the new overrides names no policy that can be overridden, or would make its policy
    /// invalid. Then the present overrides stay.
    pub fn update_overrides(
        &self,
        change: impl FnOnce(Overrides) -> Overrides,
    ) -> Result<(), OverridesError> {
        let annotated = Self::policies().map(|registered| registered.policy());
        let declared = annotated.chain(&self.shared.declared);
        self.shared.overrides.update(change, declared, |policy| self.unsupported(policy))
    }

    /// Returns the present overrides.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        self.shared.overrides.overrides()
    }

    /// Returns the policy in effect, before overrides of single subjects.
    #[inline]
    pub(crate) fn effective_policy<'a>(&self, policy: &'a Policy) -> EffectivePolicy<'a> {
        EffectivePolicy::new(policy, self.shared.overrides.find(policy))
    }

    /// Returns the policy in effect for a subject, given the one before overrides of single
    /// subjects.
    #[inline]
    pub(crate) fn effective_policy_of_subject<'a>(
        &self,
        policy: EffectivePolicy<'a>,
        subject: &str,
    ) -> EffectivePolicy<'a> {
        match &self.shared.subjects {
            Some(subjects) if policy.is_enabled() => {
                subjects.effective_for(policy, subject, &|policy| self.unsupported(policy))
            }
            _ => policy,
        }
    }

    /// Returns the policy in effect for the subject of a check that names the declared one.
    #[inline]
    pub(crate) fn effective_policy_for<'a>(&self, check: &Check<'a>) -> EffectivePolicy<'a> {
        self.effective_policy_of_subject(self.effective_policy(check.policy), check.subject)
    }
}
