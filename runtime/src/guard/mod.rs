//! What stands between limiter and backend. Each guard is a backend over another one, and one
//! that can answer itself does.

mod breaker;
mod circuit;
mod deadline;
mod deny_cache;
mod fallback;
mod keyed;
mod lease;
mod local_tier;
mod owed;

use std::sync::Arc;
use std::time::Duration;

use self::breaker::Breaker;
pub(crate) use self::circuit::Circuit;
pub use self::circuit::CircuitBreaker;
use self::deadline::Deadline;
use self::deny_cache::DenyCache;
pub(crate) use self::fallback::{Fallback, NO_INSTANCES};
pub(crate) use self::keyed::Keyed;
use self::lease::Lease;
pub use self::local_tier::LocalTier;

use crate::backend::Verdict;
use crate::backend::erased::ErasedBackend;
use crate::{Answer, Backend, BackendError, Clock, Operation, Policy};

/// What stands before a backend.
pub(crate) struct Guards {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) breaker: Option<CircuitBreaker>,
    pub(crate) tier: LocalTier,
}

/// A backend with its guards, and what is to be known of those.
pub(crate) struct Guarded {
    pub(crate) backend: Box<dyn ErasedBackend>,
    pub(crate) circuit: Option<Arc<Circuit>>,
}

impl Guards {
    /// Puts them before a backend. One that answers at once and never fails needs none.
    pub(crate) fn before(&self, backend: Box<dyn ErasedBackend>) -> Guarded {
        if backend.answers_at_once() {
            return Guarded { backend, circuit: None };
        }
        let circuit = self.breaker.map(|settings| Circuit::new(settings, Arc::clone(&self.clock)));
        let circuit = circuit.map(Arc::new);
        let timely = Deadline::new(Inner(backend), Arc::clone(&self.clock), self.deadline);
        let unbroken = Breaker::new(timely, circuit.clone());
        Guarded { backend: self.before_store(Box::new(unbroken)), circuit }
    }

    /// Puts the local tier before a store.
    fn before_store(&self, mut backend: Box<dyn ErasedBackend>) -> Box<dyn ErasedBackend> {
        let LocalTier { max_age, max_keys, lease, hold } = self.tier;
        if let Some(max_age) = max_age {
            let clock = Arc::clone(&self.clock);
            backend = Box::new(DenyCache::new(backend, clock, max_keys, max_age));
        }
        if lease > 1 {
            let clock = Arc::clone(&self.clock);
            backend = Box::new(Lease::new(backend, clock, max_keys, lease, hold));
        }
        backend
    }
}

/// The backend that the innermost guard stands before.
pub(crate) struct Inner(Box<dyn ErasedBackend>);

impl Backend for Inner {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        self.0.apply(batch).await
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        self.0.apply_now(operation)
    }

    fn charge_now(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
        verdict: &mut Verdict,
    ) -> Option<Result<(), BackendError>> {
        self.0.charge_now(policy, subject, cost, verdict)
    }

    fn answers_at_once(&self) -> bool {
        self.0.answers_at_once()
    }

    fn keeps_deadline(&mut self, deadline: Option<Duration>) -> bool {
        self.0.keeps_deadline(deadline)
    }

    fn initialize(&self) -> impl Future<Output = Result<(), BackendError>> + Send {
        self.0.initialize()
    }

    fn close(&self) -> impl Future<Output = ()> + Send {
        self.0.close()
    }
}
