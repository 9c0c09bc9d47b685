//! The circuit breaker: stops asking a store that keeps failing, for a while.

mod settings;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use self::settings::CircuitBreaker;
pub(crate) use self::state::Circuit;
use self::state::Sign;
use crate::backend::store::{Answers, BoxFuture, Store};
use crate::operation::{Answer, Operation};
use crate::verdict::Verdict;
use crate::{BackendError, Check};

pub(super) struct Breaker {
    inner: Box<dyn Store>,
    circuit: Arc<Circuit>,
}

impl Breaker {
    pub(super) fn new(inner: Box<dyn Store>, circuit: Arc<Circuit>) -> Self {
        Self { inner, circuit }
    }

    /// Asks the store by `ask`, if the breaker permits it. If the store cannot answer without
    /// waiting, the pass is given back unused, so that the same operation may be the probe when it
    /// waits.
    fn now<T>(
        &self,
        ask: impl FnOnce(&dyn Store) -> Option<Result<T, BackendError>>,
    ) -> Option<Result<T, BackendError>> {
        let pass = match self.circuit.enter() {
            Ok(pass) => pass,
            Err(left) => return Some(Err(self.circuit.stopped(left))),
        };
        match ask(&*self.inner) {
            Some(answer) => {
                pass.report(sign(&answer), answer.as_ref().err());
                Some(answer)
            }
            None => {
                pass.give_back();
                None
            }
        }
    }
}

impl Store for Breaker {
    /// Returns the store behind this guard. The call of its `initialize` does not pass through the
    /// breaker, so that the store's own error is reported when a limiter starts.
    fn inner(&self) -> Option<&dyn Store> {
        Some(&*self.inner)
    }

    fn charge_now(
        &self,
        check: &Check<'_>,
        verdict: &mut Verdict,
    ) -> Option<Result<(), BackendError>> {
        self.now(|inner| inner.charge_now(check, verdict))
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        self.now(|inner| inner.apply_now(operation))
    }

    fn apply<'a>(&'a self, batch: &'a [Operation<'a>]) -> BoxFuture<'a, Answers> {
        Box::pin(async move {
            let pass = match self.circuit.enter() {
                Ok(pass) => pass,
                Err(left) => {
                    let error = self.circuit.stopped(left);
                    return batch.iter().map(|_| Err(error.clone())).collect();
                }
            };
            let answers = self.inner.apply(batch).await;
            let failures = answers.iter().filter_map(|answer| answer.as_ref().err());
            let mut failures = failures.filter(|error| !error.is_rejection());
            pass.report(sign_of_all(&answers), failures.next());
            answers
        })
    }
}

fn sign<T>(answer: &Result<T, BackendError>) -> Sign {
    match answer {
        Ok(_) => Sign::Well,
        Err(error) if error.is_rejection() => Sign::None,
        Err(_) => Sign::Unwell,
    }
}

/// Returns the evidence in the answers to a batch. One answer without an error is enough to show
/// that the store is well.
fn sign_of_all<T>(answers: &[Result<T, BackendError>]) -> Sign {
    let mut signs = answers.iter().map(sign);
    let all = signs.try_fold(Sign::None, |all, sign| match sign {
        Sign::Well => Err(()),
        Sign::Unwell => Ok(Sign::Unwell),
        Sign::None => Ok(all),
    });
    all.unwrap_or(Sign::Well)
}
