//! The state of a subject that is banned before it was ever counted.

use std::time::Duration;

use tollgate::backend::StoredForm;
use tollgate::{Policy, Quota};

/// The quota in such a state, which nobody would write. Nothing of it is in use, so that the first
/// request after the ban is counted by the real policy alone.
const QUOTA: Quota = Quota::new(1, Duration::from_millis(1));

/// Returns a policy with which such a state is written, and by which one of any form can be reset.
pub(crate) fn policy(name: &str) -> Policy {
    Policy::named(name, QUOTA)
}

/// Returns `true` for the form of such a state.
pub(crate) fn is(form: &StoredForm) -> bool {
    form.quotas() == [QUOTA]
}
