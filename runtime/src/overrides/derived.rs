//! Policies with an override that a program computes while it runs, for one subject or one request.

use std::sync::{Arc, Mutex, PoisonError};

use super::Override;
use super::effective::Overridden;
use super::narrowed::narrowed;
use crate::Policy;
use crate::policy::Unsupported;

/// The largest number of derived policies that are remembered for other subjects to share. Programs
/// have few plans.
const MAX_DERIVED: usize = 64;

/// A function that returns the reason why the limiter cannot apply a policy; `None` if it can.
pub(crate) type FindUnsupported<'a> = &'a dyn Fn(&Policy) -> Option<Unsupported>;

/// The policy `base` with the override `changes` applied.
pub(super) struct DerivedPolicy {
    base: Policy,
    pub(super) changes: Override,
    pub(super) overridden: Arc<Overridden>,
}

impl DerivedPolicy {
    pub(super) fn is_derived_from(&self, policy: &Policy) -> bool {
        self.base == *policy
    }
}

/// The derived policies that are remembered. Subjects with the same plan share one.
#[derive(Default)]
pub(crate) struct DerivedPolicies {
    all: Mutex<Vec<Arc<DerivedPolicy>>>,
    /// The text of the last invalid override, so that it is logged only once.
    invalid: Mutex<String>,
}

impl DerivedPolicies {
    /// Returns the policy with the override applied. If the override is invalid, logs that, and
    /// returns the policy [`narrowed`] by it.
    pub(super) fn derive(
        &self,
        base: &Policy,
        changes: &Override,
        unsupported: FindUnsupported<'_>,
    ) -> Arc<DerivedPolicy> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |it: &&Arc<DerivedPolicy>| it.changes == *changes && it.is_derived_from(base);
        if let Some(derived) = all.iter().find(is_it) {
            return Arc::clone(derived);
        }
        let applied = match changes.apply(base) {
            Ok(policy) => match unsupported(&policy) {
                Some(Unsupported { reason, .. }) => Err(reason.to_owned()),
                None => Ok((policy, changes.enabled.unwrap_or(true))),
            },
            Err((key, reason)) => Err(format!("{key}: {reason}")),
        };
        let (policy, is_enabled) = applied.unwrap_or_else(|reason| {
            self.log_once(base, changes, reason);
            (narrowed(base, changes, |policy| unsupported(policy).is_none()), true)
        });
        let derived = Arc::new(DerivedPolicy {
            base: base.clone(),
            changes: changes.clone(),
            overridden: Arc::new(Overridden::new(policy, is_enabled)),
        });
        if all.len() >= MAX_DERIVED {
            all.remove(0);
        }
        all.push(Arc::clone(&derived));
        derived
    }

    /// Returns the policy with an override that the remembered policies are derived by.
    pub(crate) fn overridden(
        &self,
        base: &Policy,
        changes: &Override,
        unsupported: FindUnsupported<'_>,
    ) -> Arc<Overridden> {
        Arc::clone(&self.derive(base, changes, unsupported).overridden)
    }

    /// Logs an invalid override, unless it is the same as the one that was logged last.
    fn log_once(&self, policy: &Policy, changes: &Override, reason: String) {
        let policy = policy.name();
        let text = format!("{policy}: {changes}: {reason}");
        let mut invalid = self.invalid.lock().unwrap_or_else(PoisonError::into_inner);
        if *invalid != text {
            tracing::error!(
                policy, %changes, reason,
                "a subject's override is invalid: the subject gets no more than the policy and \
                 the override both admit"
            );
            *invalid = text;
        }
    }
}
