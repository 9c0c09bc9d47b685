//! The locked shard of one check's key, and what can be done to the key there.

use super::shard::{MemoryShard, SlotPlace};
use super::slot::Charged;
use super::sought_key::SoughtKey;
use super::state::KeyState;
use super::{MemoryBackend, lock, supported};
use crate::algorithm::{Counters, Settlement};
use crate::micros::{TimeSpan, Timestamp};
use crate::sync::SpinGuard;
use crate::verdict::Verdict;
use crate::{BackendError, Check, Settled};

/// The number of other shards in which a key to evict is sought, if a shard has only such that refuse
/// requests.
const ELSEWHERE: u32 = 2;

/// The lock of a shard.
pub(super) type ShardGuard<'a> = SpinGuard<'a, MemoryShard>;

/// The locked shard of a check's key. All methods are of this check, whose slot is at the place that they
/// are given.
pub(super) struct LockedShard<'a> {
    backend: &'a MemoryBackend,
    shard: ShardGuard<'a>,
    check: &'a Check<'a>,
    sought: SoughtKey,
}

impl MemoryBackend {
    /// Locks the shard of the check's key. The caller must read the time after that and before the
    /// lock is released, so that the times at which a key is charged never go back.
    pub(super) fn lock_shard<'a>(&'a self, check: &'a Check<'a>) -> LockedShard<'a> {
        self.locked(self.lock_sought(check), check)
    }

    #[inline(always)]
    pub(super) fn lock_sought(&self, check: &Check<'_>) -> (SoughtKey, ShardGuard<'_>) {
        let (key, hash) = self.hasher.of(check);
        // The upper half of the hash selects the shard, the lower half the place in it.
        let shard = (hash >> 32) as usize & (self.shards.len() - 1);
        let shard = lock(&self.shards[shard].0);
        (SoughtKey { key, hash: hash as u32 }, shard)
    }

    /// Returns what [`lock_shard`](Self::lock_shard) returns, given what
    /// [`lock_sought`](Self::lock_sought) has returned. A check of which there is nothing special does not
    /// need it.
    pub(super) fn locked<'a>(
        &'a self,
        (sought, shard): (SoughtKey, ShardGuard<'a>),
        check: &'a Check<'a>,
    ) -> LockedShard<'a> {
        LockedShard { backend: self, shard, check, sought }
    }
}

impl LockedShard<'_> {
    /// Returns the place of the check's slot; `None` if it has none.
    pub(super) fn find(&self) -> Option<SlotPlace> {
        self.shard.find(self.sought, self.check, &self.backend.hasher)
    }

    /// Decides about the check at whatever cost, and charges it if it is admitted. Returns what is left for
    /// [`finish`](Self::finish) to do.
    pub(super) fn charge(
        &mut self,
        place: SlotPlace,
        check: &Check<'_>,
        now: Timestamp,
        verdict: &mut Verdict,
    ) -> Charged {
        self.shard.charge_at(place, check, now, verdict)
    }

    /// Completes a charge. Returns `true` if its refusal begins a ban.
    pub(super) fn finish(
        &mut self,
        charged: Charged,
        check: &Check<'_>,
        now: Timestamp,
        verdict: &mut Verdict,
    ) -> bool {
        if charged == Charged::Decided {
            return false;
        }
        let Some(place) = self.find() else { return false };
        match charged {
            Charged::Decided => false,
            Charged::Counted => self.count_refusal(place, now, verdict),
            Charged::Shrunk => {
                // The state is stored again, in its smallest form.
                self.change(place, |_| ());
                false
            }
            Charged::Unfit => {
                self.change(place, |state| state.charge(check, now, verdict));
                // The slot may have another place now.
                let Some(place) = self.find() else { return false };
                let noted = self.shard.note(place, check, verdict, &self.backend.hasher);
                noted != Charged::Unfit && self.finish(noted, check, now, verdict)
            }
        }
    }

    fn count_refusal(&mut self, place: SlotPlace, now: Timestamp, verdict: &mut Verdict) -> bool {
        let policy = self.check.policy;
        self.change(place, |state| state.counters.count_refusal(policy, now, verdict))
    }

    pub(super) fn peek(&mut self, place: SlotPlace, now: Timestamp, verdict: &mut Verdict) {
        let check = self.check;
        if !self.shard.peek(place, check, now, verdict) {
            self.change(place, |state| state.peek(check, now, verdict));
        }
    }

    /// Records a charge of `cost` that another store has admitted, as far as the quotas can still admit
    /// it.
    pub(super) fn record(&mut self, place: SlotPlace, now: Timestamp, cost: u32) {
        let check = self.check.with_cost(cost);
        if cost == 0 || (cost == 1 && self.shard.record_unit(place, check.policy, now)) {
            return;
        }
        self.change(place, |state| state.record(&check, now));
    }

    /// Settles a charge of the check.
    pub(super) fn settle(&mut self, place: SlotPlace, settlement: Settlement) -> Settled {
        let policy = self.check.policy;
        match self.shard.refund(place, policy, settlement) {
            Some(settled) => settled,
            None => self.change(place, |state| state.settle(policy, settlement)),
        }
    }

    /// Forgets the refusals that are counted, and the bans before the one in force.
    pub(super) fn forgive(&mut self, place: SlotPlace, now: Timestamp) {
        if let Some(counters) = self.counters(place) {
            counters.forgive(now);
        }
    }

    /// Bans the subject. Returns the end of the ban.
    pub(super) fn ban(&mut self, place: SlotPlace, now: Timestamp, span: TimeSpan) -> Timestamp {
        self.change(place, |state| state.counters.set_ban(now, span))
    }

    /// Ends the ban of the subject. Returns `true` if there was one.
    pub(super) fn lift_ban(&mut self, place: SlotPlace, now: Timestamp) -> bool {
        self.counters(place).is_some_and(|counters| counters.lift_ban(now))
    }

    /// Returns the end of the ban in force; `None` if there is none.
    pub(super) fn banned_until(&mut self, place: SlotPlace, now: Timestamp) -> Option<Timestamp> {
        self.counters(place)?.banned_until(now)
    }

    /// Changes the state by an operation under the check's policy, in the form that can hold anything.
    fn change<R>(&mut self, place: SlotPlace, operation: impl FnOnce(&mut KeyState<'_>) -> R) -> R {
        let shared = (&self.backend.cold.policies, &self.backend.hasher);
        self.shard.change(place, self.check.policy, shared, operation)
    }

    fn counters(&mut self, place: SlotPlace) -> Option<&mut Counters> {
        self.shard.counters(place)
    }

    /// Adds a slot for a subject that has none yet. Returns its place, or `None` if there is no room for
    /// it.
    pub(super) fn add(&mut self, now: Timestamp) -> Result<Option<SlotPlace>, BackendError> {
        let MemoryBackend { cold, counts, hasher, max_keys, .. } = self.backend;
        let policy = self.check.policy;
        supported(policy)?;
        self.backend.collect(&mut self.shard, now);
        if self.shard.is_full() || !counts.reserve(*max_keys) {
            if !self.make_room(now) {
                return Ok(None);
            }
            counts.evicted();
        }
        let counters = cold.overflow.newcomer(policy, now);
        let key = self.sought.key;
        counts.visited(self.shard.insert(key, (policy, counters), (&cold.policies, hasher)));
        Ok(self.find())
    }

    /// Evicts a key of this shard, or else of another one, because `max_keys` is of all shards together,
    /// and what refuses requests is not spread evenly over them. Returns `false` if there was none.
    fn make_room(&mut self, now: Timestamp) -> bool {
        let MemoryBackend { counts, hasher, .. } = self.backend;
        self.shard.evict(now, hasher, counts)
            || (!self.shard.is_full() && self.backend.evict_elsewhere(self.sought.hash))
    }

    pub(super) fn remove(&mut self, place: SlotPlace) {
        let MemoryBackend { counts, hasher, .. } = self.backend;
        counts.released(self.shard.remove(place, hasher).into());
    }

    /// Counts a charge, and after several charges removes a few unused keys.
    pub(super) fn collect_sometimes(&mut self, now: Timestamp) {
        self.backend.collect_sometimes(&mut self.shard, now);
    }
}

impl MemoryBackend {
    /// Counts a charge, and after several charges removes a few unused keys.
    #[inline(always)]
    pub(super) fn collect_sometimes(&self, shard: &mut MemoryShard, now: Timestamp) {
        if shard.charged() {
            self.collect(shard, now);
        }
    }

    /// Evicts a key of one of the shards that no thread has locked, which `hash` selects. Returns `false`
    /// if there was none. It never waits for a lock, because the caller has one.
    #[cold]
    fn evict_elsewhere(&self, hash: u32) -> bool {
        (0..ELSEWHERE).any(|number| {
            let shard = hash.wrapping_add(number) as usize & (self.shards.len() - 1);
            let mut locked = self.shards[shard].0.try_lock();
            let evicts = |shard: &mut ShardGuard<'_>| {
                let now = self.now();
                shard.evict(now, &self.hasher, &self.counts)
            };
            locked.as_mut().is_some_and(evicts)
        })
    }

    /// Removes the fully replenished keys in the next few places of a shard.
    #[cold]
    fn collect(&self, shard: &mut MemoryShard, now: Timestamp) {
        self.counts.released(shard.collect(now, &self.hasher));
    }
}
