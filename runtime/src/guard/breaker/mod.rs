//! The circuit breaker: stops asking a store that keeps failing, for a while.

mod settings;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use smallvec::SmallVec;

pub use self::settings::CircuitBreaker;
pub(crate) use self::state::Circuit;
use self::state::Sign;
use crate::backend::store::{Answers, BoxFuture, Store, next_answer};
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
            let servers: SmallVec<[u64; 4]> =
                batch.iter().map(|operation| self.inner.server_of(operation)).collect();
            let first = servers.first().copied().unwrap_or(0);
            if servers.iter().all(|server| *server == first) {
                return self.apply_at(&self.circuit.of_server(first), batch).await;
            }
            self.apply_at_several(&servers, batch).await
        })
    }
}

impl Breaker {
    /// Asks one server.
    async fn apply_at(&self, circuit: &Circuit, batch: &[Operation<'_>]) -> Answers {
        let pass = match circuit.enter() {
            Ok(pass) => pass,
            Err(left) => {
                let error = circuit.stopped(left);
                return batch.iter().map(|_| Err(error.clone())).collect();
            }
        };
        let answers = self.inner.apply(batch).await;
        pass.report(sign_of_all(answers.iter()), failure_of(answers.iter()));
        answers
    }

    /// Asks several servers in one batch, without those whose circuits are open.
    async fn apply_at_several(&self, servers: &[u64], batch: &[Operation<'_>]) -> Answers {
        let mut circuits: Vec<(u64, Arc<Circuit>)> = Vec::new();
        for server in servers {
            if !circuits.iter().any(|(known, _)| known == server) {
                circuits.push((*server, self.circuit.of_server(*server)));
            }
        }
        let mut passes = Vec::new();
        let mut stopped = Vec::new();
        for (server, circuit) in &circuits {
            match circuit.enter() {
                Ok(pass) => passes.push((*server, pass)),
                Err(left) => stopped.push((*server, circuit.stopped(left))),
            }
        }
        let error_of = |server: &u64| stopped.iter().find(|(known, _)| known == server);
        let asked: Vec<Operation<'_>> = batch
            .iter()
            .zip(servers)
            .filter(|(_, server)| error_of(server).is_none())
            .map(|(operation, _)| *operation)
            .collect();
        let answers = if asked.is_empty() { Vec::new() } else { self.inner.apply(&asked).await };
        let mut answers = answers.into_iter();
        let all: Answers = servers
            .iter()
            .map(|server| match error_of(server) {
                Some((_, error)) => Err(error.clone()),
                None => next_answer(&mut answers),
            })
            .collect();
        for (server, pass) in passes {
            let of_server = || {
                let answers = all.iter().zip(servers);
                answers.filter(move |(_, known)| **known == server).map(|(answer, _)| answer)
            };
            pass.report(sign_of_all(of_server()), failure_of(of_server()));
        }
        all
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
fn sign_of_all<'a, T: 'a>(answers: impl Iterator<Item = &'a Result<T, BackendError>>) -> Sign {
    let mut signs = answers.map(sign);
    let all = signs.try_fold(Sign::None, |all, sign| match sign {
        Sign::Well => Err(()),
        Sign::Unwell => Ok(Sign::Unwell),
        Sign::None => Ok(all),
    });
    all.unwrap_or(Sign::Well)
}

/// Returns the first error that shows that the store fails.
fn failure_of<'a, T: 'a>(
    answers: impl Iterator<Item = &'a Result<T, BackendError>>,
) -> Option<&'a BackendError> {
    let mut errors = answers.filter_map(|answer| answer.as_ref().err());
    errors.find(|error| !error.is_rejection())
}
