//! Function mode: limits on functions that are no handlers.
//!
//! The attribute puts a call of [`admit`] or [`admit_now`] in front of the function's body.

mod limited;

use std::iter::repeat;
use std::time::Duration;

use smallvec::SmallVec;

pub use self::limited::{FromRateLimited, LimitedResult, RateLimited};
use crate::annotation::Limit;
use crate::global::current_limiter;
use crate::subject::Subject;
use crate::{Blocked, Check, Decision, Limiter, Unavailable};

/// One policy of an annotated function, in a static that the macro generates.
#[derive(Debug)]
pub struct CallLimit {
    limit: Limit,
    cost: u32,
    wait: Option<Duration>,
}

impl CallLimit {
    /// Creates a limit to which each call is charged at `cost` units.
    #[must_use]
    pub const fn new(limit: Limit, cost: u32) -> Self {
        Self { limit, cost, wait: None }
    }

    /// Sets the longest time for which a call waits in the queue. Without it, calls do not wait.
    #[must_use]
    pub const fn wait(mut self, max_wait: Duration) -> Self {
        self.wait = Some(max_wait);
        self
    }

    /// Marks the limit as one whose charges may be refunded after the call.
    #[must_use]
    pub const fn refunds(mut self) -> Self {
        self.limit.set_refunds();
        self
    }

    /// Returns the settings that handlers' limits have, too.
    pub const fn limit(&self) -> &Limit {
        &self.limit
    }

    fn check<'a>(&'a self, subject: &'a str) -> Check<'a> {
        Check::new(self.limit.policy(), subject, self.cost)
    }

    /// Charges a call of `subject`. Returns `None` if the call may go on without a decision.
    async fn charge(
        &self,
        limiter: &Limiter,
        subject: &str,
    ) -> Result<Option<Decision>, RateLimited> {
        let declared = self.check(subject);
        let (policy, charged) = match self.wait {
            Some(max_wait) => limiter.charge_in_line(&declared, max_wait).await,
            None => {
                let policy = limiter.effective_policy_for(&declared);
                let charged = limiter.charge(&policy, &declared.with_policy(&policy)).await;
                (policy, charged)
            }
        };
        self.permit(limiter, &declared.with_policy(&policy), charged)
    }

    /// Charges a call like [`charge`](Self::charge), in a function that is not async. It is an
    /// error if the backend would have to be waited for.
    fn charge_now(
        &self,
        limiter: &Limiter,
        subject: &str,
    ) -> Result<Option<Decision>, RateLimited> {
        let declared = self.check(subject);
        let policy = limiter.effective_policy_for(&declared);
        let check = declared.with_policy(&policy);
        let charged = limiter.charge_now(&policy, &check);
        let charged = charged.ok_or_else(|| RateLimited::cannot_wait(&policy))?;
        self.permit(limiter, &check, charged)
    }

    /// Turns the result of a check into permission or refusal, and calls the hooks of a refusal.
    /// Without a decision the call may go on only in `shadow`.
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
                    if !check.policy.is_shadow() {
                        return Err(RateLimited::refused(check.policy, decision));
                    }
                }
                Ok(Some(decision))
            }
            Err(_) if check.policy.is_shadow() => Ok(None),
            Err(unavailable) => Err(RateLimited::unavailable(check.policy, unavailable)),
        }
    }
}

/// The permission for one call, with the decisions by which its charges can be refunded.
#[derive(Debug)]
pub struct Permit {
    limiter: Limiter,
    /// One for each limit, in source order; `None` where the call goes on without a decision.
    decisions: SmallVec<[Option<Decision>; 1]>,
}

impl Permit {
    fn new(limiter: Limiter) -> Self {
        Self { limiter, decisions: SmallVec::new() }
    }

    /// Refunds, best effort, the charges of the limits for which `which` has `true`, in source
    /// order.
    pub async fn refund(self, which: &[bool]) {
        self.refund_if(which.iter().copied()).await;
    }

    /// Refunds like [`refund`](Self::refund), in a function that is not async.
    pub fn refund_now(self, which: &[bool]) {
        self.refund_now_if(which.iter().copied());
    }

    async fn refund_if(self, which: impl Iterator<Item = bool>) {
        let limiter = &self.limiter;
        for decision in wanted(self.decisions, which) {
            limiter.refund_or_log(decision).await;
        }
    }

    fn refund_now_if(self, which: impl Iterator<Item = bool>) {
        for decision in wanted(self.decisions, which) {
            self.limiter.refund_now_or_log(decision);
        }
    }
}

/// Returns the decisions for which `which` yields `true`.
fn wanted(
    decisions: impl IntoIterator<Item = Option<Decision>>,
    which: impl Iterator<Item = bool>,
) -> impl Iterator<Item = Decision> {
    let pairs = decisions.into_iter().zip(which);
    pairs.filter_map(|(decision, is_wanted)| decision.filter(|_| is_wanted))
}

/// Charges a call to each limit in source order, each for its own subject. If one refuses, the
/// charges of those before it are refunded, best effort.
pub async fn admit(
    limits: &'static [CallLimit],
    subjects: Vec<Subject>,
) -> Result<Permit, RateLimited> {
    let mut permit = Permit::new(current_limiter());
    for (limit, subject) in limits.iter().zip(&subjects) {
        match limit.charge(&permit.limiter, subject.as_str()).await {
            Ok(decision) => permit.decisions.push(decision),
            Err(limited) => {
                permit.refund_if(repeat(true)).await;
                return Err(limited);
            }
        }
    }
    Ok(permit)
}

/// Charges a call like [`admit`], in a function that is not async.
pub fn admit_now(
    limits: &'static [CallLimit],
    subjects: Vec<Subject>,
) -> Result<Permit, RateLimited> {
    let mut permit = Permit::new(current_limiter());
    for (limit, subject) in limits.iter().zip(&subjects) {
        match limit.charge_now(&permit.limiter, subject.as_str()) {
            Ok(decision) => permit.decisions.push(decision),
            Err(limited) => {
                permit.refund_now_if(repeat(true));
                return Err(limited);
            }
        }
    }
    Ok(permit)
}

/// Calls `body` as a function that is called once. The compiler infers that a closure called where
/// it is defined may be called again, and such a closure cannot return what it borrows.
pub fn call_once<T>(body: impl FnOnce() -> T) -> T {
    body()
}
