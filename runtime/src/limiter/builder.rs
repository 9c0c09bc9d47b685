//! Builds a [`Limiter`].

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use super::{Limiter, Shared};
use crate::backend::erased::ErasedBackend;
use crate::queue::Queue;
use crate::{Clock, SystemClock, guard};

/// Builds a [`Limiter`].
pub struct LimiterBuilder {
    backend: Box<dyn ErasedBackend>,
    clock: Arc<dyn Clock>,
    #[cfg(feature = "axum")]
    http: crate::HttpOptions,
}

impl LimiterBuilder {
    pub(super) fn new(backend: Box<dyn ErasedBackend>) -> Self {
        Self {
            backend,
            clock: Arc::new(SystemClock::new()),
            #[cfg(feature = "axum")]
            http: crate::HttpOptions::new(),
        }
    }

    /// Waits on `clock` instead of the machine's. The backend has a clock of its own, by which
    /// it decides.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// What it does at the HTTP boundary: whose requests it counts, and what clients see.
    #[cfg(feature = "axum")]
    #[must_use]
    pub fn http(mut self, options: crate::HttpOptions) -> Self {
        self.http = options;
        self
    }

    /// The limiter.
    #[must_use]
    pub fn build(self) -> Limiter {
        let shared = Shared {
            backend: guard::stand_before(self.backend, &self.clock),
            failing: AtomicBool::new(false),
            registry: OnceLock::new(),
            queue: Queue::new(self.clock),
            #[cfg(feature = "axum")]
            http: self.http,
        };
        Limiter { shared: Arc::new(shared) }
    }
}

impl fmt::Debug for LimiterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimiterBuilder").finish_non_exhaustive()
    }
}
