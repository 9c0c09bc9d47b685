//! Function mode: limits on functions that are not handlers.
//!
//! The attribute puts a call of [`admit`] or [`admit_now`] in front of the function's body.

mod after_call;
mod limited;
mod permit;

use std::fmt::Display;
use std::iter::repeat;
use std::time::Duration;

use smallvec::SmallVec;

pub use self::after_call::AfterCall;
pub use self::limited::{FailsWith, FromRateLimited, LimitedResult, RateLimited, SyncResult};
use crate::annotation::Limit;
use crate::decision::Adjustment;
use crate::global::current_limiter;
use crate::limiter::Settling;
use crate::subject::Subject;
use crate::{Blocked, Check, Decision, Limiter, Unavailable};

/// A policy of an annotated function, with its cost and its wait. The attribute macro creates it in
/// a static.
#[derive(Debug)]
pub struct CallLimit {
    limit: Limit,
    cost: u32,
    wait: Option<Duration>,
    /// `true` if the charge is refunded when the call ends without a result.
    refunds_without_result: bool,
}

impl CallLimit {
    /// Creates a limit. Each call charges `cost` units to it, unless it has a cost of its own.
    #[must_use]
    pub const fn new(limit: Limit, cost: u32) -> Self {
        Self { limit, cost, wait: None, refunds_without_result: false }
    }

    /// Sets the longest time for which a call waits in the queue. By default calls do not wait.
    #[must_use]
    pub const fn wait(mut self, max_wait: Duration) -> Self {
        self.wait = Some(max_wait);
        self
    }

    /// Marks the limit as one whose charges may be refunded after the call. `without_result` is
    /// `true` if a charge is also refunded when the call ends without a result, because of a panic,
    /// or because its future is dropped.
    #[must_use]
    pub const fn refunds(mut self, without_result: bool) -> Self {
        self.limit.set_refunds();
        self.refunds_without_result = without_result;
        self
    }

    /// Marks the limit as one whose charges are settled after the call. A call that ends without a
    /// result leaves the charge.
    #[must_use]
    pub const fn settles(mut self) -> Self {
        self.limit.set_refunds();
        self.limit.set_settles();
        self
    }

    /// Returns the settings that this limit has in common with limits of handlers.
    pub const fn limit(&self) -> &Limit {
        &self.limit
    }

    fn check<'a>(&'a self, subject: &'a str, call: &Call) -> Check<'a> {
        Check::new(self.limit.policy(), subject, call.cost.unwrap_or(self.cost))
    }

    /// Charges a call to its subject, and waits in the queue if the limit has a `wait`. Returns
    /// `None` if the call may go on although no decision was made: the policy is in shadow mode,
    /// and the backend could not answer.
    async fn charge(
        &self,
        limiter: &Limiter,
        call: &Call,
    ) -> Result<Option<Decision>, RateLimited> {
        let subject = limiter.subject_of(&call.subject);
        let declared = self.check(&subject, call);
        let (policy, charged) = match self.wait {
            Some(max_wait) => limiter.charge_in_line(&declared, max_wait, None).await,
            None => match limiter.effective_policy_for(&declared) {
                Ok(policy) => {
                    let charged = limiter.charge(&policy, &declared.with_policy(&policy)).await;
                    (policy, charged)
                }
                Err(_) => Box::pin(limiter.charge_found(&declared)).await,
            },
        };
        self.permit(limiter, &declared.with_policy(&policy), charged)
    }

    /// Charges a call like [`charge`](Self::charge), for a function that is not async. Also fails
    /// if the backend cannot answer without waiting, or the override of the subject has to be awaited.
    fn charge_now(&self, limiter: &Limiter, call: &Call) -> Result<Option<Decision>, RateLimited> {
        let subject = limiter.subject_of(&call.subject);
        let declared = self.check(&subject, call);
        let policy = limiter
            .effective_policy_for(&declared)
            .map_err(|policy| RateLimited::cannot_wait(limiter.refusing(&policy)))?;
        let check = declared.with_policy(&policy);
        let charged = limiter.charge_now(&policy, &check);
        let charged = charged.ok_or_else(|| RateLimited::cannot_wait(limiter.refusing(&policy)))?;
        self.permit(limiter, &check, charged)
    }

    /// Converts the result of a check. A refusal becomes an error, and the `on_blocked` functions
    /// are called. In shadow mode there are no errors: a refusal is returned as the decision, and a
    /// failed check as `None`.
    fn permit(
        &self,
        limiter: &Limiter,
        check: &Check<'_>,
        charged: Result<Decision, Unavailable>,
    ) -> Result<Option<Decision>, RateLimited> {
        match charged {
            Ok(decision) => {
                if !decision.is_allowed() {
                    let blocked = Blocked::new(check, &decision);
                    self.limit.notify(&blocked);
                    limiter.notify_blocked(&blocked);
                }
                decision.into_result().map(Some)
            }
            Err(_) if check.policy.is_shadow() => Ok(None),
            Err(unavailable) => Err(unavailable.of(limiter.refusing(check.policy)).into()),
        }
    }
}

/// The values of one call's arguments by which a limit counts it.
#[derive(Debug)]
pub struct Call {
    subject: Subject,
    /// The units that the call takes; `None` if that does not depend on its arguments.
    cost: Option<u32>,
}

impl Call {
    /// Creates the call from the values in `key = args(…)`.
    #[must_use]
    pub fn new(key: &[&dyn Display]) -> Self {
        Self { subject: Subject::of_all(key), cost: None }
    }

    /// Sets the cost: the value in `cost = args(…)`.
    #[must_use]
    pub fn cost(self, units: u32) -> Self {
        Self { cost: Some(units), ..self }
    }
}

/// The decisions that have admitted one call. They are needed to adjust the charges, and hold the
/// permits of a call in flight.
///
/// If it is dropped, the call has ended without a result.
#[derive(Debug)]
pub struct CallGrants {
    limiter: Limiter,
    limits: &'static [CallLimit],
    /// One decision for each limit so far, in source order; `None` for a limit in shadow mode that
    /// could not be checked.
    decisions: SmallVec<[Option<Decision>; 1]>,
}

impl CallGrants {
    fn new(limits: &'static [CallLimit]) -> Self {
        Self { limiter: current_limiter(), limits, decisions: SmallVec::new() }
    }

    /// Adjusts the charges after the call. `due` has one element for each limit, in source order. An
    /// adjustment that fails is logged.
    pub async fn finish(mut self, due: &[AfterCall]) {
        let mut receipts = Vec::new();
        for (decision, adjustment) in self.take(due.iter().copied()) {
            if let Settling::Pending(receipt) = self.limiter.settle_now(decision, adjustment) {
                receipts.push(*receipt);
            }
        }
        self.limiter.finish_settlements(receipts).await;
    }

    /// Adjusts the charges like [`finish`](Self::finish), in a function that is not async. If the
    /// backend has to be awaited, that goes on in the background.
    pub fn finish_now(mut self, due: &[AfterCall]) {
        self.finish_soon(due.iter().copied());
    }

    fn finish_soon(&mut self, due: impl Iterator<Item = AfterCall>) {
        for (decision, adjustment) in self.take(due) {
            self.limiter.settle_soon(decision, adjustment);
        }
    }

    /// Removes all decisions, and returns those whose charge is to be adjusted. `due` is in the same
    /// order.
    fn take(
        &mut self,
        due: impl Iterator<Item = AfterCall>,
    ) -> SmallVec<[(Decision, Adjustment); 1]> {
        let pairs = std::mem::take(&mut self.decisions).into_iter().zip(due);
        pairs.filter_map(|(decision, due)| decision.zip(due.adjustment())).collect()
    }
}

impl Drop for CallGrants {
    fn drop(&mut self) {
        let limits = self.limits;
        let due = |limit: &CallLimit| AfterCall::refund_if(limit.refunds_without_result);
        self.finish_soon(limits.iter().map(due));
    }
}

/// The refusal of a call.
#[derive(Debug)]
pub struct Refused {
    /// The error that says so.
    pub limited: RateLimited,
    /// The place of the limit that refused among those of the function.
    pub index: usize,
}

/// Charges a call to each limit in source order. `calls` contains the call's values for each limit. If
/// a limit refuses, the charges to the limits before it are refunded; a refund that fails is
/// logged.
pub async fn admit(limits: &'static [CallLimit], calls: Vec<Call>) -> Result<CallGrants, Refused> {
    let mut grants = CallGrants::new(limits);
    for (index, (limit, call)) in limits.iter().zip(&calls).enumerate() {
        match limit.charge(&grants.limiter, call).await {
            Ok(decision) => grants.decisions.push(decision),
            Err(limited) => {
                grants.finish(&vec![AfterCall::refund_if(true); limits.len()]).await;
                return Err(Refused { limited, index });
            }
        }
    }
    Ok(grants)
}

/// Charges a call like [`admit`], for a function that is not async.
pub fn admit_now(limits: &'static [CallLimit], calls: Vec<Call>) -> Result<CallGrants, Refused> {
    let mut grants = CallGrants::new(limits);
    for (index, (limit, call)) in limits.iter().zip(&calls).enumerate() {
        match limit.charge_now(&grants.limiter, call) {
            Ok(decision) => grants.decisions.push(decision),
            Err(limited) => {
                grants.finish_soon(repeat(AfterCall::refund_if(true)));
                return Err(Refused { limited, index });
            }
        }
    }
    Ok(grants)
}

/// Calls `body`. The parameter's type makes the closure an `FnOnce`. If generated code called the
/// closure where it is defined, the compiler would infer a closure that may be called again, and
/// such a closure cannot return what it borrows.
pub fn call_once<T>(body: impl FnOnce() -> T) -> T {
    body()
}
