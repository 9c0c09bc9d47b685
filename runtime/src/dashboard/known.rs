//! The policies known to a limiter.

use std::collections::BTreeMap;

use smol_str::{SmolStr, ToSmolStr as _, format_smolstr};

use crate::{Limiter, Policy};

/// A policy that the limiter knows, and the places of its declarations.
pub(super) struct KnownPolicy {
    pub(super) policy: Policy,
    /// The places of its declarations: `file:line` or a description. Empty if the policy is used in
    /// checks without being declared.
    pub(super) places: Vec<SmolStr>,
}

impl KnownPolicy {
    /// Returns all known policies by name: those of annotations, those declared to the limiter's
    /// builder, and those used in checks.
    pub(super) fn all(limiter: &Limiter) -> BTreeMap<SmolStr, Self> {
        let annotated = Limiter::policies().map(|registered| {
            let place = format_smolstr!("{}:{}", registered.file(), registered.line());
            (registered.policy(), Some(place))
        });
        let declared = SmolStr::new_static("declared to the limiter's builder");
        let declared = limiter.declared().iter().map(|policy| (policy, Some(declared.clone())));
        let used = limiter.tally().policies();
        let used = used.iter().map(|counted| (&counted.policy, None));
        let mut all = BTreeMap::new();
        for (policy, place) in annotated.chain(declared).chain(used) {
            let known = all
                .entry(policy.name().to_smolstr())
                .or_insert_with(|| Self { policy: policy.clone(), places: Vec::new() });
            known.places.extend(place.filter(|place| !known.places.contains(place)));
        }
        for known in all.values_mut() {
            known.places.sort_unstable();
        }
        all
    }

    /// Returns `true` if the policy is declared. Only declared policies can be overridden.
    pub(super) fn is_declared(&self) -> bool {
        !self.places.is_empty()
    }
}
