//! The settings of a circuit breaker.

use std::time::Duration;

use crate::micros::TimeSpan;

/// The settings of the circuit breaker between a limiter and a backend that can fail: the
/// conditions under which it opens, and for how long.
///
/// While closed, the breaker lets every operation through, and opens after several failures in a
/// row. While open, it answers at once, without asking the backend, that nothing was done. After
/// some time it lets one operation through, the probe. If the probe succeeds, the breaker closes.
/// If it fails, the breaker stays open for twice as long as before. Each of these times is drawn at
/// random between half of it and all of it, so that the processes of a fleet do not send their
/// probes at once.
///
/// An operation counts only in the state in which it began: an answer that arrives after the
/// breaker has opened or closed changes nothing. A probe that is dropped counts neither as a
/// success nor as a failure, and the next probe follows after the same time.
///
/// ```
/// use std::time::Duration;
/// use tollgate::{CircuitBreaker, Limiter, MemoryBackend};
///
/// let breaker = CircuitBreaker::new().failure_threshold(3).reset_timeout(Duration::from_secs(2));
/// let limiter = Limiter::builder(MemoryBackend::new()).breaker(breaker).build();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitBreaker {
    pub(super) failure_threshold: u32,
    reset_timeout: TimeSpan,
    max_reset_timeout: TimeSpan,
    /// The seed of the times that are drawn; `None` if they differ in each process.
    pub(super) seed: Option<u64>,
}

impl CircuitBreaker {
    /// Creates settings by which the breaker opens after 5 failures in a row, at first for up to 1
    /// second, and after failed probes for up to 60 seconds.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            failure_threshold: 5,
            reset_timeout: TimeSpan::from_micros(1_000_000),
            max_reset_timeout: TimeSpan::from_micros(60_000_000),
            seed: None,
        }
    }

    /// Sets the number of failures in a row after which the breaker opens, at least 1; 5 by
    /// default.
    #[must_use]
    pub fn failure_threshold(mut self, failures: u32) -> Self {
        self.failure_threshold = failures.max(1);
        self
    }

    /// Sets the time for which the breaker stays open before the first probe, at least 1 ms; 1
    /// second by default.
    #[must_use]
    pub fn reset_timeout(mut self, timeout: Duration) -> Self {
        self.reset_timeout = at_least_1_ms(timeout);
        self
    }

    /// Sets the longest time for which the breaker stays open between two probes, at least the
    /// [reset timeout](Self::reset_timeout); 60 seconds by default.
    #[must_use]
    pub fn max_reset_timeout(mut self, timeout: Duration) -> Self {
        self.max_reset_timeout = at_least_1_ms(timeout);
        self
    }

    /// Sets the seed by which the times between probes are drawn, so that a simulation can be
    /// repeated. Processes with the same seed send their probes at the same times. By default each
    /// limiter has a seed of its own.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Returns the upper limit of the time for which the breaker stays open after this many failed
    /// probes in a row.
    pub(super) fn timeout(&self, failed_probes: u32) -> TimeSpan {
        let doubled = self.reset_timeout.saturating_mul(1 << failed_probes.min(32));
        doubled.min(self.longest())
    }

    pub(super) fn longest(&self) -> TimeSpan {
        self.max_reset_timeout.max(self.reset_timeout)
    }
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self::new()
    }
}

fn at_least_1_ms(duration: Duration) -> TimeSpan {
    TimeSpan::from_duration(duration).max(TimeSpan::from_micros(1_000))
}
