//! The shard: a part of the backend's keys, under one lock.
//!
//! There are many shards, each of a few hundred keys at most. So no work on a shard, not even
//! growing its tables, takes longer because the backend has more keys.
//!
//! A shard has a table of slots of a cache line each, which can hold any state, and one of slots of half
//! a line, for buckets. The place of a key among both is the same number: the second table's places come
//! after those of the first.

use super::forms::Forms;
use super::half_slot::HalfSlot;
use super::key::{KeyHasher, SlotKey};
use super::policies::SharedPolicies;
use super::slot::{Charged, Slot};
use super::sought_key::{SoughtKey, hash_of, is_half};
use super::state::KeyState;
use super::stats::MemoryCounts;
use super::table::{Keyed, SlotTable};
use crate::algorithm::{Counters, InUse, Settlement};
use crate::micros::Timestamp;
use crate::verdict::Verdict;
use crate::{Check, Policy, Settled};

/// The number of consecutive places in which one collection looks for unused keys.
const COLLECT: usize = 4;
/// The number of charges between two collections, which remove unused keys. A collection also takes
/// place whenever a key is added.
const COLLECT_EVERY: u8 = 64;
/// The number of keys in the sample from which an eviction selects one.
const SAMPLE: usize = 16;
/// The distance between the keys of a sample, in places. Neighbouring places are avoided, because
/// numbered subjects can have hashes close to each other. The distance is a prime larger than any
/// number of places, so that a sample that is as large as the shard has every key.
const STRIDE: usize = 7919;

/// The fields fit into one cache line with the lock.
#[derive(Default)]
pub(super) struct MemoryShard {
    lines: SlotTable<Slot>,
    halves: SlotTable<HalfSlot>,
    forms: Forms,
    line_count: u16,
    half_count: u16,
    /// The place at which the next collection starts.
    cursor: u16,
    /// The number of the places that were visited for samples, which wraps around.
    sampled: u8,
    /// The number of charges so far, which wraps around.
    charges: u8,
}

const _: () = assert!(size_of::<MemoryShard>() == 56);

/// The place of a slot in one of the tables.
#[derive(Clone, Copy, Debug)]
pub(super) enum SlotPlace {
    Line(usize),
    Half(usize),
}

impl MemoryShard {
    /// Returns the place of a check's slot; `None` if there is none.
    pub(super) fn find(
        &self,
        sought: SoughtKey,
        check: &Check<'_>,
        hasher: &KeyHasher,
    ) -> Option<SlotPlace> {
        let hashing = (&self.forms, hasher);
        let line = || Some(SlotPlace::Line(sought.place_in(&self.lines, check.policy, hashing)?.0));
        let half =
            || Some(SlotPlace::Half(sought.place_in(&self.halves, check.policy, hashing)?.0));
        if is_half(check.policy) { half().or_else(line) } else { line().or_else(half) }
    }

    /// Decides about a check whose slot is where it usually is, in the halves if `IS_HALF` is `true`, and
    /// charges it if it is admitted. Returns `None` if there is no such slot.
    #[inline(always)]
    pub(super) fn charge<const IS_HALF: bool>(
        &mut self,
        (sought, hasher): (SoughtKey, &KeyHasher),
        check: &Check<'_>,
        now: Timestamp,
        verdict: &mut Verdict,
    ) -> Option<Charged> {
        let hashing = (&self.forms, hasher);
        if IS_HALF {
            let (at, own) = sought.place_in(&self.halves, check.policy, hashing)?;
            if own.is_kept_like(check.policy) {
                return Some(self.halves.at(at).charge(check, now, verdict));
            }
        } else {
            let (at, own) = sought.place_in(&self.lines, check.policy, hashing)?;
            if own.is_kept_like(check.policy) {
                return Some(self.lines.at(at).charge(check, now, verdict));
            }
        }
        Some(Charged::Unfit)
    }

    /// Decides about a check of the slot at `place`, and charges it if it is admitted.
    pub(super) fn charge_at(
        &mut self,
        place: SlotPlace,
        check: &Check<'_>,
        now: Timestamp,
        verdict: &mut Verdict,
    ) -> Charged {
        let is_kept_like = self.is_kept_like(place, check.policy);
        match place {
            SlotPlace::Line(at) if is_kept_like => self.lines.at(at).charge(check, now, verdict),
            SlotPlace::Half(at) if is_kept_like => self.halves.at(at).charge(check, now, verdict),
            _ => Charged::Unfit,
        }
    }

    /// Notes the outcome of a charge that [`change`](Self::change) has made.
    pub(super) fn note(
        &mut self,
        place: SlotPlace,
        check: &Check<'_>,
        verdict: &Verdict,
        hasher: &KeyHasher,
    ) -> Charged {
        let at = match place {
            SlotPlace::Line(at) => at,
            SlotPlace::Half(at) => match self.halves.at(at).note(check, verdict) {
                Charged::Unfit => self.enlarge(at, hasher),
                charged => return charged,
            },
        };
        self.lines.at(at).note(check, verdict)
    }

    /// Returns the policy of the slot at `place`.
    fn own(&self, place: SlotPlace) -> &Policy {
        let form = match place {
            SlotPlace::Line(at) => self.lines.get(at).map(Slot::form),
            SlotPlace::Half(at) => self.halves.get(at).map(HalfSlot::form),
        };
        self.forms.get(form.unwrap_or_default())
    }

    /// Returns `true` if the slot at `place` can decide under `policy` as it is.
    fn is_kept_like(&self, place: SlotPlace, policy: &Policy) -> bool {
        self.own(place).is_kept_like(policy)
    }

    /// Looks at a check. Returns `false`, and has not looked, if that takes the state in the form that can
    /// hold anything.
    pub(super) fn peek(
        &mut self,
        place: SlotPlace,
        check: &Check<'_>,
        now: Timestamp,
        verdict: &mut Verdict,
    ) -> bool {
        let is_kept_like = self.is_kept_like(place, check.policy);
        match place {
            SlotPlace::Line(at) if is_kept_like => self.lines.at(at).peek(check, now, verdict),
            _ => return false,
        }
        true
    }

    /// Records one unit that another store has admitted under `policy`, if it is still admitted. Returns
    /// `false`, and has done nothing, if that takes the state in the form that can hold anything.
    pub(super) fn record_unit(
        &mut self,
        place: SlotPlace,
        policy: &Policy,
        now: Timestamp,
    ) -> bool {
        let is_kept_like = self.is_kept_like(place, policy);
        match (place, policy.quotas()) {
            (SlotPlace::Line(at), [quota]) if is_kept_like => {
                self.lines.at(at).steps().is_some_and(|steps| {
                    steps.record(now, quota) || (steps.grow(quota) && steps.record(now, quota))
                })
            }
            _ => false,
        }
    }

    /// Settles a charge that was too much, or just right. Returns `None`, and has done nothing, if that
    /// takes the state in the form that can hold anything.
    pub(super) fn refund(
        &mut self,
        place: SlotPlace,
        charged_under: &Policy,
        settlement: Settlement,
    ) -> Option<Settled> {
        let SlotPlace::Line(at) = place else { return None };
        if settlement.debt() > 0 || !self.is_kept_like(place, charged_under) {
            return None;
        }
        let slot = self.lines.at(at);
        let own = self.forms.get(slot.form());
        Some(match (slot.counters(), charged_under.quotas()) {
            (Some(counters), _) => counters.settle(own, charged_under, settlement),
            (None, _) if settlement.back() == 0 => Settled::Unchanged,
            (None, [quota]) => match slot.steps()?.refund(quota, settlement) {
                true => Settled::Refunded,
                false => Settled::Nothing,
            },
            (None, _) => return None,
        })
    }

    /// Returns the counters of the slot at `place`, if it has them in the form that can hold anything.
    pub(super) fn counters(&mut self, place: SlotPlace) -> Option<&mut Counters> {
        match place {
            SlotPlace::Line(at) => self.lines.at(at).counters(),
            SlotPlace::Half(_) => None,
        }
    }

    /// Changes the state at `place` by an operation under `policy`, in the form that can hold anything. The
    /// slot may then be at another place.
    #[cold]
    pub(super) fn change<R>(
        &mut self,
        place: SlotPlace,
        policy: &Policy,
        (shared, hasher): (&SharedPolicies, &KeyHasher),
        operation: impl FnOnce(&mut KeyState<'_>) -> R,
    ) -> R {
        let (key, form, (counters, refused)) = match place {
            SlotPlace::Line(at) => {
                let slot = self.lines.at(at);
                (slot.key(), slot.form(), slot.take())
            }
            SlotPlace::Half(at) => {
                let slot = self.halves.at(at);
                (slot.key(), slot.form(), slot.counters())
            }
        };
        let mut state = KeyState { own: self.forms.get(form), counters, is_translated: false };
        let result = operation(&mut state);
        let KeyState { counters, is_translated, .. } = state;
        let form = if is_translated { self.adopt(policy, shared) } else { form };
        let half = HalfSlot::new((key, form), refused, &counters, self.forms.get(form));
        match (place, half) {
            (SlotPlace::Line(at), None) => {
                self.lines.at(at).put(counters, form, self.forms.get(form));
            }
            (SlotPlace::Half(at), Some(half)) => *self.halves.at(at) = half,
            (SlotPlace::Line(_), Some(half)) => {
                self.remove(place, hasher);
                self.insert_half(half, hasher);
            }
            (SlotPlace::Half(_), None) => {
                self.remove(place, hasher);
                let slot = Slot::new((key, form), refused, counters, self.forms.get(form));
                self.insert_line(slot, hasher);
            }
        }
        result
    }

    /// Moves a slot of half a line to a place of a whole one, which is returned.
    fn enlarge(&mut self, at: usize, hasher: &KeyHasher) -> usize {
        let half = self.halves.at(at);
        let (key, form) = (half.key(), half.form());
        let own = self.forms.get(form);
        let (counters, refused) = half.counters();
        let slot = Slot::new((key, form), refused, counters, own);
        self.remove(SlotPlace::Half(at), hasher);
        self.insert_line(slot, hasher);
        self.place_of_line((key, form), hasher)
    }

    fn place_of_line(&self, (key, form): (SlotKey, u16), hasher: &KeyHasher) -> usize {
        let hash = hasher.hash(key, self.forms.get(form).name_hash()) as u32;
        let is_form = |found| (found == form).then_some(());
        let found = self.lines.find((key, hash), is_form, hash_of(hasher, &self.forms));
        found.map_or(0, |(place, ())| place)
    }

    fn insert_line(&mut self, slot: Slot, hasher: &KeyHasher) -> usize {
        let moved = self.lines.insert(slot, self.line_count, hash_of(hasher, &self.forms));
        self.line_count += 1;
        moved
    }

    fn insert_half(&mut self, slot: HalfSlot, hasher: &KeyHasher) -> usize {
        let moved = self.halves.insert(slot, self.half_count, hash_of(hasher, &self.forms));
        self.half_count += 1;
        moved
    }

    /// Returns the number of a policy in this shard.
    fn adopt(&mut self, policy: &Policy, shared: &SharedPolicies) -> u16 {
        let used = self.lines.iter().map(Slot::form).chain(self.halves.iter().map(HalfSlot::form));
        self.forms.adopt(policy, shared, used)
    }

    /// Adds a slot for a key that has none yet, under `policy`. Returns the number of other slots that
    /// were moved.
    pub(super) fn insert(
        &mut self,
        key: SlotKey,
        (policy, counters): (&Policy, Counters),
        (shared, hasher): (&SharedPolicies, &KeyHasher),
    ) -> usize {
        let form = self.adopt(policy, shared);
        match HalfSlot::new((key, form), 0, &counters, policy) {
            Some(half) => self.insert_half(half, hasher),
            None => self.insert_line(Slot::new((key, form), 0, counters, policy), hasher),
        }
    }

    /// Returns `true` if the shard cannot count one more key. That is so many times the keys of one shard
    /// that the hash of keys would have to be broken.
    pub(super) fn is_full(&self) -> bool {
        self.line_count.max(self.half_count) >= u16::MAX / 2
    }

    /// Removes the slot at `place`. Returns `true` if there was one.
    pub(super) fn remove(&mut self, place: SlotPlace, hasher: &KeyHasher) -> bool {
        match place {
            SlotPlace::Line(at) => {
                let removed = self.lines.remove(at, hash_of(hasher, &self.forms)).is_some();
                self.line_count -= u16::from(removed);
                removed
            }
            SlotPlace::Half(at) => {
                let removed = self.halves.remove(at, hash_of(hasher, &self.forms)).is_some();
                self.half_count -= u16::from(removed);
                removed
            }
        }
    }

    /// Counts a charge. Returns `true` if it is time for a collection.
    #[inline(always)]
    pub(super) fn charged(&mut self) -> bool {
        self.charges = self.charges.wrapping_add(1);
        self.charges.is_multiple_of(COLLECT_EVERY)
    }

    /// Returns the number of slots, counted anew.
    #[cfg(all(test, shuttle))]
    pub(super) fn slots(&self) -> usize {
        let (lines, halves) = (self.lines.iter().count(), self.halves.iter().count());
        assert_eq!((lines, halves), (self.line_count.into(), self.half_count.into()));
        lines + halves
    }

    fn places(&self) -> usize {
        self.lines.places() + self.halves.places()
    }

    fn place(&self, number: usize) -> SlotPlace {
        match number.checked_sub(self.lines.places()) {
            Some(at) => SlotPlace::Half(at),
            None => SlotPlace::Line(number),
        }
    }

    /// Returns `true` if there is a slot at `place` and none of its units are in use.
    fn is_unused(&self, place: SlotPlace, now: Timestamp) -> bool {
        match place {
            SlotPlace::Line(at) => self
                .lines
                .get(at)
                .is_some_and(|slot| slot.is_unused(self.forms.get(slot.form()), now)),
            SlotPlace::Half(at) => self
                .halves
                .get(at)
                .is_some_and(|slot| slot.is_unused(self.forms.get(slot.form()), now)),
        }
    }

    /// Returns the units in use of the slot at `place`; `None` if there is none.
    fn usage(&mut self, place: SlotPlace, now: Timestamp) -> Option<InUse> {
        Some(match place {
            SlotPlace::Line(at) => {
                let slot = self.lines.get_mut(at)?;
                slot.usage(self.forms.get(slot.form()), now)
            }
            SlotPlace::Half(at) => {
                let slot = self.halves.get(at)?;
                slot.usage(self.forms.get(slot.form()), now)
            }
        })
    }

    /// Removes the fully replenished keys in the next few places. Returns their number.
    pub(super) fn collect(&mut self, now: Timestamp, hasher: &KeyHasher) -> usize {
        let mut collected = 0;
        for _ in 0..COLLECT {
            let place = self.place(self.cursor.into());
            if self.is_unused(place, now) && self.remove(place, hasher) {
                // The cursor stays, because another slot may have moved into this place.
                collected += 1;
            } else {
                let next = usize::from(self.cursor) + 1;
                self.cursor = if next < self.places() { self.cursor.wrapping_add(1) } else { 0 };
            }
        }
        collected
    }

    /// Evicts the key of a sample whose subject wins the fewest units by it. Returns `false`, and
    /// evicts none, if that key refuses requests. So the keys that cannot be evicted do not leave
    /// those with more units in use as the only ones that can: to win back a number of units, a flood
    /// has to use as many on each of its own keys.
    pub(super) fn evict(
        &mut self,
        now: Timestamp,
        hasher: &KeyHasher,
        counts: &MemoryCounts,
    ) -> bool {
        let start = usize::from(self.cursor) + usize::from(self.sampled) * STRIDE;
        let (mut visited, mut sampled) = (0, 0);
        let mut least_used = None;
        while sampled < SAMPLE && visited < self.places() {
            let place = self.place((start + visited * STRIDE) % self.places());
            visited += 1;
            if self.is_unused(place, now) {
                least_used = Some((InUse::default(), place));
                break;
            }
            let Some(used) = self.usage(place, now) else { continue };
            sampled += 1;
            if least_used.is_none_or(|(least, _)| used < least) {
                least_used = Some((used, place));
            }
        }
        // It wraps around.
        self.sampled = self.sampled.wrapping_add(visited as u8);
        counts.visited(visited);
        least_used.is_some_and(|(used, place)| !used.refuses && self.remove(place, hasher))
    }
}
