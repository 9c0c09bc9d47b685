//! The permit of a request in flight.

use std::fmt;
use std::sync::{Arc, PoisonError};

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::sync::{Mutex, MutexGuard};
use crate::{Check, Policy};

/// The permit of a request that is in flight under a limit on how many are so at the same time
/// ([`InFlight`](crate::InFlight)). It is released when the last of its clones is dropped.
///
/// A [`Decision`](crate::Decision) contains its permit, and [`Limiter::permit`](crate::Limiter::permit)
/// returns one. A handler that leaves work behind it takes it as an argument, to keep it for that work:
/// it is an extractor of the permits of the handler's limits and of the layers in front of it. They are
/// released when the response's body has ended and the last clone is dropped. An answer that switches
/// protocols has no body, so the handler of a WebSocket moves its permit into the task that serves
/// the socket, as this one does with the task that writes a file:
///
#[cfg_attr(feature = "axum", doc = "```standalone_crate")]
#[cfg_attr(not(feature = "axum"), doc = "```ignore")]
/// use tollgate::{Permit, rate_limit};
///
/// #[rate_limit(in_flight = 10)]
/// async fn export(permit: Permit) -> &'static str {
///     tokio::spawn(async move {
///         // … writes the file …
///         drop(permit);
///     });
///     "The file is being written.\n"
/// }
/// ```
#[derive(Clone, Default)]
#[must_use = "the permit is released when it is dropped"]
pub struct Permit(Option<Arc<Held>>);

/// The content of a permit: one that a store has given, and others.
struct Held {
    given: Option<GivenPermit>,
    others: Mutex<SmallVec<[Permit; 2]>>,
}

/// One permit that a store has given.
struct GivenPermit {
    policy: Policy,
    subject: SmolStr,
    given_by: Arc<dyn GivesPermits>,
    is_in_fallback: bool,
}

/// The limiter that gave a permit, and takes it back.
pub(crate) trait GivesPermits: Send + Sync {
    /// Releases a permit. `is_in_fallback` is `true` if the limiter's fallback counts it, too.
    fn release(&self, check: &Check<'_>, is_in_fallback: bool);
}

impl Permit {
    /// Creates the permit that `check` has been given.
    pub(crate) fn new(
        check: &Check<'_>,
        given_by: Arc<dyn GivesPermits>,
        is_in_fallback: bool,
    ) -> Self {
        let (policy, subject) = (check.policy.clone(), check.subject.into());
        let given = Some(GivenPermit { policy, subject, given_by, is_in_fallback });
        Self(Some(Arc::new(Held { given, others: Mutex::default() })))
    }

    /// Returns `true` if this holds no permit: no limit on requests in flight has counted the request.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Some(held) = &self.0 else { return true };
        held.given.is_none() && lock(&held.others).iter().all(Self::is_empty)
    }

    /// Returns a permit that holds what `self` does, and to which others are added. They are not added
    /// to `self`.
    #[cfg(feature = "axum")]
    pub(crate) fn scope(self) -> Self {
        let others = if self.0.is_some() { SmallVec::from_iter([self]) } else { SmallVec::new() };
        Self(Some(Arc::new(Held { given: None, others: Mutex::new(others) })))
    }

    /// Adds another permit to this one and all of its clones.
    #[cfg(feature = "axum")]
    pub(crate) fn add(&self, other: Self) {
        if let Some(held) = &self.0 {
            lock(&held.others).push(other);
        }
    }
}

/// Locks the mutex. Poison is ignored, because no code panics while it has the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for GivenPermit {
    fn drop(&mut self) {
        self.given_by.release(&Check::new(&self.policy, &self.subject, 1), self.is_in_fallback);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        if let Some(held) = &self.0 {
            list.entries(held.given.iter().map(|given| given.policy.name()));
            list.entries(lock(&held.others).iter());
        }
        list.finish()
    }
}
