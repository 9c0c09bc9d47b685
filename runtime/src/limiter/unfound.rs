//! Checks whose policy has to be found first, and those whose policy could not be found.

use super::Limiter;
use super::overrides::FoundPolicy;
use crate::operation::{Action, Operation};
use crate::overrides::{EffectivePolicy, FailedLookup};
use crate::verdict::Verdict;
use crate::{BackendError, Check, Decision, OnError, Unavailable};

impl Limiter {
    /// Charges a check by the policy in effect for its subject, whose override has to be awaited. Also
    /// returns that policy. The check contains the declared policy, and belongs to no request. The caller
    /// of this method calls the `on_blocked` functions after a refusal.
    pub(crate) async fn charge_found<'a>(
        &self,
        declared: &Check<'a>,
    ) -> (EffectivePolicy<'a>, Result<Decision, Unavailable>) {
        let FoundPolicy { policy, failed } = self.find_policy_for(declared, None).await;
        let check = declared.with_policy(&policy);
        let charged = match failed {
            Some(failed) => self.charge_unfound(&check, failed).await,
            None => self.charge(&policy, &check).await,
        };
        (policy, charged)
    }

    /// Charges a check whose policy could not be found, as `on_error` says.
    pub(super) async fn charge_unfound(
        &self,
        check: &Check<'_>,
        failed: FailedLookup,
    ) -> Result<Decision, Unavailable> {
        let mut verdict = Verdict::open();
        self.decide_unfound(&Operation::charge(*check), failed, &mut verdict).await?;
        Ok(self.charged(verdict, check))
    }

    /// Decides about a check whose quota or override could not be found. The store is not at fault, so that
    /// is no outage, but the policy's `on_error` decides, too. By [`OnError::Local`] the quotas of the
    /// policy in the operation count: in this process, or if the store is in this process, there.
    pub(crate) async fn decide_unfound(
        &self,
        operation: &Operation<'_>,
        failed: FailedLookup,
        verdict: &mut Verdict,
    ) -> Result<(), Unavailable> {
        let FailedLookup { setting, error } = failed;
        let check = &operation.check;
        let mode = self.on_error(check.policy);
        tracing::error!(
            policy = check.policy.name(),
            error = &*error as &dyn std::error::Error,
            "the function of `{setting}` failed; the limit does what its `on_error` says: {mode}"
        );
        let is_peek = operation.action == Action::Peek;
        if mode == OnError::Local && self.shared.fallback.is_none() {
            if is_peek {
                *verdict = self.peek_verdict(*check).await?;
                return Ok(());
            }
            return self.decide(check, verdict).await;
        }
        let timer = self.shared.telemetry.start_timer();
        let decided = self.conclude(operation, Err(BackendError::rejected(error)), verdict);
        if !is_peek {
            self.observe(timer, check, decided.as_ref().err(), verdict);
        }
        decided
    }
}
