//! The memory backend as the store of a limiter.

use std::sync::Arc;

use super::MemoryBackend;
#[cfg(feature = "axum")]
use crate::Clock;
use crate::backend::info::BackendInfo;
use crate::backend::store::{Answers, BoxFuture, Permits, Store, StoreHandle, StoreOptions};
use crate::backend::{Backend, Gauges};
use crate::operation::{Answer, Operation};
use crate::verdict::Verdict;
use crate::{BackendError, Check};

/// The backend's name in the labels of metrics.
const NAME: &str = "memory";

impl Backend for MemoryBackend {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        batch.iter().map(|operation| self.answer(operation)).collect()
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        Some(self.answer(operation))
    }

    fn info(&self) -> BackendInfo {
        BackendInfo::new(NAME)
    }

    fn into_store(self: Arc<Self>, _: StoreOptions) -> StoreHandle {
        StoreHandle(Box::new(self))
    }
}

impl Store for Arc<MemoryBackend> {
    #[inline]
    fn charge_now(
        &self,
        check: &Check<'_>,
        verdict: &mut Verdict,
    ) -> Option<Result<(), BackendError>> {
        Some(self.charge(check, verdict))
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        Some(self.answer(operation))
    }

    fn apply<'a>(&'a self, batch: &'a [Operation<'a>]) -> BoxFuture<'a, Answers> {
        Box::pin(Backend::apply(&**self, batch))
    }

    fn is_immediate(&self) -> bool {
        true
    }

    fn supports_all(&self) -> bool {
        true
    }

    fn permits(&self) -> Option<&dyn Permits> {
        Some(&**self)
    }

    fn supports_calendars(&self) -> bool {
        true
    }

    fn identity(&self) -> u64 {
        self.identity
    }

    fn name(&self) -> &'static str {
        NAME
    }

    fn gauges(&self) -> Option<Arc<dyn Gauges>> {
        Some(Arc::clone(&self.counts) as _)
    }

    #[cfg(feature = "axum")]
    fn clock(&self) -> Option<Arc<dyn Clock>> {
        Some(self.time.to_shared())
    }
}
