//! Backends: the stores of counters.

mod gauges;
pub(crate) mod memory;
#[cfg(feature = "redis")]
mod redis;
pub(crate) mod store;

use std::future::Future;
use std::sync::Arc;

pub(crate) use self::gauges::Gauges;
pub use self::memory::{MemoryBackend, MemoryBackendBuilder};
#[cfg(feature = "redis")]
pub use self::redis::{RedisBackend, RedisBackendBuilder};
use self::store::{Custom, StoreHandle, StoreOptions};
use crate::{Answer, BackendError, Operation};

/// A store of counters.
///
/// Implement this trait to store counters somewhere else. A store decides by its own clock. Each
/// operation must be atomic: two operations must not both take the last unit, even if different
/// processes send them. A store only answers. The limiter enforces deadlines, sends operations
/// again and handles failures.
///
/// An [`Arc`] of a backend is a backend, too, so that several limiters can share it, and a test can
/// inspect the backend of its limiter.
pub trait Backend: Send + Sync + 'static {
    /// Carries out the operations of `batch` in order. Returns one answer for each, in the same
    /// order. If an answer is an error, its [`BackendError::execution`] shows if the operation may
    /// nevertheless have had an effect.
    fn apply(
        &self,
        batch: &[Operation<'_>],
    ) -> impl Future<Output = Vec<Result<Answer, BackendError>>> + Send;

    /// Carries out one operation if that is possible without waiting. Otherwise returns `None`, and
    /// has done nothing. The default implementation always returns `None`.
    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        let _ = operation;
        None
    }

    /// Returns the backend's name, as used for the labels of metrics; `custom` by default.
    fn name(&self) -> &'static str {
        "custom"
    }

    /// Prepares the store: connects to it and checks it, so that errors are found when the program
    /// starts and not by the first request. By default it does nothing.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached or used.
    fn initialize(&self) -> impl Future<Output = Result<(), BackendError>> + Send {
        async { Ok(()) }
    }

    /// Finishes the operations in progress and releases the store's resources. By default it does
    /// nothing.
    fn close(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Turns the backend into the limiter's store. The method is sealed: only this crate's backends
    /// override it.
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
