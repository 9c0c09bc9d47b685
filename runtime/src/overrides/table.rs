//! The overrides of one limiter, ready to be looked up.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use smol_str::SmolStr;

use super::error::OverrideMistake;
use super::{Overridden, Override, Overrides, OverridesError};
use crate::{Policy, suggest};

/// Replaced as a whole; looking up waits for nobody.
#[derive(Default)]
pub(crate) struct Table {
    /// Whether there are any: all that a check looks at if there are none.
    any: AtomicBool,
    entries: ArcSwap<Entries>,
    /// Held by who replaces them, so that no change is lost and the audit tells of them in the order
    /// in which they were made.
    replacing: Mutex<()>,
}

#[derive(Default)]
struct Entries {
    overrides: Overrides,
    by_name: HashMap<SmolStr, Vec<Entry>, RandomState>,
}

/// Policies of one name count alike, but may differ in the rest.
struct Entry {
    written: Policy,
    overridden: Arc<Overridden>,
}

impl Table {
    /// What has been made of the policy, if anything has.
    #[inline]
    pub(crate) fn find(&self, policy: &Policy) -> Option<Arc<Overridden>> {
        if self.any.load(Ordering::Relaxed) { self.entries.load().find(policy) } else { None }
    }

    /// What they are now.
    pub(crate) fn overrides(&self) -> Overrides {
        self.entries.load().overrides.clone()
    }

    /// Replaces them by what `change` makes of them, if nothing is wrong with that. `declared` is
    /// all that can be overridden, and `unsupported` says what of a policy this limiter cannot keep.
    pub(crate) fn update<'a>(
        &self,
        change: impl FnOnce(Overrides) -> Overrides,
        declared: impl Iterator<Item = &'a Policy>,
        unsupported: impl Fn(&Policy) -> Option<&'static str>,
    ) -> Result<(), OverridesError> {
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let overrides = change(self.overrides());
        let declared: Vec<&Policy> = declared.collect();
        let mut by_name = HashMap::<_, _, RandomState>::default();
        let mut mistakes = Vec::new();
        for (name, changes) in overrides.iter() {
            match entries(name, changes, &declared, &unsupported) {
                Ok(entries) => {
                    by_name.insert(SmolStr::new(name), entries);
                }
                Err((key, reason)) => {
                    mistakes.push(OverrideMistake { policy: name.to_owned(), key, reason });
                }
            }
        }
        if let Some(error) = OverridesError::of(mistakes) {
            return Err(error);
        }
        let any = !overrides.is_empty();
        let old = self.entries.swap(Arc::new(Entries { overrides, by_name }));
        self.any.store(any, Ordering::Relaxed);
        audit(&old.overrides, &self.entries.load().overrides);
        Ok(())
    }
}

impl Entries {
    fn find(&self, policy: &Policy) -> Option<Arc<Overridden>> {
        let entries = self.by_name.get(policy.name())?;
        let same = entries.iter().find(|entry| entry.written == *policy);
        let entry = same.or(entries.first())?;
        Some(Arc::clone(&entry.overridden))
    }
}

fn entries(
    name: &str,
    changes: &Override,
    declared: &[&Policy],
    unsupported: impl Fn(&Policy) -> Option<&'static str>,
) -> Result<Vec<Entry>, (Option<&'static str>, String)> {
    let mut entries = Vec::<Entry>::new();
    for &written in declared.iter().filter(|policy| policy.name() == name) {
        if entries.iter().any(|entry| entry.written == *written) {
            continue;
        }
        let policy = changes.apply(written).map_err(|(key, reason)| (Some(key), reason))?;
        if let Some(reason) = unsupported(&policy) {
            let key = if policy.unsupported().is_some() { "algorithm" } else { "on_error" };
            return Err((Some(key), reason.to_owned()));
        }
        let overridden = Overridden {
            policy,
            enabled: changes.enabled.unwrap_or(true),
            #[cfg(feature = "axum")]
            fields: crate::response::HeaderCache::new(),
        };
        entries.push(Entry { written: written.clone(), overridden: Arc::new(overridden) });
    }
    if entries.is_empty() {
        let names: BTreeSet<&str> = declared.iter().map(|policy| policy.name()).collect();
        let nothing = "there is none: annotate a function, or declare it to the limiter's builder";
        let hint = suggest::hint(name, names, nothing);
        return Err((None, format!("no such policy: {hint}")));
    }
    Ok(entries)
}

/// Tells of each policy what was said of it and what is.
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
