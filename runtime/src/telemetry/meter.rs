//! Counts for the recorder of the `metrics` facade that the program has installed.

use std::collections::HashMap;
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
use super::{Metrics, NearLimit, Told};
use crate::backend::ServerStats;
use crate::{BreakerState, BreakerStats, LimiterStats, MemoryStats, Outcome, Policy, Source};

/// The most policies that are told apart. Names are the program's, and so few; of one that makes
/// them up as it goes, the rest are counted as [`OTHERS`].
const MAX_POLICIES: usize = 1_000;
const OTHERS: &str = "_other";

const OUTCOMES: [&str; 4] = [
    Outcome::Allowed.name(),
    Outcome::Refused { retry_after: Duration::ZERO }.name(),
    Outcome::Never.name(),
    "failed",
];
const FAILED: usize = 3;
/// The last of them is [`Source::Closed`].
const SOURCES: usize = Source::Closed as usize + 1;

pub(crate) struct Meter {
    backend: &'static str,
    settings: Metrics,
    made: Instant,
    /// When the instruments are to be read next, in microseconds since it was made.
    due: AtomicU64,
    handles: ArcSwap<Handles>,
}

/// Where it counts. Looking a metric up takes longer than a check in memory, so that is done once
/// for each recorder.
#[derive(Clone)]
struct Handles {
    recorder: Recorder,
    check_seconds: Histogram,
    wait_seconds: Histogram,
    policies: HashTable<Arc<PolicyHandles>>,
    others: Arc<PolicyHandles>,
    /// What the recorder has been told of what others count.
    told: Arc<Mutex<Totals>>,
}

/// Of a policy, in `shadow` or not.
struct PolicyHandles {
    name: SmolStr,
    name_hash: u64,
    shadow: bool,
    /// By outcome and source.
    decisions: [[OnceLock<Counter>; SOURCES]; OUTCOMES.len()],
    near_limit: OnceLock<Counter>,
}

/// Which recorder it is, by its address. 0: there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Recorder(usize);

impl Recorder {
    const NONE: Self = Self(0);

    /// The one that counts for this thread. What stands for none has no state, and what has none
    /// cannot count.
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
            made: Instant::now(),
            due: AtomicU64::new(0),
            handles: ArcSwap::from_pointee(Handles::none()),
        }
    }

    /// A check begins. `None`: nobody records it.
    #[inline]
    pub(super) fn watch(&self) -> Option<Instant> {
        (Recorder::current() != Recorder::NONE).then(Instant::now)
    }

    /// A check has ended. It says whether the instruments are to be read, by the caller.
    pub(super) fn count(&self, since: Instant, now: Instant, told: &Told<'_>, near: f64) -> bool {
        let handles = self.handles();
        if handles.recorder == Recorder::NONE {
            return false;
        }
        let seconds = if told.waited { &handles.wait_seconds } else { &handles.check_seconds };
        seconds.record(now.duration_since(since));
        match handles.find(told.policy) {
            Some(policy) => policy.count(told, near),
            None => self.add(told.policy).count(told, near),
        }
        self.is_due(micros(now.duration_since(self.made)))
    }

    fn is_due(&self, now: u64) -> bool {
        let due = self.due.load(Ordering::Relaxed);
        let next = now.saturating_add(micros(self.settings.every));
        now >= due
            && self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Those of the present recorder.
    #[inline]
    fn handles(&self) -> Guard<Arc<Handles>> {
        let recorder = Recorder::current();
        let handles = self.handles.load();
        if handles.recorder == recorder { handles } else { self.take_hold(recorder) }
    }

    #[cold]
    fn take_hold(&self, recorder: Recorder) -> Guard<Arc<Handles>> {
        describe();
        self.handles.store(Arc::new(Handles::of(recorder, self.backend)));
        self.handles.load()
    }

    #[cold]
    fn add(&self, policy: &Policy) -> Arc<PolicyHandles> {
        let mut added = None;
        self.handles.rcu(|handles| {
            let mut handles = Handles::clone(handles);
            added = Some(handles.add(policy));
            handles
        });
        // The closure ran at least once.
        added.unwrap_or_else(|| Arc::clone(&self.handles.load().others))
    }

    pub(crate) fn asks_servers(&self) -> bool {
        self.settings.servers && Recorder::current() != Recorder::NONE
    }

    /// Tells the recorder what the instruments show.
    pub(crate) fn publish(&self, stats: &LimiterStats) {
        if Recorder::current() == Recorder::NONE {
            return;
        }
        let handles = self.handles();
        // Nothing panics while it is held but a recorder, and the numbers are whole then, too.
        let mut told = handles.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(breaker) = &stats.breaker {
            told.breaker(breaker);
        }
        if let Some(memory) = &stats.memory {
            told.memory(memory);
        }
        #[cfg(feature = "redis")]
        if let Some(redis) = &stats.redis {
            told.redis(redis);
        }
    }

    pub(crate) fn publish_servers(&self, servers: &[ServerStats]) {
        for server in servers {
            let gauge = |name| gauge!(name, "server" => server.address.clone());
            gauge(SERVER_MEMORY).set(server.memory as f64);
            gauge(SERVER_MAX_MEMORY).set(server.max_memory as f64);
            gauge(SERVER_CLIENTS).set(server.clients as f64);
            gauge(SERVER_EVICTED).set(server.evicted_keys as f64);
        }
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
            told: Arc::default(),
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

    fn count(&self, told: &Told<'_>, near: f64) {
        let (outcome, source) = match (told.failure, told.verdict.outcome()) {
            (Some(_), _) => (FAILED, Source::Closed),
            (None, Outcome::Allowed) => (0, told.verdict.source()),
            (None, Outcome::Refused { .. }) => (1, told.verdict.source()),
            (None, Outcome::Never) => (2, told.verdict.source()),
        };
        let (name, index) = (source.name(), source as usize);
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
        if outcome == 0 && NearLimit::of(told, near).is_some() {
            let name = || counter!(NEAR_LIMIT, "policy" => self.name.to_string());
            self.near_limit.get_or_init(name).increment(1);
        }
    }
}

/// Totals of which the recorder has been told. It is told what they have grown by, so that several
/// limiters may count for one.
#[derive(Default)]
struct Totals(HashMap<&'static str, u64>);

impl Totals {
    fn raise(&mut self, name: &'static str, total: u64) {
        let told = self.0.insert(name, total).unwrap_or(0);
        // Even by nothing, so that it is there before it happens.
        counter!(name).increment(total.saturating_sub(told));
    }

    fn breaker(&mut self, breaker: &BreakerStats) {
        for state in [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen] {
            let is_it = u8::from(state == breaker.state);
            gauge!(BREAKER_STATE, "state" => state.name()).set(is_it);
        }
        self.raise(BREAKER_OPENINGS, breaker.opened);
        self.raise(BREAKER_PROBES, breaker.probes);
        self.raise(BREAKER_REJECTED, breaker.rejected);
    }

    fn memory(&mut self, memory: &MemoryStats) {
        gauge!(MEMORY_KEYS).set(memory.keys as f64);
        self.raise(MEMORY_EVICTED, memory.evicted);
        self.raise(MEMORY_OVERFLOWED, memory.overflowed);
    }

    #[cfg(feature = "redis")]
    fn redis(&mut self, redis: &crate::RedisStats) {
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

/// A call to a Redis, and how many operations it carried.
#[cfg(feature = "redis")]
pub(crate) fn round_trip(checks: usize, took: Duration) {
    histogram!(REDIS_ROUND_TRIP_SECONDS).record(took);
    histogram!(REDIS_BATCH_SIZE).record(checks as f64);
}

/// A connection to a Redis was had.
#[cfg(feature = "redis")]
pub(crate) fn connected(took: Duration) {
    histogram!(REDIS_CONNECT_SECONDS).record(took);
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
