//! The overrides of one limiter, applied to their policies in advance.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use smol_str::SmolStr;

use super::derived::{DerivedPolicies, FindUnsupported};
use super::effective::Overridden;
use super::error::OverrideMistake;
use super::{Override, Overrides, OverridesError};
use crate::policy::Unsupported;
use crate::{Policy, suggest};

/// A set of overrides that is replaced all at once. Lookups never wait.
#[derive(Default)]
pub(crate) struct OverrideTable {
    /// `true` if there are overrides, or if all policies are switched off. If it is `false`, a check reads nothing else of this table.
    any: AtomicBool,
    /// `true` if all policies are switched off, whatever the overrides say.
    is_switched_off: bool,
    active: ArcSwap<ActiveOverrides>,
    /// The overrides, applied to policies that are not declared as they are, though one of their name
    /// is: a declared policy with a quota that a function of the request has returned.
    others: DerivedPolicies,
    /// The lock that is taken during an update, so that no change is lost and the audit log
    /// contains the changes in order.
    replacing: Mutex<()>,
}

#[derive(Default)]
struct ActiveOverrides {
    overrides: Overrides,
    by_name: HashMap<SmolStr, Vec<OverriddenPolicy>, RandomState>,
}

/// A declared policy with its override applied. Several policies may have the same name: their
/// quotas and algorithm are the same, but other settings may differ.
struct OverriddenPolicy {
    declared: Policy,
    overridden: Arc<Overridden>,
}

impl OverrideTable {
    /// Creates a table by which every policy is switched off.
    pub(crate) fn switched_off() -> Self {
        Self { any: AtomicBool::new(true), is_switched_off: true, ..Self::default() }
    }

    /// Returns the policy with its override applied; `None` if it has no override.
    #[inline]
    pub(crate) fn find(
        &self,
        policy: &Policy,
        unsupported: FindUnsupported<'_>,
    ) -> Option<Arc<Overridden>> {
        if self.any.load(Ordering::Relaxed) { self.find_any(policy, unsupported) } else { None }
    }

    fn find_any(
        &self,
        policy: &Policy,
        unsupported: FindUnsupported<'_>,
    ) -> Option<Arc<Overridden>> {
        if self.is_switched_off {
            return Some(Arc::new(Overridden::new(policy.clone(), false)));
        }
        let active = self.active.load();
        let policies = active.by_name.get(policy.name())?;
        if let Some(found) = policies.iter().find(|it| it.declared == *policy) {
            return Some(Arc::clone(&found.overridden));
        }
        let changes = active.overrides.get(policy.name())?;
        Some(self.others.overridden(policy, changes, unsupported))
    }

    /// Returns the present overrides.
    pub(crate) fn overrides(&self) -> Overrides {
        self.active.load().overrides.clone()
    }

    /// Replaces the overrides by the result of `change`, if that is valid. `declared` yields the
    /// policies that can be overridden. `unsupported` returns the reason why the limiter cannot
    /// apply a policy, or `None` if it can.
    pub(crate) fn update<'a>(
        &self,
        change: impl FnOnce(Overrides) -> Overrides,
        declared: impl Iterator<Item = &'a Policy>,
        unsupported: impl Fn(&Policy) -> Option<Unsupported>,
    ) -> Result<(), OverridesError> {
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let overrides = change(self.overrides());
        let declared: Vec<&Policy> = declared.collect();
        let mut by_name = HashMap::<_, _, RandomState>::default();
        let mut mistakes = Vec::new();
        for (name, changes) in overrides.iter() {
            match apply((name, changes), &declared, &unsupported) {
                Ok(policies) => {
                    by_name.insert(SmolStr::new(name), policies);
                }
                Err((key, reason)) => {
                    let (origin, policy) = (changes.origin.clone(), name.to_owned());
                    mistakes.push(OverrideMistake { origin, policy, key, reason });
                }
            }
        }
        if let Some(error) = OverridesError::of(mistakes) {
            return Err(error);
        }
        let any = self.is_switched_off || !overrides.is_empty();
        let old = self.active.swap(Arc::new(ActiveOverrides { overrides, by_name }));
        self.any.store(any, Ordering::Relaxed);
        audit(&old.overrides, &self.active.load().overrides);
        Ok(())
    }
}

/// Applies an override to each declared policy of its name. The error is the invalid setting
/// (`None` if there is no such policy) and the reason.
fn apply(
    (name, changes): (&str, &Override),
    declared: &[&Policy],
    unsupported: impl Fn(&Policy) -> Option<Unsupported>,
) -> Result<Vec<OverriddenPolicy>, (Option<&'static str>, String)> {
    let mut policies = Vec::<OverriddenPolicy>::new();
    for &base in declared.iter().filter(|policy| policy.name() == name) {
        if policies.iter().any(|it| it.declared == *base) {
            continue;
        }
        let policy = changes.apply(base).map_err(|(key, reason)| (Some(key), reason))?;
        if let Some(Unsupported { setting, reason }) = unsupported(&policy) {
            return Err((Some(setting), reason.to_owned()));
        }
        let overridden = Arc::new(Overridden::new(policy, changes.enabled.unwrap_or(true)));
        policies.push(OverriddenPolicy { declared: base.clone(), overridden });
    }
    if policies.is_empty() {
        let names: BTreeSet<&str> = declared.iter().map(|policy| policy.name()).collect();
        let nothing = "there is none: annotate a function, or declare it to the limiter's builder";
        let hint = suggest::hint(name, names, nothing);
        return Err((None, format!("no such policy: {hint}")));
    }
    Ok(policies)
}

/// Logs the changes to the audit log: the old and the new override of each policy for which they
/// differ.
fn audit(old: &Overrides, new: &Overrides) {
    let names: BTreeSet<&str> = old.iter().chain(new.iter()).map(|(name, _)| name).collect();
    let none = Override::new();
    for policy in names {
        let [old, new] = [old, new].map(|overrides| overrides.get(policy).unwrap_or(&none));
        if old != new {
            tracing::info!(
                target: "tollgate::audit",
                policy, %old, %new,
                "the override of a policy has changed"
            );
        }
    }
}
