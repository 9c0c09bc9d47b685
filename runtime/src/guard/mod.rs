//! What stands between limiter and backend. Each guard is a backend over another one, and one
//! that can answer itself does.

mod deny_cache;
mod keyed;
mod lease;
mod local_tier;

use std::sync::Arc;
use std::time::Duration;

use self::deny_cache::DenyCache;
use self::lease::Lease;
pub use self::local_tier::LocalTier;

use crate::backend::Verdict;
use crate::backend::erased::ErasedBackend;
use crate::{Answer, Backend, BackendError, Clock, Operation, Policy};

/// Puts the guards before a backend. One that answers at once and never fails needs none.
pub(crate) fn stand_before(
    backend: Box<dyn ErasedBackend>,
    clock: &Arc<dyn Clock>,
    tier: &LocalTier,
) -> Box<dyn ErasedBackend> {
    if backend.answers_at_once() {
        return backend;
    }
    local_tier(Box::new(Inner(backend)), clock, tier)
}

fn local_tier(
    mut backend: Box<dyn ErasedBackend>,
    clock: &Arc<dyn Clock>,
    tier: &LocalTier,
) -> Box<dyn ErasedBackend> {
    if let Some(max_age) = tier.max_age {
        backend = Box::new(DenyCache::new(backend, Arc::clone(clock), tier.max_keys, max_age));
    }
    if tier.lease > 1 {
        let clock = Arc::clone(clock);
        backend = Box::new(Lease::new(backend, clock, tier.max_keys, tier.lease, tier.hold));
    }
    backend
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
