//! The policies that a limiter knows of.

use std::collections::BTreeMap;

use smol_str::{SmolStr, ToSmolStr as _, format_smolstr};

use crate::{Limiter, Policy};

/// A policy as the program has it, and where.
pub(super) struct Known {
    pub(super) policy: Policy,
    /// Where it is written; of one that is only used, nobody knows.
    pub(super) places: Vec<SmolStr>,
}

impl Known {
    /// Those of annotations, those that were declared, and those that have been asked about, by
    /// their names.
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

    /// Whether it can be overridden.
    pub(super) fn can_change(&self) -> bool {
        !self.places.is_empty()
    }
}
