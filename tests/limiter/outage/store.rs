//! A store that fails as it is told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tollgate::backend::{Answer, Operation};
use tollgate::testing::ManualClock;
use tollgate::{Backend, BackendError, MemoryBackend};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Well,
    /// It says at once that it did nothing.
    Down,
    /// It does what it is asked, and then nobody knows.
    Mute,
    /// It does nothing, and then nobody knows.
    Lost,
    /// It does nothing, and says nothing until it is well.
    Hangs,
    /// It does not like what it is asked.
    Picky,
}

/// Shared by all that clone it.
#[derive(Clone)]
pub(crate) struct Store(Arc<Inner>);

struct Inner {
    memory: MemoryBackend,
    health: Mutex<Health>,
    changed: Notify,
    calls: AtomicU64,
}

impl Store {
    pub(crate) fn new(clock: &ManualClock) -> Self {
        Self(Arc::new(Inner {
            memory: MemoryBackend::builder().clock(clock.clone()).build(),
            health: Mutex::new(Health::Well),
            changed: Notify::new(),
            calls: AtomicU64::new(0),
        }))
    }

    pub(crate) fn is(&self, health: Health) {
        *self.0.health.lock().unwrap() = health;
        self.0.changed.notify_waiters();
    }

    fn health(&self) -> Health {
        *self.0.health.lock().unwrap()
    }

    /// How often it was asked.
    pub(crate) fn calls(&self) -> u64 {
        self.0.calls.load(Ordering::SeqCst)
    }
}

impl Backend for Store {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        loop {
            let changed = self.0.changed.notified();
            let failed = match self.health() {
                Health::Well => return self.0.memory.apply(batch).await,
                Health::Hangs => {
                    changed.await;
                    continue;
                }
                Health::Down => || BackendError::not_executed("connection refused"),
                Health::Picky => || BackendError::rejected("it is not to its liking"),
                Health::Lost => || BackendError::unknown("connection reset"),
                Health::Mute => {
                    self.0.memory.apply(batch).await;
                    || BackendError::unknown("connection reset")
                }
            };
            return batch.iter().map(|_| Err(failed())).collect();
        }
    }
}
