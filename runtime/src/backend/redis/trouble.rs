//! What the thread of the connections tells the callers: the last failure at a server, and the
//! durations that are measured.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::telemetry;

/// The number of the last event in this process, such as a call or an attempt to connect.
static EVENTS: AtomicU64 = AtomicU64::new(0);

/// The present event at a server, and the reason why the server could not serve the last one.
#[derive(Default)]
pub(super) struct Trouble {
    event: AtomicU64,
    reasons: Mutex<Reasons>,
    measured: Mutex<Vec<Measured>>,
}

#[derive(Default)]
struct Reasons {
    /// The reason why there is no connection; `None` if there is one.
    unconnected: Option<String>,
    /// The reason for which the last call failed; `None` after an answer. A new connection alone does
    /// not show that the server can serve calls again.
    failed: Option<String>,
}

/// A duration that was measured.
pub(super) enum Measured {
    /// Of a call, with the number of its checks.
    RoundTrip(usize, Duration),
    /// Until there was a connection.
    Connected(Duration),
}

/// The number of durations that wait for a caller. Further ones are recorded at once.
const MAX_MEASURED: usize = 256;

impl Measured {
    fn record(self) {
        match self {
            Self::RoundTrip(checks, took) => telemetry::round_trip(checks, took),
            Self::Connected(took) => telemetry::connected(took),
        }
    }
}

impl Trouble {
    /// Begins the next event, on which the checks of one call depend, and returns its number.
    pub(super) fn begin(&self) -> u64 {
        let event = EVENTS.fetch_add(1, Ordering::Relaxed) + 1;
        self.event.store(event, Ordering::Relaxed);
        event
    }

    /// Returns the number of the present event; 0 before the first.
    pub(super) fn event(&self) -> u64 {
        self.event.load(Ordering::Relaxed)
    }

    /// Sets the reason why there is no connection; `None` if there is one.
    pub(super) fn set_unconnected(&self, reason: Option<String>) {
        self.lock().unconnected = reason;
    }

    /// Sets the reason for which the last call failed; `None` after an answer.
    pub(super) fn set_failed(&self, reason: Option<String>) {
        self.lock().failed = reason;
    }

    /// Sets the reason of a call without an answer, unless the server has told one before.
    pub(super) fn set_unanswered(&self, reason: String) {
        self.lock().failed.get_or_insert(reason);
    }

    /// Adds a duration, which the next caller records. Its recorder may be one of its thread.
    pub(super) fn measure(&self, measured: Measured) {
        let mut waiting = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MAX_MEASURED {
            waiting.push(measured);
        } else {
            drop(waiting);
            measured.record();
        }
    }

    /// Records the durations that were measured.
    pub(super) fn record_measured(&self) {
        let mut waiting = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            return;
        }
        let measured = std::mem::take(&mut *waiting);
        drop(waiting);
        measured.into_iter().for_each(Measured::record);
    }

    /// Returns the reason of the last failure, if it still holds.
    pub(super) fn reason(&self) -> Option<String> {
        let reasons = self.lock();
        reasons.unconnected.as_ref().or(reasons.failed.as_ref()).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Reasons> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
