//! The settings of a limiter's metrics.

use std::time::Duration;

#[doc = include_str!("../docs/monitoring.md")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics {
    pub(super) every: Duration,
    pub(super) servers: bool,
}

impl Metrics {
    /// Creates the default settings: decisions are counted, checks are timed, and the statistics of
    /// the backend and of the circuit breaker are published every 5 seconds.
    #[must_use]
    pub const fn new() -> Self {
        Self { every: Duration::from_secs(5), servers: false }
    }

    /// Sets the interval at which statistics are published. The default is 5 seconds. The first
    /// check after each interval publishes them;
    /// [`Limiter::record_metrics`](crate::Limiter::record_metrics) publishes them at once.
    #[must_use]
    pub const fn every(mut self, span: Duration) -> Self {
        self.every = span;
        self
    }

    /// Publishes the memory in use and the number of clients of each Redis server, too. By default
    /// they are not published. A background task asks the servers (`INFO`), so no check waits. The
    /// Redis user needs permission to run `INFO`.
    #[must_use]
    pub const fn servers(mut self) -> Self {
        self.servers = true;
        self
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
