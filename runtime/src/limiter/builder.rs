//! Builds a [`Limiter`].

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::queue::Queue;
use super::{Limiter, Shared};
use crate::backend::store::{StoreHandle, StoreOptions};
use crate::guard::{Fallback, GuardOptions, GuardedStore};
use crate::overrides::{Subjects, Table};
use crate::telemetry::{NearLimit, Telemetry};
use crate::{
    Backend, Blocked, CircuitBreaker, Clock, LocalTier, OnError, PerSubject, Policy, SystemClock,
};

/// Builds a [`Limiter`].
///
/// What stands between the limiter and a backend that can fail, a deny cache, a deadline and a
/// circuit breaker, does so without being asked for; a [`MemoryBackend`](crate::MemoryBackend)
/// needs none.
pub struct LimiterBuilder {
    into_store: IntoStore,
    guards: GuardOptions,
    on_error: OnError,
    instances: Option<u32>,
    telemetry: Telemetry,
    #[cfg(feature = "metrics")]
    metrics: Option<crate::Metrics>,
    declared: Vec<Policy>,
    subjects: Option<PerSubject>,
    #[cfg(feature = "axum")]
    http: crate::HttpOptions,
}

/// Turns the backend into a store as soon as the options are known.
type IntoStore = Box<dyn FnOnce(StoreOptions) -> StoreHandle + Send + Sync>;

impl LimiterBuilder {
    pub(super) fn new(backend: impl Backend) -> Self {
        let backend = Arc::new(backend);
        Self {
            into_store: Box::new(move |options| backend.into_store(options)),
            guards: GuardOptions {
                clock: Arc::new(SystemClock::new()),
                deadline: None,
                breaker: Some(CircuitBreaker::new()),
                tier: LocalTier::default(),
            },
            on_error: OnError::Closed,
            instances: None,
            telemetry: Telemetry::new(),
            #[cfg(feature = "metrics")]
            metrics: Some(crate::Metrics::new()),
            declared: Vec::new(),
            subjects: None,
            #[cfg(feature = "axum")]
            http: crate::HttpOptions::new(),
        }
    }

    /// Goes by `clock` instead of the machine's: those who wait for their turn, the circuit
    /// breaker, the deadline (unless the backend keeps that itself), the local tier and what decides
    /// in this process. The backend has a clock of its own, by which it decides.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.guards.clock = Arc::new(clock);
        self
    }

    /// How long the backend may take for an operation, waiting for a connection included; then
    /// it has failed. 100 ms unless set here or, for a Redis, in its URL or builder.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.guards.deadline = Some(deadline);
        self
    }

    /// When a failing backend is not asked any more, and when again. With `None`, it always is.
    #[must_use]
    pub fn breaker(mut self, breaker: impl Into<Option<CircuitBreaker>>) -> Self {
        self.guards.breaker = breaker.into();
        self
    }

    /// What it decides by itself before it asks the backend, unless that is one that answers
    /// without waiting. Unless set, that is [`LocalTier::deny_cache`].
    #[must_use]
    pub fn local_tier(mut self, tier: LocalTier) -> Self {
        self.guards.tier = tier;
        self
    }

    /// What happens to requests while the backend cannot answer, for policies that do not say;
    /// they are refused unless set.
    #[must_use]
    pub fn on_error(mut self, mode: OnError) -> Self {
        self.on_error = mode;
        self
    }

    /// How many processes share the backend's counters, at least 1: what [`OnError::Local`]
    /// divides the limits by. Where it varies, name the most.
    #[must_use]
    pub fn instances(mut self, instances: u32) -> Self {
        self.instances = Some(instances.max(1));
        self
    }

    /// Calls `function` on every refusal, after the policy's own `on_blocked`: those of handlers,
    /// with their request, of functions and of direct checks, but not those of a peek.
    #[must_use]
    pub fn on_blocked(mut self, function: impl Fn(&Blocked<'_>) + Send + Sync + 'static) -> Self {
        self.telemetry.on_blocked = Some(Arc::new(function));
        self
    }

    /// Calls `function` on every admission that leaves little of a quota: less than a tenth, or the
    /// part that [`near_limit`](Self::near_limit) sets. It is called before the request goes on,
    /// so it should be quick.
    #[must_use]
    pub fn on_near_limit(
        mut self,
        function: impl Fn(&NearLimit<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.telemetry.on_near_limit = Some(Arc::new(function));
        self
    }

    /// An admission is near the limit if less than this part of a quota is left after it, from 0.0
    /// (none ever is) to 1.0; 0.1 unless set.
    #[must_use]
    pub fn near_limit(mut self, part: f64) -> Self {
        self.telemetry.near = part;
        self
    }

    /// What it counts for the recorder of the [`metrics`] facade; with `None`, nothing.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn metrics(mut self, metrics: impl Into<Option<crate::Metrics>>) -> Self {
        self.metrics = metrics.into();
        self
    }

    /// Makes known a policy that no annotation declares, of a layer for instance, so that it can
    /// be [overridden](Limiter::set_overrides).
    #[must_use]
    pub fn declare(mut self, policy: Policy) -> Self {
        self.declared.push(policy);
        self
    }

    /// Lets subjects have quotas of their own.
    #[must_use]
    pub fn per_subject(mut self, subjects: PerSubject) -> Self {
        self.subjects = Some(subjects);
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
    #[cfg_attr(not(feature = "metrics"), expect(unused_mut, reason = "nobody counts"))]
    pub fn build(mut self) -> Limiter {
        let options = StoreOptions { deadline: self.guards.deadline };
        let StoreHandle(store) = (self.into_store)(options);
        let (backend_name, gauges) = (store.name(), store.gauges());
        #[cfg(feature = "metrics")]
        {
            let meter = |metrics| crate::telemetry::Meter::new(backend_name, metrics);
            self.telemetry.meter = self.metrics.map(meter);
        }
        let can_fail = !store.is_immediate();
        let GuardedStore { store, circuit } = self.guards.guard(store);
        let clock = self.guards.clock;
        let instances = self.instances.filter(|_| can_fail);
        let fallback = instances.map(|instances| Fallback::new(instances, Arc::clone(&clock)));
        let subjects = self.subjects.map(|subjects| Subjects::new(subjects, Arc::clone(&clock)));
        let shared = Shared {
            store,
            can_fail,
            circuit,
            on_error: self.on_error,
            fallback,
            failing: AtomicBool::new(false),
            registry: OnceLock::new(),
            queue: Queue::new(clock),
            telemetry: self.telemetry,
            backend_name,
            gauges,
            overrides: Table::default(),
            declared: self.declared,
            subjects,
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
