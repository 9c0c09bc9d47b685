//! Overrides of a limiter: they put other settings into effect than the program declares.

#[cfg(feature = "axum")]
use std::sync::Arc;
use std::time::Duration;

use super::Limiter;
#[cfg(feature = "axum")]
use crate::overrides::Overridden;
use crate::overrides::{EffectivePolicy, OverridesError};
use crate::{Check, Overrides, Policy};
#[cfg(feature = "axum")]
use crate::{Override, Quota};

impl Limiter {
    /// Replaces all overrides at once. The new overrides apply to requests that are checked from
    /// then on. Earlier requests remain counted, and count against the new limits. Each change is
    /// logged as a `tracing` event of the target `tollgate::audit`.
    ///
    /// The policies of annotations can be overridden, and the policies that were
    /// [declared](crate::LimiterBuilder::declare) to the builder.
    ///
    /// # Errors
    ///
    /// If an override names no such policy, or makes its policy invalid. Then the previous
    /// overrides stay in effect.
    pub fn set_overrides(&self, overrides: Overrides) -> Result<(), OverridesError> {
        self.update_overrides(|_| overrides)
    }

    /// Replaces the overrides by the result of `change`, which receives the present overrides.
    /// Concurrent updates do not undo each other. `change` must not read or replace this limiter's
    /// overrides itself: an update within an update would wait forever.
    ///
    /// # Errors
    ///
    /// If a new override names no policy that can be overridden, or makes its policy invalid. Then
    /// the previous overrides stay in effect.
    pub fn update_overrides(
        &self,
        change: impl FnOnce(Overrides) -> Overrides,
    ) -> Result<(), OverridesError> {
        let annotated = Self::policies().map(|registered| registered.policy());
        let declared = annotated.chain(&self.shared.declared);
        self.shared.overrides.update(change, declared, |policy| self.unsupported(policy))?;
        self.shared.queue.notify_all();
        Ok(())
    }

    /// Returns the present overrides.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        self.shared.overrides.overrides()
    }

    /// Returns the policy with the limiter's override applied, if there is one. Overrides of single
    /// subjects are not applied yet.
    #[inline]
    pub(crate) fn effective_policy<'a>(&self, policy: &'a Policy) -> EffectivePolicy<'a> {
        let overridden = self.shared.overrides.find(policy, &|policy| self.unsupported(policy));
        EffectivePolicy::new(policy, overridden)
    }

    /// Returns a policy with the quotas that a function has returned for a request in the place of its
    /// own. If they cannot be applied, that is logged, and the policy admits no more than by either.
    #[cfg(feature = "axum")]
    pub(crate) fn with_quotas(&self, policy: &Policy, quotas: Vec<Quota>) -> Arc<Overridden> {
        let changes = Override::new().quotas(quotas);
        self.shared.plans.overridden(policy, &changes, &|policy| self.unsupported(policy))
    }

    /// Returns the policy in effect of a request for which another quota was found. `planned` is the
    /// result of [`with_quotas`](Self::with_quotas).
    #[cfg(feature = "axum")]
    pub(crate) fn effective_policy_of_plan<'a>(
        &self,
        declared: &'a Policy,
        planned: &Arc<Overridden>,
    ) -> EffectivePolicy<'a> {
        let overridden = self.effective_policy(planned.policy()).into_overridden();
        EffectivePolicy::new(declared, Some(overridden.unwrap_or_else(|| Arc::clone(planned))))
    }

    /// Returns the policy in effect for a subject. `policy` is the result of
    /// [`effective_policy`](Self::effective_policy).
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

    /// Returns the time for which the policy in effect for the subject of a check does not change
    /// without a notice to those who wait. The check contains the declared policy.
    pub(super) fn policy_known_for(&self, check: &Check<'_>) -> Duration {
        let policy = self.effective_policy(check.policy);
        match &self.shared.subjects {
            Some(subjects) if policy.is_enabled() => {
                subjects.known_for(&check.with_policy(&policy))
            }
            _ => Duration::MAX,
        }
    }

    /// Returns the policy in effect for the subject of a check. The check contains the declared
    /// policy.
    #[inline]
    pub(crate) fn effective_policy_for<'a>(&self, check: &Check<'a>) -> EffectivePolicy<'a> {
        self.effective_policy_of_subject(self.effective_policy(check.policy), check.subject)
    }
}
