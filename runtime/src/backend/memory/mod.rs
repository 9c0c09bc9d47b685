//! The default backend: counters in this process.

mod overflow;
mod policies;
mod shard;
mod stats;

use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;

use self::overflow::Overflow;
use self::policies::Policies;
use self::shard::{Shard, Slot};
use self::stats::Counts;
pub use self::stats::MemoryStats;
use super::{Action, Answer, Backend, Operation, Verdict};
use crate::algorithm::{Micros, Mode};
use crate::clock::Time;
use crate::{BackendError, Clock, Policy};

const DEFAULT_MAX_KEYS: usize = 100_000;

/// How many keys a shard holds when the backend is full, on average.
const SHARD_KEYS: usize = 256;
const MAX_SHARDS: usize = 1 << 16;

/// Counters in this process's memory: exact, and bounded.
///
/// It holds at most `max_keys` keys, one for each subject of each policy. Keys whose quotas
/// are whole again are collected a few at a time as others are charged. When a new subject
/// finds no room, of a bounded sample one goes that is whole again, else the least used one,
/// but never one that is being refused or would be. If none can go, the new subject is charged
/// to one counter that all such subjects of its policy share: it may then be refused early,
/// also for what is left of that counter's period once there is room for it again, and nobody
/// is ever admitted beyond their limit. What such a subject takes cannot be refunded.
pub struct MemoryBackend {
    max_keys: usize,
    time: Time,
    hasher: RandomState,
    /// As many as a power of two.
    shards: Box<[Padded]>,
    policies: Policies,
    overflow: Overflow,
    counts: Counts,
}

/// On cache lines of its own, so that threads on different shards do not disturb each other.
#[repr(align(64))]
#[derive(Default)]
struct Padded(Lock<Shard>);

impl MemoryBackend {
    /// A backend on the machine's clock with room for 100,000 keys.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Sets what [`new`](Self::new) leaves at its default.
    #[must_use]
    pub fn builder() -> MemoryBackendBuilder {
        MemoryBackendBuilder { max_keys: DEFAULT_MAX_KEYS, time: Time::system() }
    }

    /// What it holds and has been doing.
    #[must_use]
    pub fn stats(&self) -> MemoryStats {
        self.counts.read()
    }

    #[inline]
    fn answer(&self, operation: &Operation<'_>) -> Result<Answer, BackendError> {
        let Operation { policy, subject, action } = *operation;
        let hash = self.hasher.hash_one((policy.name_hash(), subject));
        // The table within the shard uses the lowest and the highest bits.
        let index = (hash >> 32) as usize & (self.shards.len() - 1);
        let mut shard = lock(&self.shards[index].0);
        // Read under the lock, so that a key's time does not go back.
        let now = self.time.now_micros();
        Ok(match action {
            Action::Charge { cost } => {
                if shard.collect_sometimes(now) {
                    self.counts.released(1);
                }
                match shard.find(policy, subject, hash) {
                    Some(slot) => Answer::Verdict(slot.decide(policy, now, cost, Mode::Charge)),
                    None => Answer::Verdict(self.admit(&mut shard, operation, hash, now, cost)?),
                }
            }
            Action::Peek { cost } => Answer::Verdict(match shard.find(policy, subject, hash) {
                Some(slot) => slot.decide(policy, now, cost, Mode::Peek),
                None => self.overflow.newcomer(policy, now).decide(policy, now, cost, Mode::Peek),
            }),
            Action::Reset => {
                self.counts.released(shard.remove(policy, subject, hash).into());
                Answer::Reset
            }
            Action::Refund { stamp_micros, cost } => {
                let slot = shard.find(policy, subject, hash);
                let refund = |slot: &mut Slot| slot.refund(policy, now, stamp_micros, cost);
                Answer::Refunded(slot.is_some_and(refund))
            }
        })
    }

    /// Charges a subject that is not held, and holds it if that leaves a trace.
    #[cold]
    fn admit(
        &self,
        shard: &mut Shard,
        operation: &Operation<'_>,
        hash: u64,
        now: Micros,
        cost: u32,
    ) -> Result<Verdict, BackendError> {
        let Operation { policy, subject, .. } = *operation;
        if let Some(reason) = policy.unsupported() {
            return Err(BackendError::not_executed(reason));
        }
        self.counts.released(shard.collect(now));
        let mut counters = self.overflow.newcomer(policy, now);
        let leaves_trace = cost > 0 && policy.quotas().iter().all(|quota| cost <= quota.capacity());
        if !leaves_trace {
            return Ok(counters.decide(policy, now, cost, Mode::Peek));
        }
        if !self.counts.reserve(self.max_keys) && !self.make_room(shard, now) {
            return Ok(self.overflow(policy, now, cost));
        }
        let policy_handle = self.policies.share(policy);
        let verdict = counters.decide(policy, now, cost, Mode::Charge);
        shard.insert(Slot::new(policy_handle, subject, hash, counters), &self.counts);
        Ok(verdict)
    }

    fn make_room(&self, shard: &mut Shard, now: Micros) -> bool {
        let made = shard.evict(now, &self.counts);
        if made {
            self.counts.evicted();
        }
        made
    }

    fn overflow(&self, policy: &Policy, now: Micros, cost: u32) -> Verdict {
        if self.counts.overflowed() {
            tracing::warn!(
                policy = policy.name(),
                "the memory backend is full of subjects that are being refused; new subjects \
                 now share one counter per policy and may be refused early. Raise \
                 `max_keys`, or find out who sends so many distinct keys"
            );
        }
        self.overflow.decide(policy, now, cost, Mode::Charge)
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
        f.debug_struct("MemoryBackend").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Builds a [`MemoryBackend`].
pub struct MemoryBackendBuilder {
    max_keys: usize,
    time: Time,
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
        self.time = Time::of(clock);
        self
    }

    /// The backend.
    #[must_use]
    pub fn build(self) -> MemoryBackend {
        // A power of two, so that a mask picks the shard.
        let shards = self.max_keys.div_ceil(SHARD_KEYS).next_power_of_two().min(MAX_SHARDS);
        MemoryBackend {
            max_keys: self.max_keys,
            time: self.time,
            hasher: RandomState::default(),
            shards: (0..shards).map(|_| Padded::default()).collect(),
            policies: Policies::default(),
            overflow: Overflow::default(),
            counts: Counts::default(),
        }
    }
}

impl fmt::Debug for MemoryBackendBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { max_keys, time: _ } = self;
        f.debug_struct("MemoryBackendBuilder").field("max_keys", max_keys).finish_non_exhaustive()
    }
}

type Lock<T> = Mutex<T>;

/// Nothing panics while it holds one of these locks; if something ever does, the counters are
/// still whole numbers, and going on beats failing every later request.
#[inline]
fn lock<T>(mutex: &Lock<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
