//! The limiter: asks the backend, and applies the policy's settings to the answer.

mod ban;
mod behind;
mod builder;
mod capabilities;
mod check;
mod gate;
#[cfg(all(test, shuttle))]
mod models;
mod observe;
mod outage;
mod overrides;
mod peek;
mod permits;
mod prospect;
mod queue;
mod settlement;
mod subject;
mod unfound;
mod wait;

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

pub use self::builder::LimiterBuilder;
#[cfg(feature = "axum")]
pub(crate) use self::overrides::FoundPolicy;
use self::queue::Queue;
use self::settlement::BackgroundSettlements;
pub(crate) use self::settlement::Settling;
#[cfg(feature = "redis")]
use crate::BackendError;
use crate::backend::Gauges;
use crate::backend::store::Store;
use crate::decision::ChargeOrigin;
use crate::guard::{Circuit, Fallback};
#[cfg(feature = "axum")]
use crate::overrides::DerivedPolicies;
use crate::overrides::{OverrideTable, SubjectOverrides};
use crate::refused_by::ResponseOptions;
use crate::registry::{self, RegisteredPolicy};
#[cfg(feature = "axum")]
use crate::response::EffectiveHttpOptions;
use crate::subject_hash::SubjectHash;
use crate::telemetry::Telemetry;
use crate::{Backend, OnError, Policy, StartError, Unavailable};

/// Decides about requests. It checks them against policies, and counts them in its backend.
///
/// Cloning a limiter is cheap. The clones share all state.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use tollgate::{Limiter, MemoryBackend, Policy, Quota};
///
/// const EMAILS: Policy = Policy::new("emails", Quota::new(2, Duration::from_secs(60)));
///
/// let limiter = Limiter::new(MemoryBackend::new());
/// assert!(limiter.check(&EMAILS, "alice").await?.is_allowed());
/// assert!(limiter.check(&EMAILS, "alice").await?.is_allowed());
/// let refused = limiter.check(&EMAILS, "alice").await?;
/// assert!(refused.retry_after().is_some());
/// assert!(limiter.check(&EMAILS, "bob").await?.is_allowed());
/// # Ok::<_, tollgate::Unavailable>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Limiter {
    shared: Arc<Shared>,
}

struct Shared {
    /// The backend, wrapped in its guards.
    store: Box<dyn Store>,
    /// The origin of all decisions of this limiter.
    origin: ChargeOrigin,
    /// `true` if the backend may fail or has to be awaited. Such a backend has guards.
    can_fail: bool,
    circuit: Option<Arc<Circuit>>,
    /// The mode for policies that do not set a mode of their own.
    on_error: OnError,
    /// Makes the decisions of policies with [`OnError::Local`] while the backend fails. `None` if
    /// the number of instances is not set or the backend cannot fail.
    fallback: Option<Fallback>,
    /// `true` if the backend's last answer was a failure. With this, only changes are logged.
    failing: AtomicBool,
    /// `true` if the store has answered at start that it does not support bans.
    lacks_bans: AtomicBool,
    /// `true` once the log says that the backend does not permit an operation.
    forbidden_told: AtomicBool,
    /// The result of validating the program's annotations; empty before the first check.
    registry: OnceLock<Result<(), Arc<StartError>>>,
    queue: Queue,
    settlements: BackgroundSettlements,
    telemetry: Telemetry,
    backend_name: &'static str,
    /// Reads the backend's own statistics; `None` if it has none.
    gauges: Option<Arc<dyn Gauges>>,
    overrides: OverrideTable,
    /// The policies with quotas that functions of requests have returned.
    #[cfg(feature = "axum")]
    plans: DerivedPolicies,
    /// The policies that can be overridden, in addition to those of annotations.
    declared: Vec<Policy>,
    subjects: Option<SubjectOverrides>,
    hash: SubjectHash,
    #[cfg(feature = "axum")]
    http: Arc<EffectiveHttpOptions>,
    /// The options for HTTP, for decisions.
    responses: ResponseOptions,
}

impl Limiter {
    /// Creates a limiter that counts in `backend`, with default settings.
    #[must_use]
    pub fn new(backend: impl Backend) -> Self {
        Self::builder(backend).build()
    }

    /// Creates a limiter that counts in the Redis whose URL is in the environment variable
    /// `REDIS_URL` (see [`RedisBackend::from_url`](crate::RedisBackend::from_url)). If the variable
    /// is not set or is empty, creates a limiter that counts in this process's memory, and logs
    /// that.
    ///
    /// # Errors
    ///
    /// If the variable is not a valid URL of a Redis.
    #[cfg(feature = "redis")]
    pub fn from_env() -> Result<Self, BackendError> {
        match std::env::var("REDIS_URL") {
            Ok(url) if !url.is_empty() => {
                Ok(Self::new(crate::RedisBackend::builder(&url).build()?))
            }
            Ok(_) | Err(std::env::VarError::NotPresent) => {
                tracing::info!("REDIS_URL is not set: limits are counted in this process's memory");
                Ok(Self::new(crate::MemoryBackend::new()))
            }
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(BackendError::not_executed("REDIS_URL is not text"))
            }
        }
    }

    /// Creates a builder, on which settings can be changed.
    #[must_use]
    pub fn builder(backend: impl Backend) -> LimiterBuilder {
        LimiterBuilder::new(backend)
    }

    /// Returns the policies of all annotations in the program, in no particular order.
    pub fn policies() -> impl Iterator<Item = &'static RegisteredPolicy> {
        registry::policies()
    }

    /// Validates all annotations of the program and prepares the backend, so that errors are found
    /// at start and not by the first request.
    ///
    /// A backend that is away ([`StartError::is_away`]) is an outage like any other: if no limit is
    /// closed ([`OnError::Closed`]), that is logged as an error, and the limiter starts. A closed
    /// limit would refuse all requests, so then it is an error, by which a deployment with a wrong
    /// address ends before it replaces one that works. The limits are those of annotations and those
    /// that were [declared](LimiterBuilder::declare); if there are none, the limiter's own mode
    /// counts.
    ///
    /// Without this call, the first check validates the annotations. If they contradict each other,
    /// that check and all later ones fail.
    ///
    /// # Errors
    ///
    /// If annotations contradict each other, if the limiter cannot apply one of them, or if the
    /// backend cannot serve them. If the backend is away and a limit is closed.
    pub async fn initialize(&self) -> Result<(), StartError> {
        registry::validate(Self::policies(), |policy| self.unsupported(policy))?;
        self.check_declared()?;
        match self.shared.store.initialize().await.map_err(StartError::from) {
            Err(error) if error.is_away() && !self.has_closed_limit() => {
                tracing::error!(
                    %error,
                    "the rate limit's backend is away at start; each limit does what its `on_error` \
                     says until it answers"
                );
                Ok(())
            }
            initialized => {
                initialized?;
                self.check_capabilities().await
            }
        }
    }

    /// Closes the limiter. First the refunds that are under way or have not been sent are finished,
    /// and charges that were made in this process during an outage are reported to the backend, if
    /// it can be reached. Then the backend finishes the operations that are under way. The limiter
    /// and its clones must not be used afterwards.
    pub async fn close(&self) {
        self.finish_pending_settlements().await;
        self.report_fallback().await;
        self.shared.store.close().await;
    }

    /// Returns a number that only this limiter and its clones have while they exist.
    #[cfg(feature = "axum")]
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }

    /// Returns the options for HTTP.
    #[cfg(feature = "axum")]
    pub(crate) fn http(&self) -> &EffectiveHttpOptions {
        &self.shared.http
    }

    /// Validates the program's annotations at the first call. Later calls return the same result.
    #[inline]
    fn validated(&self) -> Result<(), Unavailable> {
        match self.shared.registry.get() {
            Some(Ok(())) => Ok(()),
            _ => self.validate(),
        }
    }

    #[cold]
    fn validate(&self) -> Result<(), Unavailable> {
        let unsupported = |policy: &Policy| self.unsupported(policy);
        let validate = || registry::validate(Self::policies(), unsupported).map_err(Arc::new);
        match self.shared.registry.get_or_init(validate) {
            Ok(()) => Ok(()),
            Err(error) => Err(Arc::clone(error).into()),
        }
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").finish_non_exhaustive()
    }
}
