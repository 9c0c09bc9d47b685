//! The interface between the limiter and the stores that answer its checks, or the guards in front
//! of those stores.

use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::gauges::Gauges;
use super::identity::identity_of;
use super::info::BackendInfo;
use crate::operation::{Answer, Operation};
use crate::verdict::Verdict;
use crate::{BackendError, Check, Clock};

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

    /// Returns the backend's name, and which other backends have the same charges. By default the
    /// name is `custom`, and no other backend has its charges. The limiter asks once, when it is
    /// built.
    fn info(&self) -> BackendInfo {
        BackendInfo::default()
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
        let BackendInfo { name, identity, calendars } = self.info();
        let identity = identity_of(&self, identity);
        StoreHandle(Box::new(Custom { name, identity, calendars, backend: self }))
    }
}

impl<B: Backend> Backend for Arc<B> {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        (**self).apply(batch).await
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        (**self).apply_now(operation)
    }

    fn info(&self) -> BackendInfo {
        (**self).info()
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

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The answers to a batch, one for each operation, in its order.
pub(crate) type Answers = Vec<Result<Answer, BackendError>>;

/// A store, or a guard in front of a store, for use as a trait object.
///
/// A guard returns the store behind it from [`inner`](Self::inner), and implements the methods that
/// it changes. The default implementations of most other methods call the store behind the guard.
pub(crate) trait Store: Send + Sync {
    /// Returns the store behind this guard; `None` if this is not a guard.
    fn inner(&self) -> Option<&dyn Store> {
        None
    }

    /// Charges a check if that is possible without waiting, and writes the result to `verdict`.
    /// Otherwise returns `None`, and has done nothing.
    fn charge_now(
        &self,
        check: &Check<'_>,
        verdict: &mut Verdict,
    ) -> Option<Result<(), BackendError>>;

    /// Carries out one operation if that is possible without waiting. Otherwise returns `None`, and
    /// has done nothing.
    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>>;

    /// Carries out the operations of a batch in order. Returns one answer for each.
    fn apply<'a>(&'a self, batch: &'a [Operation<'a>]) -> BoxFuture<'a, Answers>;

    /// Returns the number of the server that carries out an operation, if the store has several that
    /// fail one by one; 0 if it has one, or if the server is not known.
    fn server_of(&self, operation: &Operation<'_>) -> u64 {
        self.inner().map_or(0, |inner| inner.server_of(operation))
    }

    /// Returns `true` if the store always answers without waiting and never fails, like memory.
    /// Such a store needs no guards.
    fn is_immediate(&self) -> bool {
        false
    }

    /// Returns `true` if the store supports every action. Otherwise that is found out at start.
    fn supports_all(&self) -> bool {
        self.inner().is_some_and(|inner| inner.supports_all())
    }

    /// Returns `true` if the store counts by calendars.
    fn supports_calendars(&self) -> bool {
        self.inner().is_some_and(|inner| inner.supports_calendars())
    }

    /// Returns the permits of requests in flight that this store gives; `None` if it gives none.
    fn permits(&self) -> Option<&dyn Permits> {
        self.inner()?.permits()
    }

    /// Returns `true` if the store enforces the deadline of operations itself. If it returns
    /// `false`, a guard enforces the deadline.
    fn has_deadline(&self) -> bool {
        false
    }

    /// Returns the number that identifies the store, so that the decisions of limiters with the same
    /// store can be told from those of others. Ways to the same charges have the same number.
    fn identity(&self) -> u64 {
        self.inner().map_or(0, |inner| inner.identity())
    }

    /// Returns the store's name, as used for the labels of metrics.
    fn name(&self) -> &'static str {
        self.inner().map_or("custom", |inner| inner.name())
    }

    /// Returns the reader of the store's statistics; `None` if the store has no statistics.
    fn gauges(&self) -> Option<Arc<dyn Gauges>> {
        self.inner()?.gauges()
    }

    /// Returns the clock in this process by which the store decides; `None` if it has none, or if it
    /// is not known.
    #[cfg(feature = "axum")]
    fn clock(&self) -> Option<Arc<dyn Clock>> {
        self.inner()?.clock()
    }

    /// Prepares the store: connects to it and checks it.
    fn initialize(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        match self.inner() {
            Some(inner) => inner.initialize(),
            None => Box::pin(ready(Ok(()))),
        }
    }

    /// Finishes the operations in progress and releases the store's resources.
    fn close(&self) -> BoxFuture<'_, ()> {
        match self.inner() {
            Some(inner) => inner.close(),
            None => Box::pin(ready(())),
        }
    }
}

/// The permits of requests in flight that a store gives. A charge under a policy that limits those
/// takes one if it is admitted and its cost is not 0. No method waits or fails.
pub(crate) trait Permits {
    /// Counts a permit that another part of the limiter has given while the store did not answer.
    fn adopt(&self, check: &Check<'_>);

    /// Releases a permit.
    fn release(&self, check: &Check<'_>);

    /// Calls `add` with the policy's name and the number of the permits of each subject that this
    /// process holds.
    fn each_held(&self, add: &mut dyn FnMut(&str, u32));
}

/// The reason for rejecting a policy that limits requests in flight, if the store cannot count them.
pub(crate) const NO_PERMITS: &str = "it limits the requests in flight, and the limiter's backend does \
     not support that: use the memory or the Redis backend";

impl dyn Store + '_ {
    /// Carries out one operation, and waits if necessary.
    pub(crate) async fn apply_one(
        &self,
        operation: &Operation<'_>,
    ) -> Result<Answer, BackendError> {
        let answers = self.apply(std::slice::from_ref(operation)).await;
        next_answer(&mut answers.into_iter())
    }
}

/// Returns the next answer to a batch. It is an error if the store has given too few.
pub(crate) fn next_answer(
    answers: &mut impl Iterator<Item = Result<Answer, BackendError>>,
) -> Result<Answer, BackendError> {
    answers.next().unwrap_or_else(|| {
        Err(BackendError::unknown("it gave fewer answers than it was asked for"))
    })
}

/// The reason for rejecting a policy with a period of the calendar, if the store has none.
pub(crate) const NO_CALENDARS: &str = "it has a period of the calendar, and the limiter's backend does \
     not support those: use a period with a length, or another backend";

/// A store that calls a [`Backend`] of another crate.
struct Custom<B> {
    name: &'static str,
    identity: u64,
    calendars: bool,
    backend: Arc<B>,
}

impl<B> Custom<B> {
    /// Returns the error of a check that the backend would not count rightly: by a calendar, if it has
    /// none, or of requests in flight.
    #[inline]
    fn supports(&self, check: &Check<'_>) -> Result<(), BackendError> {
        if check.policy.has_calendar() && !self.calendars {
            return Err(BackendError::rejected(NO_CALENDARS));
        }
        match check.policy.get_in_flight() {
            Some(_) => Err(BackendError::rejected(NO_PERMITS)),
            None => Ok(()),
        }
    }
}

impl<B: Backend> Store for Custom<B> {
    fn charge_now(
        &self,
        check: &Check<'_>,
        verdict: &mut Verdict,
    ) -> Option<Result<(), BackendError>> {
        if let Err(error) = self.supports(check) {
            return Some(Err(error));
        }
        let answer = self.backend.apply_now(&Operation::charge(*check))?;
        Some(answer.and_then(|answer| answer.into_verdict(verdict)))
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        if let Err(error) = self.supports(&operation.check) {
            return Some(Err(error));
        }
        self.backend.apply_now(operation)
    }

    fn apply<'a>(&'a self, batch: &'a [Operation<'a>]) -> BoxFuture<'a, Answers> {
        if batch.iter().all(|operation| self.supports(&operation.check).is_ok()) {
            return Box::pin(self.backend.apply(batch));
        }
        Box::pin(async move {
            let mut answers = Vec::new();
            for operation in batch {
                answers.push(match self.supports(&operation.check) {
                    Ok(()) => {
                        let answers = self.backend.apply(std::slice::from_ref(operation)).await;
                        next_answer(&mut answers.into_iter())
                    }
                    Err(error) => Err(error),
                });
            }
            answers
        })
    }

    fn supports_calendars(&self) -> bool {
        self.calendars
    }

    fn identity(&self) -> u64 {
        self.identity
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn initialize(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        Box::pin(self.backend.initialize())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.backend.close())
    }
}

/// The argument of [`Backend::into_store`]. Other crates cannot name this type, so they cannot
/// override that method.
pub struct StoreOptions {
    /// The limiter's deadline for operations; `None` if none was set.
    #[cfg_attr(
        not(feature = "redis"),
        expect(dead_code, reason = "only Redis keeps a deadline of its own")
    )]
    pub(crate) deadline: Option<Duration>,
    /// The limiter's clock.
    #[cfg_attr(
        not(feature = "redis"),
        expect(dead_code, reason = "only Redis is told what this process believes the time to be")
    )]
    pub(crate) clock: Arc<dyn Clock>,
}

/// The result of [`Backend::into_store`]: the backend as a store.
pub struct StoreHandle(pub(crate) Box<dyn Store>);

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions").finish_non_exhaustive()
    }
}

impl fmt::Debug for StoreHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreHandle").field(&self.0.name()).finish()
    }
}
