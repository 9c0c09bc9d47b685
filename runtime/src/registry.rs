//! The registry of all annotations in the program.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::policy::Unsupported;
use crate::{Algorithm, Policy, Quota, StartError};

/// The policies of all annotations that are linked into the program. The linker collects them, so
/// no code runs for that.
#[linkme::distributed_slice]
pub static POLICIES: [&'static RegisteredPolicy];

/// The policy of an annotated function, and the place of the annotation in the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredPolicy {
    policy: Policy,
    /// `true` if the annotation sets a name or a group. Only such a name may be shared by several
    /// annotations.
    named: bool,
    file: &'static str,
    line: u32,
}

impl RegisteredPolicy {
    pub(crate) const fn new(policy: Policy, named: bool, file: &'static str, line: u32) -> Self {
        Self { policy, named, file, line }
    }

    pub(crate) const fn policy_mut(&mut self) -> &mut Policy {
        &mut self.policy
    }

    /// Returns the policy.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns the policy's name, which identifies it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.policy.name()
    }

    /// Returns the policy's quotas, in the order in which they are declared.
    #[must_use]
    pub fn quotas(&self) -> &[Quota] {
        self.policy.quotas()
    }

    /// Returns the policy's algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.policy.get_algorithm()
    }

    /// Returns the path of the source file that contains the annotation.
    #[must_use]
    pub const fn file(&self) -> &'static str {
        self.file
    }

    /// Returns the line of the annotation, counted from 1.
    #[must_use]
    pub const fn line(&self) -> u32 {
        self.line
    }

    fn location(&self) -> SourceLocation {
        SourceLocation { file: self.file, line: self.line }
    }
}

/// The place of an annotation in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SourceLocation {
    file: &'static str,
    line: u32,
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Returns the policy of every annotation once, in no particular order. Duplicates are removed: an
/// attribute that repeats its function, as `#[axum::debug_handler]` does in debug builds, repeats
/// the annotation, too.
pub(crate) fn policies() -> impl Iterator<Item = &'static RegisteredPolicy> {
    let mut seen = HashSet::new();
    let policies = POLICIES.iter().copied();
    policies.filter(move |policy| seen.insert((policy.name(), policy.file, policy.line)))
}

/// Validates annotations. Returns an error if they contradict each other, or if `unsupported`
/// returns a reason why the limiter cannot apply one of them.
pub(crate) fn validate<'a>(
    policies: impl Iterator<Item = &'a RegisteredPolicy>,
    unsupported: impl Fn(&Policy) -> Option<Unsupported>,
) -> Result<(), StartError> {
    let mut by_name = HashMap::<&str, &RegisteredPolicy>::new();
    for policy in policies {
        if let Some(Unsupported { reason, .. }) = unsupported(&policy.policy) {
            return Err(StartError::Unsupported { name: policy.name().to_owned(), reason });
        }
        let Some(other) = by_name.insert(policy.name(), policy) else { continue };
        let places = [other, policy].map(|policy| policy.location().to_string());
        let name = policy.name().to_owned();
        if !policy.policy.counts_like(&other.policy) {
            return Err(StartError::Conflict { name, places });
        }
        if !(policy.named && other.named) {
            return Err(StartError::SharedName { name, places });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TEN: Quota = Quota::new(10, Duration::from_secs(1));
    const TWENTY: Quota = Quota::new(20, Duration::from_secs(1));

    fn at(line: u32, policy: Policy, named: bool) -> RegisteredPolicy {
        RegisteredPolicy::new(policy, named, "src/lib.rs", line)
    }

    fn error(policies: &[RegisteredPolicy]) -> Option<String> {
        validate(policies.iter(), Policy::unsupported).err().map(|error| error.to_string())
    }

    #[test]
    fn names_may_be_shared_if_given_and_alike() {
        let policy = || Policy::new("a", TEN);
        assert_eq!(error(&[at(1, policy(), true), at(2, policy(), true)]), None);
        let loose = policy().on_error(crate::OnError::Open);
        assert_eq!(error(&[at(1, policy(), true), at(2, loose, true)]), None);
        assert_eq!(error(&[at(1, policy(), false), at(2, Policy::new("b", TWENTY), false)]), None);
    }

    #[test]
    fn one_name_with_different_quotas_names_both_places() {
        let error =
            error(&[at(1, Policy::new("a", TEN), true), at(2, Policy::new("a", TWENTY), true)]);
        let error = error.unwrap();
        assert!(error.contains("`a`"), "{error}");
        assert!(error.contains("src/lib.rs:1") && error.contains("src/lib.rs:2"), "{error}");
        let more = Policy::new("a", TEN).and(TWENTY);
        let one = at(1, Policy::new("a", TEN), true);
        assert!(super::validate([one, at(2, more, true)].iter(), Policy::unsupported).is_err());
    }

    #[test]
    fn one_path_for_two_functions_is_told() {
        let error =
            error(&[at(1, Policy::new("a", TEN), false), at(2, Policy::new("a", TEN), false)]);
        assert!(error.unwrap().contains("give one of them a `name`"));
    }
}
