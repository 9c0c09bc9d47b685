//! The deny cache: answers checks by an earlier refusal of the store, for as long as that refusal
//! is certainly still valid.

mod refusals;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use self::refusals::Refusals;
use crate::backend::store::{Answers, BoxFuture, Store};
use crate::micros::Timestamp;
use crate::operation::{Action, Answer, Operation};
use crate::verdict::Verdict;
use crate::{BackendError, Check, Clock, Outcome};

/// The guard that answers checks by earlier refusals, to save round trips to the store.
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
        check.policy.has_ban_cache()
            && self.refusals.answer(check, Timestamp::now(&self.clock), verdict)
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
        drop(ForgetOnDrop { refusals: &self.refusals, batch: std::slice::from_ref(operation) });
        Some(answer)
    }

    fn apply<'a>(&'a self, batch: &'a [Operation<'a>]) -> BoxFuture<'a, Answers> {
        Box::pin(async move {
            // The refusals are removed however this future ends, because operations that were sent
            // may have their effect even if it is dropped.
            let _forget = ForgetOnDrop { refusals: &self.refusals, batch };
            let sent_at = Timestamp::now(&self.clock);
            let sent: SmallVec<[_; 1]> = batch
                .iter()
                .map(|operation| self.refusals.sending(&operation.check, sent_at))
                .collect();
            let answers = self.inner.apply(batch).await;
            for ((operation, sent), answer) in batch.iter().zip(sent).zip(&answers) {
                let check = operation.check;
                if let (Action::Charge | Action::Peek, Ok(Answer::Verdict(verdict))) =
                    (operation.action, answer)
                    && match verdict.outcome() {
                        Outcome::Allowed => false,
                        Outcome::Banned { .. } => check.policy.has_ban_cache(),
                        _ => check.policy.has_deny_cache(),
                    }
                {
                    self.refusals.learn(sent, check.cost, verdict, Timestamp::now(&self.clock));
                }
            }
            answers
        })
    }
}

/// When it is dropped, this removes the refusals of all keys of which the batch may have shortened
/// the wait.
struct ForgetOnDrop<'a> {
    refusals: &'a Refusals,
    batch: &'a [Operation<'a>],
}

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        for operation in self.batch {
            match operation.action {
                Action::Reset | Action::Refund { .. } | Action::Settle { .. } | Action::Unban => {
                    self.refusals.forget(&operation.check);
                }
                Action::Charge | Action::Peek | Action::Ban { .. } => {}
            }
        }
    }
}
