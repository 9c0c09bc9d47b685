//! The answer to one request, as users see it, and the receipt of its charge.

use std::time::Duration;

use smol_str::SmolStr;

use crate::backend::Operation;
use crate::{Action, Check, Outcome, Policy, QuotaState, Source, Verdict};

/// The answer to one request.
///
/// It stands for one charge: give it to [`Limiter::refund`] to undo that, once. That is why it is
/// not [`Clone`].
///
/// [`Limiter::refund`]: crate::Limiter::refund
#[derive(Debug)]
#[must_use = "a refused request must not go on"]
pub struct Decision {
    verdict: Verdict,
    receipt: Option<Receipt>,
}

/// The record of a charge, from which it can be given back.
#[derive(Debug)]
pub(crate) struct Receipt {
    policy: Policy,
    subject: SmolStr,
    cost: u32,
    stamp_micros: u64,
    source: Source,
    /// The instant that names the charge in the limiter's fallback; 0 if it was not recorded there.
    pub(crate) fallback_stamp: u64,
}

impl Receipt {
    /// Returns the check that was charged.
    pub(crate) fn check(&self) -> Check<'_> {
        Check::new(&self.policy, &self.subject, self.cost)
    }

    /// Returns the operation that gives the charge back.
    pub(crate) fn refund(&self) -> Operation<'_> {
        let Self { stamp_micros, source, .. } = *self;
        Operation { check: self.check(), action: Action::Refund { stamp_micros, source } }
    }

    /// Returns the part of the limiter that holds the charge.
    pub(crate) fn source(&self) -> Source {
        self.source
    }

    /// Returns the instant of the charge, on the clock of who holds it.
    pub(crate) fn stamp_micros(&self) -> u64 {
        self.stamp_micros
    }
}

impl Decision {
    /// Creates the decision of a peek, or of a charge that is not going to be given back.
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

    /// Returns the refusal of a caller who waited in vain: for at least `span`, even if there is
    /// room now, for that belongs to those who came before.
    pub(crate) fn refused_for(self, span: Duration) -> Self {
        let retry_after = self.retry_after().unwrap_or_default().max(span);
        match self.outcome() {
            Outcome::Never => self,
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

    /// Returns the least that remains in any of the quotas, in units; 0 when nobody knows (see
    /// [`Source::Open`]).
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.quotas().iter().map(QuotaState::remaining).min().unwrap_or(0)
    }

    /// Returns the time until the same request succeeds, if nobody else comes: exact to the
    /// microsecond. `None` when it was allowed, and when it can never succeed.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.outcome().retry_after()
    }

    /// Returns the state of each quota of the policy, in declared order. Empty when nobody knows
    /// (see [`Source::Open`]).
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
