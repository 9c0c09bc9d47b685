//! The default backend: counters in the memory of this process.

mod overflow;
pub(crate) mod policies;
mod shard;
mod slot;
mod stats;
mod table;

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::quality::RandomState;
use spin::Yield;
use spin::mutex::{SpinMutex, SpinMutexGuard};

use self::overflow::Overflow;
use self::policies::SharedPolicies;
use self::shard::MemoryShard;
use self::slot::Slot;
use self::stats::MemoryCounts;
use super::store::{Answers, BoxFuture, Store, StoreHandle, StoreOptions};
use super::{Backend, Gauges};
use crate::algorithm::{Mode, Refund};
use crate::clock::Time;
use crate::micros::Timestamp;
use crate::operation::{Action, Answer, Operation};
use crate::stats::MemoryStats;
use crate::verdict::Verdict;
use crate::{BackendError, Check, Clock, Outcome};

const DEFAULT_MAX_KEYS: usize = 100_000;

/// The average number of keys in a shard when the backend is full: few, so that threads seldom meet
/// in one; but not so few that the shards themselves fill the cache.
const SHARD_KEYS: usize = 64;
/// The most shards, unless a shard would then hold more than [`MAX_SHARD_KEYS`].
const SHARDS: usize = 1024;
/// The most keys in a shard, on average: growing a shard's table is the most work that one check
/// does.
const MAX_SHARD_KEYS: usize = 512;

/// Counters in this process's memory: exact, and bounded.
///
/// It holds at most `max_keys` keys, one for each subject of each policy. Keys whose quotas are fully
/// replenished are removed a few at a time as others are charged. When a new subject finds no room, a
/// key of a bounded sample is evicted: a fully replenished one if there is one, else the least used
/// one, but never one that is being refused or would be. If none can be evicted, the new subject is
/// charged to one counter that all such subjects of its policy share: it may then be refused early,
/// also for the rest of that counter's period once there is room for it again, and no subject
/// is ever admitted beyond its limit. A charge to the shared counter cannot be refunded.
pub struct MemoryBackend {
    max_keys: usize,
    time: Time,
    hasher: RandomState,
    /// The number of shards is a power of two.
    shards: Box<[PaddedShard]>,
    policies: SharedPolicies,
    overflow: Overflow,
    counts: Arc<MemoryCounts>,
}

/// A shard on cache lines of its own, so that threads on different shards do not disturb each other.
#[repr(align(64))]
#[derive(Default)]
struct PaddedShard(Lock<MemoryShard>);

/// The shard to which a key belongs, locked, and the key's hash within it.
struct LockedShard<'a> {
    shard: SpinMutexGuard<'a, MemoryShard, Yield>,
    hash: u32,
}

impl LockedShard<'_> {
    #[inline]
    fn find(&mut self, check: &Check<'_>) -> Option<&mut Slot> {
        self.shard.find(check, self.hash)
    }
}

impl MemoryBackend {
    /// Creates a backend on the machine's clock with room for 100,000 keys.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder for the settings that [`new`](Self::new) leaves at their defaults.
    #[must_use]
    pub fn builder() -> MemoryBackendBuilder {
        MemoryBackendBuilder { max_keys: DEFAULT_MAX_KEYS, time: Time::system() }
    }

    /// Returns the number of keys and the counts of what has been done.
    #[must_use]
    pub fn stats(&self) -> MemoryStats {
        self.counts.read()
    }

    fn answer(&self, operation: &Operation<'_>) -> Result<Answer, BackendError> {
        let check = &operation.check;
        let mut verdict = Verdict::new(Outcome::Allowed, 0);
        Ok(match operation.action {
            Action::Charge => {
                self.charge(check, &mut verdict)?;
                Answer::Verdict(verdict)
            }
            Action::Peek => {
                self.peek(check, &mut verdict);
                Answer::Verdict(verdict)
            }
            Action::Reset => {
                let mut locked = self.lock_shard(check);
                let removed = locked.shard.remove(check, locked.hash);
                self.counts.released(removed.into());
                Answer::Reset
            }
            Action::Refund { stamp_micros, .. } => {
                let mut locked = self.lock_shard(check);
                let (now, charged_at) = (self.now(), Timestamp::from_micros(stamp_micros));
                let refund = Refund { now, charged_at, cost: check.cost };
                let slot = locked.find(check);
                Answer::Refunded(slot.is_some_and(|slot| slot.refund(check.policy, refund)))
            }
        })
    }

    fn peek(&self, check: &Check<'_>, verdict: &mut Verdict) {
        let mut locked = self.lock_shard(check);
        let now = self.now();
        match locked.find(check) {
            Some(slot) => slot.peek(check, now, verdict),
            None => {
                let mut counters = self.overflow.newcomer(check.policy, now);
                counters.decide(check, now, Mode::Peek, verdict);
            }
        }
    }

    #[inline]
    fn charge(&self, check: &Check<'_>, verdict: &mut Verdict) -> Result<(), BackendError> {
        let mut locked = self.lock_shard(check);
        let now = self.now();
        match locked.find(check) {
            Some(slot) => {
                slot.charge(check, now, verdict);
                self.collect_sometimes(&mut locked.shard, now);
                Ok(())
            }
            None => self.admit(&mut locked, check, now, verdict),
        }
    }

    /// Records a charge that was admitted elsewhere, as far as there is room for it. Returns the
    /// instant of the record, which names it for a refund.
    pub(crate) fn record(&self, check: &Check<'_>) -> Timestamp {
        let mut locked = self.lock_shard(check);
        let now = self.now();
        let mut rest = check.cost;
        if locked.find(check).is_none() {
            let capacities = check.policy.quotas().iter().map(|quota| quota.capacity());
            let fits = check.cost.min(capacities.min().unwrap_or(0));
            let mut verdict = Verdict::open();
            // A policy that this backend rejects admits nothing elsewhere either.
            let _ = self.admit(&mut locked, &check.with_cost(fits), now, &mut verdict);
            rest -= fits;
        }
        if let Some(slot) = locked.find(check) {
            slot.record(check.policy, now, rest);
        }
        self.collect_sometimes(&mut locked.shard, now);
        now
    }

    #[inline]
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.time.now_micros())
    }

    /// Removes unused keys once in several charges.
    #[inline]
    fn collect_sometimes(&self, shard: &mut MemoryShard, now: Timestamp) {
        if shard.charged() {
            self.collect(shard, now);
        }
    }

    /// Removes a few fully replenished keys, if there are some.
    #[cold]
    fn collect(&self, shard: &mut MemoryShard, now: Timestamp) {
        self.counts.released(shard.collect(now));
    }

    /// Locks the shard to which a key belongs. The time has to be read after that, while the lock is
    /// held, so that no key sees time go back.
    #[inline(always)]
    fn lock_shard(&self, check: &Check<'_>) -> LockedShard<'_> {
        let mut hasher = self.hasher.build_hasher();
        // The policy's part is the same for all subjects, so it is hashed once and for all.
        hasher.write(check.subject.as_bytes());
        let hash = hasher.finish() ^ check.policy.name_hash();
        // The upper half selects the shard, the lower half the place in it.
        let shard = (hash >> 32) as usize & (self.shards.len() - 1);
        LockedShard { shard: lock(&self.shards[shard].0), hash: hash as u32 }
    }

    /// Charges a subject that has no slot, and gives it one if the charge leaves a trace.
    #[cold]
    fn admit(
        &self,
        locked: &mut LockedShard<'_>,
        check: &Check<'_>,
        now: Timestamp,
        verdict: &mut Verdict,
    ) -> Result<(), BackendError> {
        let Check { policy, subject, cost, .. } = *check;
        if let Some(reason) = policy.unsupported() {
            return Err(BackendError::rejected(reason));
        }
        self.collect(&mut locked.shard, now);
        let mut counters = self.overflow.newcomer(policy, now);
        let leaves_trace = cost > 0 && !check.can_never_pass();
        if !leaves_trace {
            counters.decide(check, now, Mode::Peek, verdict);
        } else if self.counts.reserve(self.max_keys) || self.make_room(&mut locked.shard, now) {
            counters.decide(check, now, Mode::Charge, verdict);
            let policy = self.policies.share(policy);
            let slot = Slot::new(locked.hash, policy, subject, counters);
            locked.shard.insert(slot, &self.counts);
        } else {
            self.overflow(check, now, verdict);
        }
        Ok(())
    }

    fn make_room(&self, shard: &mut MemoryShard, now: Timestamp) -> bool {
        let made = shard.evict(now, &self.counts);
        if made {
            self.counts.evicted();
        }
        made
    }

    fn overflow(&self, check: &Check<'_>, now: Timestamp, verdict: &mut Verdict) {
        if self.counts.overflowed() {
            tracing::warn!(
                policy = check.policy.name(),
                "the memory backend is full of subjects that are being refused; new subjects \
                 now share one counter per policy and may be refused early. Raise \
                 `max_keys`, or find out who sends so many distinct keys"
            );
        }
        self.overflow.charge(check, now, verdict);
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

    fn name(&self) -> &'static str {
        "memory"
    }

    fn into_store(self: Arc<Self>, _: StoreOptions) -> StoreHandle {
        StoreHandle(Box::new(self))
    }
}

impl Store for Arc<MemoryBackend> {
    #[inline]
    fn charge_now(
        &self,
        check: &Check<'_>,
        verdict: &mut Verdict,
    ) -> Option<Result<(), BackendError>> {
        Some(self.charge(check, verdict))
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        Some(self.answer(operation))
    }

    fn apply<'a>(&'a self, batch: &'a [Operation<'a>]) -> BoxFuture<'a, Answers> {
        Box::pin(Backend::apply(&**self, batch))
    }

    fn is_immediate(&self) -> bool {
        true
    }

    fn name(&self) -> &'static str {
        Backend::name(&**self)
    }

    fn gauges(&self) -> Option<Arc<dyn Gauges>> {
        Some(Arc::clone(&self.counts) as _)
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
    /// Sets the most keys to hold, at least 1. A key takes 95 to 150 bytes, and in addition a subject
    /// of more than 22 bytes. The sliding window adds, from the second admission in a period, 4 bytes
    /// for each admission of cost 1 (8 where costs vary or the period is longer than an hour, up to
    /// 16 with a limit above 1,024), with room for as many again.
    #[must_use]
    pub fn max_keys(mut self, max_keys: usize) -> Self {
        self.max_keys = max_keys.max(1);
        self
    }

    /// Reads the time from `clock` instead of the machine.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.time = Time::of(clock);
        self
    }

    /// Builds the backend.
    #[must_use]
    pub fn build(self) -> MemoryBackend {
        // A power of two, so that a mask picks the shard.
        let shards = self.max_keys.div_ceil(SHARD_KEYS).min(SHARDS);
        let shards = shards.max(self.max_keys.div_ceil(MAX_SHARD_KEYS)).next_power_of_two();
        MemoryBackend {
            max_keys: self.max_keys,
            time: self.time,
            hasher: RandomState::default(),
            shards: (0..shards).map(|_| PaddedShard::default()).collect(),
            policies: SharedPolicies::default(),
            overflow: Overflow::default(),
            counts: Arc::default(),
        }
    }
}

impl fmt::Debug for MemoryBackendBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { max_keys, time: _ } = self;
        f.debug_struct("MemoryBackendBuilder").field("max_keys", max_keys).finish_non_exhaustive()
    }
}

/// A spin lock: it is held for less time than it takes to put a thread to sleep, and releasing it is
/// a plain store. A thread that finds it taken yields to others, so that an interrupted holder can
/// go on.
type Lock<T> = SpinMutex<T, Yield>;

#[inline]
fn lock<T>(mutex: &Lock<T>) -> SpinMutexGuard<'_, T, Yield> {
    mutex.lock()
}
