//! The decision, asked for by the public API, so that two commits are compared by the same call.

use tollgate::{Limiter, Policy};

/// Returns `true` if a check of cost 1 is admitted. The store must be one that answers at once.
#[inline]
pub(crate) fn admits(limiter: &Limiter, policy: &Policy, subject: &str) -> bool {
    let decision = limiter.check_now(policy, subject, 1).expect("memory answers at once");
    matches!(decision, Ok(decision) if decision.is_allowed())
}
