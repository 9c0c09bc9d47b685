//! Failure handling: applies `on_error` when the backend fails, and records charges in the local
//! fallback while the backend works.

use std::sync::atomic::Ordering;

use super::Limiter;
use super::capabilities::NO_BANS;
use crate::backend::store::{NO_CALENDARS, NO_PERMITS};
use crate::guard::{Fallback, NO_INSTANCES};
use crate::operation::{Action, Operation};
use crate::overrides::EffectivePolicy;
use crate::policy::Unsupported;
use crate::verdict::Verdict;
use crate::{BackendError, Check, OnError, Outcome, Policy, Source, Unavailable};

impl Limiter {
    /// Returns the reason why this limiter cannot apply a policy; `None` if it can.
    pub(super) fn unsupported(&self, policy: &Policy) -> Option<Unsupported> {
        let needs_instances = self.shared.can_fail
            && self.shared.fallback.is_none()
            && self.on_error(policy) == OnError::Local;
        let instances = Unsupported { setting: "on_error", reason: NO_INSTANCES };
        let needs_bans = policy.get_ban().is_some() && self.lacks_bans();
        let needs_permits =
            policy.get_in_flight().is_some() && self.shared.store.permits().is_none();
        let permits = Unsupported { setting: "in_flight", reason: NO_PERMITS };
        let needs_calendars = policy.has_calendar() && !self.shared.store.supports_calendars();
        let calendars = Unsupported { setting: "per", reason: NO_CALENDARS };
        policy
            .unsupported()
            .or(needs_calendars.then_some(calendars))
            .or(needs_permits.then_some(permits))
            .or(needs_instances.then_some(instances))
            .or(needs_bans.then_some(NO_BANS))
    }

    /// Returns the mode by which a policy handles requests while the backend cannot answer.
    pub(crate) fn on_error(&self, policy: &Policy) -> OnError {
        policy.get_on_error().unwrap_or(self.shared.on_error)
    }

    /// Returns `true` if a limit that is known refuses requests while the backend cannot answer.
    pub(super) fn has_closed_limit(&self) -> bool {
        let annotated = Self::policies().map(|policy| -> &Policy { policy.policy() });
        let mut modes = annotated
            .chain(&self.shared.declared)
            .map(|policy| self.effective_policy(policy))
            .filter(EffectivePolicy::is_enabled)
            .map(|policy| self.on_error(&policy))
            .peekable();
        if modes.peek().is_none() {
            return self.shared.on_error == OnError::Closed;
        }
        modes.any(|mode| mode == OnError::Closed)
    }

    /// Converts the store's answer into the limiter's. If the store failed, the policy's `on_error`
    /// decides.
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
        // Answers of the deny cache and of leases do not show that the backend works.
        if verdict.source() == Source::Store {
            self.record_health(None);
        }
        if let Some(fallback) = &self.shared.fallback {
            self.keep_warm(fallback, operation, verdict);
        }
    }

    /// Records a charge in the fallback. If charges of an outage are not reported yet, also starts
    /// to report them to the backend.
    #[inline(never)]
    fn keep_warm(&self, fallback: &Fallback, operation: &Operation<'_>, verdict: &mut Verdict) {
        let check = &operation.check;
        if let Outcome::Banned { retry_after } = verdict.outcome()
            && verdict.source() == Source::Store
        {
            fallback.ban(check, retry_after);
        }
        if operation.action == Action::Charge
            && check.cost > 0
            && verdict.is_allowed()
            && self.on_error(check.policy) == OnError::Local
        {
            verdict.set_fallback_mark(fallback.record(check).micros());
        }
        if fallback.has_unreported()
            && verdict.source() == Source::Store
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
            && fallback.claim_report()
        {
            // A background task reports them, so that the check does not wait.
            let limiter = self.clone();
            runtime.spawn(async move { limiter.report_fallback().await });
        }
    }

    pub(super) async fn report_fallback(&self) {
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
        if error.is_forbidden() {
            // This is not an outage, so `on_error` does not decide: what a policy may do for the
            // length of an outage would last until somebody notices that nothing is limited.
            self.tell_forbidden(&error);
            return Err(error.into());
        }
        if !error.is_rejection() {
            self.record_health(Some(&error));
        }
        let check: &Check<'_> = &operation.check;
        match (self.on_error(check.policy), &self.shared.fallback) {
            (OnError::Open, _) => {
                *verdict = Verdict::open();
                Ok(())
            }
            (OnError::Local, Some(fallback)) if fallback.decide(operation, verdict) => {
                if operation.action == Action::Charge && verdict.is_allowed() {
                    self.adopt_permit(check);
                }
                // A charge that the backend may have executed is not reported to it, so that it is
                // not charged twice.
                if operation.action == Action::Charge
                    && verdict.is_allowed()
                    && error.had_no_effect()
                {
                    verdict.set_fallback_mark(fallback.add_unreported(check));
                }
                Ok(())
            }
            (OnError::Closed | OnError::Local, _) => Err(error.into()),
        }
    }

    /// Logs the first operation that the backend does not permit, but not the ones after it.
    fn tell_forbidden(&self, error: &BackendError) {
        if !self.shared.forbidden_told.swap(true, Ordering::Relaxed) {
            tracing::error!(
                %error,
                "the rate limit's backend does not permit what the limits need; each check that \
                 needs it is refused, whatever `on_error` says, until the right is granted"
            );
        }
    }

    /// Logs when the backend begins to fail and when it answers again, but not the answers in
    /// between.
    #[inline]
    fn record_health(&self, error: Option<&BackendError>) {
        // The flag is read before it is written, so that checks on many cores write nothing shared
        // while nothing changes.
        if self.shared.failing.load(Ordering::Relaxed) != error.is_some() {
            self.record_change(error);
        }
    }

    #[cold]
    fn record_change(&self, error: Option<&BackendError>) {
        if self.shared.failing.swap(error.is_some(), Ordering::Relaxed) == error.is_some() {
            // Another check has logged the change.
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
