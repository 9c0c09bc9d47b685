//! The builder of limiters.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::queue::Queue;
use super::settlement::BackgroundSettlements;
use super::{Limiter, Shared};
use crate::backend::identity::next_identity;
use crate::backend::store::{StoreHandle, StoreOptions};
use crate::decision::ChargeOrigin;
use crate::guard::{Fallback, GuardOptions, GuardedStore};
use crate::named_subject::{AsSubject as _, NamedSubject, SubjectRules};
#[cfg(feature = "axum")]
use crate::overrides::DerivedPolicies;
use crate::overrides::{OverrideTable, SubjectOverrides};
use crate::refused_by::ResponseOptions;
use crate::subject_hash::{Pepper, PepperError, SubjectHash};
use crate::telemetry::{NearLimit, ShadowLog, Telemetry};
use crate::{
    Backend, Blocked, CircuitBreaker, Clock, LocalTier, OnError, PerSubject, Policy, SystemClock,
};

/// Builds a [`Limiter`].
///
/// By default, a backend that can fail is guarded by a deny cache, a circuit breaker and a
/// deadline. A [`MemoryBackend`](crate::MemoryBackend) needs none of them.
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
    overrides: OverrideTable,
    pepper: Option<Pepper>,
    hash_subjects: bool,
    #[cfg(feature = "axum")]
    http: crate::HttpOptions,
    /// The options of a configuration. They take precedence over those of the program.
    #[cfg(feature = "config")]
    #[cfg(feature = "axum")]
    configured_http: crate::HttpOptions,
}

/// Converts the backend into a store. This is done when the limiter is built, because it needs the
/// final settings.
type IntoStore = Box<dyn FnOnce(StoreOptions) -> StoreHandle + Send + Sync>;

impl LimiterBuilder {
    pub(super) fn new(backend: impl Backend) -> Self {
        let backend = Arc::new(backend);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Self {
            into_store: Box::new(move |options| backend.into_store(options)),
            guards: GuardOptions {
                clock: Arc::clone(&clock),
                deadline: None,
                breaker: Some(CircuitBreaker::new()),
                tier: LocalTier::default(),
            },
            on_error: OnError::Closed,
            instances: None,
            telemetry: Telemetry::new(clock),
            #[cfg(feature = "metrics")]
            metrics: Some(crate::Metrics::new()),
            declared: Vec::new(),
            subjects: None,
            overrides: OverrideTable::default(),
            pepper: None,
            hash_subjects: false,
            #[cfg(feature = "axum")]
            http: crate::HttpOptions::new(),
            #[cfg(feature = "config")]
            #[cfg(feature = "axum")]
            configured_http: crate::HttpOptions::new(),
        }
    }

    /// Sets the clock of the limiter's own parts: queues, the circuit breaker, the deadline (unless
    /// the backend enforces it itself), the local tier and the local fallback. The backend decides
    /// by a clock of its own. The default is the machine's clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.guards.clock = Arc::new(clock);
        self.telemetry.shadow_log = ShadowLog::new(Arc::clone(&self.guards.clock));
        self
    }

    /// Sets the time after which an operation of the backend counts as failed. It includes the wait
    /// for a connection. The default is 100 ms, or the value in the URL or the builder of a Redis
    /// backend.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.guards.deadline = Some(deadline);
        self
    }

    /// Sets the circuit breaker, which stops asking a failing backend for a while. The default is
    /// [`CircuitBreaker::new`]. With `None`, the backend is always asked.
    #[must_use]
    pub fn breaker(mut self, breaker: impl Into<Option<CircuitBreaker>>) -> Self {
        self.guards.breaker = breaker.into();
        self
    }

    /// Sets the decisions that the limiter makes without asking the backend. The default is
    /// [`LocalTier::deny_cache`]. A backend that answers without waiting has no local tier.
    #[must_use]
    pub fn local_tier(mut self, tier: LocalTier) -> Self {
        self.guards.tier = tier;
        self
    }

    /// Sets the handling of requests while the backend cannot answer, for policies without a mode
    /// of their own. The default is [`OnError::Closed`], which refuses them.
    #[must_use]
    pub fn on_error(mut self, mode: OnError) -> Self {
        self.on_error = mode;
        self
    }

    /// Sets the number of processes that share the backend's counters, at least 1.
    /// [`OnError::Local`] divides the limits by this number. There is no default: without the
    /// number, a limiter with such a policy does not start. If the number varies, set the largest.
    #[must_use]
    pub fn instances(mut self, instances: u32) -> Self {
        self.instances = Some(instances.max(1));
        self
    }

    /// Sets a function that is called on every refusal, after the policy's own `on_blocked`. It is
    /// called for refusals of handlers (with their request), of functions and of direct checks, but
    /// not for those of a peek. By default there is none.
    #[must_use]
    pub fn on_blocked(mut self, function: impl Fn(&Blocked<'_>) + Send + Sync + 'static) -> Self {
        self.telemetry.on_blocked = Some(Arc::new(function));
        self
    }

    /// Sets a function that is called on every admission after which little of a quota remains:
    /// less than a tenth, or than the fraction set by [`near_limit`](Self::near_limit). It is
    /// called before the request goes on, so it should be quick. By default there is none.
    #[must_use]
    pub fn on_near_limit(
        mut self,
        function: impl Fn(&NearLimit<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.telemetry.on_near_limit = Some(Arc::new(function));
        self
    }

    /// Sets the fraction below which a quota is nearly used up. An admission is near the limit if
    /// less than this fraction of a quota's units remains after it. With 0.0, no admission is near
    /// the limit. With 1.0, every admission is near the limit that leaves at least one unit in use.
    /// The default is 0.1.
    #[must_use]
    pub fn near_limit(mut self, fraction: f64) -> Self {
        self.telemetry.near = fraction;
        self
    }

    /// Sets the metrics that are passed to the recorder of the [`metrics`] facade. The default is
    /// [`Metrics::new`]. With `None` there are no metrics.
    ///
    /// [`Metrics::new`]: crate::Metrics::new
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn metrics(mut self, metrics: impl Into<Option<crate::Metrics>>) -> Self {
        self.metrics = metrics.into();
        self
    }

    /// Declares a policy that no annotation declares, for example that of a layer, so that it can
    /// be [overridden](Limiter::set_overrides).
    #[must_use]
    pub fn declare(mut self, policy: Policy) -> Self {
        self.declared.push(policy);
        self
    }

    /// Sets the function that overrides policies for single subjects. By default there is none.
    #[must_use]
    pub fn per_subject(mut self, subjects: PerSubject) -> Self {
        self.subjects = Some(subjects);
        self
    }

    /// Sets a secret key for the hashes of subjects (HMAC-SHA-256). Without it, whoever can read the
    /// store can find out if a subject that they know is in use, and the same one has the same hash
    /// in other services. All processes that share a store must have the same pepper. With another
    /// pepper, each subject begins with a new budget. A pepper of `HttpOptions` takes precedence.
    ///
    /// # Errors
    ///
    /// If it is shorter than 16 bytes: take 32 random ones.
    pub fn pepper(mut self, pepper: impl AsRef<[u8]>) -> Result<Self, PepperError> {
        self.pepper = Some(SubjectHash::keyed(pepper.as_ref())?);
        Ok(self)
    }

    /// Hashes all subjects if `on` is `true`, and not only credentials: neither the store nor logs,
    /// hooks and [`PerSubject`] see them in clear then. The program names a subject in clear, for
    /// instance to reset it. Set a [`pepper`](Self::pepper), too, because addresses, names and
    /// numbers are few enough to hash all of them. The default is `false`. What `HttpOptions` says
    /// takes precedence.
    #[must_use]
    pub fn hash_subjects(mut self, on: bool) -> Self {
        self.hash_subjects = on;
        self
    }

    /// Sets options for HTTP: trust in proxies, header fields and refusals. The defaults are those
    /// of [`HttpOptions::new`](crate::HttpOptions::new).
    ///
    /// Only the options that `options` sets are changed. So a second call adds to the first, and
    /// replaces what both set.
    ///
    /// If the builder is that of a configuration (`Config::builder`), an option that the
    /// configuration sets keeps its value there, because the operator of a deployment knows its
    /// proxies and its clients better than the program does.
    ///
    /// ```
    /// use tollgate::http::Refusal;
    /// use tollgate::{HttpOptions, Limiter, MemoryBackend};
    ///
    /// // The limiter trusts the proxy, and has a function for refusals.
    /// let limiter = Limiter::builder(MemoryBackend::new())
    ///     .http(HttpOptions::new().trusted_proxies(["10.0.0.0/8"])?)
    ///     .http(HttpOptions::new().refusal(|_: &Refusal<'_>| "Slow down, please."))
    ///     .build();
    /// # Ok::<_, tollgate::http::HttpOptionsError>(())
    /// ```
    #[cfg(feature = "axum")]
    #[must_use]
    pub fn http(mut self, options: crate::HttpOptions) -> Self {
        self.http = options.or(self.http);
        self
    }

    /// Sets the options for HTTP of a configuration.
    #[cfg(feature = "config")]
    #[cfg(feature = "axum")]
    pub(crate) fn configured_http(mut self, options: crate::HttpOptions) -> Self {
        self.configured_http = options;
        self
    }

    /// Switches all policies off.
    pub(crate) fn switched_off(mut self) -> Self {
        self.overrides = OverrideTable::switched_off();
        self
    }

    /// Builds the limiter.
    #[must_use]
    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_mut, reason = "without metrics nothing is set here")
    )]
    pub fn build(mut self) -> Limiter {
        let options =
            StoreOptions { deadline: self.guards.deadline, clock: Arc::clone(&self.guards.clock) };
        let StoreHandle(store) = (self.into_store)(options);
        let (backend_name, gauges) = (store.name(), store.gauges());
        #[cfg(feature = "metrics")]
        {
            let meter = |metrics| crate::telemetry::Meter::new(backend_name, metrics);
            self.telemetry.meter = self.metrics.map(meter);
        }
        let can_fail = !store.is_immediate();
        let origin = ChargeOrigin { store: store.identity(), limiter: next_identity() };
        let GuardedStore { store, circuit } = self.guards.guard(store);
        let clock = self.guards.clock;
        let instances = self.instances.filter(|_| can_fail);
        let fallback = instances.map(|instances| Fallback::new(instances, Arc::clone(&clock)));
        #[cfg(feature = "axum")]
        let clocks =
            crate::response::WallClocks { store: store.clock(), fallback: Arc::clone(&clock) };
        #[cfg(feature = "axum")]
        let http = self.http;
        #[cfg(feature = "config")]
        #[cfg(feature = "axum")]
        let http = self.configured_http.or(http);
        #[cfg(feature = "axum")]
        let (pepper, hash_subjects) = http.subject_hash();
        #[cfg(not(feature = "axum"))]
        let (pepper, hash_subjects) = (None, None);
        let hash =
            SubjectHash::new(pepper.or(self.pepper), hash_subjects.unwrap_or(self.hash_subjects));
        #[cfg(feature = "axum")]
        let http = Arc::new(http.effective(clocks));
        let rules = SubjectRules {
            hash: &hash,
            #[cfg(feature = "axum")]
            address: &http.address,
        };
        let subjects = self.subjects.map(|subjects| {
            let text = |subject: &NamedSubject| subject.counted(&rules).into_owned();
            SubjectOverrides::new(subjects, Arc::clone(&clock), text)
        });
        let shared = Shared {
            store,
            origin,
            can_fail,
            circuit,
            on_error: self.on_error,
            fallback,
            failing: AtomicBool::new(false),
            lacks_bans: AtomicBool::new(false),
            forbidden_told: AtomicBool::new(false),
            registry: OnceLock::new(),
            queue: Queue::new(clock),
            settlements: BackgroundSettlements::default(),
            telemetry: self.telemetry,
            backend_name,
            gauges,
            overrides: self.overrides,
            #[cfg(feature = "axum")]
            plans: DerivedPolicies::default(),
            declared: self.declared,
            subjects,
            hash,
            responses: ResponseOptions(
                #[cfg(feature = "axum")]
                http.clone(),
            ),
            #[cfg(feature = "axum")]
            http,
        };
        Limiter { shared: Arc::new(shared) }
    }
}

impl fmt::Debug for LimiterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimiterBuilder").finish_non_exhaustive()
    }
}
