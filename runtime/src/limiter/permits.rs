//! The permits of requests in flight: each request that is admitted under a limit on those holds one.

use std::sync::Arc;

use super::{Limiter, Shared};
use crate::permit::{GivesPermits, Permit};
use crate::verdict::Verdict;
use crate::{Check, OnError, Source};

impl Limiter {
    /// Returns the permit that a verdict on a charge of `check` has given; `None` if it has given none.
    /// Each verdict is to be asked once, because each permit is released once.
    #[inline]
    pub(crate) fn permit_of(&self, check: &Check<'_>, verdict: &Verdict) -> Option<Permit> {
        // Most policies do not limit requests in flight.
        check.policy.get_in_flight()?;
        self.given(check, verdict)
    }

    #[cold]
    fn given(&self, check: &Check<'_>, verdict: &Verdict) -> Option<Permit> {
        let is_given = check.cost > 0
            && verdict.is_allowed()
            && matches!(verdict.source(), Source::Store | Source::Local);
        let is_in_fallback = verdict.source() == Source::Local
            || self.shared.fallback.is_some() && self.on_error(check.policy) == OnError::Local;
        let given_by: Arc<dyn GivesPermits> = Arc::clone(&self.shared) as _;
        is_given.then(|| Permit::new(check, given_by, is_in_fallback))
    }

    /// Calls `add` with the policy's name and the number of the permits of each subject that requests in
    /// flight hold in this process.
    pub(crate) fn each_permit_held(&self, add: &mut dyn FnMut(&str, u32)) {
        if let Some(permits) = self.shared.store.permits() {
            permits.each_held(add);
        }
    }

    /// Tells the store of a permit that the fallback has given in its place.
    pub(super) fn adopt_permit(&self, check: &Check<'_>) {
        if check.policy.get_in_flight().is_some()
            && check.cost > 0
            && let Some(permits) = self.shared.store.permits()
        {
            permits.adopt(check);
        }
    }
}

impl GivesPermits for Shared {
    fn release(&self, check: &Check<'_>, is_in_fallback: bool) {
        if is_in_fallback && let Some(fallback) = &self.fallback {
            fallback.release(check);
        }
        if let Some(permits) = self.store.permits() {
            permits.release(check);
        }
        self.queue.notify_first(check);
    }
}
