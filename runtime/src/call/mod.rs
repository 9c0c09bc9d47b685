//! Function mode: limits on functions that are no handlers.
//!
//! The attribute puts a call of [`admit`] or [`admit_now`] in front of the function's body.

mod limited;

use std::time::Duration;

use smallvec::SmallVec;

pub use self::limited::{FromRateLimited, RateLimited, Refusal};
use crate::annotation::Limit;
use crate::global::current_limiter;
use crate::subject::Subject;
use crate::{Check, Decision, Limiter, Unavailable};

/// One policy of an annotated function, in a static inside it.
#[derive(Debug)]
pub struct CallLimit {
    limit: Limit,
    cost: u32,
    wait: Option<Duration>,
}

impl CallLimit {
    /// A limit of which each call takes `cost`.
    #[must_use]
    pub const fn new(limit: Limit, cost: u32) -> Self {
        Self { limit, cost, wait: None }
    }

    /// Lets a call wait for its turn up to `patience`.
    #[must_use]
    pub const fn wait(mut self, patience: Duration) -> Self {
        self.wait = Some(patience);
        self
    }

    /// Says that the cost may be given back after the call.
    #[must_use]
    pub const fn refunds(mut self) -> Self {
        self.limit.set_refunds();
        self
    }

    /// What it has in common with a handler's limit.
    pub const fn limit(&self) -> &Limit {
        &self.limit
    }

    /// What the limiter says of a call of `subject`; without a decision if it goes on without.
    async fn ask(&self, limiter: &Limiter, subject: &str) -> Result<Option<Decision>, RateLimited> {
        let declared = Check::new(self.limit.policy(), subject, self.cost);
        let (policy, answer) = match self.wait {
            Some(max_wait) => limiter.charge_in_line(&declared, max_wait).await,
            None => {
                let policy = limiter.current_for(&declared);
                let answer = limiter.charge(&policy, &declared.with_policy(&policy)).await;
                (policy, answer)
            }
        };
        self.permit(limiter, &declared.with_policy(&policy), answer)
    }

    /// As [`ask`](Self::ask), where nothing can be awaited.
    fn ask_now(&self, limiter: &Limiter, subject: &str) -> Result<Option<Decision>, RateLimited> {
        let declared = Check::new(self.limit.policy(), subject, self.cost);
        let policy = limiter.current_for(&declared);
        let check = declared.with_policy(&policy);
        let answer = limiter.charge_now(&policy, &check);
        let answer = answer.ok_or_else(|| RateLimited::cannot_wait(&policy))?;
        self.permit(limiter, &check, answer)
    }

    /// What a decision, or its absence, means for the call.
    fn permit(
        &self,
        limiter: &Limiter,
        check: &Check<'_>,
        answer: Result<Decision, Unavailable>,
    ) -> Result<Option<Decision>, RateLimited> {
        match answer {
            Ok(decision) => {
                if self.limit.lets_through(limiter, check, &decision) {
                    Ok(Some(decision))
                } else {
                    Err(RateLimited::refused(check.policy, decision))
                }
            }
            Err(_) if check.policy.is_shadow() => Ok(None),
            Err(unavailable) => Err(RateLimited::unavailable(check.policy, unavailable)),
        }
    }
}

/// A call that may go on, and what it was charged.
#[derive(Debug)]
pub struct Permit {
    limiter: Limiter,
    /// For each limit; `None` where it let the call through without a decision.
    decisions: SmallVec<[Option<Decision>; 1]>,
}

impl Permit {
    fn new(limiter: Limiter) -> Self {
        Self { limiter, decisions: SmallVec::new() }
    }

    /// Gives back, best effort, what those limits took for which `which` says so.
    pub async fn refund(self, which: &[bool]) {
        for (decision, wanted) in self.decisions.into_iter().zip(which) {
            if let (Some(decision), true) = (decision, wanted) {
                // If the store cannot be reached now, what was charged stays charged.
                let _ = self.limiter.refund(decision).await;
            }
        }
    }

    /// As [`refund`](Self::refund), where nothing can be awaited.
    pub fn refund_now(self, which: &[bool]) {
        for (decision, wanted) in self.decisions.into_iter().zip(which) {
            if let (Some(decision), true) = (decision, wanted) {
                let _ = self.limiter.refund_now(decision);
            }
        }
    }
}

const ALL: &[bool] = &[true; 64];

/// Asks for a call: each limit in written order, each for its subject. If one refuses, what
/// those before it took is given back.
pub async fn admit(
    limits: &'static [CallLimit],
    subjects: Vec<Subject>,
) -> Result<Permit, RateLimited> {
    let mut permit = Permit::new(current_limiter());
    for (limit, subject) in limits.iter().zip(&subjects) {
        match limit.ask(&permit.limiter, subject.as_str()).await {
            Ok(decision) => permit.decisions.push(decision),
            Err(limited) => {
                permit.refund(ALL).await;
                return Err(limited);
            }
        }
    }
    Ok(permit)
}

/// As [`admit`], in a function that is not async.
pub fn admit_now(
    limits: &'static [CallLimit],
    subjects: Vec<Subject>,
) -> Result<Permit, RateLimited> {
    let mut permit = Permit::new(current_limiter());
    for (limit, subject) in limits.iter().zip(&subjects) {
        match limit.ask_now(&permit.limiter, subject.as_str()) {
            Ok(decision) => permit.decisions.push(decision),
            Err(limited) => {
                permit.refund_now(ALL);
                return Err(limited);
            }
        }
    }
    Ok(permit)
}

/// Calls `body` as what it is: a function that is called once. (A closure that is called where
/// it stands is taken for one that may be called again, and cannot return what it borrows.)
pub fn call_once<T>(body: impl FnOnce() -> T) -> T {
    body()
}
