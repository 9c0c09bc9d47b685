//! The default backend: counters in this process.

mod overflow;
mod shard;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::overflow::Overflow;
use self::shard::{Place, Shard};
use super::{Action, Answer, Backend, Operation, Verdict};
use crate::algorithm::{Counters, Mode};
use crate::{BackendError, Clock, SystemClock};

const DEFAULT_MAX_KEYS: usize = 100_000;

/// A shard holds at least this many keys, so that sampling it says something.
const MIN_SHARD_KEYS: usize = 256;
const MAX_SHARDS: usize = 64;

/// Counters in this process's memory: exact, and bounded.
///
/// It holds at most `max_keys` keys, one for each subject of each policy. Keys whose quotas
/// are whole again are collected a few at a time as others are charged. When a new subject
/// finds no room, of a bounded sample one goes that is whole again, else the least used one,
/// but never one that is being refused. If none can go, the new subject is charged to one
/// counter that all such subjects of its policy share: it may then be refused early, and
/// nobody is ever admitted beyond their limit. What such a subject takes cannot be refunded.
pub struct MemoryBackend {
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    /// As many as a power of two.
    shards: Box<[Mutex<Shard>]>,
    overflow: Overflow,
}

impl MemoryBackend {
    /// A backend on the machine's clock with room for 100,000 keys.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Sets what [`new`](Self::new) leaves at its default.
    #[must_use]
    pub fn builder() -> MemoryBackendBuilder {
        MemoryBackendBuilder { max_keys: DEFAULT_MAX_KEYS, clock: Arc::new(SystemClock::new()) }
    }

    /// How many keys it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Whether it holds no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many checks so far found no room for their subject and were answered from their
    /// policy's shared counter.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.overflow.count()
    }

    fn answer(&self, operation: &Operation<'_>) -> Result<Answer, BackendError> {
        let Operation { policy, subject, action } = *operation;
        if let Some(reason) = policy.unsupported() {
            return Err(BackendError::not_executed(reason));
        }
        let hash = self.hasher.hash_one((policy.name(), subject));
        // Bits from the middle choose the shard; within it the table uses the lowest and highest.
        let index = (hash >> 32) as usize & (self.shards.len() - 1);
        let mut shard = lock(&self.shards[index]);
        let now = self.clock.now_micros();
        Ok(match action {
            Action::Charge { cost } => {
                shard.collect(now);
                Answer::Verdict(self.decide(&mut shard, operation, hash, now, cost, Mode::Charge))
            }
            Action::Peek { cost } => {
                Answer::Verdict(self.decide(&mut shard, operation, hash, now, cost, Mode::Peek))
            }
            Action::Reset => {
                shard.remove(policy, subject, hash);
                Answer::Reset
            }
            Action::Refund { stamp_micros, cost } => {
                Answer::Refunded(shard.refund(operation, hash, now, stamp_micros, cost))
            }
        })
    }

    fn decide(
        &self,
        shard: &mut Shard,
        operation: &Operation<'_>,
        hash: u64,
        now: u64,
        cost: u32,
        mode: Mode,
    ) -> Verdict {
        let policy = operation.policy;
        match shard.place(policy, operation.subject, hash, now) {
            Place::Held(slot) => shard.decide(slot, policy, now, cost, mode),
            Place::Room { victim } => {
                let mut counters = Counters::new(policy);
                let verdict = counters.decide(policy, now, cost, mode);
                if counters.empty_at(policy) > now {
                    shard.insert(victim, operation, hash, counters, &verdict);
                }
                verdict
            }
            Place::Full => self.overflow.decide(policy, now, cost, mode),
        }
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl Backend for MemoryBackend {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        batch.iter().map(|operation| self.answer(operation)).collect()
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        Some(self.answer(operation))
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Builds a [`MemoryBackend`].
pub struct MemoryBackendBuilder {
    max_keys: usize,
    clock: Arc<dyn Clock>,
}

impl MemoryBackendBuilder {
    /// The most keys to hold, at least 1. A key takes about 150 bytes, its subject, and 16
    /// bytes for each admission that is still in its window.
    #[must_use]
    pub fn max_keys(mut self, max_keys: usize) -> Self {
        self.max_keys = max_keys.max(1);
        self
    }

    /// Reads time from `clock` instead of the machine.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The backend.
    #[must_use]
    pub fn build(self) -> MemoryBackend {
        let wanted = (self.max_keys / MIN_SHARD_KEYS).clamp(1, MAX_SHARDS);
        // The power of two at or below, so that a mask picks the shard.
        let shard_count = 1 << wanted.ilog2();
        let shard_keys = self.max_keys / shard_count;
        MemoryBackend {
            clock: self.clock,
            hasher: RandomState::new(),
            shards: (0..shard_count).map(|_| Mutex::new(Shard::new(shard_keys))).collect(),
            overflow: Overflow::default(),
        }
    }
}

impl fmt::Debug for MemoryBackendBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { max_keys, clock: _ } = self;
        f.debug_struct("MemoryBackendBuilder").field("max_keys", max_keys).finish_non_exhaustive()
    }
}

/// Nothing panics while it holds one of these locks; if something ever does, the counters are
/// still whole numbers, and going on beats failing every later request.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
