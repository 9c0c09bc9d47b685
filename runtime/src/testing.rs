#![doc = include_str!("docs/testing.md")]

mod conformance;
#[cfg(feature = "axum")]
mod http;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

pub use self::conformance::assert_conforms;
#[cfg(feature = "axum")]
pub use self::http::{Client, assert_allowed, assert_refused, assert_remaining};
use crate::{Clock, Decision, Limiter, LimiterBuilder, MemoryBackend, Outcome, Policy};

/// The time at which a manual clock starts: midday (UTC) on 1 January 2026. It is an arbitrary time
/// far from the epoch.
const START_MICROS: u64 = 1_767_268_800_000_000;

/// A clock that stands still until a test moves it. Clones share the time. A task that sleeps on
/// the clock wakes when the clock has been moved far enough.
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
    state: Arc<ClockState>,
}

#[derive(Debug)]
struct ClockState {
    micros: AtomicU64,
    moved: Notify,
}

impl ManualClock {
    /// Creates a clock that stands still. All clocks begin at the same, arbitrary time.
    #[must_use]
    pub fn new() -> Self {
        let micros = AtomicU64::new(START_MICROS);
        Self { state: Arc::new(ClockState { micros, moved: Notify::new() }) }
    }

    /// Moves the clock forward by `duration`, rounded down to whole microseconds.
    pub fn advance(&self, duration: Duration) {
        self.state.micros.fetch_add(duration.as_micros() as u64, Ordering::SeqCst);
        self.state.moved.notify_waiters();
    }

    /// Sets the clock to `micros` microseconds since the Unix epoch. This may move it back.
    pub fn set_micros(&self, micros: u64) {
        self.state.micros.store(micros, Ordering::SeqCst);
        self.state.moved.notify_waiters();
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now_micros(&self) -> u64 {
        self.state.micros.load(Ordering::SeqCst)
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let wake_at = self.now_micros().saturating_add(micros);
        Box::pin(async move {
            loop {
                // The wait begins before the time is read, so that a move of the clock in between
                // is not missed.
                let moved = self.state.moved.notified();
                if self.now_micros() >= wake_at {
                    return;
                }
                moved.await;
            }
        })
    }
}

/// Runs the future `f` with `limiter` in place of the global limiter, so that tests in one process
/// never share counters.
///
/// This affects everything that `f` itself awaits, but not the tasks that it spawns. For a server
/// in a task of its own, use `Router::layer(limiter.layer())`.
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
    limiter.scope(f).await
}

/// Returns a new limiter that counts in memory, and the clock by which it decides.
#[must_use]
pub fn limiter() -> (Limiter, ManualClock) {
    let (builder, clock) = builder();
    (builder.build(), clock)
}

/// Returns the builder of a limiter that counts in memory, and the clock by which it decides. With
/// the builder a test sets what its service needs, for example `http` or `per_subject`.
///
/// ```
/// use tollgate::http::HeaderStyle;
/// use tollgate::{HttpOptions, Override, PerSubject, testing};
///
/// let (builder, clock) = testing::builder();
/// let limiter = builder
///     .http(HttpOptions::new().headers(HeaderStyle::Both))
///     .per_subject(PerSubject::new(|_, customer| {
///         (customer == "big").then(|| Override::new().limit(1_000))
///     }))
///     .build();
/// # let _ = (limiter, clock);
/// ```
#[must_use]
pub fn builder() -> (LimiterBuilder, ManualClock) {
    let clock = ManualClock::new();
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    (Limiter::builder(backend).clock(clock.clone()), clock)
}

/// Returns a limiter that refuses nothing and counts nothing, for tests of something else than
/// limits. All policies are switched off, as by [`Override::enabled`](crate::Override::enabled):
/// those of handlers, functions, layers and direct checks. Nothing waits, no key is needed, and
/// responses have no header fields of limits.
///
/// A layer with a limiter of its own ([`RateLimitLayer::limiter`]) still asks that one.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use tollgate::{RateLimited, rate_limit, testing};
///
/// #[rate_limit(1, per = hour, key = args(recipient))]
/// async fn send_mail(recipient: &str) -> Result<(), RateLimited> { Ok(()) }
///
/// testing::scope(testing::unlimited(), async {
///     for _ in 0..100 {
///         assert!(send_mail("alice").await.is_ok());
///     }
/// })
/// .await;
/// # });
/// ```
///
/// [`RateLimitLayer::limiter`]: crate::RateLimitLayer::limiter
#[must_use]
pub fn unlimited() -> Limiter {
    Limiter::builder(MemoryBackend::new()).switched_off().build()
}

/// Asserts that exactly `count` more requests of `subject` are admitted now. It charges these and
/// one more, which must be refused, and returns the time after which that one would be admitted.
///
/// # Panics
///
/// If more or fewer requests are admitted, or if the backend fails.
pub async fn assert_admits(
    limiter: &Limiter,
    policy: &Policy,
    subject: &str,
    count: u32,
) -> Duration {
    let name = policy.name();
    for number in 0..=count {
        let decision = limiter.check(policy, subject).await;
        let outcome = decision.as_ref().map(Decision::outcome);
        if number < count {
            let admitted = matches!(outcome, Ok(Outcome::Allowed));
            assert!(admitted, "`{name}` admits {subject:?} only {number} of {count}: {outcome:?}");
        } else {
            let refused = match outcome {
                Ok(Outcome::Refused { retry_after }) => Some(retry_after),
                _ => None,
            };
            assert!(
                refused.is_some(),
                "`{name}` admits {subject:?} more than {count}: {outcome:?}"
            );
            return refused.unwrap_or_default();
        }
    }
    Duration::ZERO
}
