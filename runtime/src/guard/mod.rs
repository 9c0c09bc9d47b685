//! The guards between the limiter and its store. Each guard answers in place of the store if it
//! can, and otherwise asks the store behind it.

mod bounded_map;
mod breaker;
mod deadline;
mod deny_cache;
mod fallback;
mod lease;
mod local_tier;
mod unreported;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::bounded_map::{BoundedMap, HashedKey};
use self::breaker::Breaker;
pub(crate) use self::breaker::Circuit;
pub use self::breaker::CircuitBreaker;
use self::deadline::Deadline;
use self::deny_cache::DenyCache;
pub(crate) use self::fallback::{Fallback, NO_INSTANCES};
use self::lease::Lease;
pub use self::local_tier::LocalTier;
use crate::Clock;
use crate::backend::store::Store;

/// The settings of all guards.
pub(crate) struct GuardOptions {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) breaker: Option<CircuitBreaker>,
    pub(crate) tier: LocalTier,
}

/// A store behind its guards, and the state of the circuit breaker; `None` if there is no breaker.
pub(crate) struct GuardedStore {
    pub(crate) store: Box<dyn Store>,
    pub(crate) circuit: Option<Arc<Circuit>>,
}

impl GuardOptions {
    /// Puts the guards in front of a store. A store that always answers without waiting and never
    /// fails needs none.
    pub(crate) fn guard(&self, mut store: Box<dyn Store>) -> GuardedStore {
        if store.is_immediate() {
            return GuardedStore { store, circuit: None };
        }
        let clock = || Arc::clone(&self.clock);
        if !store.has_deadline() {
            store = Box::new(Deadline::new(store, clock(), self.deadline));
        }
        let circuit = self.breaker.map(|settings| Arc::new(Circuit::new(settings, clock())));
        if let Some(circuit) = &circuit {
            store = Box::new(Breaker::new(store, Arc::clone(circuit)));
        }
        let LocalTier { max_age, max_keys, lease, hold } = self.tier;
        if let Some(max_age) = max_age {
            store = Box::new(DenyCache::new(store, clock(), max_keys, max_age));
        }
        if lease > 1 {
            store = Box::new(Lease::new(store, clock(), max_keys, lease, hold));
        }
        GuardedStore { store, circuit }
    }
}
