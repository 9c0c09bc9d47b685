//! Overrides: settings with which operators replace those of declared policies.

use std::collections::{BTreeMap, btree_map};

use super::settings::Override;

/// A set of overrides, each for the policy of one name. Pass it to
/// [`Limiter::set_overrides`](crate::Limiter::set_overrides).
///
/// ```
/// use tollgate::{Limiter, MemoryBackend, Override, Overrides, Policy, Quota};
/// use std::time::Duration;
///
/// const SEARCH: Policy = Policy::new("search", Quota::new(10, Duration::from_secs(60)));
///
/// let limiter = Limiter::builder(MemoryBackend::new()).declare(SEARCH).build();
/// limiter.set_overrides(Overrides::new().with("search", Override::new().limit(5)))?;
/// # Ok::<_, tollgate::overrides::OverridesError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    by_name: BTreeMap<String, Override>,
}

impl Overrides {
    /// Creates an empty set. With it, every policy is in effect as declared.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the override for the policy of this name. It replaces an existing override for that
    /// policy.
    #[must_use]
    pub fn with(mut self, policy: impl Into<String>, changes: Override) -> Self {
        self.by_name.insert(policy.into(), changes);
        self
    }

    /// Removes the override for the policy of this name.
    #[must_use]
    pub fn without(mut self, policy: &str) -> Self {
        self.by_name.remove(policy);
        self
    }

    /// Returns the override for the policy of this name; `None` if there is none.
    #[must_use]
    pub fn get(&self, policy: &str) -> Option<&Override> {
        self.by_name.get(policy)
    }

    /// Returns all overrides, ordered by the names of the policies.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Override)> {
        self.into_iter().map(|(name, changes)| (name.as_str(), changes))
    }

    /// Returns the number of policies that are overridden.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Returns `true` if there are no overrides.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

impl IntoIterator for Overrides {
    type Item = (String, Override);
    type IntoIter = btree_map::IntoIter<String, Override>;

    fn into_iter(self) -> Self::IntoIter {
        self.by_name.into_iter()
    }
}

impl<'a> IntoIterator for &'a Overrides {
    type Item = (&'a String, &'a Override);
    type IntoIter = btree_map::Iter<'a, String, Override>;

    fn into_iter(self) -> Self::IntoIter {
        self.by_name.iter()
    }
}

/// Of several overrides for one policy, the last one applies.
impl<N: Into<String>> FromIterator<(N, Override)> for Overrides {
    fn from_iter<I: IntoIterator<Item = (N, Override)>>(overrides: I) -> Self {
        let mut all = Self::new();
        all.extend(overrides);
        all
    }
}

/// Replaces the overrides that exist for the same policies.
impl<N: Into<String>> Extend<(N, Override)> for Overrides {
    fn extend<I: IntoIterator<Item = (N, Override)>>(&mut self, overrides: I) {
        self.by_name.extend(overrides.into_iter().map(|(name, changes)| (name.into(), changes)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_collection() {
        let limit = |limit| Override::new().limit(limit);
        let mut overrides: Overrides =
            [("b", limit(1)), ("a", limit(2)), ("b", limit(3))].into_iter().collect();
        assert_eq!(overrides, Overrides::new().with("a", limit(2)).with("b", limit(3)));
        overrides.extend([("c".to_owned(), limit(4)), ("a".to_owned(), limit(5))]);
        assert_eq!((overrides.len(), overrides.is_empty()), (3, false));
        let mut names = Vec::new();
        for (name, changes) in &overrides {
            names.push(name.as_str());
            assert_eq!(overrides.get(name), Some(changes));
        }
        assert_eq!(names, ["a", "b", "c"]);
        let owned: Vec<(String, Override)> = overrides.clone().into_iter().collect();
        assert_eq!(owned[0], ("a".to_owned(), limit(5)));
        assert_eq!(owned.into_iter().collect::<Overrides>(), overrides);
    }
}
