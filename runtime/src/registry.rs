//! The registry of all annotations in the program.

use std::collections::{HashMap, HashSet};

use crate::policy::Unsupported;
use crate::site::Site;
use crate::{Algorithm, Policy, Quota, StartError};

/// The policies of all annotations that are linked into the program. The linker collects them, so
/// no code runs for that.
#[linkme::distributed_slice]
pub static POLICIES: [&'static RegisteredPolicy];

/// The policy of an annotated function, and the place of the annotation in the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredPolicy {
    policy: Policy,
    naming: Naming,
    site: Site,
}

/// The origin of a policy's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// The annotation sets no name, so the name is the function's path.
    Path,
    /// The annotation sets the name of one function's policy.
    Name,
    /// The annotation sets a name that several functions may have.
    Group,
}

impl RegisteredPolicy {
    pub(crate) const fn new(policy: Policy, naming: Naming, site: Site) -> Self {
        Self { policy, naming, site }
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
        self.site.file
    }

    /// Returns the line of the annotation, counted from 1.
    #[must_use]
    pub const fn line(&self) -> u32 {
        self.site.line
    }

    fn place(&self) -> String {
        self.site.location()
    }
}

/// Returns the policy of every annotation once, in no particular order. An attribute that copies its
/// function for the compiler to check, as `#[axum::debug_handler]` does in debug builds, copies the
/// annotation, too; such copies are left out.
pub(crate) fn policies() -> impl Iterator<Item = &'static RegisteredPolicy> {
    without_repetitions(POLICIES.iter().copied())
}

/// Removes the policies of functions that are never called, and all but one of those that have the
/// same name and function. The body of an annotated function is the same function wherever another
/// attribute puts it: each call runs it once.
fn without_repetitions<'a>(
    policies: impl Iterator<Item = &'a RegisteredPolicy>,
) -> impl Iterator<Item = &'a RegisteredPolicy> {
    let called = policies.filter(|policy| !policy.site.is_only_checked());
    let called: Vec<&RegisteredPolicy> = called.collect();
    let identity = |policy: &'a RegisteredPolicy| (policy.name(), policy.site.annotation());
    let originals = called.iter().filter(|policy| policy.site.is_original());
    let originals: HashSet<_> = originals.map(|policy| identity(policy)).collect();
    let mut seen = HashSet::new();
    called.into_iter().filter(move |policy| {
        let function = policy.site.is_original().then(|| policy.site.function());
        (function.is_some() || !originals.contains(&identity(policy)))
            && seen.insert((identity(policy), function))
    })
}

/// Validates annotations. Returns an error if they contradict each other, or if `unsupported`
/// returns a reason why the limiter cannot apply one of them.
pub(crate) fn validate<'a>(
    policies: impl Iterator<Item = &'a RegisteredPolicy>,
    unsupported: impl Fn(&Policy) -> Option<Unsupported>,
) -> Result<(), StartError> {
    let policies: Vec<&RegisteredPolicy> = policies.collect();
    check_copies(&policies)?;
    let mut by_name = HashMap::<&str, &RegisteredPolicy>::new();
    for policy in policies {
        if let Some(Unsupported { reason, .. }) = unsupported(&policy.policy) {
            return Err(StartError::Unsupported { name: policy.name().to_owned(), reason });
        }
        let Some(other) = by_name.insert(policy.name(), policy) else { continue };
        let places = [other, policy].map(RegisteredPolicy::place);
        let name = policy.name().to_owned();
        if !policy.policy.counts_like(&other.policy) {
            return Err(StartError::Conflict { name, places });
        }
        if [policy, other].iter().any(|policy| policy.naming != Naming::Group) {
            return Err(StartError::SharedName { name, places });
        }
    }
    Ok(())
}

/// Returns an error if another attribute has copied an annotation to a function that it makes: the
/// name of that function does not stand in the source, and that of another function with the same
/// annotation does.
fn check_copies(policies: &[&RegisteredPolicy]) -> Result<(), StartError> {
    let mut written = HashMap::<_, &RegisteredPolicy>::new();
    for policy in policies.iter().filter(|policy| !policy.site.has_made_name) {
        written.insert(policy.site.annotation(), policy);
    }
    for copy in policies.iter().filter(|policy| policy.site.has_made_name) {
        if copy.site.place.is_empty() {
            continue;
        }
        if let Some(original) = written.get(&copy.site.annotation()) {
            let functions = [original, copy].map(|policy| policy.site.function());
            return Err(StartError::Copied { functions, place: copy.site.location() });
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

    struct First;
    struct Second;

    fn at(line: u32, policy: Policy, naming: Naming) -> RegisteredPolicy {
        RegisteredPolicy::new(
            policy,
            naming,
            Site::of::<First>("First", "src/lib.rs", line, "", false),
        )
    }

    use Naming::{Group, Name, Path};

    fn error(policies: &[RegisteredPolicy]) -> Option<String> {
        validate(policies.iter(), Policy::unsupported).err().map(|error| error.to_string())
    }

    #[test]
    fn groups_share_a_name_if_they_are_alike() {
        let policy = || Policy::new("a", TEN);
        assert_eq!(error(&[at(1, policy(), Group), at(2, policy(), Group)]), None);
        let loose = policy().on_error(crate::OnError::Open);
        assert_eq!(error(&[at(1, policy(), Group), at(2, loose, Group)]), None);
        assert_eq!(error(&[at(1, policy(), Path), at(2, Policy::new("b", TWENTY), Path)]), None);
    }

    /// Only a `group` says that a budget shall be shared. A `name` may be copied by another macro.
    #[test]
    fn a_name_belongs_to_one_function() {
        let policy = || Policy::new("a", TEN);
        for [first, second] in [[Name, Name], [Name, Group], [Group, Name], [Path, Group]] {
            let shared = error(&[at(1, policy(), first), at(2, policy(), second)]).unwrap();
            assert!(shared.ends_with("give both the same `group`"), "{shared}");
            // In one place, it may be a copy.
            let copied = error(&[at(1, policy(), first), at(1, policy(), second)]).unwrap();
            assert!(copied.ends_with("write that attribute below it"), "{copied}");
        }
    }

    #[test]
    fn entries_are_one_by_name_and_function() {
        let count = |first: Site, second: Site| {
            let entry = |site| RegisteredPolicy::new(Policy::new("a", TEN), Name, site);
            let entries = [entry(first), entry(second)];
            without_repetitions(entries.iter()).count()
        };
        let first = || Site::of::<First>("First", "src/lib.rs", 1, "1:1", false);
        mod __axum_macros_check_list_future {
            pub(super) struct Checked;
        }
        use __axum_macros_check_list_future::Checked;

        assert_eq!(count(first(), first()), 1);
        assert_eq!(count(first(), Site::of::<Checked>("First", "src/lib.rs", 1, "1:1", false)), 1);
        assert_eq!(count(first(), Site::of::<Second>("Second", "src/lib.rs", 1, "1:1", false)), 2);
        assert_eq!(count(first(), Site::of::<First>("First", "src/lib.rs", 2, "2:1", false)), 2);
        // The body of the first function, in a second one, or in two others.
        let second = || Site::of::<Second>("First", "src/lib.rs", 1, "1:1", false);
        assert_eq!(count(second(), Site::of::<Checked>("First", "src/lib.rs", 1, "1:1", false)), 1);
        assert_eq!(
            count(second(), Site::of::<Vec<Second>>("First", "src/lib.rs", 1, "1:1", false)),
            1
        );
        assert_eq!(count(first(), Site::of::<Second>("First", "src/lib.rs", 1, "1:1", false)), 1);
    }

    #[test]
    fn a_copied_annotation_is_told_whatever_its_names() {
        let copied = |naming, place: &'static str, made: [bool; 2]| {
            let first = Site::of::<First>("First", "src/lib.rs", 1, place, made[0]);
            let second = Site::of::<Second>("Second", "src/lib.rs", 1, place, made[1]);
            let names = if naming == Path { ["a", "a_no_cache"] } else { ["a", "a"] };
            error(&[
                RegisteredPolicy::new(Policy::new(names[0], TEN), naming, first),
                RegisteredPolicy::new(Policy::new(names[1], TEN), naming, second),
            ])
        };
        for naming in [Path, Name, Group] {
            let error = copied(naming, "1:1", [false, true]).unwrap();
            assert!(error.contains("`tollgate::registry::tests::First`"), "{error}");
            assert!(error.contains("Second` at src/lib.rs:1"), "{error}");
        }
        // A macro that makes all functions of one annotation, and one that makes none of the names.
        assert_eq!(copied(Path, "1:1", [true, true]), None);
        assert_eq!(copied(Path, "1:1", [false, false]), None);
        // The compiler does not tell the place.
        assert_eq!(copied(Path, "", [false, true]), None);
    }

    #[test]
    fn one_name_with_different_quotas_names_both_places() {
        let error =
            error(&[at(1, Policy::new("a", TEN), Group), at(2, Policy::new("a", TWENTY), Group)]);
        let error = error.unwrap();
        assert!(error.contains("`a`"), "{error}");
        assert!(error.contains("src/lib.rs:1") && error.contains("src/lib.rs:2"), "{error}");
        let more = Policy::new("a", TEN).and(TWENTY);
        let one = at(1, Policy::new("a", TEN), Group);
        assert!(super::validate([one, at(2, more, Group)].iter(), Policy::unsupported).is_err());
    }

    #[test]
    fn one_path_for_two_functions_is_told() {
        let error =
            error(&[at(1, Policy::new("a", TEN), Path), at(2, Policy::new("a", TEN), Path)]);
        assert!(error.unwrap().contains("give one of them another `name`"));
    }
}
