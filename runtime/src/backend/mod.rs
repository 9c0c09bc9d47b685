//! Backends: the stores of counters.

mod gauges;
pub(crate) mod memory;
mod operation;
#[cfg(feature = "redis")]
mod redis;
pub(crate) mod store;

use std::future::Future;
use std::sync::Arc;

pub(crate) use self::gauges::{BackendStats, Gauges, ServerStats};
pub use self::memory::{MemoryBackend, MemoryBackendBuilder, MemoryStats};
pub use self::operation::{Action, Answer, Operation};
#[cfg(feature = "redis")]
pub use self::redis::{RedisBackend, RedisBackendBuilder, RedisStats};
use self::store::{Custom, StoreHandle, StoreOptions};
use crate::BackendError;

/// A store of counters.
///
/// Implement this to keep counters somewhere else. A store decides on its own clock, and each
/// operation is atomic: no two of them, from whatever process, may both take the last unit. It only
/// answers; deadlines, retries and the consequences of its failures are the limiter's part.
///
/// A backend behind an [`Arc`] is a backend, too: several limiters may share one, and a test may
/// look at what its limiter uses.
pub trait Backend: Send + Sync + 'static {
    /// Carries out `batch` in its order, and answers in the same order: one answer for each
    /// operation.
    fn apply(
        &self,
        batch: &[Operation<'_>],
    ) -> impl Future<Output = Vec<Result<Answer, BackendError>>> + Send;

    /// Carries out one operation if that takes no waiting. `None` if it would have to wait; then
    /// nothing was done.
    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        let _ = operation;
        None
    }

    /// Returns the backend's name, as used for a metric's label.
    fn name(&self) -> &'static str {
        "custom"
    }

    /// Connects, checks and warms up whatever the first request would otherwise find out.
    fn initialize(&self) -> impl Future<Output = Result<(), BackendError>> + Send {
        async { Ok(()) }
    }

    /// Finishes what is under way and releases what the store holds.
    fn close(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Turns the backend into the limiter's store. Sealed: only this crate's backends have one of
    /// their own.
    #[doc(hidden)]
    fn into_store(self: Arc<Self>, options: StoreOptions) -> StoreHandle
    where
        Self: Sized,
    {
        let _ = options;
        StoreHandle(Box::new(Custom(self)))
    }
}

impl<B: Backend> Backend for Arc<B> {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        (**self).apply(batch).await
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        (**self).apply_now(operation)
    }

    fn name(&self) -> &'static str {
        (**self).name()
    }

    async fn initialize(&self) -> Result<(), BackendError> {
        (**self).initialize().await
    }

    async fn close(&self) {
        (**self).close().await;
    }

    fn into_store(self: Arc<Self>, options: StoreOptions) -> StoreHandle {
        Arc::clone(&*self).into_store(options)
    }
}
