//! Settings of a limiter's metrics.

use std::time::Duration;

#[doc = include_str!("../docs/monitoring.md")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics {
    pub(super) every: Duration,
    pub(super) servers: bool,
}

impl Metrics {
    /// Creates settings that count decisions, time checks, and publish the statistics of the
    /// backend and the circuit breaker every 5 seconds.
    #[must_use]
    pub const fn new() -> Self {
        Self { every: Duration::from_secs(5), servers: false }
    }

    /// Sets the interval at which statistics are published; 5 seconds by default. The first check
    /// after each interval publishes them;
    /// [`Limiter::record_metrics`](crate::Limiter::record_metrics) does so at once.
    #[must_use]
    pub const fn every(mut self, span: Duration) -> Self {
        self.every = span;
        self
    }

    /// Switches on the publication of each Redis server's use of memory and number of clients
    /// (`INFO`). By default it is off. A background task asks the servers, so no check waits. The
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
