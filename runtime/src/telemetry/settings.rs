//! What a limiter counts.

use std::time::Duration;

#[doc = include_str!("../docs/monitoring.md")]
#[derive(Clone, Copy, Debug)]
pub struct Metrics {
    pub(super) every: Duration,
    pub(super) servers: bool,
}

impl Metrics {
    /// Counts decisions and times checks, and reads the instruments of the backend and the circuit
    /// breaker every 5 seconds.
    #[must_use]
    pub const fn new() -> Self {
        Self { every: Duration::from_secs(5), servers: false }
    }

    /// How often the instruments are read, on a check that comes by;
    /// [`Limiter::record_metrics`](crate::Limiter::record_metrics) reads them at once.
    #[must_use]
    pub const fn every(mut self, span: Duration) -> Self {
        self.every = span;
        self
    }

    /// Also asks each Redis then how much memory it uses and how many clients it has (`INFO`), in
    /// a task of its own, which no check waits for. Its user must be allowed to ask.
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
