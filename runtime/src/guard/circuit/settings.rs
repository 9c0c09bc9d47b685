//! What a circuit breaker is told, and what it tells.

use std::time::Duration;

use crate::algorithm::Micros;

/// The circuit breaker between a limiter and a backend that can fail: how soon it opens, and
/// how long it stays so.
///
/// Closed, it lets every operation through, and opens after some failures in a row. Open, it
/// answers at once, without asking the backend, that nothing was done. After a while it lets one
/// operation through, the probe: if that succeeds, it closes; if it fails, it stays open, twice as
/// long each time. That time is drawn anew from its second half, so that a fleet does not come
/// back as one.
///
/// Only what the backend was asked in the present state counts: an answer that arrives after
/// the breaker has opened or closed changes nothing. A probe that is dropped says nothing, and the
/// next follows after as long again.
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
    reset_timeout: Micros,
    max_reset_timeout: Micros,
}

impl CircuitBreaker {
    /// One that opens after 5 failures in a row, for 1 s the first time and up to 60 s.
    #[must_use]
    pub const fn new() -> Self {
        Self { failure_threshold: 5, reset_timeout: 1_000_000, max_reset_timeout: 60_000_000 }
    }

    /// After how many failures in a row it opens, at least 1.
    #[must_use]
    pub fn failure_threshold(mut self, failures: u32) -> Self {
        self.failure_threshold = failures.max(1);
        self
    }

    /// How long it stays open the first time, at least 1 ms.
    #[must_use]
    pub fn reset_timeout(mut self, timeout: Duration) -> Self {
        self.reset_timeout = micros(timeout);
        self
    }

    /// The longest that it stays open between two probes.
    #[must_use]
    pub fn max_reset_timeout(mut self, timeout: Duration) -> Self {
        self.max_reset_timeout = micros(timeout);
        self
    }

    /// How long it stays open after this many probes have failed.
    pub(super) fn timeout(&self, failed_probes: u32) -> Micros {
        let doubled = self.reset_timeout.saturating_mul(1 << failed_probes.min(32));
        doubled.min(self.longest())
    }

    pub(super) fn longest(&self) -> Micros {
        self.max_reset_timeout.max(self.reset_timeout)
    }
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self::new()
    }
}

fn micros(span: Duration) -> Micros {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1_000)
}
