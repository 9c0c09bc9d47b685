//! What a limiter keeps instead of what the program says.

use super::Limiter;
use crate::overrides::Current;
use crate::{Check, Overrides, OverridesError, Policy};

impl Limiter {
    /// Replaces what is said of policies instead of what the program says, all at once. Requests
    /// that are asked about from then on are judged by that; what has been counted is kept, and
    /// weighs against the new limits. Each change is told as a `tracing` event of the target
    /// `tollgate::audit`.
    ///
    /// What can be overridden are the policies of annotations, and those that were
    /// [declared](crate::LimiterBuilder::declare).
    ///
    /// # Errors
    ///
    /// If one of them names no policy, or would make of it what cannot be; then all stays as it
    /// was.
    pub fn set_overrides(&self, overrides: Overrides) -> Result<(), OverridesError> {
        self.update_overrides(|_| overrides)
    }

    /// As [`set_overrides`](Self::set_overrides), with what `change` makes of those that there are;
    /// of two that change them at a time, neither undoes what the other did. It must not look at
    /// or change this limiter's overrides itself.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn update_overrides(
        &self,
        change: impl FnOnce(Overrides) -> Overrides,
    ) -> Result<(), OverridesError> {
        let annotated = Self::policies().map(|registered| registered.policy());
        let declared = annotated.chain(&self.shared.declared);
        self.shared.overrides.update(change, declared, |policy| self.unsupported(policy))
    }

    /// What is said of policies instead of what the program says.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        self.shared.overrides.overrides()
    }

    /// A policy as it is kept now.
    #[inline]
    pub(crate) fn current<'a>(&self, policy: &'a Policy) -> Current<'a> {
        Current::new(policy, self.shared.overrides.find(policy))
    }

    /// The same as it is for this subject.
    #[inline]
    pub(crate) fn for_subject<'a>(&self, policy: Current<'a>, subject: &str) -> Current<'a> {
        match &self.shared.subjects {
            Some(subjects) if policy.is_enabled() => {
                subjects.of(policy, subject, |policy| self.unsupported(policy))
            }
            _ => policy,
        }
    }

    /// Returns the policy in effect for the subject of a check that names the declared one.
    #[inline]
    pub(crate) fn current_for<'a>(&self, check: &Check<'a>) -> Current<'a> {
        self.for_subject(self.current(check.policy), check.subject)
    }
}
