//! For tests of limited code: time that stands still, and limiters that no test shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::{Clock, Limiter};

/// Midday on 1 January 2026: an instant as good as any, far from the epoch.
const START_MICROS: u64 = 1_767_268_800_000_000;

/// A clock that moves when it is told to. Clones are the same clock.
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
    micros: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that stands at some fixed instant.
    #[must_use]
    pub fn new() -> Self {
        Self { micros: Arc::new(AtomicU64::new(START_MICROS)) }
    }

    /// Moves it forward by `duration`, in whole microseconds.
    pub fn advance(&self, duration: Duration) {
        self.micros.fetch_add(duration.as_micros() as u64, Ordering::SeqCst);
    }

    /// Sets it to `micros` since the epoch, which may be in its past.
    pub fn set_micros(&self, micros: u64) {
        self.micros.store(micros, Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now_micros(&self) -> u64 {
        self.micros.load(Ordering::SeqCst)
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
