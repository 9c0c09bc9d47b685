//! What a limiter does when its backend fails, and so that it is prepared for that.

use std::sync::atomic::Ordering;

use super::Limiter;
use crate::backend::{Action, Operation};
use crate::decision::{Receipt, Ruling};
use crate::guard::{Fallback, NO_INSTANCES};
use crate::micros::Timestamp;
use crate::{BackendError, Check, OnError, Policy, Source, Unavailable};

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

    /// What the policy says of a backend's failure, if it is one.
    #[inline]
    pub(super) fn ruled(
        &self,
        operation: &Operation<'_>,
        ruled: Result<(), BackendError>,
        ruling: &mut Ruling,
    ) -> Result<(), Unavailable> {
        match ruled {
            Ok(()) => {
                if self.shared.can_fail {
                    self.answered(operation, ruling);
                }
                Ok(())
            }
            Err(error) => self.failed(operation, error, ruling),
        }
    }

    fn answered(&self, operation: &Operation<'_>, ruling: &mut Ruling) {
        // What was remembered says nothing of how the backend is.
        if ruling.source() == Source::Store {
            self.note_health(None);
        }
        if let Some(fallback) = &self.shared.fallback {
            self.keep_warm(fallback, operation, ruling);
        }
    }

    /// Lets the fallback know of a charge, and the backend of what was charged while it was away.
    #[inline(never)]
    fn keep_warm(&self, fallback: &Fallback, operation: &Operation<'_>, ruling: &mut Ruling) {
        let Operation { policy, action, .. } = *operation;
        if let Action::Charge { cost } = action
            && cost > 0
            && ruling.is_allowed()
            && self.on_error(policy) == OnError::Local
        {
            ruling.note(fallback.record(&operation.check()));
        }
        if fallback.has_unreported()
            && ruling.source() == Source::Store
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
            fallback.report(&*self.shared.backend).await;
        }
    }

    #[cold]
    fn failed(
        &self,
        operation: &Operation<'_>,
        error: BackendError,
        ruling: &mut Ruling,
    ) -> Result<(), Unavailable> {
        if !error.is_rejection() {
            self.note_health(Some(&error));
        }
        let Operation { policy, action, .. } = *operation;
        match (self.on_error(policy), &self.shared.fallback) {
            (OnError::Open, _) => {
                *ruling = Ruling::open();
                Ok(())
            }
            (OnError::Local, Some(fallback)) if fallback.decide(operation, ruling.by_store()) => {
                // What the backend may have charged is not charged to it again.
                if let Action::Charge { .. } = action
                    && ruling.is_allowed()
                    && error.had_no_effect()
                {
                    fallback.add_unreported(&operation.check());
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

    /// Gives back what was taken or noted in this process. `None`: the backend has the charge.
    pub(super) fn refund_here(&self, receipt: &Receipt) -> Option<bool> {
        let fallback = self.shared.fallback.as_ref()?;
        let Receipt { policy, subject, action, noted } = receipt;
        let Action::Refund { stamp_micros, cost, source } = *action else { return None };
        let check = Check::new(policy, subject, cost);
        if source == Source::Local {
            fallback.subtract_unreported(&check);
            return Some(fallback.refund(&check, Timestamp::from_micros(stamp_micros)));
        }
        if *noted > Timestamp::EPOCH {
            fallback.refund(&check, *noted);
        }
        None
    }
}
