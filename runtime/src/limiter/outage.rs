//! Failure handling: applies `on_error`, and while the backend works keeps the local fallback up to
//! date.

use std::sync::atomic::Ordering;

use super::Limiter;
use crate::backend::Operation;
use crate::guard::{Fallback, NO_INSTANCES};
use crate::{Action, BackendError, Check, OnError, Policy, Source, Unavailable, Verdict};

impl Limiter {
    /// What of a policy this limiter cannot keep, if anything.
    pub(super) fn unsupported(&self, policy: &Policy) -> Option<&'static str> {
        let needs_instances = self.shared.can_fail
            && self.shared.fallback.is_none()
            && self.on_error(policy) == OnError::Local;
        policy.unsupported().or(needs_instances.then_some(NO_INSTANCES))
    }

    /// What a policy does while the backend cannot answer.
    pub(crate) fn on_error(&self, policy: &Policy) -> OnError {
        policy.get_on_error().unwrap_or(self.shared.on_error)
    }

    /// Turns the store's answer into the limiter's: a failure becomes whatever the policy's
    /// `on_error` makes of it.
    #[inline]
    pub(super) fn conclude(
        &self,
        operation: &Operation<'_>,
        answer: Result<(), BackendError>,
        verdict: &mut Verdict,
    ) -> Result<(), Unavailable> {
        match answer {
            Ok(()) => {
                if self.shared.can_fail {
                    self.answered(operation, verdict);
                }
                Ok(())
            }
            Err(error) => self.failed(operation, error, verdict),
        }
    }

    fn answered(&self, operation: &Operation<'_>, verdict: &mut Verdict) {
        // What was remembered says nothing of how the backend is.
        if verdict.source() == Source::Store {
            self.note_health(None);
        }
        if let Some(fallback) = &self.shared.fallback {
            self.keep_warm(fallback, operation, verdict);
        }
    }

    /// Lets the fallback know of a charge, and the backend of what was charged while it was away.
    #[inline(never)]
    fn keep_warm(&self, fallback: &Fallback, operation: &Operation<'_>, verdict: &mut Verdict) {
        let check = &operation.check;
        if operation.action == Action::Charge
            && check.cost > 0
            && verdict.is_allowed()
            && self.on_error(check.policy) == OnError::Local
        {
            verdict.set_fallback_stamp(fallback.record(check).micros());
        }
        if fallback.has_unreported()
            && verdict.source() == Source::Store
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
            && fallback.claim_report()
        {
            // Whoever asked does not wait for it.
            let limiter = self.clone();
            runtime.spawn(async move { limiter.post_debts().await });
        }
    }

    pub(super) async fn post_debts(&self) {
        if let Some(fallback) = &self.shared.fallback {
            fallback.report(&*self.shared.store).await;
        }
    }

    #[cold]
    fn failed(
        &self,
        operation: &Operation<'_>,
        error: BackendError,
        verdict: &mut Verdict,
    ) -> Result<(), Unavailable> {
        if !error.is_rejection() {
            self.note_health(Some(&error));
        }
        let check: &Check<'_> = &operation.check;
        match (self.on_error(check.policy), &self.shared.fallback) {
            (OnError::Open, _) => {
                *verdict = Verdict::open();
                Ok(())
            }
            (OnError::Local, Some(fallback)) if fallback.decide(operation, verdict) => {
                // What the backend may have charged is not charged to it again.
                if operation.action == Action::Charge
                    && verdict.is_allowed()
                    && error.had_no_effect()
                {
                    fallback.add_unreported(check);
                }
                Ok(())
            }
            (OnError::Closed | OnError::Local, _) => Err(error.into()),
        }
    }

    /// Logs when the backend begins to fail and when it answers again, and nothing between.
    #[inline]
    fn note_health(&self, error: Option<&BackendError>) {
        // Read first: while nothing changes, checks on many cores write nothing shared.
        if self.shared.failing.load(Ordering::Relaxed) != error.is_some() {
            self.note_change(error);
        }
    }

    #[cold]
    fn note_change(&self, error: Option<&BackendError>) {
        if self.shared.failing.swap(error.is_some(), Ordering::Relaxed) == error.is_some() {
            // Somebody else has.
            return;
        }
        match error {
            Some(error) => tracing::warn!(
                %error,
                "the rate limit's backend fails; each limit now does what its `on_error` says"
            ),
            None => tracing::info!("the rate limit's backend answers again"),
        }
    }
}
