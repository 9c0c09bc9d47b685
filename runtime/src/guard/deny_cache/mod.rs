//! The deny cache: a refusal answers for itself as long as it must hold.

mod refusals;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use self::refusals::Refusals;
use crate::backend::Verdict;
use crate::backend::erased::ErasedBackend;
use crate::{Action, Answer, Backend, BackendError, Clock, Operation, Outcome, Policy};

/// Stands before a store that takes a journey to ask.
pub(super) struct DenyCache {
    refusals: Refusals,
    clock: Arc<dyn Clock>,
    inner: Box<dyn ErasedBackend>,
}

impl DenyCache {
    pub(super) fn new(
        inner: Box<dyn ErasedBackend>,
        clock: Arc<dyn Clock>,
        max_keys: usize,
        max_age: Duration,
    ) -> Self {
        Self { refusals: Refusals::new(max_keys, max_age), clock, inner }
    }

    #[inline]
    fn answer(&self, policy: &Policy, subject: &str, cost: u32, verdict: &mut Verdict) -> bool {
        policy.has_deny_cache()
            && self.refusals.answer(policy, subject, cost, self.clock.now_micros(), verdict)
    }
}

impl Backend for DenyCache {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        // However this ends: what was sent may have its effect.
        let _forgetting = Forgetting { refusals: &self.refusals, batch };
        let sent_at = self.clock.now_micros();
        let asked: SmallVec<[_; 1]> = batch
            .iter()
            .map(|operation| self.refusals.ask(operation.policy, operation.subject, sent_at))
            .collect();
        let answers = self.inner.apply(batch).await;
        for ((operation, asked), answer) in batch.iter().zip(asked).zip(&answers) {
            let Operation { policy, subject, action } = *operation;
            if let (Action::Charge { cost } | Action::Peek { cost }, Ok(Answer::Verdict(verdict))) =
                (action, answer)
                && verdict.outcome() != Outcome::Allowed
                && policy.has_deny_cache()
            {
                let now = self.clock.now_micros();
                self.refusals.learn(asked, policy, subject, cost, verdict, now);
            }
        }
        answers
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        let Operation { policy, subject, action } = *operation;
        if let Action::Charge { cost } | Action::Peek { cost } = action {
            let mut verdict = Verdict::new(Outcome::Allowed, 0);
            if self.answer(policy, subject, cost, &mut verdict) {
                return Some(Ok(Answer::Verdict(verdict)));
            }
        }
        let answer = self.inner.apply_now(operation)?;
        drop(Forgetting { refusals: &self.refusals, batch: std::slice::from_ref(operation) });
        Some(answer)
    }

    #[inline]
    fn charge_now(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
        verdict: &mut Verdict,
    ) -> Option<Result<(), BackendError>> {
        if self.answer(policy, subject, cost, verdict) {
            return Some(Ok(()));
        }
        self.inner.charge_now(policy, subject, cost, verdict)
    }

    async fn initialize(&self) -> Result<(), BackendError> {
        self.inner.initialize().await
    }

    async fn close(&self) {
        self.inner.close().await;
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
                self.refusals.forget(operation.policy, operation.subject);
            }
        }
    }
}
