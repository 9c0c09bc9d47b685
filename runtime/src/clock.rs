//! Where the time comes from.

use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time. Stores and guards read time through it and never otherwise, so a test
/// that holds the clock (see [`ManualClock`](crate::testing::ManualClock)) never sleeps.
pub trait Clock: Send + Sync + 'static {
    /// Microseconds since the Unix epoch.
    fn now_micros(&self) -> u64;

    /// Ends when `duration` has passed on this clock. By default that is tokio's time, so it
    /// has to be awaited inside a tokio runtime whose time is enabled.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The machine's clock: wall time when it was made, monotonic from there, so that setting
/// the machine's time neither refuses nor admits anybody.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
    epoch_micros: u64,
}

impl SystemClock {
    /// A clock that starts at the machine's present wall time.
    #[must_use]
    pub fn new() -> Self {
        // A machine whose time is set before 1970 counts from 1970 instead.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), epoch_micros: since_epoch.as_micros() as u64 }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now_micros(&self) -> u64 {
        self.epoch_micros + self.started.elapsed().as_micros() as u64
    }
}
