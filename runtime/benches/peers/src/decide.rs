//! The decision as the guard of an annotated handler takes it, whose name depends on the commit.

use tollgate::{Limiter, Policy};

/// Returns `true` if a check of cost 1 is admitted. The store must be one that answers at once.
#[cfg(decide_now)]
#[inline]
pub(crate) fn admits(limiter: &Limiter, policy: &Policy, subject: &str) -> bool {
    use tollgate::{__private::decide_now, Check, Outcome};
    let answered = decide_now(limiter, &Check::new(policy, subject, 1));
    matches!(answered.expect("memory answers at once"), Ok(Outcome::Allowed))
}

/// Returns `true` if a check of cost 1 is admitted. The store must be one that answers at once.
#[cfg(rule_now)]
#[inline]
pub(crate) fn admits(limiter: &Limiter, policy: &Policy, subject: &str) -> bool {
    use tollgate::__private::{Ruling, rule_now};
    let mut ruling = Ruling::open();
    let answered = rule_now(limiter, policy, subject, 1, &mut ruling);
    assert!(matches!(answered, Some(Ok(()))), "memory answers at once");
    ruling.is_allowed()
}
