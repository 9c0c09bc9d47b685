//! Metrics: passes counts to the recorder that the program has installed in the `metrics` facade.

use std::collections::{BTreeSet, HashMap};
use std::mem::size_of_val;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use hashbrown::HashTable;
use metrics::{Counter, Histogram, counter, gauge, histogram};
use quanta::Instant;
use smol_str::SmolStr;

use super::names::*;
use super::{CheckEvent, Metrics, NearLimit};
use crate::stats::{BreakerState, BreakerStats, LimiterStats, MemoryStats, ServerStats};
use crate::{Outcome, Policy, Source};

/// The largest number of policies that are counted separately. Programs have few policies. If a
/// program generates names of policies at run time, further ones are counted together as
/// [`OTHERS`].
const MAX_POLICIES: usize = 1_000;
const OTHERS: &str = "_other";

const OUTCOMES: [&str; 6] = [
    Outcome::Allowed.as_str(),
    Outcome::Refused { retry_after: Duration::ZERO }.as_str(),
    Outcome::Never.as_str(),
    Outcome::Blocked.as_str(),
    Outcome::Banned { retry_after: Duration::ZERO }.as_str(),
    "failed",
];
const FAILED: usize = 5;
/// The number of sources of a counted decision: [`Source::Closed`] is the last one that occurs.
const SOURCES: usize = Source::Closed as usize + 1;

pub(crate) struct Meter {
    backend: &'static str,
    settings: Metrics,
    created: Instant,
    /// The time at which statistics are published next, in microseconds since `created`.
    due: AtomicU64,
    handles: ArcSwap<Handles>,
    /// The addresses of the servers whose gauges have values.
    servers: Mutex<BTreeSet<String>>,
}

/// The handles to the metrics of one recorder. Looking a handle up takes longer than a check in
/// memory, so that is done only once for each recorder.
#[derive(Clone)]
struct Handles {
    recorder: Recorder,
    check_seconds: Histogram,
    wait_seconds: Histogram,
    policies: HashTable<Arc<PolicyHandles>>,
    others: Arc<PolicyHandles>,
    /// The totals that have been passed to the recorder so far.
    published: Arc<Mutex<Totals>>,
}

/// The handles for one policy. A policy in shadow mode has handles of its own.
struct PolicyHandles {
    name: SmolStr,
    name_hash: u64,
    shadow: bool,
    /// The counters of decisions, indexed by outcome and then by source.
    decisions: [[OnceLock<Counter>; SOURCES]; OUTCOMES.len()],
    near_limit: OnceLock<Counter>,
}

/// The identity of a recorder: its address, or 0 if the program has installed none.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Recorder(usize);

impl Recorder {
    const NONE: Self = Self(0);

    /// Returns the recorder of this thread. A zero-sized recorder cannot count, so it is treated as
    /// no recorder; the facade's no-op recorder is one.
    #[inline]
    fn current() -> Self {
        metrics::with_recorder(|recorder| {
            if size_of_val(recorder) == 0 {
                return Self::NONE;
            }
            Self(std::ptr::from_ref(recorder).cast::<()>().addr())
        })
    }
}

impl Meter {
    pub(crate) fn new(backend: &'static str, settings: Metrics) -> Self {
        Self {
            backend,
            settings,
            created: Instant::now(),
            due: AtomicU64::new(0),
            handles: ArcSwap::from_pointee(Handles::none()),
            servers: Mutex::default(),
        }
    }

    /// Publishes the state of the servers that answer. A gauge cannot be removed, so those of a server
    /// that no longer answers get the value that means none.
    pub(super) fn publish_servers(&self, servers: &[ServerStats]) {
        let answering: BTreeSet<_> = servers.iter().map(|server| server.address.clone()).collect();
        let mut shown = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in shown.difference(&answering) {
            publish_server(gone, [f64::NAN; 4]);
        }
        for ServerStats { address, memory, max_memory, clients, evicted_keys } in servers {
            let numbers = [*memory, *max_memory, *clients, *evicted_keys];
            publish_server(address, numbers.map(|number| number as f64));
        }
        *shown = answering;
    }

    /// Records a check that began at `start` and ended at `end`. `near` is the fraction of a quota
    /// below which an admission is near the limit. Returns `true` if it is time to publish
    /// statistics.
    pub(super) fn record(
        &self,
        start: Instant,
        end: Instant,
        event: &CheckEvent<'_>,
        near: f64,
    ) -> bool {
        let handles = self.handles();
        if handles.recorder == Recorder::NONE {
            return false;
        }
        let seconds = if event.waited { &handles.wait_seconds } else { &handles.check_seconds };
        seconds.record(end.duration_since(start));
        let policy = event.check.policy;
        match handles.find(policy) {
            Some(policy) => policy.count(event, near),
            None => self.add(policy).count(event, near),
        }
        self.is_due(micros(end.duration_since(self.created)))
    }

    fn is_due(&self, now: u64) -> bool {
        let due = self.due.load(Ordering::Relaxed);
        let next = now.saturating_add(micros(self.settings.every));
        now >= due
            && self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Returns the handles for the current recorder, and replaces those for another one.
    #[inline]
    fn handles(&self) -> Guard<Arc<Handles>> {
        let recorder = Recorder::current();
        let handles = self.handles.load();
        if handles.recorder == recorder { handles } else { self.renew(recorder) }
    }

    /// Replaces the handles by those for `recorder`.
    #[cold]
    fn renew(&self, recorder: Recorder) -> Guard<Arc<Handles>> {
        describe();
        self.handles.store(Arc::new(Handles::of(recorder, self.backend)));
        self.handles.load()
    }

    /// Adds the handles for a policy that is counted for the first time, and returns them.
    #[cold]
    fn add(&self, policy: &Policy) -> Arc<PolicyHandles> {
        let mut added = None;
        self.handles.rcu(|handles| {
            let mut handles = Handles::clone(handles);
            added = Some(handles.add(policy));
            handles
        });
        // The closure has run at least once, so `added` is never `None`.
        added.unwrap_or_else(|| Arc::clone(&self.handles.load().others))
    }

    pub(super) fn wants_servers(&self) -> bool {
        self.settings.servers && has_recorder()
    }

    /// Passes the limiter's statistics to the recorder.
    pub(super) fn publish(&self, stats: &LimiterStats) {
        if !has_recorder() {
            return;
        }
        let handles = self.handles();
        // Only a recorder can panic while the lock is taken, and that leaves the totals consistent.
        let mut published = handles.published.lock().unwrap_or_else(PoisonError::into_inner);
        gauge!(IN_FLIGHT).set(stats.in_flight as f64);
        if let Some(breaker) = &stats.breaker {
            published.breaker(breaker);
        }
        if let Some(memory) = &stats.memory {
            published.memory(memory);
        }
        #[cfg(feature = "redis")]
        if let Some(redis) = &stats.redis {
            published.redis(redis);
        }
    }
}

/// Returns `true` if the program has installed a recorder.
#[inline]
pub(super) fn has_recorder() -> bool {
    Recorder::current() != Recorder::NONE
}

fn publish_server(address: &str, values: [f64; 4]) {
    let names = [SERVER_MEMORY, SERVER_MAX_MEMORY, SERVER_CLIENTS, SERVER_EVICTED];
    for (name, value) in names.into_iter().zip(values) {
        gauge!(name, "server" => address.to_owned()).set(value);
    }
}

impl Handles {
    fn none() -> Self {
        Self {
            recorder: Recorder::NONE,
            check_seconds: Histogram::noop(),
            wait_seconds: Histogram::noop(),
            policies: HashTable::new(),
            others: Arc::new(PolicyHandles::new(SmolStr::new_static(OTHERS), 0, false)),
            published: Arc::default(),
        }
    }

    fn of(recorder: Recorder, backend: &'static str) -> Self {
        Self {
            recorder,
            check_seconds: histogram!(CHECK_SECONDS, "backend" => backend),
            wait_seconds: histogram!(WAIT_SECONDS, "backend" => backend),
            ..Self::none()
        }
    }

    #[inline]
    fn find(&self, policy: &Policy) -> Option<&Arc<PolicyHandles>> {
        let is_it = |known: &Arc<PolicyHandles>| {
            known.shadow == policy.is_shadow() && known.name == policy.name()
        };
        let others = || (self.policies.len() >= MAX_POLICIES).then_some(&self.others);
        self.policies.find(policy.name_hash(), is_it).or_else(others)
    }

    fn add(&mut self, policy: &Policy) -> Arc<PolicyHandles> {
        if let Some(known) = self.find(policy) {
            return Arc::clone(known);
        }
        let (name, hash) = (policy.name_handle(), policy.name_hash());
        let added = Arc::new(PolicyHandles::new(name, hash, policy.is_shadow()));
        self.policies.insert_unique(hash, Arc::clone(&added), |known| known.name_hash);
        added
    }
}

impl PolicyHandles {
    fn new(name: SmolStr, name_hash: u64, shadow: bool) -> Self {
        let (decisions, near_limit) = Default::default();
        Self { name, name_hash, shadow, decisions, near_limit }
    }

    fn count(&self, event: &CheckEvent<'_>, near: f64) {
        let CheckEvent { failure, verdict, .. } = *event;
        let (outcome, source) = match (failure, verdict.outcome()) {
            (Some(_), _) => (FAILED, Source::Closed),
            (None, Outcome::Allowed) => (0, verdict.source()),
            (None, Outcome::Refused { .. }) => (1, verdict.source()),
            (None, Outcome::Never) => (2, verdict.source()),
            (None, Outcome::Blocked) => (3, verdict.source()),
            (None, Outcome::Banned { .. }) => (4, verdict.source()),
        };
        let (name, index) = (source.as_str(), source as usize);
        let decided = self.decisions[outcome][index].get_or_init(|| {
            counter!(
                DECISIONS,
                "policy" => self.name.to_string(),
                "outcome" => OUTCOMES[outcome],
                "source" => name,
                "shadow" => if self.shadow { "true" } else { "false" },
            )
        });
        decided.increment(1);
        if outcome == 0 && NearLimit::of(event, near).is_some() {
            let name = || counter!(NEAR_LIMIT, "policy" => self.name.to_string());
            self.near_limit.get_or_init(name).increment(1);
        }
    }
}

/// The totals that have been passed to the recorder. The recorder receives the increase since the
/// last publication, so that several limiters may share one recorder.
#[derive(Default)]
struct Totals(HashMap<&'static str, u64>);

impl Totals {
    fn raise(&mut self, name: &'static str, total: u64) {
        let published = self.0.insert(name, total).unwrap_or(0);
        // An increment by 0 creates the counter before the first event.
        counter!(name).increment(total.saturating_sub(published));
    }

    fn breaker(&mut self, breaker: &BreakerStats) {
        for state in [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen] {
            let is_it = u8::from(state == breaker.state);
            gauge!(BREAKER_STATE, "state" => state.as_str()).set(is_it);
        }
        self.raise(BREAKER_OPENINGS, breaker.opened);
        self.raise(BREAKER_PROBES, breaker.probes);
        self.raise(BREAKER_REJECTED, breaker.rejected);
    }

    fn memory(&mut self, memory: &MemoryStats) {
        gauge!(MEMORY_KEYS).set(memory.keys as f64);
        self.raise(MEMORY_EVICTED, memory.evicted);
        self.raise(MEMORY_OVERFLOWED, memory.overflowed);
        self.raise(MEMORY_BANS_LIFTED, memory.bans_lifted);
    }

    #[cfg(feature = "redis")]
    fn redis(&mut self, redis: &crate::stats::RedisStats) {
        self.raise(REDIS_ROUND_TRIPS, redis.round_trips);
        self.raise(REDIS_CHECKS, redis.checks);
        gauge!(REDIS_QUEUED).set(redis.queued as f64);
        gauge!(REDIS_POOL_SIZE).set(redis.pool_size as f64);
        let used = redis.connections.saturating_sub(redis.idle);
        gauge!(REDIS_CONNECTIONS, "state" => "used").set(used as f64);
        gauge!(REDIS_CONNECTIONS, "state" => "idle").set(redis.idle as f64);
        gauge!(REDIS_POOL_WAITING).set(redis.waiting as f64);
    }
}

#[cfg(feature = "redis")]
pub(super) fn round_trip(checks: usize, took: Duration) {
    histogram!(REDIS_ROUND_TRIP_SECONDS).record(took);
    histogram!(REDIS_BATCH_SIZE).record(checks as f64);
}

#[cfg(feature = "redis")]
pub(super) fn connected(took: Duration) {
    histogram!(REDIS_CONNECT_SECONDS).record(took);
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
