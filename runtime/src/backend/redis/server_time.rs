//! The time of the server, as far as this process knows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::Clock;
use crate::micros::Timestamp;

/// A clock of this process, and the distance of the server's clock from it. The server decides by its
/// own clock; this one only says which windows of calendars may be needed.
pub(super) struct ServerTime {
    clock: Arc<dyn Clock>,
    /// The time by which the server is ahead of the clock, in microseconds; 0 until both have been
    /// found to be in different windows.
    ahead: AtomicI64,
}

impl ServerTime {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, ahead: AtomicI64::new(0) }
    }

    /// Returns the time that the server's clock should show.
    pub(super) fn believed(&self) -> Timestamp {
        let ahead = self.ahead.load(Ordering::Relaxed);
        Timestamp::from_micros(self.clock.now_micros().saturating_add_signed(ahead))
    }

    /// Notes the time that the server's clock shows.
    pub(super) fn learn(&self, now: Timestamp) {
        let ahead = now.micros().wrapping_sub(self.clock.now_micros());
        self.ahead.store(ahead.cast_signed(), Ordering::Relaxed);
    }
}
