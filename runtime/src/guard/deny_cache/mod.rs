//! The deny cache: a refusal answers for itself as long as it must hold.

mod refusals;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use self::refusals::Refusals;
use crate::backend::store::{Answers, BoxFuture, Store};
use crate::{Action, Answer, BackendError, Check, Clock, Operation, Outcome, Verdict};

/// Stands before a store that takes a journey to ask.
pub(super) struct DenyCache {
    refusals: Refusals,
    clock: Arc<dyn Clock>,
    inner: Box<dyn Store>,
}

impl DenyCache {
    pub(super) fn new(
        inner: Box<dyn Store>,
        clock: Arc<dyn Clock>,
        max_keys: usize,
        max_age: Duration,
    ) -> Self {
        Self { refusals: Refusals::new(max_keys, max_age), clock, inner }
    }

    #[inline]
    fn answer(&self, check: &Check<'_>, verdict: &mut Verdict) -> bool {
        let Check { policy, subject, cost, .. } = *check;
        policy.has_deny_cache()
            && self.refusals.answer(policy, subject, cost, self.clock.now_micros(), verdict)
    }
}

impl Store for DenyCache {
    fn inner(&self) -> Option<&dyn Store> {
        Some(&*self.inner)
    }

    #[inline]
    fn charge_now(
        &self,
        check: &Check<'_>,
        verdict: &mut Verdict,
    ) -> Option<Result<(), BackendError>> {
        if self.answer(check, verdict) {
            return Some(Ok(()));
        }
        self.inner.charge_now(check, verdict)
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        if let Action::Charge | Action::Peek = operation.action {
            let mut verdict = Verdict::open();
            if self.answer(&operation.check, &mut verdict) {
                return Some(Ok(Answer::Verdict(verdict)));
            }
        }
        let answer = self.inner.apply_now(operation)?;
        drop(Forgetting { refusals: &self.refusals, batch: std::slice::from_ref(operation) });
        Some(answer)
    }

    fn apply<'a>(&'a self, batch: &'a [Operation<'a>]) -> BoxFuture<'a, Answers> {
        Box::pin(async move {
            // However this ends: what was sent may have its effect.
            let _forgetting = Forgetting { refusals: &self.refusals, batch };
            let sent_at = self.clock.now_micros();
            let asked: SmallVec<[_; 1]> = batch
                .iter()
                .map(|operation| {
                    let Check { policy, subject, .. } = operation.check;
                    self.refusals.ask(policy, subject, sent_at)
                })
                .collect();
            let answers = self.inner.apply(batch).await;
            for ((operation, asked), answer) in batch.iter().zip(asked).zip(&answers) {
                let Check { policy, subject, cost, .. } = operation.check;
                if let (Action::Charge | Action::Peek, Ok(Answer::Verdict(verdict))) =
                    (operation.action, answer)
                    && verdict.outcome() != Outcome::Allowed
                    && policy.has_deny_cache()
                {
                    let now = self.clock.now_micros();
                    self.refusals.learn(asked, policy, subject, cost, verdict, now);
                }
            }
            answers
        })
    }
}

/// Forgets, when dropped, the keys to which something was given back.
struct Forgetting<'a> {
    refusals: &'a Refusals,
    batch: &'a [Operation<'a>],
}

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        for operation in self.batch {
            if matches!(operation.action, Action::Reset | Action::Refund { .. }) {
                self.refusals.forget(operation.check.policy, operation.check.subject);
            }
        }
    }
}
