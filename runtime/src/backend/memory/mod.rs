//! The default backend: counters in this process.

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
use self::policies::Policies;
use self::shard::Shard;
use self::slot::Slot;
use self::stats::Counts;
use super::{Action, Answer, Backend, Gauges, Operation, Verdict};
use crate::algorithm::{Micros, Mode};
use crate::clock::Time;
use crate::stats::MemoryStats;
use crate::{BackendError, Clock, Outcome, Policy};

const DEFAULT_MAX_KEYS: usize = 100_000;

/// How many keys a shard holds, on average, when the backend is full: not many, so that threads
/// seldom meet; but not so few that the shards themselves fill the cache, as long as ..
const SHARD_KEYS: usize = 64;
const SHARDS: usize = 1024;
/// .. none holds more than this: the growth of its table is the most work that one check does.
const MAX_SHARD_KEYS: usize = 512;

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
    counts: Arc<Counts>,
}

/// On cache lines of its own, so that threads on different shards do not disturb each other.
#[repr(align(64))]
#[derive(Default)]
struct Padded(Lock<Shard>);

/// Where a key is or would be: its shard, locked, and its hash in that.
struct Place<'a> {
    shard: SpinMutexGuard<'a, Shard, Yield>,
    hash: u32,
}

impl Place<'_> {
    #[inline]
    fn find(&mut self, policy: &Policy, subject: &str) -> Option<&mut Slot> {
        self.shard.find(policy, subject, self.hash)
    }
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
        MemoryBackendBuilder { max_keys: DEFAULT_MAX_KEYS, time: Time::system() }
    }

    /// What it holds and has been doing.
    #[must_use]
    pub fn stats(&self) -> MemoryStats {
        self.counts.read()
    }

    fn answer(&self, operation: &Operation<'_>) -> Result<Answer, BackendError> {
        let Operation { policy, subject, action } = *operation;
        let mut verdict = Verdict::new(Outcome::Allowed, 0);
        Ok(match action {
            Action::Charge { cost } => {
                self.charge(policy, subject, cost, &mut verdict)?;
                Answer::Verdict(verdict)
            }
            Action::Peek { cost } => {
                self.peek(policy, subject, cost, &mut verdict);
                Answer::Verdict(verdict)
            }
            Action::Reset => {
                let mut place = self.locate(policy, subject);
                let removed = place.shard.remove(policy, subject, place.hash);
                self.counts.released(removed.into());
                Answer::Reset
            }
            Action::Refund { stamp_micros, cost, source: _ } => {
                let mut place = self.locate(policy, subject);
                let now = self.time.now_micros();
                let refund = |slot: &mut Slot| slot.refund(policy, now, stamp_micros, cost);
                Answer::Refunded(place.find(policy, subject).is_some_and(refund))
            }
        })
    }

    fn peek(&self, policy: &Policy, subject: &str, cost: u32, verdict: &mut Verdict) {
        let mut place = self.locate(policy, subject);
        let now = self.time.now_micros();
        match place.find(policy, subject) {
            Some(slot) => slot.decide(policy, now, cost, Mode::Peek, verdict),
            None => {
                let mut counters = self.overflow.newcomer(policy, now);
                counters.decide(policy, now, cost, Mode::Peek, verdict);
            }
        }
    }

    #[inline]
    fn charge(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
        verdict: &mut Verdict,
    ) -> Result<(), BackendError> {
        let mut place = self.locate(policy, subject);
        let now = self.time.now_micros();
        match place.find(policy, subject) {
            Some(slot) => {
                slot.decide(policy, now, cost, Mode::Charge, verdict);
                self.collect_sometimes(&mut place.shard, now);
                Ok(())
            }
            None => self.admit(&mut place, policy, subject, cost, now, verdict),
        }
    }

    /// Counts what was admitted elsewhere, as far as there is room for it; says when.
    pub(crate) fn note(&self, policy: &Policy, subject: &str, cost: u32) -> Micros {
        let mut place = self.locate(policy, subject);
        let now = self.time.now_micros();
        let mut rest = cost;
        if place.find(policy, subject).is_none() {
            let capacities = policy.quotas().iter().map(|quota| quota.capacity());
            let fits = cost.min(capacities.min().unwrap_or(0));
            let mut verdict = Verdict::new(Outcome::Allowed, 0);
            // A policy that cannot be kept admits nothing elsewhere either.
            let _ = self.admit(&mut place, policy, subject, fits, now, &mut verdict);
            rest -= fits;
        }
        if let Some(slot) = place.find(policy, subject) {
            slot.note(policy, now, rest);
        }
        self.collect_sometimes(&mut place.shard, now);
        now
    }

    /// Collects now and then, as keys are charged.
    #[inline]
    fn collect_sometimes(&self, shard: &mut Shard, now: Micros) {
        if shard.charged() {
            self.collect(shard, now);
        }
    }

    /// Forgets a few keys that are whole again, if there are some.
    #[cold]
    fn collect(&self, shard: &mut Shard, now: Micros) {
        self.counts.released(shard.collect(now));
    }

    /// Where a key is or would be. The time is to be read after it, while the shard's lock is held:
    /// so no key's time goes back.
    #[inline(always)]
    fn locate(&self, policy: &Policy, subject: &str) -> Place<'_> {
        let mut hasher = self.hasher.build_hasher();
        // What is the same for all subjects need not be mixed again.
        hasher.write(subject.as_bytes());
        let hash = hasher.finish() ^ policy.name_hash();
        // One half finds the shard, the other the place in it.
        let shard = (hash >> 32) as usize & (self.shards.len() - 1);
        Place { shard: lock(&self.shards[shard].0), hash: hash as u32 }
    }

    /// Charges a subject that is not held, and holds it if that leaves a trace.
    #[cold]
    fn admit(
        &self,
        place: &mut Place<'_>,
        policy: &Policy,
        subject: &str,
        cost: u32,
        now: Micros,
        verdict: &mut Verdict,
    ) -> Result<(), BackendError> {
        if let Some(reason) = policy.unsupported() {
            return Err(BackendError::rejected(reason));
        }
        self.collect(&mut place.shard, now);
        let mut counters = self.overflow.newcomer(policy, now);
        let leaves_trace = cost > 0 && policy.quotas().iter().all(|quota| cost <= quota.capacity());
        if !leaves_trace {
            counters.decide(policy, now, cost, Mode::Peek, verdict);
        } else if self.counts.reserve(self.max_keys) || self.make_room(&mut place.shard, now) {
            counters.decide(policy, now, cost, Mode::Charge, verdict);
            let policy = self.policies.share(policy);
            place.shard.insert(Slot::new(place.hash, policy, subject, counters), &self.counts);
        } else {
            self.overflow(policy, now, cost, verdict);
        }
        Ok(())
    }

    fn make_room(&self, shard: &mut Shard, now: Micros) -> bool {
        let made = shard.evict(now, &self.counts);
        if made {
            self.counts.evicted();
        }
        made
    }

    fn overflow(&self, policy: &Policy, now: Micros, cost: u32, verdict: &mut Verdict) {
        if self.counts.overflowed() {
            tracing::warn!(
                policy = policy.name(),
                "the memory backend is full of subjects that are being refused; new subjects \
                 now share one counter per policy and may be refused early. Raise \
                 `max_keys`, or find out who sends so many distinct keys"
            );
        }
        self.overflow.charge(policy, now, cost, verdict);
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

    #[inline]
    fn charge_now(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
        verdict: &mut Verdict,
    ) -> Option<Result<(), BackendError>> {
        Some(self.charge(policy, subject, cost, verdict))
    }

    fn answers_at_once(&self) -> bool {
        true
    }

    fn name(&self) -> &'static str {
        "memory"
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
    /// The most keys to hold, at least 1. A key takes 95 to 150 bytes; besides, a subject of more
    /// than 22 bytes, and by the sliding window, from the second admission in a period, 4 bytes for
    /// each of cost 1 (8 where costs vary or the period is longer than an hour, up to 16 with a
    /// limit above 1,024), with room for as many again.
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
        let shards = self.max_keys.div_ceil(SHARD_KEYS).min(SHARDS);
        let shards = shards.max(self.max_keys.div_ceil(MAX_SHARD_KEYS)).next_power_of_two();
        MemoryBackend {
            max_keys: self.max_keys,
            time: self.time,
            hasher: RandomState::default(),
            shards: (0..shards).map(|_| Padded::default()).collect(),
            policies: Policies::default(),
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

/// It is held for less time than it takes to put a thread to sleep, and giving it back is a
/// plain store. Who finds it taken lets other threads run: if its holder was interrupted, that one
/// gets to go on.
type Lock<T> = SpinMutex<T, Yield>;

#[inline]
fn lock<T>(mutex: &Lock<T>) -> SpinMutexGuard<'_, T, Yield> {
    mutex.lock()
}
