//! When the backend is asked, and when that is not even tried: a circuit breaker's states.
//!
//! Of the maintained crates, `failsafe` and `recloser` read the machine's clock, which a test
//! cannot hold, and let every call through while half-open; `tower-resilience` counts failures by
//! rate and wraps tower services. What is needed here is one probe at a time, one that may be
//! dropped at any instant, and a clock that is the limiter's.

mod settings;

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;

pub use self::settings::CircuitBreaker;
use crate::algorithm::Micros;
use crate::stats::{BreakerState, BreakerStats};
use crate::{BackendError, Clock};

/// What became of an operation, as far as that says how the backend is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Well,
    Unwell,
    /// It was the operation's own fault.
    None,
}

/// A breaker's state.
pub(crate) struct Circuit {
    settings: CircuitBreaker,
    clock: Arc<dyn Clock>,
    /// Goes up by one whenever it opens or closes: even while it is closed. While all is well,
    /// this is all that is read.
    epoch: AtomicU64,
    /// In a row, in this epoch.
    failures: AtomicU32,
    rejected: AtomicU64,
    state: Mutex<State>,
    random: RandomState,
}

struct State {
    phase: Phase,
    failed_probes: u32,
    opened: u64,
    probes: u64,
}

enum Phase {
    Closed,
    /// No probe before then.
    Open {
        until: Micros,
    },
    /// The probe is given up then, if it has not been heard of.
    HalfOpen {
        until: Micros,
    },
}

/// Leave to ask the backend, for one operation.
pub(super) struct Pass<'a> {
    circuit: &'a Circuit,
    epoch: u64,
    /// The number of the probe that it is.
    probe: Option<u64>,
}

impl Circuit {
    pub(super) fn new(settings: CircuitBreaker, clock: Arc<dyn Clock>) -> Self {
        Self {
            settings,
            clock,
            epoch: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            rejected: AtomicU64::new(0),
            state: Mutex::new(State {
                phase: Phase::Closed,
                failed_probes: 0,
                opened: 0,
                probes: 0,
            }),
            random: RandomState::default(),
        }
    }

    /// Whether the backend may be asked; if it is time to try, by whoever asks this. If not, how
    /// long until it is time; zero while somebody tries.
    #[inline]
    pub(super) fn enter(&self) -> Result<Pass<'_>, Duration> {
        let epoch = self.epoch.load(Ordering::Acquire);
        if epoch.is_multiple_of(2) {
            return Ok(Pass { circuit: self, epoch, probe: None });
        }
        self.enter_if_due()
    }

    #[cold]
    fn enter_if_due(&self) -> Result<Pass<'_>, Duration> {
        let mut state = self.lock();
        let left = self.time_left(&state.phase);
        let epoch = self.epoch.load(Ordering::Relaxed);
        if left > 0 {
            self.rejected.fetch_add(1, Ordering::Relaxed);
            let is_tried = matches!(state.phase, Phase::HalfOpen { .. });
            return Err(Duration::from_micros(if is_tried { 0 } else { left }));
        }
        let mut probe = None;
        if !matches!(state.phase, Phase::Closed) {
            state.probes += 1;
            probe = Some(state.probes);
            let until = self.clock.now_micros().saturating_add(self.settings.longest());
            state.phase = Phase::HalfOpen { until };
        }
        Ok(Pass { circuit: self, epoch, probe })
    }

    pub(crate) fn stats(&self) -> BreakerStats {
        let state = self.lock();
        BreakerStats {
            state: match state.phase {
                Phase::Closed => BreakerState::Closed,
                Phase::Open { .. } => BreakerState::Open,
                Phase::HalfOpen { .. } => BreakerState::HalfOpen,
            },
            failures: self.failures.load(Ordering::Relaxed),
            opened: state.opened,
            probes: state.probes,
            rejected: self.rejected.load(Ordering::Relaxed),
        }
    }

    /// Until somebody may try.
    fn time_left(&self, phase: &Phase) -> Micros {
        let (Phase::Open { until } | Phase::HalfOpen { until }) = phase else { return 0 };
        match until.saturating_sub(self.clock.now_micros()) {
            // Longer than was ever set: the clock went back.
            left if left > self.settings.longest() => 0,
            left => left,
        }
    }

    /// Anywhere in the second half of the time that is due.
    fn next_probe(&self, state: &State) -> Micros {
        let timeout = self.settings.timeout(state.failed_probes);
        let half = timeout / 2;
        let jitter = self.random.hash_one((state.opened, state.probes)) % (timeout - half + 1);
        self.clock.now_micros().saturating_add(half + jitter)
    }

    #[cold]
    fn failed(&self, epoch: u64) {
        let failures = self.failures.fetch_add(1, Ordering::AcqRel) + 1;
        if failures < self.settings.failure_threshold {
            return;
        }
        let mut state = self.lock();
        if self.epoch.load(Ordering::Relaxed) != epoch {
            return;
        }
        state.opened += 1;
        state.failed_probes = 0;
        let until = self.next_probe(&state);
        state.phase = Phase::Open { until };
        self.epoch.store(epoch + 1, Ordering::Release);
        let probe_in = Duration::from_micros(self.time_left(&state.phase));
        drop(state);
        tracing::warn!(
            failures,
            ?probe_in,
            "the circuit breaker has opened: the rate limit's backend is not asked until it is \
             due to be tried"
        );
    }

    fn probed(&self, number: u64, sign: Sign) {
        let mut state = self.lock();
        // Given up, and another one is under way or has been.
        if state.probes != number || !matches!(state.phase, Phase::HalfOpen { .. }) {
            return;
        }
        match sign {
            Sign::Well => {
                state.phase = Phase::Closed;
                self.failures.store(0, Ordering::Relaxed);
                self.epoch.fetch_add(1, Ordering::Release);
                drop(state);
                tracing::info!("the circuit breaker has closed: the rate limit's backend is back");
            }
            Sign::Unwell | Sign::None => {
                if sign == Sign::Unwell {
                    state.failed_probes = state.failed_probes.saturating_add(1);
                }
                let until = self.next_probe(&state);
                state.phase = Phase::Open { until };
            }
        }
    }

    /// The probe did not come to ask: the next one may.
    fn not_probed(&self, number: u64) {
        let mut state = self.lock();
        if state.probes == number && matches!(state.phase, Phase::HalfOpen { .. }) {
            state.probes -= 1;
            state.phase = Phase::Open { until: 0 };
        }
    }

    /// Nothing panics while it is held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// Gives it back: the backend was not asked.
    pub(super) fn give_back(mut self) {
        if let Some(probe) = self.probe.take() {
            self.circuit.not_probed(probe);
        }
    }

    /// Says what the operation has shown.
    #[inline]
    pub(super) fn report(mut self, sign: Sign) {
        let Circuit { epoch, failures, .. } = self.circuit;
        match self.probe.take() {
            Some(probe) => self.circuit.probed(probe, sign),
            // Begun before it last opened or closed.
            None if epoch.load(Ordering::Acquire) != self.epoch => {}
            None => match sign {
                Sign::Well if failures.load(Ordering::Relaxed) != 0 => {
                    failures.store(0, Ordering::Relaxed);
                }
                Sign::Well | Sign::None => {}
                Sign::Unwell => self.circuit.failed(self.epoch),
            },
        }
    }
}

/// An operation that was given up says nothing of the backend; but if it was the probe, another
/// one has to be.
impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(probe) = self.probe {
            self.circuit.probed(probe, Sign::None);
        }
    }
}

/// The answer to an operation for which the backend is not asked.
pub(super) fn stopped(left: Duration) -> BackendError {
    BackendError::not_executed("it has failed too often, and is not asked for a while")
        .retry_in(left)
}

#[cfg(test)]
mod tests;
