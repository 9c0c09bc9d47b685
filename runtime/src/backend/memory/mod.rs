//! The default backend: counters in the memory of this process.

mod bans;
mod builder;
mod overflow;
mod permits;
pub(crate) mod policies;
mod shard;
mod slot;
mod stats;
mod store;
mod table;

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::quality::RandomState;
use spin::Yield;
use spin::mutex::{SpinMutex, SpinMutexGuard};

use self::bans::Bans;
pub use self::builder::MemoryBackendBuilder;
use self::overflow::Overflow;
use self::permits::PermitTable;
use self::policies::SharedPolicies;
use self::shard::MemoryShard;
use self::slot::Slot;
use self::stats::MemoryCounts;
use crate::algorithm::{Mode, Settlement};
use crate::clock::Time;
use crate::micros::{TimeSpan, Timestamp};
use crate::operation::{Action, Answer, Operation};
use crate::stats::MemoryStats;
use crate::verdict::Verdict;
use crate::{BackendError, Check, Outcome, Policy, Settled};

/// A store of counters in this process's memory: exact, and of bounded size.
///
/// It stores at most `max_keys` keys, one for each subject of each policy. Keys whose quotas are
/// fully replenished are removed, a few at a time, while other keys are charged. If a new subject
/// comes when the backend is full, it evicts one key of a small sample: a fully replenished one if
/// there is one, and otherwise the one with the fewest units in use, because the subject of an
/// evicted key wins these units back. It never evicts a key whose requests are being refused, or
/// whose next request would be, nor one with more units in use than such a key of the sample. If no
/// key of the sample can be evicted, the new subject is charged to one counter that all such
/// subjects of its policy share. It may then be refused early, even for the rest of that counter's
/// period after the backend has space for it again. A charge to the shared counter cannot be
/// refunded.
///
/// So a subject that is being refused stays refused, whatever keys are sent. A subject with units
/// left can win back those it has used only if others use as many on each key of a sample: to win
/// `u` units, a flood has to use about [`max_keys`](MemoryBackendBuilder::max_keys) × `u`. With
/// `max_keys(1)` every new key evicts the one that is there, unless it refuses requests.
pub struct MemoryBackend {
    max_keys: usize,
    identity: u64,
    time: Time,
    hasher: RandomState,
    /// The shards, whose number is a power of two.
    shards: Box<[PaddedShard]>,
    policies: SharedPolicies,
    overflow: Overflow,
    bans: Bans,
    permits: PermitTable,
    counts: Arc<MemoryCounts>,
}

/// A shard on cache lines of its own, so that threads that use different shards do not slow each
/// other down.
#[repr(align(64))]
#[derive(Default)]
struct PaddedShard(Lock<MemoryShard>);

/// The locked shard of a key, and the hash by which the shard finds the key.
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
    /// Creates a backend that uses the machine's clock and stores at most 100,000 keys.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder for the settings that [`new`](Self::new) leaves at their defaults.
    #[must_use]
    pub fn builder() -> MemoryBackendBuilder {
        MemoryBackendBuilder::new()
    }

    /// Returns the number of keys, and counts of evictions and similar events.
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
                self.reset(check);
                Answer::Reset
            }
            Action::Refund { stamp_micros, forgives, .. } => {
                Answer::Refunded(self.refund(check, stamp_micros, forgives))
            }
            Action::Settle { stamp_micros, actual, .. } => {
                Answer::Settled(self.settle(check, stamp_micros, actual)?)
            }
            Action::Ban { duration } => {
                self.ban(check, TimeSpan::from_duration(duration))?;
                Answer::Banned
            }
            Action::Unban => Answer::Unbanned(self.unban(check)),
        })
    }

    fn reset(&self, check: &Check<'_>) {
        let mut locked = self.lock_shard(check);
        let now = self.now();
        if let Some(slot) = locked.find(check) {
            self.bans.remove(check, slot, now);
        }
        let removed = locked.shard.remove(check, locked.hash);
        self.counts.released(removed.into());
    }

    /// Gives a charge back. If the request has succeeded, also forgets the refusals of its subject, and
    /// the bans before the one in force. Returns `true` if anything was given back.
    fn refund(&self, check: &Check<'_>, stamp_micros: u64, forgives: bool) -> bool {
        let mut locked = self.lock_shard(check);
        let (now, charged_at) = (self.now(), Timestamp::from_micros(stamp_micros));
        let Check { policy, cost, .. } = *check;
        let Some(slot) = locked.find(check) else { return false };
        if forgives {
            slot.forgive(now);
        }
        let settlement = Settlement { now, charged_at, cost, actual: 0 };
        slot.settle(policy, settlement) == Settled::Refunded
    }

    /// Settles a charge at the units that the request came to. If its key is gone and more is to be
    /// charged, adds the key again.
    fn settle(
        &self,
        check: &Check<'_>,
        stamp_micros: u64,
        actual: u32,
    ) -> Result<Settled, BackendError> {
        let mut locked = self.lock_shard(check);
        let (now, charged_at) = (self.now(), Timestamp::from_micros(stamp_micros));
        let Check { policy, cost, .. } = *check;
        let settlement = Settlement { now, charged_at, cost, actual };
        if let Some(slot) = locked.find(check) {
            return Ok(slot.settle(policy, settlement));
        }
        if actual <= cost {
            return Ok(if actual == cost { Settled::Unchanged } else { Settled::Nothing });
        }
        Ok(match self.add_key(&mut locked, check, now)? {
            Some(slot) => slot.settle(policy, settlement),
            None => self.overflow.settle(check, settlement),
        })
    }

    fn peek(&self, check: &Check<'_>, verdict: &mut Verdict) {
        match check.policy.get_in_flight() {
            None => self.peek_quotas(check, verdict),
            Some(_) => self.peek_with_permits(check, verdict),
        }
    }

    fn peek_quotas(&self, check: &Check<'_>, verdict: &mut Verdict) {
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
        match check.policy.get_in_flight() {
            None => self.charge_quotas(check, verdict),
            Some(in_flight) => self.charge_with_permit(check, in_flight, verdict),
        }
    }

    #[inline]
    fn charge_quotas(&self, check: &Check<'_>, verdict: &mut Verdict) -> Result<(), BackendError> {
        let mut locked = self.lock_shard(check);
        let now = self.now();
        match locked.find(check) {
            Some(slot) => {
                let is_banned = slot.charge(check, now, verdict);
                self.collect_sometimes(&mut locked.shard, now);
                if is_banned {
                    self.record_new_ban(locked, check, now);
                }
                Ok(())
            }
            None => self.admit(locked, check, now, verdict),
        }
    }

    /// Records a charge that another store has admitted, as far as the quotas can still admit it.
    /// Returns the time of the record, which identifies it when the charge is refunded.
    pub(crate) fn record(&self, check: &Check<'_>) -> Timestamp {
        if check.policy.get_in_flight().is_some() {
            self.permits.take(check);
        }
        if check.policy.quotas().is_empty() {
            return self.now();
        }
        let mut locked = self.lock_shard(check);
        let now = self.now();
        let mut rest = check.cost;
        if rest > 0 && locked.find(check).is_none() {
            let capacities = check.policy.quotas().iter().map(|quota| quota.capacity());
            let fits = check.cost.min(capacities.min().unwrap_or(0));
            let mut verdict = Verdict::open();
            // An error is ignored: a policy that this backend rejects admits nothing in another
            // store either.
            let _ = self.charge_new(&mut locked, &check.with_cost(fits), now, &mut verdict);
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

    /// Counts a charge, and after several charges removes a few unused keys.
    #[inline]
    fn collect_sometimes(&self, shard: &mut MemoryShard, now: Timestamp) {
        if shard.charged() {
            self.collect(shard, now);
        }
    }

    /// Removes the fully replenished keys in the next few places of the shard.
    #[cold]
    fn collect(&self, shard: &mut MemoryShard, now: Timestamp) {
        self.counts.released(shard.collect(now));
    }

    /// Locks the shard of the check's key. The caller must read the time after that and before the
    /// lock is released, so that the times at which a key is charged never go back.
    #[inline(always)]
    fn lock_shard(&self, check: &Check<'_>) -> LockedShard<'_> {
        let mut hasher = self.hasher.build_hasher();
        // The hash of the policy's name is the same for all subjects, so it has been computed in
        // advance.
        hasher.write(check.subject.as_bytes());
        let hash = hasher.finish() ^ check.policy.name_hash();
        // The upper half of the hash selects the shard, the lower half the place in it.
        let shard = (hash >> 32) as usize & (self.shards.len() - 1);
        LockedShard { shard: lock(&self.shards[shard].0), hash: hash as u32 }
    }

    /// Decides the charge of a subject that has no slot yet. Adds a slot for it, unless the cost is
    /// 0 or can never be admitted.
    #[cold]
    fn admit(
        &self,
        mut locked: LockedShard<'_>,
        check: &Check<'_>,
        now: Timestamp,
        verdict: &mut Verdict,
    ) -> Result<(), BackendError> {
        let leaves_trace = check.cost > 0 && !check.can_never_pass();
        if !leaves_trace {
            supported(check.policy)?;
            let mut counters = self.overflow.newcomer(check.policy, now);
            counters.decide(check, now, Mode::Peek, verdict);
        } else if self.charge_new(&mut locked, check, now, verdict)? {
            self.record_new_ban(locked, check, now);
        }
        Ok(())
    }

    /// Charges a subject that has no slot yet, to a slot that is added, or else to the shared counter.
    /// Returns `true` if a refusal begins a ban.
    fn charge_new(
        &self,
        locked: &mut LockedShard<'_>,
        check: &Check<'_>,
        now: Timestamp,
        verdict: &mut Verdict,
    ) -> Result<bool, BackendError> {
        match self.add_key(locked, check, now)? {
            Some(slot) => Ok(slot.charge(check, now, verdict)),
            None => {
                self.overflow(check, now, verdict);
                Ok(false)
            }
        }
    }

    /// Adds a slot for a subject that has none yet. Returns `None` if there is no room for it.
    fn add_key<'a>(
        &self,
        locked: &'a mut LockedShard<'_>,
        check: &Check<'_>,
        now: Timestamp,
    ) -> Result<Option<&'a mut Slot>, BackendError> {
        let policy = check.policy;
        supported(policy)?;
        self.collect(&mut locked.shard, now);
        if !self.counts.reserve(self.max_keys) && !self.make_room(&mut locked.shard, now) {
            return Ok(None);
        }
        let counters = self.overflow.newcomer(policy, now);
        let slot = Slot::new(locked.hash, check, self.policies.share(policy), counters);
        locked.shard.insert(slot, &self.counts);
        Ok(locked.find(check))
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

/// Returns an error if no backend can apply the policy.
fn supported(policy: &Policy) -> Result<(), BackendError> {
    match policy.unsupported() {
        Some(unsupported) => Err(BackendError::rejected(unsupported.reason)),
        None => Ok(()),
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// A spin lock. Threads release it in less time than it takes to put a waiting thread to sleep, and
/// releasing it is a plain store to memory. A thread that finds the lock taken yields to other
/// threads, so that the thread with the lock can go on if it was interrupted.
type Lock<T> = SpinMutex<T, Yield>;

#[inline]
fn lock<T>(mutex: &Lock<T>) -> SpinMutexGuard<'_, T, Yield> {
    mutex.lock()
}
