//! The shard: a part of the backend's keys, under one lock.
//!
//! There are many shards, each of a few hundred keys at most. So no work on a shard, not even
//! growing its table, takes longer because the backend has more keys.

use super::slot::Slot;
use super::stats::MemoryCounts;
use super::table::SlotTable;
use crate::Check;
use crate::algorithm::InUse;
use crate::micros::Timestamp;

/// The number of consecutive places of the table in which one collection looks for unused keys.
const COLLECT: usize = 4;
/// The number of charges between two collections, which remove unused keys. A collection also takes
/// place whenever a key is added.
const COLLECT_EVERY: u32 = 64;
/// The number of keys in the sample from which an eviction selects one.
const SAMPLE: usize = 16;
/// The distance between the keys of a sample, in places of the table. Neighbouring places are
/// avoided, because numbered subjects can have hashes close to each other. The distance is a prime
/// larger than any table, so that in time every place is visited.
const STRIDE: usize = 7919;

#[derive(Default)]
pub(super) struct MemoryShard {
    table: SlotTable,
    /// The place at which the next collection starts.
    cursor: usize,
    /// The last place that was visited for a sample.
    sampled: usize,
    /// The number of charges so far, which wraps around.
    charges: u32,
}

impl MemoryShard {
    #[inline(always)]
    pub(super) fn find(&mut self, check: &Check<'_>, hash: u32) -> Option<&mut Slot> {
        let place = self.table.find(hash, check)?;
        self.table.get_mut(place)
    }

    /// Adds a slot for a key that has none yet.
    pub(super) fn insert(&mut self, slot: Slot, counts: &MemoryCounts) {
        counts.visited(self.table.insert(slot));
    }

    /// Removes a key. Returns `true` if the shard had it.
    pub(super) fn remove(&mut self, check: &Check<'_>, hash: u32) -> bool {
        let place = self.table.find(hash, check);
        place.is_some_and(|place| self.table.remove(place))
    }

    /// Counts a charge. Returns `true` if it is time for a collection.
    #[inline]
    pub(super) fn charged(&mut self) -> bool {
        self.charges = self.charges.wrapping_add(1);
        self.charges.is_multiple_of(COLLECT_EVERY)
    }

    /// Removes the fully replenished keys in the next few places. Returns their number.
    pub(super) fn collect(&mut self, now: Timestamp) -> usize {
        let mut collected = 0;
        for _ in 0..COLLECT {
            let unused = self.table.get(self.cursor).is_some_and(|slot| slot.is_unused(now));
            if unused && self.table.remove(self.cursor) {
                // The cursor stays, because another slot may have moved into this place.
                collected += 1;
            } else {
                self.cursor =
                    if self.cursor + 1 < self.table.places() { self.cursor + 1 } else { 0 };
            }
        }
        collected
    }

    /// Evicts the key of a sample whose subject wins the fewest units by it. Returns `false`, and
    /// evicts none, if that key refuses requests. So the keys that cannot be evicted do not leave
    /// those with more units in use as the only ones that can: to win back a number of units, a flood
    /// has to use as many on each of its own keys.
    pub(super) fn evict(&mut self, now: Timestamp, counts: &MemoryCounts) -> bool {
        let (mut visited, mut sampled) = (0, 0);
        let mut least_used = None;
        while sampled < SAMPLE && visited < self.table.places() {
            visited += 1;
            self.sampled = (self.sampled + STRIDE) % self.table.places();
            let Some(slot) = self.table.get_mut(self.sampled) else { continue };
            sampled += 1;
            if slot.is_unused(now) {
                least_used = Some((InUse::default(), self.sampled));
                break;
            }
            let used = slot.usage(now);
            if least_used.is_none_or(|(least, _)| used < least) {
                least_used = Some((used, self.sampled));
            }
        }
        counts.visited(visited);
        least_used.is_some_and(|(used, place)| !used.refuses && self.table.remove(place))
    }
}
