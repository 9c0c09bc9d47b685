//! [`Backend`] behind a pointer, so that a limiter does not carry its backend's type.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Backend, Gauges, Operation, Verdict};
use crate::{BackendError, Policy};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

pub(crate) trait ErasedBackend: Send + Sync {
    fn apply<'a>(
        &'a self,
        batch: &'a [Operation<'a>],
    ) -> BoxFuture<'a, Vec<Result<Answer, BackendError>>>;
    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>>;
    fn charge_now(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
        verdict: &mut Verdict,
    ) -> Option<Result<(), BackendError>>;
    fn answers_at_once(&self) -> bool;
    fn keeps_deadline(&mut self, deadline: Option<Duration>) -> bool;
    fn name(&self) -> &'static str;
    fn gauges(&self) -> Option<Arc<dyn Gauges>>;
    fn initialize(&self) -> BoxFuture<'_, Result<(), BackendError>>;
    fn close(&self) -> BoxFuture<'_, ()>;
}

impl<B: Backend> ErasedBackend for B {
    fn apply<'a>(
        &'a self,
        batch: &'a [Operation<'a>],
    ) -> BoxFuture<'a, Vec<Result<Answer, BackendError>>> {
        Box::pin(Backend::apply(self, batch))
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        Backend::apply_now(self, operation)
    }

    fn charge_now(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
        verdict: &mut Verdict,
    ) -> Option<Result<(), BackendError>> {
        Backend::charge_now(self, policy, subject, cost, verdict)
    }

    fn answers_at_once(&self) -> bool {
        Backend::answers_at_once(self)
    }

    fn keeps_deadline(&mut self, deadline: Option<Duration>) -> bool {
        Backend::keeps_deadline(self, deadline)
    }

    fn name(&self) -> &'static str {
        Backend::name(self)
    }

    fn gauges(&self) -> Option<Arc<dyn Gauges>> {
        Backend::gauges(self)
    }

    fn initialize(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        Box::pin(Backend::initialize(self))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(Backend::close(self))
    }
}
