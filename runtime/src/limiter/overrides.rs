//! Overrides of a limiter: they put other settings into effect than the program declares.

#[cfg(feature = "axum")]
use std::sync::Arc;
use std::time::Duration;

use super::Limiter;
#[cfg(feature = "axum")]
use crate::overrides::Overridden;
#[cfg(feature = "axum")]
use crate::overrides::SubjectOverrides;
use crate::overrides::{EffectivePolicy, FailedLookup, OverridesError, RequestHead};
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

    /// Returns `true` if the policy in effect for a subject may have to be awaited.
    #[cfg(feature = "axum")]
    #[inline]
    pub(crate) fn awaits_subjects(&self) -> bool {
        self.shared.subjects.as_ref().is_some_and(SubjectOverrides::is_awaited)
    }

    /// Returns the policy in effect for a subject. `policy` is the result of
    /// [`effective_policy`](Self::effective_policy). The error is that policy, if an override of the
    /// subject has to be awaited.
    #[inline]
    pub(crate) fn effective_policy_of_subject<'a>(
        &self,
        policy: EffectivePolicy<'a>,
        subject: &str,
    ) -> Result<EffectivePolicy<'a>, EffectivePolicy<'a>> {
        match &self.shared.subjects {
            Some(subjects) if policy.is_enabled() => {
                subjects.effective_for(policy, subject, &|policy| self.unsupported(policy))
            }
            _ => Ok(policy),
        }
    }

    /// Returns the policy in effect for a subject, and awaits its override where necessary. `policy` is
    /// the result of [`effective_policy`](Self::effective_policy).
    pub(crate) async fn find_policy_of_subject<'a>(
        &self,
        policy: EffectivePolicy<'a>,
        subject: &str,
        request: Option<&RequestHead>,
    ) -> FoundPolicy<'a> {
        let policy = match self.effective_policy_of_subject(policy, subject) {
            Ok(policy) => return FoundPolicy { policy, failed: None },
            Err(policy) => policy,
        };
        let Some(subjects) = &self.shared.subjects else {
            return FoundPolicy { policy, failed: None };
        };
        let asked = subjects.ask(&Check::new(&policy, subject, 0), request).await;
        match asked {
            Ok(asked) => {
                let unsupported = |policy: &Policy| self.unsupported(policy);
                let policy = subjects.accept(policy, subject, asked, &unsupported);
                FoundPolicy { policy, failed: None }
            }
            Err(failed) => FoundPolicy { policy, failed: Some(failed) },
        }
    }

    /// Returns the policy in effect for the subject of a check, and awaits its override where necessary.
    /// The check contains the declared policy.
    pub(crate) async fn find_policy_for<'a>(
        &self,
        check: &Check<'a>,
        request: Option<&RequestHead>,
    ) -> FoundPolicy<'a> {
        let policy = self.effective_policy(check.policy);
        self.find_policy_of_subject(policy, check.subject, request).await
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
    /// policy. The error is the policy without an override of the subject, if that has to be awaited.
    #[inline]
    pub(crate) fn effective_policy_for<'a>(
        &self,
        check: &Check<'a>,
    ) -> Result<EffectivePolicy<'a>, EffectivePolicy<'a>> {
        self.effective_policy_of_subject(self.effective_policy(check.policy), check.subject)
    }

    /// Returns the policy under which the state of a check's subject is found, whatever its quotas are.
    /// The check contains the declared policy.
    pub(super) fn countable_policy_for<'a>(&self, check: &Check<'a>) -> EffectivePolicy<'a> {
        self.effective_policy_for(check).unwrap_or_else(|policy| policy).countable()
    }
}

/// The policy in effect for a subject.
pub(crate) struct FoundPolicy<'a> {
    /// If the override of the subject could not be found, the policy without it.
    pub(crate) policy: EffectivePolicy<'a>,
    pub(crate) failed: Option<FailedLookup>,
}
