//! For tests of limited code: time that stands still, and limiters that no test shares.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::{Clock, Limiter};

/// Midday on 1 January 2026: an instant as good as any, far from the epoch.
const START_MICROS: u64 = 1_767_268_800_000_000;

/// A clock that moves when it is told to. Clones are the same clock, and whoever sleeps on it
/// wakes when it is moved far enough.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use tollgate::testing::ManualClock;
/// use tollgate::{Limiter, MemoryBackend, Policy, Quota};
///
/// let clock = ManualClock::new();
/// let limiter = Limiter::new(MemoryBackend::builder().clock(clock.clone()).build());
/// let policy = Policy::new("once", Quota::new(1, Duration::from_secs(60)));
///
/// assert!(limiter.check(&policy, "alice").await?.is_allowed());
/// assert!(!limiter.check(&policy, "alice").await?.is_allowed());
/// clock.advance(Duration::from_secs(60));
/// assert!(limiter.check(&policy, "alice").await?.is_allowed());
/// # Ok::<_, tollgate::Unavailable>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    micros: AtomicU64,
    moved: Notify,
}

impl ManualClock {
    /// A clock that stands at some fixed instant.
    #[must_use]
    pub fn new() -> Self {
        let micros = AtomicU64::new(START_MICROS);
        Self { shared: Arc::new(Shared { micros, moved: Notify::new() }) }
    }

    /// Moves it forward by `duration`, in whole microseconds.
    pub fn advance(&self, duration: Duration) {
        self.shared.micros.fetch_add(duration.as_micros() as u64, Ordering::SeqCst);
        self.shared.moved.notify_waiters();
    }

    /// Sets it to `micros` since the epoch, which may be in its past.
    pub fn set_micros(&self, micros: u64) {
        self.shared.micros.store(micros, Ordering::SeqCst);
        self.shared.moved.notify_waiters();
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now_micros(&self) -> u64 {
        self.shared.micros.load(Ordering::SeqCst)
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let wake_at = self.now_micros().saturating_add(micros);
        Box::pin(async move {
            loop {
                // Counts from here on, so a move between the look and the wait is not missed.
                let moved = self.shared.moved.notified();
                if self.now_micros() >= wake_at {
                    return;
                }
                moved.await;
            }
        })
    }
}

/// Runs `future` with `limiter` in the place of the global one, so that tests in one process
/// never share counters.
///
/// It reaches what `future` itself awaits, not what it spawns: for a server in a task of its
/// own, use `Router::layer(limiter.layer())`.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use tollgate::{Limiter, MemoryBackend, testing};
///
/// let limiter = Limiter::new(MemoryBackend::new());
/// testing::scope(limiter, async { /* call annotated functions here */ }).await;
/// # });
/// ```
pub async fn scope<F: Future>(limiter: Limiter, f: F) -> F::Output {
    crate::global::scope(limiter, f).await
}
