//! The decision about one request, as the limiter returns it, and the receipt of its charge.

mod trace;

use std::time::Duration;

use smol_str::SmolStr;

use self::trace::{Charge, Trace, TraceBox};
use crate::operation::{Action, Operation};
use crate::permit::Permit;
use crate::refused_by::{RefusedBy, ResponseOptions};
use crate::verdict::Verdict;
use crate::{Check, Outcome, Policy, QuotaState, Source};

/// The limiter's decision about one request.
///
/// If the request was charged, the decision represents that charge: pass it to [`Limiter::refund`]
/// to refund the charge, or to [`Limiter::settle`] to replace it by what the request came to. It is
/// not [`Clone`], so that no charge is refunded twice. Only a limiter that asks the same store can
/// do that.
///
/// If the policy limits the requests [in flight](crate::InFlight), the decision also is the request's
/// permit: it is released when the decision is dropped, refunded or settled.
///
/// [`Limiter::refund`]: crate::Limiter::refund
/// [`Limiter::settle`]: crate::Limiter::settle
#[derive(Debug)]
#[must_use = "a refused request must not go on"]
pub struct Decision {
    verdict: Verdict,
    trace: TraceBox,
    /// The permit of a request in flight; `None` if it was given none.
    permit: Option<Permit>,
}

/// The identity of the limiter that made a decision, and of the store that it asked. A charge can
/// be refunded only where it is recorded: in that store, or in that limiter's fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChargeOrigin {
    /// The [`Store::identity`](crate::backend::store::Store::identity).
    pub(crate) store: u64,
    /// A number that no other limiter of this process has.
    pub(crate) limiter: u64,
}

/// The change of a charge that its request has earned by its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adjustment {
    /// The charge is given back.
    Refund,
    /// The charge is given back because the request has succeeded, and the refusals and bans of its
    /// subject are forgotten.
    Forgive,
    /// The charge is replaced by the units that the request came to.
    Settle(u32),
}

/// The record of a charge and of its adjustment, with everything that is needed to make it.
#[derive(Debug)]
pub(crate) struct Receipt {
    policy: Policy,
    subject: SmolStr,
    cost: u32,
    pub(crate) origin: ChargeOrigin,
    stamp_micros: u64,
    source: Source,
    /// The [`Verdict::fallback_mark`] of the charge.
    pub(crate) fallback_mark: u64,
    adjustment: Adjustment,
}

impl Receipt {
    /// Returns the check whose cost was charged.
    pub(crate) fn check(&self) -> Check<'_> {
        Check::new(&self.policy, &self.subject, self.cost)
    }

    /// Returns the operation that adjusts the charge.
    pub(crate) fn operation(&self) -> Operation<'_> {
        let Self { stamp_micros, source, .. } = *self;
        let action = match self.adjustment {
            Adjustment::Refund => Action::Refund { stamp_micros, source, forgives: false },
            Adjustment::Forgive => Action::Refund { stamp_micros, source, forgives: true },
            Adjustment::Settle(actual) => Action::Settle { stamp_micros, source, actual },
        };
        Operation { check: self.check(), action }
    }

    /// Returns the units to which the charge is adjusted.
    pub(crate) fn actual(&self) -> u32 {
        match self.adjustment {
            Adjustment::Refund | Adjustment::Forgive => 0,
            Adjustment::Settle(actual) => actual,
        }
    }

    /// Returns `true` if the charge is to be replaced by what the request came to, even if that is
    /// nothing.
    pub(crate) fn is_settlement(&self) -> bool {
        matches!(self.adjustment, Adjustment::Settle(_))
    }

    /// Returns `true` if the adjustment changes nothing.
    pub(crate) fn is_settled(&self) -> bool {
        self.adjustment != Adjustment::Forgive && self.actual() == self.cost
    }

    /// Returns the operation that reads the state of the charged quotas.
    pub(crate) fn peek(&self) -> Operation<'_> {
        Operation::peek(self.check().with_cost(0))
    }

    /// Returns the part of the limiter that recorded the charge.
    pub(crate) fn source(&self) -> Source {
        self.source
    }

    /// Returns the time of the charge, in microseconds since the Unix epoch, on the clock of the
    /// part of the limiter that recorded it.
    pub(crate) fn stamp_micros(&self) -> u64 {
        self.stamp_micros
    }
}

impl Decision {
    /// Creates a decision that cannot be refunded: that of a peek, or of a charge that needs no
    /// refund.
    #[inline]
    pub(crate) fn without_receipt(verdict: Verdict) -> Self {
        Self { verdict, trace: TraceBox::default(), permit: None }
    }

    /// Creates the decision that admits a request because the backend failed. A check may begin with
    /// it, and writes its own verdict into it.
    #[cfg(feature = "axum")]
    #[inline]
    pub(crate) fn open() -> Self {
        Self::without_receipt(Verdict::open())
    }

    /// Moves the decision out, and leaves [`open`](Self::open) in its place.
    #[cfg(feature = "axum")]
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::open())
    }

    /// Creates the decision that admits a request because its policy is switched off.
    pub(crate) fn disabled() -> Self {
        Self::without_receipt(Verdict::disabled())
    }

    /// Adds the receipt of a charge of `check`, if the verdict is that of a charge that can be
    /// adjusted.
    #[inline(always)]
    pub(crate) fn add_receipt(&mut self, check: &Check<'_>, origin: ChargeOrigin) {
        if self.verdict.is_refundable() && !check.policy.quotas().is_empty() {
            let Check { policy, subject, cost, .. } = *check;
            let subject = subject.into();
            self.trace
                .set(|| Trace::Charge(Charge { policy: policy.clone(), subject, cost, origin }));
        }
    }

    /// Adds the limit that refused the request.
    #[inline]
    pub(crate) fn add_refusal(&mut self, policy: &Policy, options: &ResponseOptions) {
        self.trace.set_refusal(policy, options);
    }

    /// Sets the permit of the request.
    #[inline]
    pub(crate) fn set_permit(&mut self, permit: Option<Permit>) {
        self.permit = permit;
    }

    /// Moves the permit out of the decision.
    #[inline]
    pub(crate) fn take_permit(&mut self) -> Option<Permit> {
        self.permit.take()
    }

    /// Creates the decision that refuses a request by this limit.
    pub(crate) fn refused(verdict: Verdict, policy: &Policy, options: &ResponseOptions) -> Self {
        let mut decision = Self::without_receipt(verdict);
        decision.add_refusal(policy, options);
        decision
    }

    /// Turns the decision of a peek into the refusal of a caller that found the queue too long or
    /// waited in it until its time was over. The time to retry is at least `span`, even if the
    /// quotas have units left, because those units are for the callers ahead in the queue.
    pub(crate) fn refused_for(self, span: Duration) -> Self {
        let retry_after = self.retry_after().unwrap_or_default().max(span);
        match self.outcome() {
            Outcome::Never | Outcome::Blocked | Outcome::Banned { .. } => self,
            Outcome::Allowed | Outcome::Refused { .. } => {
                let outcome = Outcome::Refused { retry_after };
                let verdict = self.verdict.with_outcome(outcome);
                Self { verdict, trace: self.trace, permit: None }
            }
        }
    }

    /// Returns `true` if the request may go on.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.verdict.is_allowed()
    }

    /// Returns the outcome: if the request was allowed, and if not, for how long it is refused.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.verdict.outcome()
    }

    /// Returns the number of units that remain in the quota with the fewest remaining units. It is
    /// 0 if the states of the quotas are not known (see [`Source::Open`]).
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

    /// Returns the state of each quota of the policy, in the order of declaration. That of its limit on
    /// requests [in flight](crate::InFlight) comes last. It is empty if the states are not known (see
    /// [`Source::Open`]).
    #[must_use]
    pub fn quotas(&self) -> &[QuotaState] {
        self.verdict.quotas()
    }

    /// Returns the part of the limiter that made the decision.
    #[must_use]
    pub fn source(&self) -> Source {
        self.verdict.source()
    }

    pub(crate) fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    #[inline]
    pub(crate) fn verdict_mut(&mut self) -> &mut Verdict {
        &mut self.verdict
    }

    /// Returns the limit that refused the request; `None` if it is not known, as for decisions that
    /// no program owns.
    pub(crate) fn refused_by(&self) -> Option<&RefusedBy> {
        match self.trace.get()? {
            Trace::Refusal(by) => Some(by),
            Trace::Nothing | Trace::Charge(_) => None,
        }
    }

    pub(crate) fn into_receipt(self, adjustment: Adjustment) -> Option<Receipt> {
        let Self { verdict, trace, permit: _ } = self;
        let Some(Trace::Charge(charge)) = trace.into_trace() else { return None };
        let Charge { policy, subject, cost, origin } = charge;
        let (stamp_micros, source) = (verdict.stamp_micros(), verdict.source());
        let fallback_mark = verdict.fallback_mark();
        Some(Receipt {
            policy,
            subject,
            cost,
            origin,
            stamp_micros,
            source,
            fallback_mark,
            adjustment,
        })
    }
}
