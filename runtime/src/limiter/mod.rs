//! The limiter: asks the backend and does what the policy says about the answer.

mod builder;
mod check;
mod observe;
mod outage;
mod overrides;
mod queue;

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

pub use self::builder::LimiterBuilder;
pub use self::observe::LimiterStats;
use self::queue::Queue;
#[cfg(feature = "redis")]
use crate::BackendError;
use crate::backend::Gauges;
use crate::backend::store::Store;
use crate::guard::{Circuit, Fallback};
use crate::overrides::{Subjects, Table};
use crate::registry::{self, RegisteredPolicy};
use crate::telemetry::Telemetry;
use crate::{Backend, OnError, Policy, StartError, Unavailable};

/// Decides who may go on. It joins policies with the backend that counts for them.
///
/// Cloning is cheap, and clones share everything.
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
    /// The backend behind its guards.
    store: Box<dyn Store>,
    /// Whether it may have to be waited for, and may fail. Then guards stand before it.
    can_fail: bool,
    circuit: Option<Arc<Circuit>>,
    /// What policies do that do not say.
    on_error: OnError,
    /// What decides for those that say [`OnError::Local`].
    fallback: Option<Fallback>,
    /// Whether the last answer was a failure, so that a change is logged once.
    failing: AtomicBool,
    /// What is wrong with the program's annotations, once that has been looked at.
    registry: OnceLock<Result<(), Arc<StartError>>>,
    queue: Queue,
    telemetry: Telemetry,
    /// The backend's own, before which no guard stands.
    backend_name: &'static str,
    gauges: Option<Arc<dyn Gauges>>,
    overrides: Table,
    /// Policies that can be overridden, beside those of annotations.
    declared: Vec<Policy>,
    subjects: Option<Subjects>,
    #[cfg(feature = "axum")]
    http: crate::HttpOptions,
}

impl Limiter {
    /// A limiter over `backend`.
    #[must_use]
    pub fn new(backend: impl Backend) -> Self {
        Self::builder(backend).build()
    }

    /// A limiter over the Redis that the environment variable `REDIS_URL` names, as
    /// [`RedisBackend::from_url`](crate::RedisBackend::from_url) reads it; in memory, with a
    /// word in the log, if it is not set.
    ///
    /// # Errors
    ///
    /// If what is set is no such URL.
    #[cfg(feature = "redis")]
    pub fn from_env() -> Result<Self, BackendError> {
        match std::env::var("REDIS_URL") {
            Ok(url) => Ok(Self::new(crate::RedisBackend::builder(&url).build()?)),
            Err(std::env::VarError::NotPresent) => {
                tracing::info!("REDIS_URL is not set: limits are counted in this process's memory");
                Ok(Self::new(crate::MemoryBackend::new()))
            }
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(BackendError::not_executed("REDIS_URL is not text"))
            }
        }
    }

    /// Sets what [`new`](Self::new) leaves at its default.
    #[must_use]
    pub fn builder(backend: impl Backend) -> LimiterBuilder {
        LimiterBuilder::new(backend)
    }

    /// Every policy that an annotation in the program declares, in no particular order.
    pub fn policies() -> impl Iterator<Item = &'static RegisteredPolicy> {
        registry::policies()
    }

    /// Checks all annotations of the program and makes the backend ready, so that what is
    /// wrong is found at start and not by the first request.
    ///
    /// Without this, the first check looks at the annotations; if they contradict each other,
    /// it fails and so does every later one.
    ///
    /// # Errors
    ///
    /// If annotations contradict each other or ask for what cannot be kept, and if the backend
    /// is not ready.
    pub async fn initialize(&self) -> Result<(), StartError> {
        registry::validate(Self::policies(), |policy| self.unsupported(policy))?;
        Ok(self.shared.store.initialize().await?)
    }

    /// Lets the backend finish what is under way, and first, if it can, learn what was charged in
    /// this process while it could not answer. The limiter and its clones are not to be used
    /// afterwards.
    pub async fn close(&self) {
        self.post_debts().await;
        self.shared.store.close().await;
    }

    /// What it does at the HTTP boundary.
    #[cfg(feature = "axum")]
    pub(crate) fn http(&self) -> &crate::HttpOptions {
        &self.shared.http
    }

    /// Looks at the program's annotations the first time.
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
