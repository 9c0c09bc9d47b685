//! The default backend: counters in the memory of this process.

mod bans;
mod builder;
mod forms;
mod half_slot;
mod key;
mod locked;
#[cfg(all(test, shuttle))]
mod models;
mod overflow;
mod permits;
pub(crate) mod policies;
mod shard;
mod slot;
mod sought_key;
mod state;
mod stats;
mod store;
mod table;

use std::fmt;
use std::sync::Arc;

use self::bans::Bans;
pub use self::builder::MemoryBackendBuilder;
use self::key::KeyHasher;
use self::locked::{LockedShard, ShardGuard};
use self::overflow::Overflow;
use self::permits::PermitTable;
use self::policies::SharedPolicies;
use self::shard::MemoryShard;
use self::slot::Charged;
use self::sought_key::{SoughtKey, is_half};
use self::stats::MemoryCounts;
use crate::algorithm::Settlement;
use crate::clock::Time;
use crate::micros::{TimeSpan, Timestamp};
use crate::operation::{Action, Answer, Operation};
use crate::stats::MemoryStats;
use crate::sync::{SpinGuard, SpinLock};
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
    hasher: KeyHasher,
    /// The shards, whose number is a power of two.
    shards: Box<[PaddedShard]>,
    counts: Arc<MemoryCounts>,
    cold: Cold,
}

/// The parts that a check of a key that is already stored does not need. They are on cache lines of
/// their own, because new keys, bans and requests in flight write them, and every check reads what is
/// beside them.
#[repr(align(64))]
struct Cold {
    policies: SharedPolicies,
    overflow: Overflow,
    bans: Bans,
    permits: PermitTable,
}

/// A shard on cache lines of its own, so that threads that use different shards do not slow each
/// other down.
#[repr(align(64))]
#[derive(Default)]
struct PaddedShard(Lock<MemoryShard>);

// The lock of the checker is larger.
#[cfg(not(shuttle))]
const _: () = assert!(size_of::<PaddedShard>() == 64);

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
        if let Some(place) = locked.find() {
            self.cold.bans.remove(check, locked.banned_until(place, now));
            locked.remove(place);
        }
    }

    /// Gives a charge back. If the request has succeeded, also forgets the refusals of its subject, and
    /// the bans before the one in force. Returns `true` if anything was given back.
    fn refund(&self, check: &Check<'_>, stamp_micros: u64, forgives: bool) -> bool {
        let mut locked = self.lock_shard(check);
        let (now, charged_at) = (self.now(), Timestamp::from_micros(stamp_micros));
        let Some(place) = locked.find() else { return false };
        if forgives {
            locked.forgive(place, now);
        }
        let settlement = Settlement { now, charged_at, cost: check.cost, actual: 0 };
        locked.settle(place, settlement) == Settled::Refunded
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
        let cost = check.cost;
        let settlement = Settlement { now, charged_at, cost, actual };
        if let Some(place) = locked.find() {
            return Ok(locked.settle(place, settlement));
        }
        if actual <= cost {
            return Ok(if actual == cost { Settled::Unchanged } else { Settled::Nothing });
        }
        Ok(match locked.add(now)? {
            Some(place) => locked.settle(place, settlement),
            None => self.cold.overflow.settle(check, settlement),
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
        match locked.find() {
            Some(place) => locked.peek(place, now, verdict),
            None => self.cold.overflow.peek(check, now, verdict),
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
        if is_half(check.policy) {
            self.charge_quotas_of::<true>(check, verdict)
        } else {
            self.charge_quotas_of::<false>(check, verdict)
        }
    }

    /// Charges the quotas, in a function for each kind of slot, so that neither lacks registers.
    #[inline(never)]
    fn charge_quotas_of<const IS_HALF: bool>(
        &self,
        check: &Check<'_>,
        verdict: &mut Verdict,
    ) -> Result<(), BackendError> {
        let (sought, mut shard) = self.lock_sought(check);
        let now = self.now();
        let charged = shard.charge::<IS_HALF>((sought, &self.hasher), check, now, verdict);
        if charged == Some(Charged::Decided) {
            self.collect_sometimes(&mut shard, now);
            return Ok(());
        }
        self.charge_seldom((sought, shard, charged), check, now, verdict)
    }

    /// Completes a charge that found no slot where it usually is, or did more than charge it.
    #[cold]
    fn charge_seldom(
        &self,
        (sought, shard, charged): (SoughtKey, ShardGuard<'_>, Option<Charged>),
        check: &Check<'_>,
        now: Timestamp,
        verdict: &mut Verdict,
    ) -> Result<(), BackendError> {
        let mut locked = self.locked((sought, shard), check);
        let charged = match (charged, locked.find()) {
            (None, None) => return self.admit(locked, check, now, verdict),
            (None, Some(place)) => locked.charge(place, check, now, verdict),
            (Some(charged), _) => charged,
        };
        let is_banned = locked.finish(charged, check, now, verdict);
        locked.collect_sometimes(now);
        if is_banned {
            self.record_new_ban(locked, check, now);
        }
        Ok(())
    }

    /// Records a charge that another store has admitted, as far as the quotas can still admit it.
    /// Returns the time of the record, which identifies it when the charge is refunded.
    pub(crate) fn record(&self, check: &Check<'_>) -> Timestamp {
        if check.policy.get_in_flight().is_some() {
            self.cold.permits.take(check);
        }
        if check.policy.quotas().is_empty() {
            return self.now();
        }
        let mut locked = self.lock_shard(check);
        let now = self.now();
        let mut rest = check.cost;
        if rest > 0 && locked.find().is_none() {
            let capacities = check.policy.quotas().iter().map(|quota| quota.capacity());
            let fits = check.cost.min(capacities.min().unwrap_or(0));
            let mut verdict = Verdict::open();
            // An error is ignored: a policy that this backend rejects admits nothing in another
            // store either.
            let _ = self.charge_new(&mut locked, &check.with_cost(fits), now, &mut verdict);
            rest -= fits;
        }
        if let Some(place) = locked.find() {
            locked.record(place, now, rest);
        }
        locked.collect_sometimes(now);
        now
    }

    #[inline]
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.time.now_micros())
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
            self.cold.overflow.peek(check, now, verdict);
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
        let Some(place) = locked.add(now)? else {
            self.overflow(check, now, verdict);
            return Ok(false);
        };
        let charged = locked.charge(place, check, now, verdict);
        Ok(locked.finish(charged, check, now, verdict))
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
        self.cold.overflow.charge(check, now, verdict);
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
/// releasing it is a plain store to memory.
type Lock<T> = SpinLock<T>;

#[inline]
fn lock<T>(mutex: &Lock<T>) -> SpinGuard<'_, T> {
    mutex.lock()
}
