//! Checks: the public methods, and the code with which a limiter decides, with and without waiting.

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument as _;

use super::Limiter;
use crate::named_subject::AsSubject;
use crate::operation::{Answer, Operation};
use crate::overrides::EffectivePolicy;
use crate::policy::Unsupported;
use crate::refused_by::RefusedBy;
use crate::verdict::Verdict;
use crate::{BackendError, Check, Decision, Policy, Source, StartError, Unavailable};

impl Limiter {
    /// Charges a request of `subject` to `policy`, at a cost of 1, if every quota admits it.
    ///
    /// # Errors
    ///
    /// If the backend cannot answer and the policy is closed.
    pub async fn check(
        &self,
        policy: &Policy,
        subject: impl AsSubject,
    ) -> Result<Decision, Unavailable> {
        self.check_cost(policy, subject, 1).await
    }

    /// Charges a request of `subject` that costs `cost` units, if every quota admits it. A cost of
    /// 0 charges nothing.
    ///
    /// # Errors
    ///
    /// If the backend cannot answer and the policy is closed.
    pub async fn check_cost(
        &self,
        policy: &Policy,
        subject: impl AsSubject,
        cost: u32,
    ) -> Result<Decision, Unavailable> {
        let subject = self.subject_of(&subject);
        let declared = Check::new(policy, &subject, cost);
        let (policy, charged) = match self.effective_policy_for(&declared) {
            Ok(policy) => {
                let charged = self.charge(&policy, &declared.with_policy(&policy)).await;
                (policy, charged)
            }
            Err(_) => Box::pin(self.charge_found(&declared)).await,
        };
        let check = declared.with_policy(&policy);
        let decision = charged.or_else(|error| self.undecided(&check, error))?;
        self.notify_refusal(&check, &decision);
        Ok(decision)
    }

    /// Charges `cost` units if the backend can answer without waiting. Returns `None` if it cannot, or if
    /// the override of the subject has to be awaited ([`PerSubject::awaiting`](crate::PerSubject::awaiting));
    /// then nothing was charged.
    ///
    /// # Errors
    ///
    /// If the backend fails and the policy is closed.
    #[must_use = "a refused request must not go on"]
    pub fn check_now(
        &self,
        policy: &Policy,
        subject: impl AsSubject,
        cost: u32,
    ) -> Option<Result<Decision, Unavailable>> {
        let subject = self.subject_of(&subject);
        let declared = Check::new(policy, &subject, cost);
        let mut charged = Some(Ok(Decision::disabled()));
        let Ok(policy) = self.effective_policy_for(&declared) else { return None };
        let check = declared.with_policy(&policy);
        self.charge_into(&policy, &check, &mut charged);
        match &mut charged {
            Some(Ok(decision)) => self.notify_refusal(&check, decision),
            Some(Err(error)) => charged = Some(self.undecided(&check, error.clone())),
            None => {}
        }
        charged
    }

    /// Charges `cost` units, and waits up to `max_wait` until the quotas admit them.
    ///
    /// The callers of a limiter wait in one line for each subject of a policy: first come, first
    /// served. Only the first in a line asks the backend: at the time when it may be admitted, and
    /// whenever something happens in this process that may let it in earlier, such as a refund, a
    /// [`reset`](Self::reset) or an override. Nothing is reserved, so dropping the future costs
    /// nothing. A caller that cannot be admitted in time is refused as soon as that is certain by
    /// the policy in effect, if all before it stay.
    ///
    /// While somebody waits, other checks of the same key are decided behind the line: they are
    /// admitted only if the backend would admit all who wait, and them as well.
    ///
    /// # Errors
    ///
    /// If the backend cannot answer and the policy is closed.
    pub async fn wait(
        &self,
        policy: &Policy,
        subject: impl AsSubject,
        cost: u32,
        max_wait: Duration,
    ) -> Result<Decision, Unavailable> {
        let subject = self.subject_of(&subject);
        let check = Check::new(policy, &subject, cost);
        let (policy, waited) = self.charge_in_line(&check, max_wait, None).await;
        let check = check.with_policy(&policy);
        let waited = waited.or_else(|error| self.undecided(&check, error));
        waited.inspect(|decision| self.notify_refusal(&check, decision))
    }

    /// Resets the counters of `subject` for `policy`, as if nothing had been charged. Requests in flight
    /// keep their permits.
    ///
    /// # Errors
    ///
    /// If the backend cannot answer. The policy's `on_error` does not apply.
    pub async fn reset(&self, policy: &Policy, subject: impl AsSubject) -> Result<(), Unavailable> {
        let subject = self.subject_of(&subject);
        let declared = Check::new(policy, &subject, 0);
        let policy = self.countable_policy_for(&declared);
        let check = declared.with_policy(&policy);
        if policy.quotas().is_empty() {
            // Permits are not reset: their requests are still in flight.
            return Ok(());
        }
        if let Some(fallback) = &self.shared.fallback {
            fallback.reset(&check);
        }
        let answer = self.apply(&Operation::reset(check)).await;
        match answer.map_err(|error| self.unavailable(&check, error.into()))? {
            Answer::Reset => {
                self.shared.queue.notify_first(&check);
                Ok(())
            }
            other => Err(other.mismatch("a reset").into()),
        }
    }

    /// Charges a check by the policy in effect. The caller of this method calls the `on_blocked`
    /// functions after a refusal.
    pub(crate) async fn charge(
        &self,
        policy: &EffectivePolicy<'_>,
        check: &Check<'_>,
    ) -> Result<Decision, Unavailable> {
        // First tries without a future, because creating one costs more than the check.
        if let Some(charged) = self.charge_now(policy, check) {
            return charged;
        }
        let mut verdict = Verdict::open();
        self.decide_waiting(check, &mut verdict).await?;
        Ok(self.charged(verdict, check))
    }

    /// Charges a check like [`charge`](Self::charge), but returns `None` if the backend has to be
    /// awaited.
    #[inline(always)]
    pub(crate) fn charge_now(
        &self,
        policy: &EffectivePolicy<'_>,
        check: &Check<'_>,
    ) -> Option<Result<Decision, Unavailable>> {
        let mut charged = Some(Ok(Decision::disabled()));
        self.charge_into(policy, check, &mut charged);
        charged
    }

    /// Charges a check like [`charge_now`](Self::charge_now). `charged` is that of a policy that is
    /// switched off. Moving a decision takes as long as a part of the check, so it is written in place.
    #[inline(always)]
    fn charge_into(
        &self,
        policy: &EffectivePolicy<'_>,
        check: &Check<'_>,
        charged: &mut Option<Result<Decision, Unavailable>>,
    ) {
        let Some(Ok(decision)) = charged else { return };
        if !policy.is_enabled() {
            return;
        }
        decision.verdict_mut().set_source(Source::Open);
        match self.decide_now(check, decision.verdict_mut()) {
            Some(Ok(())) => self.complete(decision, check),
            Some(Err(error)) => *charged = Some(Err(error)),
            None => *charged = None,
        }
    }

    /// Adds to the decision about a charge of `check` what a refund or the response to a refusal
    /// needs.
    #[inline(always)]
    pub(crate) fn complete(&self, decision: &mut Decision, check: &Check<'_>) {
        if decision.is_allowed() {
            decision.add_receipt(check, self.shared.origin);
            let permit = self.permit_of(check, decision.verdict());
            decision.set_permit(permit);
        } else {
            decision.add_refusal(check.policy, &self.shared.responses);
        }
    }

    /// Creates the decision about a charge of `check` by this limiter.
    #[inline]
    pub(crate) fn charged(&self, verdict: Verdict, check: &Check<'_>) -> Decision {
        let mut decision = Decision::without_receipt(verdict);
        self.complete(&mut decision, check);
        decision
    }

    /// Returns what a refusal by a policy keeps of this limiter.
    pub(crate) fn refusing(&self, policy: &Policy) -> RefusedBy {
        RefusedBy { policy: policy.clone(), options: self.shared.responses.clone() }
    }

    /// Returns the result of a check without a verdict. A policy in shadow mode refuses nobody.
    #[cold]
    pub(super) fn undecided(
        &self,
        check: &Check<'_>,
        error: Unavailable,
    ) -> Result<Decision, Unavailable> {
        if check.policy.is_shadow() {
            return Ok(Decision::without_receipt(Verdict::open()));
        }
        Err(self.unavailable(check, error))
    }

    /// Adds to the error of a check what its response needs.
    fn unavailable(&self, check: &Check<'_>, error: Unavailable) -> Unavailable {
        error.of(self.refusing(check.policy))
    }

    /// Decides about a check, stores the verdict in `verdict`, and reports it to telemetry.
    #[inline]
    pub(crate) async fn decide(
        &self,
        check: &Check<'_>,
        verdict: &mut Verdict,
    ) -> Result<(), Unavailable> {
        match self.decide_now(check, verdict) {
            Some(decided) => decided,
            None => self.decide_waiting(check, verdict).await,
        }
    }

    /// Decides like [`decide`](Self::decide), but returns `None` if the backend has to be awaited.
    #[inline]
    pub(crate) fn decide_now(
        &self,
        check: &Check<'_>,
        verdict: &mut Verdict,
    ) -> Option<Result<(), Unavailable>> {
        if !self.shared.queue.is_empty() {
            return self.decide_now_in_turn(check, verdict);
        }
        let timer = self.shared.telemetry.start_timer();
        let decided = self.ask_now(check, verdict)?;
        self.observe(timer, check, decided.as_ref().err(), verdict);
        Some(decided)
    }

    async fn decide_waiting(
        &self,
        check: &Check<'_>,
        verdict: &mut Verdict,
    ) -> Result<(), Unavailable> {
        self.send_pending_settlements().await;
        let timer = self.shared.telemetry.start_timer();
        let decided = match self.pass(check) {
            None => self.ask_waiting(check, verdict).await,
            // The future is boxed to keep that of a check small.
            Some(passage) => Box::pin(self.ask_behind(check, passage, verdict)).await,
        };
        self.observe(timer, check, decided.as_ref().err(), verdict);
        decided
    }

    /// Decides without telemetry. This is for callers that wait in a queue, which are reported once
    /// at the end of the wait.
    pub(super) async fn ask(
        &self,
        check: &Check<'_>,
        verdict: &mut Verdict,
    ) -> Result<(), Unavailable> {
        match self.ask_now_apart(check, verdict) {
            Some(asked) => asked,
            None => self.ask_waiting(check, verdict).await,
        }
    }

    /// Does the same as [`ask_now`](Self::ask_now), but is not compiled into its callers. It is for
    /// all but the one that decides every check, so that the other is compiled into that.
    #[inline(never)]
    pub(super) fn ask_now_apart(
        &self,
        check: &Check<'_>,
        verdict: &mut Verdict,
    ) -> Option<Result<(), Unavailable>> {
        self.ask_now(check, verdict)
    }

    #[inline(always)]
    fn ask_now(&self, check: &Check<'_>, verdict: &mut Verdict) -> Option<Result<(), Unavailable>> {
        if let Err(error) = self.validated() {
            return Some(Err(error));
        }
        if check.policy.is_blocked() {
            *verdict = Verdict::blocked();
            return Some(Ok(()));
        }
        verdict.set_source(Source::Store);
        let charged = self.shared.store.charge_now(check, verdict)?;
        Some(self.conclude(&Operation::charge(*check), charged, verdict))
    }

    async fn ask_waiting(
        &self,
        check: &Check<'_>,
        verdict: &mut Verdict,
    ) -> Result<(), Unavailable> {
        if let Some(Unsupported { reason, .. }) = self.unsupported(check.policy) {
            let name = check.policy.name().to_owned();
            return Err(Arc::new(StartError::Unsupported { name, reason }).into());
        }
        let operation = Operation::charge(*check);
        let answer = self.apply_waiting(&operation).await;
        let charged = answer.and_then(|answer| answer.into_verdict(verdict));
        self.conclude(&operation, charged, verdict)
    }

    /// Carries out an operation, without waiting if the store allows that.
    pub(super) async fn apply(&self, operation: &Operation<'_>) -> Result<Answer, BackendError> {
        match self.shared.store.apply_now(operation) {
            Some(answer) => answer,
            None => self.apply_waiting(operation).await,
        }
    }

    async fn apply_waiting(&self, operation: &Operation<'_>) -> Result<Answer, BackendError> {
        // The span makes the time that a request waited for the backend visible in traces.
        let span = tracing::debug_span!("rate_limit", policy = operation.check.policy.name());
        self.shared.store.apply_one(operation).instrument(span).await
    }
}
