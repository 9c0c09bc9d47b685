//! The limiter: asks the backend and does what the policy says about the answer.

mod builder;
mod outage;
mod overrides;
mod sight;

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing::Instrument as _;

pub use self::builder::LimiterBuilder;
use crate::backend::erased::ErasedBackend;
use crate::backend::{Action, Answer, Gauges, Operation, mismatched};
use crate::check::Check;
use crate::decision::Ruling;
use crate::guard::{Circuit, Fallback};
use crate::overrides::{EffectivePolicy, OverrideTable, SubjectOverrides};
use crate::queue::Queue;
use crate::registry::{self, RegisteredPolicy};
use crate::telemetry::Telemetry;
use crate::{Backend, BackendError, Decision, OnError, Policy, StartError, Unavailable};

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
    backend: Box<dyn ErasedBackend>,
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
    overrides: OverrideTable,
    /// Policies that can be overridden, beside those of annotations.
    declared: Vec<Policy>,
    subjects: Option<SubjectOverrides>,
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
        LimiterBuilder::new(Box::new(backend))
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
        Ok(self.shared.backend.initialize().await?)
    }

    /// Lets the backend finish what is under way, and first, if it can, learn what was charged in
    /// this process while it could not answer. The limiter and its clones are not to be used
    /// afterwards.
    pub async fn close(&self) {
        self.post_debts().await;
        self.shared.backend.close().await;
    }

    /// Charges one request of `subject` to `policy`, if every quota admits it.
    ///
    /// # Errors
    ///
    /// If the backend cannot answer and the policy is closed.
    pub async fn check(&self, policy: &Policy, subject: &str) -> Result<Decision, Unavailable> {
        self.check_cost(policy, subject, 1).await
    }

    /// Charges `cost` instead of 1. A cost of 0 takes nothing.
    ///
    /// # Errors
    ///
    /// If the backend cannot answer and the policy is closed.
    pub async fn check_cost(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
    ) -> Result<Decision, Unavailable> {
        let policy = &self.current_for(policy, subject);
        let decision = self.charge(policy, subject, cost).await?;
        self.tell_of_refusal(policy, subject, &decision);
        Ok(decision)
    }

    /// As [`check_cost`](Self::check_cost), if the backend can answer without waiting.
    /// `None`: it would have to wait, and nothing was charged.
    ///
    /// # Errors
    ///
    /// If the backend fails and the policy is closed.
    #[must_use = "a refused request must not go on"]
    pub fn check_now(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
    ) -> Option<Result<Decision, Unavailable>> {
        let policy = &self.current_for(policy, subject);
        let charged = self.charge_now(policy, subject, cost)?;
        Some(charged.inspect(|decision| self.tell_of_refusal(policy, subject, decision)))
    }

    /// As [`check_cost`](Self::check_cost), of a policy that has been looked up, for those who
    /// tell of refusals themselves.
    #[inline]
    pub(crate) async fn charge(
        &self,
        policy: &EffectivePolicy<'_>,
        subject: &str,
        cost: u32,
    ) -> Result<Decision, Unavailable> {
        if !policy.is_enabled() {
            return Ok(Decision::disabled());
        }
        let mut ruling = Ruling::open();
        self.rule(policy, subject, cost, &mut ruling).await?;
        Ok(Decision::charged(ruling, policy, subject, cost))
    }

    /// As [`check_now`](Self::check_now), likewise.
    #[inline]
    pub(crate) fn charge_now(
        &self,
        policy: &EffectivePolicy<'_>,
        subject: &str,
        cost: u32,
    ) -> Option<Result<Decision, Unavailable>> {
        if !policy.is_enabled() {
            return Some(Ok(Decision::disabled()));
        }
        let mut ruling = Ruling::open();
        let charged = self.rule_now(policy, subject, cost, &mut ruling)?;
        Some(charged.map(|()| Decision::charged(ruling, policy, subject, cost)))
    }

    /// As [`check_cost`](Self::check_cost), whatever overrides there are, and in place, for those
    /// who do not ask for a refund with nothing but the decision in hand.
    #[inline]
    pub(crate) async fn rule(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
        ruling: &mut Ruling,
    ) -> Result<(), Unavailable> {
        // Without a future of its own, which would be made and thrown away.
        match self.rule_now(policy, subject, cost, ruling) {
            Some(ruled) => ruled,
            None => self.rule_later(policy, subject, cost, ruling).await,
        }
    }

    async fn rule_later(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
        ruling: &mut Ruling,
    ) -> Result<(), Unavailable> {
        let timer = self.shared.telemetry.start_timer();
        let ruled = self.attempt_later(policy, subject, cost, ruling).await;
        self.record(timer, Check { policy, subject, cost }, ruled.as_ref().err(), ruling);
        ruled
    }

    /// As [`check_now`](Self::check_now), likewise.
    #[inline]
    pub(crate) fn rule_now(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
        ruling: &mut Ruling,
    ) -> Option<Result<(), Unavailable>> {
        let timer = self.shared.telemetry.start_timer();
        let ruled = self.attempt_now(policy, subject, cost, ruling)?;
        self.record(timer, Check { policy, subject, cost }, ruled.as_ref().err(), ruling);
        Some(ruled)
    }

    /// Asks; nobody is told.
    #[inline]
    pub(crate) async fn attempt(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
        ruling: &mut Ruling,
    ) -> Result<(), Unavailable> {
        match self.attempt_now(policy, subject, cost, ruling) {
            Some(charged) => charged,
            None => self.attempt_later(policy, subject, cost, ruling).await,
        }
    }

    async fn attempt_later(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
        ruling: &mut Ruling,
    ) -> Result<(), Unavailable> {
        if let Some(reason) = self.unsupported(policy) {
            let name = policy.name().to_owned();
            return Err(Arc::new(StartError::Unsupported { name, reason }).into());
        }
        let operation = Operation { policy, subject, action: Action::Charge { cost } };
        let answer = self.ask_and_wait(operation).await;
        let charged = answer.and_then(|answer| answer.into_verdict(ruling.by_store()));
        self.ruled(&operation, charged, ruling)
    }

    #[inline]
    fn attempt_now(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
        ruling: &mut Ruling,
    ) -> Option<Result<(), Unavailable>> {
        if let Err(error) = self.validated() {
            return Some(Err(error));
        }
        let backend = &self.shared.backend;
        let charged = backend.charge_now(policy, subject, cost, ruling.by_store())?;
        let operation = Operation { policy, subject, action: Action::Charge { cost } };
        Some(self.ruled(&operation, charged, ruling))
    }

    /// As [`check_cost`](Self::check_cost), but waits for a turn, up to `patience`.
    ///
    /// In this process and for each subject of a policy, whoever came first goes first. Only
    /// the first in line asks the backend, when its turn may have come; nothing is booked, so
    /// a wait that is given up (by dropping the future) costs nothing. Who cannot get a turn
    /// in time is refused, and as soon as that is certain.
    ///
    /// # Errors
    ///
    /// If the backend cannot answer and the policy is closed.
    pub async fn wait(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
        patience: Duration,
    ) -> Result<Decision, Unavailable> {
        let (policy, waited) = self.charge_in_turn(policy, subject, cost, patience).await;
        waited.inspect(|decision| self.tell_of_refusal(&policy, subject, decision))
    }

    /// As [`wait`](Self::wait), for those who tell of refusals themselves; with the policy as it is
    /// kept at the end of it.
    pub(crate) async fn charge_in_turn<'a>(
        &self,
        policy: &'a Policy,
        subject: &str,
        cost: u32,
        patience: Duration,
    ) -> (EffectivePolicy<'a>, Result<Decision, Unavailable>) {
        let timer = self.shared.telemetry.start_timer();
        let waited = self.shared.queue.wait(self, policy, subject, cost, patience).await;
        let current = self.current_for(policy, subject);
        self.record_wait(timer, Check { policy: &current, subject, cost }, &waited);
        (current, waited)
    }

    /// What [`check_cost`](Self::check_cost) would answer now, charging nothing.
    ///
    /// # Errors
    ///
    /// If the backend cannot answer and the policy is closed.
    pub async fn peek(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
    ) -> Result<Decision, Unavailable> {
        let policy = &self.current_for(policy, subject);
        if !policy.is_enabled() {
            return Ok(Decision::disabled());
        }
        self.validated()?;
        let mut ruling = Ruling::open();
        let operation = Operation { policy, subject, action: Action::Peek { cost } };
        let answer = self.ask(operation).await;
        let peeked = answer.and_then(|answer| answer.into_verdict(ruling.by_store()));
        self.ruled(&operation, peeked, &mut ruling)?;
        Ok(Decision::final_one(ruling))
    }

    /// Forgets what `subject` has used of `policy`.
    ///
    /// # Errors
    ///
    /// If the backend cannot answer, whatever the policy says of that.
    pub async fn reset(&self, policy: &Policy, subject: &str) -> Result<(), Unavailable> {
        let policy = &*self.current_for(policy, subject);
        if let Some(fallback) = &self.shared.fallback {
            fallback.reset(policy, subject);
        }
        match self.ask(Operation { policy, subject, action: Action::Reset }).await? {
            Answer::Reset => Ok(()),
            other => Err(mismatched("a reset", &other).into()),
        }
    }

    /// Gives back what `decision` took. It says whether there was something to give back:
    /// not if it took nothing, and not if that has left the window meanwhile.
    ///
    /// # Errors
    ///
    /// If the backend cannot answer, whatever the policy says of that.
    pub async fn refund(&self, decision: Decision) -> Result<bool, Unavailable> {
        let Some(receipt) = decision.into_receipt() else { return Ok(false) };
        match self.refund_here(&receipt) {
            Some(refunded) => Ok(refunded),
            None => refunded(self.ask(receipt.operation()).await),
        }
    }

    /// As [`refund`](Self::refund), if the backend can answer without waiting; otherwise it is
    /// not attempted.
    pub(crate) fn refund_now(&self, decision: Decision) -> Option<Result<bool, Unavailable>> {
        let Some(receipt) = decision.into_receipt() else { return Some(Ok(false)) };
        match self.refund_here(&receipt) {
            Some(refunded) => Some(Ok(refunded)),
            None => Some(refunded(self.shared.backend.apply_now(&receipt.operation())?)),
        }
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

    async fn ask(&self, operation: Operation<'_>) -> Result<Answer, BackendError> {
        match self.shared.backend.apply_now(&operation) {
            Some(answer) => answer,
            None => self.ask_and_wait(operation).await,
        }
    }

    async fn ask_and_wait(&self, operation: Operation<'_>) -> Result<Answer, BackendError> {
        // So that a trace shows how long a request stood before its limit.
        let span = tracing::debug_span!("rate_limit", policy = operation.policy.name());
        let answers = self.shared.backend.apply(&[operation]).instrument(span).await;
        answers.into_iter().next().unwrap_or_else(|| {
            Err(BackendError::unknown("it gave fewer answers than it was asked for"))
        })
    }
}

fn refunded(answer: Result<Answer, BackendError>) -> Result<bool, Unavailable> {
    match answer? {
        Answer::Refunded(refunded) => Ok(refunded),
        other => Err(mismatched("a refund", &other).into()),
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").finish_non_exhaustive()
    }
}
