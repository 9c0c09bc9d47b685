//! The circuit breaker: does not ask a backend that keeps failing.

mod settings;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use self::settings::{BreakerState, BreakerStats, CircuitBreaker};
pub(crate) use self::state::Circuit;
use self::state::{Sign, stopped};
use crate::backend::Verdict;
use crate::{Answer, Backend, BackendError, Operation, Policy};

pub(super) struct Breaker<B> {
    inner: B,
    /// `None`: it is never open.
    circuit: Option<Arc<Circuit>>,
}

impl<B: Backend> Breaker<B> {
    pub(super) fn new(inner: B, circuit: Option<Arc<Circuit>>) -> Self {
        Self { inner, circuit }
    }

    /// Asks what takes no waiting. What would take some is left to those who can wait, who may
    /// then be the probe.
    fn now<T>(
        &self,
        ask: impl FnOnce(&B) -> Option<Result<T, BackendError>>,
    ) -> Option<Result<T, BackendError>> {
        let Some(circuit) = &self.circuit else { return ask(&self.inner) };
        let pass = match circuit.enter() {
            Ok(pass) => pass,
            Err(left) => return Some(Err(stopped(left))),
        };
        match ask(&self.inner) {
            Some(answer) => {
                pass.report(sign(&answer));
                Some(answer)
            }
            None => {
                pass.give_back();
                None
            }
        }
    }
}

impl<B: Backend> Backend for Breaker<B> {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        let Some(circuit) = &self.circuit else { return self.inner.apply(batch).await };
        let pass = match circuit.enter() {
            Ok(pass) => pass,
            Err(left) => return batch.iter().map(|_| Err(stopped(left))).collect(),
        };
        let answers = self.inner.apply(batch).await;
        pass.report(sign_of_all(&answers));
        answers
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        self.now(|inner| inner.apply_now(operation))
    }

    fn charge_now(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
        verdict: &mut Verdict,
    ) -> Option<Result<(), BackendError>> {
        self.now(|inner| inner.charge_now(policy, subject, cost, verdict))
    }

    fn keeps_deadline(&mut self, deadline: Option<Duration>) -> bool {
        self.inner.keeps_deadline(deadline)
    }

    /// Not guarded: whoever starts wants to know what is wrong.
    async fn initialize(&self) -> Result<(), BackendError> {
        self.inner.initialize().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

fn sign<T>(answer: &Result<T, BackendError>) -> Sign {
    match answer {
        Ok(_) => Sign::Well,
        Err(error) if error.is_rejection() => Sign::None,
        Err(_) => Sign::Unwell,
    }
}

/// One answer shows that the backend can give answers.
fn sign_of_all<T>(answers: &[Result<T, BackendError>]) -> Sign {
    let mut signs = answers.iter().map(sign);
    let all = signs.try_fold(Sign::None, |all, sign| match sign {
        Sign::Well => Err(()),
        Sign::Unwell => Ok(Sign::Unwell),
        Sign::None => Ok(all),
    });
    all.unwrap_or(Sign::Well)
}
