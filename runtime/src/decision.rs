//! The answer to one request, as users see it, and the receipt of its charge.

use std::time::Duration;

use smol_str::SmolStr;

use crate::micros::Timestamp;
use crate::operation::{Action, Operation};
use crate::verdict::Verdict;
use crate::{Check, Outcome, Policy, QuotaState, Source};

/// The answer to one request.
///
/// It represents one charge: pass it to [`Limiter::refund`] to undo that. It is not [`Clone`], so
/// that no charge is refunded twice.
///
/// [`Limiter::refund`]: crate::Limiter::refund
#[derive(Debug)]
#[must_use = "a refused request must not go on"]
pub struct Decision {
    verdict: Verdict,
    receipt: Option<Receipt>,
}

/// The record of a charge, by which it can be refunded.
#[derive(Debug)]
pub(crate) struct Receipt {
    policy: Policy,
    subject: SmolStr,
    cost: u32,
    stamp_micros: u64,
    source: Source,
    /// The instant that identifies the charge in the limiter's fallback; the epoch if it was not
    /// recorded there.
    pub(crate) fallback_stamp: Timestamp,
}

impl Receipt {
    /// Returns the check that was charged.
    pub(crate) fn check(&self) -> Check<'_> {
        Check::new(&self.policy, &self.subject, self.cost)
    }

    /// Returns the operation that refunds the charge.
    pub(crate) fn refund(&self) -> Operation<'_> {
        let Self { stamp_micros, source, .. } = *self;
        Operation { check: self.check(), action: Action::Refund { stamp_micros, source } }
    }

    /// Returns the part of the limiter that recorded the charge.
    pub(crate) fn source(&self) -> Source {
        self.source
    }

    /// Returns the instant of the charge, on the clock of the part that recorded it.
    pub(crate) fn stamp_micros(&self) -> u64 {
        self.stamp_micros
    }
}

impl Decision {
    /// Creates the decision of a peek, or of a charge that is not going to be refunded.
    pub(crate) fn without_receipt(verdict: Verdict) -> Self {
        Self { verdict, receipt: None }
    }

    /// Creates the decision that admits because the policy is switched off.
    pub(crate) fn disabled() -> Self {
        Self::without_receipt(Verdict::disabled())
    }

    /// Creates the decision of a charge.
    pub(crate) fn charged(verdict: Verdict, check: &Check<'_>) -> Self {
        let receipt = (check.cost > 0 && verdict.is_refundable()).then(|| Receipt {
            policy: check.policy.clone(),
            subject: check.subject.into(),
            cost: check.cost,
            stamp_micros: verdict.stamp_micros(),
            source: verdict.source(),
            fallback_stamp: verdict.fallback_stamp(),
        });
        Self { verdict, receipt }
    }

    /// Returns the refusal of a caller that waited in vain. It is for at least `span`, even if
    /// there is room now, because that room is for the callers before it in the queue.
    pub(crate) fn refused_for(self, span: Duration) -> Self {
        let retry_after = self.retry_after().unwrap_or_default().max(span);
        match self.outcome() {
            Outcome::Never | Outcome::Blocked => self,
            Outcome::Allowed | Outcome::Refused { .. } => {
                let outcome = Outcome::Refused { retry_after };
                Self::without_receipt(self.verdict.with_outcome(outcome))
            }
        }
    }

    /// Returns `true` if the request may go on.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.verdict.is_allowed()
    }

    /// Returns the outcome.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.verdict.outcome()
    }

    /// Returns the units that remain in the quota with the fewest; 0 if they are not known (see
    /// [`Source::Open`]).
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.quotas().iter().map(QuotaState::remaining).min().unwrap_or(0)
    }

    /// Returns the time until the same request succeeds if no other comes before it, exact to the
    /// microsecond. `None` if it was allowed, if it can never succeed, or if the subject is blocked.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.outcome().retry_after()
    }

    /// Returns the state of each quota of the policy, in declared order. It is empty if the states
    /// are not known (see [`Source::Open`]).
    #[must_use]
    pub fn quotas(&self) -> &[QuotaState] {
        self.verdict.quotas()
    }

    /// Returns the part of the limiter that decided.
    #[must_use]
    pub fn source(&self) -> Source {
        self.verdict.source()
    }

    pub(crate) fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    pub(crate) fn into_receipt(self) -> Option<Receipt> {
        self.receipt
    }
}
