//! A part of the keys under one lock.
//!
//! There are many shards, each of a few hundred keys, so that nothing done to one, not even
//! the growth of its table, takes work that grows with the number of keys.

use super::slot::Slot;
use super::stats::Counts;
use super::table::Table;
use crate::Policy;
use crate::algorithm::Micros;

/// How many places of the table, one after the other, are looked at for keys that can be collected:
/// when a key is added ..
const COLLECT: usize = 4;
/// .. and once in so many other charges.
const COLLECT_EVERY: u32 = 64;
/// How many keys are considered when one has to make room.
const SAMPLE: usize = 16;
/// How far apart they are, as neighbours may be alike: subjects that are numbered can be so close
/// by their hashes. A prime larger than any table, so every place has its turn.
const STRIDE: usize = 7919;

#[derive(Default)]
pub(super) struct Shard {
    table: Table,
    /// The places where collecting and sampling go on.
    cursor: usize,
    sampled: usize,
    charges: u32,
}

impl Shard {
    #[inline]
    pub(super) fn find(&mut self, policy: &Policy, subject: &str, hash: u32) -> Option<&mut Slot> {
        let place = self.table.find(hash, |slot| slot.is_of(policy, subject))?;
        self.table.get_mut(place)
    }

    /// Takes a key in, for which there is no slot yet.
    pub(super) fn insert(&mut self, slot: Slot, counts: &Counts) {
        counts.visited(self.table.insert(slot));
    }

    /// Says whether there was such a key.
    pub(super) fn remove(&mut self, policy: &Policy, subject: &str, hash: u32) -> bool {
        let place = self.table.find(hash, |slot| slot.is_of(policy, subject));
        place.is_some_and(|place| self.table.remove(place))
    }

    /// A key is charged. It says whether it is time to collect.
    #[inline]
    pub(super) fn charged(&mut self) -> bool {
        self.charges = self.charges.wrapping_add(1);
        self.charges.is_multiple_of(COLLECT_EVERY)
    }

    /// Forgets those in the next few places that are whole again, and says how many.
    pub(super) fn collect(&mut self, now: Micros) -> usize {
        let mut collected = 0;
        for _ in 0..COLLECT {
            let whole = self.table.get(self.cursor).is_some_and(|slot| slot.is_whole(now));
            if whole && self.table.remove(self.cursor) {
                // Another may have moved up.
                collected += 1;
            } else {
                self.cursor =
                    if self.cursor + 1 < self.table.places() { self.cursor + 1 } else { 0 };
            }
        }
        collected
    }

    /// Makes room: of a few keys the one goes that is missed least. Says whether any could.
    pub(super) fn evict(&mut self, now: Micros, counts: &Counts) -> bool {
        let (mut visited, mut sampled) = (0, 0);
        let mut least_used = None;
        while sampled < SAMPLE && visited < self.table.places() {
            visited += 1;
            self.sampled = (self.sampled + STRIDE) % self.table.places();
            let Some(slot) = self.table.get_mut(self.sampled) else { continue };
            sampled += 1;
            if slot.is_whole(now) {
                least_used = Some((0, self.sampled));
                break;
            }
            if let Some(used) = slot.used_share(now)
                && least_used.is_none_or(|(least, _)| used < least)
            {
                least_used = Some((used, self.sampled));
            }
        }
        counts.visited(visited);
        least_used.is_some_and(|(_, place)| self.table.remove(place))
    }
}
