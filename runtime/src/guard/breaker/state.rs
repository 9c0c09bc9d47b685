//! The state machine of a circuit breaker.
//!
//! Of the maintained crates, `failsafe` and `recloser` read the machine's clock, which a test
//! cannot stop, and let every call through while half-open; `tower-resilience` counts failures by
//! rate and wraps tower services. This one admits one probe at a time, which may be dropped at any
//! instant, and its clock is the limiter's.

#[cfg(all(test, shuttle))]
mod models;

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;

use super::CircuitBreaker;
use crate::micros::{TimeSpan, Timestamp};
use crate::stats::{BreakerState, BreakerStats};
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::{BackendError, Clock};

/// The number of events that are remembered. Operations that one event makes fail do so at about
/// the same time, so there are few other events in between.
const MAX_EVENTS: usize = 64;

/// The number of servers whose circuits are kept, besides those that are open.
const MAX_SERVERS: usize = 1_024;

/// The evidence of the backend's health in the result of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Well,
    Unwell,
    /// No evidence: the operation itself was at fault, or it was dropped.
    None,
}

/// The state of a circuit breaker.
pub(crate) struct Circuit {
    settings: CircuitBreaker,
    clock: Arc<dyn Clock>,
    /// The number of times that the breaker has opened or closed. It is even while the breaker is
    /// closed. Then an operation reads only this number to be let through.
    epoch: AtomicU64,
    /// The number of failures in a row in this epoch.
    failures: AtomicU32,
    rejected: AtomicU64,
    state: Mutex<CircuitState>,
    random: SeedableRandomState,
    /// The circuits of servers that fail one by one, such as the nodes of a cluster.
    servers: Mutex<HashMap<u64, Arc<Self>>>,
}

struct CircuitState {
    phase: Phase,
    /// The last events that were counted as failures.
    events: VecDeque<u64>,
    /// The reason of the last failure.
    reason: Option<Arc<str>>,
    failed_probes: u32,
    opened: u64,
    probes: u64,
}

enum Phase {
    Closed,
    /// The next probe is due at `until`.
    Open {
        until: Timestamp,
    },
    /// A probe is in progress. If its result is not known by `until`, another one may begin.
    HalfOpen {
        until: Timestamp,
    },
}

/// The permission for one operation to ask the backend.
pub(super) struct Pass<'a> {
    circuit: &'a Circuit,
    epoch: u64,
    /// The number of the probe; `None` if the operation is not a probe.
    probe: Option<u64>,
}

impl Circuit {
    pub(in crate::guard) fn new(settings: CircuitBreaker, clock: Arc<dyn Clock>) -> Self {
        Self {
            settings,
            clock,
            epoch: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            rejected: AtomicU64::new(0),
            state: Mutex::new(CircuitState {
                phase: Phase::Closed,
                events: VecDeque::new(),
                reason: None,
                failed_probes: 0,
                opened: 0,
                probes: 0,
            }),
            random: settings.seed.map_or_else(SeedableRandomState::random, |seed| {
                SeedableRandomState::with_seed(seed, SharedSeed::global_fixed())
            }),
            servers: Mutex::default(),
        }
    }

    /// Returns a pass if the backend may be asked. If a probe is due, the operation that receives
    /// the pass is the probe. The error is the time until the next probe is due; it is zero while a
    /// probe is in progress.
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
        if !left.is_zero() {
            self.rejected.fetch_add(1, Ordering::Relaxed);
            let is_probed = matches!(state.phase, Phase::HalfOpen { .. });
            return Err(if is_probed { Duration::ZERO } else { left.to_duration() });
        }
        let mut probe = None;
        if !matches!(state.phase, Phase::Closed) {
            state.probes += 1;
            probe = Some(state.probes);
            let until = Timestamp::now(&self.clock).saturating_add(self.settings.longest());
            state.phase = Phase::HalfOpen { until };
        }
        Ok(Pass { circuit: self, epoch, probe })
    }

    /// Returns the circuit of a server. Server 0 is the store as a whole.
    pub(super) fn of_server(self: &Arc<Self>, server: u64) -> Arc<Self> {
        if server == 0 {
            return Arc::clone(self);
        }
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if servers.len() >= MAX_SERVERS && !servers.contains_key(&server) {
            // Servers that are gone are forgotten, and with them those that are well.
            servers.retain(|_, circuit| !circuit.epoch.load(Ordering::Relaxed).is_multiple_of(2));
        }
        let new = || Arc::new(Self::new(self.settings, Arc::clone(&self.clock)));
        Arc::clone(servers.entry(server).or_insert_with(new))
    }

    /// Returns the statistics, those of all servers together. The state is open if that of any
    /// server is.
    pub(crate) fn stats(&self) -> BreakerStats {
        let mut stats = self.own_stats();
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        for server in servers.values().map(|circuit| circuit.own_stats()) {
            stats.state = match (stats.state, server.state) {
                (BreakerState::Open, _) | (_, BreakerState::Open) => BreakerState::Open,
                (BreakerState::Closed, BreakerState::Closed) => BreakerState::Closed,
                _ => BreakerState::HalfOpen,
            };
            stats.failures = stats.failures.max(server.failures);
            stats.opened += server.opened;
            stats.probes += server.probes;
            stats.rejected += server.rejected;
        }
        stats
    }

    fn own_stats(&self) -> BreakerStats {
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

    /// Returns the time until the next probe may begin; zero while the breaker is closed.
    fn time_left(&self, phase: &Phase) -> TimeSpan {
        let (Phase::Open { until } | Phase::HalfOpen { until }) = phase else {
            return TimeSpan::ZERO;
        };
        match until.saturating_since(Timestamp::now(&self.clock)) {
            // The time left is longer than any timeout, so the clock was set back.
            left if left > self.settings.longest() => TimeSpan::ZERO,
            left => left,
        }
    }

    /// Returns the time of the next probe, drawn at random from the second half of the timeout.
    fn next_probe(&self, state: &CircuitState) -> Timestamp {
        let timeout = self.settings.timeout(state.failed_probes).micros();
        let half = timeout / 2;
        let jitter = self.random.hash_one((state.opened, state.probes)) % (timeout - half + 1);
        Timestamp::now(&self.clock).saturating_add(TimeSpan::from_micros(half + jitter))
    }

    /// Counts a failure. An event counts once, however many operations it made fail.
    #[cold]
    fn failed(&self, epoch: u64, error: Option<&BackendError>) {
        let mut state = self.lock();
        if !state.is_new(error) {
            return;
        }
        // The breaker may have opened and closed since the caller looked.
        if self.epoch.load(Ordering::Relaxed) != epoch {
            return;
        }
        let failures = self.failures.fetch_add(1, Ordering::AcqRel) + 1;
        if failures < self.settings.failure_threshold {
            return;
        }
        state.opened += 1;
        state.failed_probes = 0;
        let until = self.next_probe(&state);
        state.phase = Phase::Open { until };
        self.epoch.store(epoch + 1, Ordering::Release);
        let probe_in = self.time_left(&state.phase).to_duration();
        drop(state);
        tracing::warn!(
            failures,
            ?probe_in,
            error = error.map(tracing::field::display),
            "the circuit breaker has opened: the rate limit's backend is not asked until it is \
             due to be tried"
        );
    }

    /// Ends a row of failures.
    #[cold]
    fn succeeded(&self, epoch: u64) {
        let _state = self.lock();
        if self.epoch.load(Ordering::Relaxed) == epoch {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    fn probed(&self, number: u64, sign: Sign, error: Option<&BackendError>) {
        let mut state = self.lock();
        state.is_new(error);
        // This probe took too long, and another one is in progress or has ended.
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

    /// Cancels a probe that did not ask the backend, so that the next operation may be the probe.
    fn not_probed(&self, number: u64) {
        let mut state = self.lock();
        if state.probes == number && matches!(state.phase, Phase::HalfOpen { .. }) {
            state.probes -= 1;
            state.phase = Phase::Open { until: Timestamp::EPOCH };
        }
    }

    /// Returns the error of an operation that the breaker stops. `left` is the time until the next
    /// probe is due.
    pub(super) fn stopped(&self, left: Duration) -> BackendError {
        let text = "it has failed too often, and is not asked for a while";
        let error = match &self.lock().reason {
            Some(reason) => BackendError::not_executed(format!("{text}; last: {reason}")),
            None => BackendError::not_executed(text),
        };
        error.retry_in(left)
    }

    /// Locks the state. Poison is ignored, because no code panics while it has the lock.
    fn lock(&self) -> MutexGuard<'_, CircuitState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CircuitState {
    /// Notes an error. Returns `false` if its event has been noted before.
    fn is_new(&mut self, error: Option<&BackendError>) -> bool {
        let Some(error) = error else { return true };
        let event = error.event();
        if event != 0 {
            if self.events.contains(&event) {
                return false;
            }
            if self.events.len() == MAX_EVENTS {
                self.events.pop_front();
            }
            self.events.push_back(event);
        }
        self.reason = Some(error.reason().into());
        true
    }
}

impl Pass<'_> {
    /// Gives the pass back unused: the backend was not asked.
    pub(super) fn give_back(mut self) {
        if let Some(probe) = self.probe.take() {
            self.circuit.not_probed(probe);
        }
    }

    /// Reports the evidence in the operation's result, and the error in it.
    #[inline]
    pub(super) fn report(mut self, sign: Sign, error: Option<&BackendError>) {
        let Circuit { epoch, failures, .. } = self.circuit;
        match self.probe.take() {
            Some(probe) => self.circuit.probed(probe, sign, error),
            // The operation began before the breaker last opened or closed, so it does not count.
            None if epoch.load(Ordering::Acquire) != self.epoch => {}
            None => match sign {
                Sign::Well if failures.load(Ordering::Relaxed) != 0 => {
                    self.circuit.succeeded(self.epoch);
                }
                Sign::Well | Sign::None => {}
                Sign::Unwell => self.circuit.failed(self.epoch, error),
            },
        }
    }
}

/// Reports a probe that was dropped, so that another one replaces it. Any other operation that is
/// dropped is no evidence of the backend's health.
impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(probe) = self.probe {
            self.circuit.probed(probe, Sign::None, None);
        }
    }
}
