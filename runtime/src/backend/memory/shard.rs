//! A part of the keys under one lock.
//!
//! There are many shards, each of a few hundred keys, so that nothing done to one, not even
//! the growth of its table, takes work that grows with the number of keys.

use std::cell::Cell;
use std::sync::Arc;

use hashbrown::HashTable;
use smol_str::SmolStr;

use super::stats::Counts;
use crate::Policy;
use crate::algorithm::{Counters, Micros, Mode};
use crate::backend::Verdict;
use crate::decision::Outcome;

/// How many places of the table are looked at, for keys that can be collected, when a key is
/// added.
const COLLECT: usize = 4;
/// One place is looked at in this many other charges.
const COLLECT_EVERY: u32 = 8;
/// How many keys are considered when one has to make room.
const SAMPLE: usize = 16;
/// How far apart the places are that are looked at one after the other.
const STRIDE: usize = 0x9e37_79b1;

#[derive(Default)]
pub(super) struct Shard {
    table: HashTable<Slot>,
    /// The place where collecting and sampling go on.
    cursor: usize,
    charges: u32,
    /// When it was last charged, by a clock that never goes back.
    latest: Micros,
}

/// One subject of one policy, in one cache line.
#[repr(align(64))]
pub(super) struct Slot {
    /// The policy by which the counters count.
    policy: Arc<Policy>,
    subject: SmolStr,
    counters: Counters,
    /// The least cost that has been refused since one as large was admitted; 0 if none has.
    refused: u32,
}

impl Shard {
    /// The time, if it was read before the lock was taken: others may have come since.
    #[inline]
    pub(super) fn not_before(&mut self, now: Micros) -> Micros {
        self.latest = self.latest.max(now);
        self.latest
    }

    #[inline]
    pub(super) fn find(&mut self, policy: &Policy, subject: &str, hash: u64) -> Option<&mut Slot> {
        self.table.find_mut(hash, |slot| slot.is_of(policy, subject))
    }

    /// Takes a key in, for which there is no slot yet.
    pub(super) fn insert(
        &mut self,
        slot: Slot,
        hash: impl Fn(&Policy, &str) -> u64,
        counts: &Counts,
    ) {
        let hash = |slot: &Slot| hash(&slot.policy, &slot.subject);
        // The hash is asked for when the table grows, once for each key that moves.
        let moved = Cell::new(0);
        self.table.insert_unique(hash(&slot), slot, |slot| {
            moved.set(moved.get() + 1);
            hash(slot)
        });
        counts.visited(moved.get());
    }

    /// Says whether there was such a key.
    pub(super) fn remove(&mut self, policy: &Policy, subject: &str, hash: u64) -> bool {
        let is_it = |slot: &Slot| slot.is_of(policy, subject);
        self.table.find_entry(hash, is_it).map(|entry| entry.remove()).is_ok()
    }

    /// As keys are charged, forgets one now and then that is whole again. Says whether it did.
    #[inline]
    pub(super) fn collect_sometimes(&mut self, now: Micros) -> bool {
        self.charges = self.charges.wrapping_add(1);
        self.charges.is_multiple_of(COLLECT_EVERY) && self.collect_one(now)
    }

    /// Forgets those in the next few places that are whole again, and says how many.
    pub(super) fn collect(&mut self, now: Micros) -> usize {
        (0..COLLECT).filter(|_| self.collect_one(now)).count()
    }

    fn collect_one(&mut self, now: Micros) -> bool {
        let place = self.next_place();
        let whole = self.table.get_bucket(place).is_some_and(|slot| slot.is_whole(now));
        whole && self.remove_at(place)
    }

    /// Makes room: of a few keys the one goes that is missed least. Says whether any could.
    pub(super) fn evict(&mut self, now: Micros, counts: &Counts) -> bool {
        let (mut visited, mut sampled) = (0, 0);
        let mut least_used = None;
        while sampled < SAMPLE && visited < self.table.num_buckets() {
            visited += 1;
            let place = self.next_place();
            let Some(slot) = self.table.get_bucket_mut(place) else { continue };
            sampled += 1;
            if slot.is_whole(now) {
                least_used = Some((0, place));
                break;
            }
            if let Some(used) = slot.used_share(now)
                && least_used.is_none_or(|(least, _)| used < least)
            {
                least_used = Some((used, place));
            }
        }
        counts.visited(visited);
        least_used.is_some_and(|(_, place)| self.remove_at(place))
    }

    fn remove_at(&mut self, place: usize) -> bool {
        self.table.get_bucket_entry(place).map(|entry| entry.remove()).is_ok()
    }

    /// Goes through all places, but not one after the other: neighbours may be alike.
    fn next_place(&mut self) -> usize {
        // The number of places is a power of two, to which the stride, being odd, is coprime.
        self.cursor = self.cursor.wrapping_add(STRIDE) & self.table.num_buckets().wrapping_sub(1);
        self.cursor
    }
}

impl Slot {
    pub(super) fn new(policy: Arc<Policy>, subject: &str, counters: Counters) -> Self {
        Self { policy, subject: subject.into(), counters, refused: 0 }
    }

    #[inline]
    fn is_of(&self, policy: &Policy, subject: &str) -> bool {
        is_same(&self.subject, subject) && self.policy.has_name_of(policy)
    }

    #[inline]
    pub(super) fn decide(
        &mut self,
        policy: &Policy,
        now: Micros,
        cost: u32,
        mode: Mode,
        verdict: &mut Verdict,
    ) {
        self.follow(policy, now);
        self.counters.decide(policy, now, cost, mode, verdict);
        if mode == Mode::Charge {
            match verdict.outcome() {
                Outcome::Allowed if self.refused > 0 && cost >= self.refused => self.refused = 0,
                Outcome::Refused { .. } if self.refused == 0 || cost < self.refused => {
                    self.refused = cost;
                }
                // What can never be admitted is refused by its cost, not by these counters.
                Outcome::Allowed | Outcome::Refused { .. } | Outcome::Never => {}
            }
        }
    }

    pub(super) fn note(&mut self, policy: &Policy, now: Micros, cost: u32) {
        self.follow(policy, now);
        self.counters.note(policy, now, cost);
    }

    pub(super) fn refund(
        &mut self,
        policy: &Policy,
        now: Micros,
        stamp: Micros,
        cost: u32,
    ) -> bool {
        self.follow(policy, now);
        self.counters.refund(policy, now, stamp, cost)
    }

    /// Counts by this form of the policy from now on.
    #[inline]
    fn follow(&mut self, policy: &Policy, now: Micros) {
        if !self.policy.is_kept_like(policy) {
            self.counters.fit(&self.policy, policy, now);
            self.policy = Arc::new(policy.clone());
        }
    }

    /// Whether forgetting it loses nothing.
    fn is_whole(&self, now: Micros) -> bool {
        self.counters.empty_at(&self.policy) <= now
    }

    /// How much is used, unless somebody would be refused who has been or who comes now.
    fn used_share(&mut self, now: Micros) -> Option<u64> {
        self.counters.used_share(&self.policy, now, self.refused.max(1))
    }
}

/// Whether the two are one text. Most subjects are short: two words hold all of it, which takes
/// less time than the call that compares texts of any length.
#[inline]
fn is_same(one: &str, other: &str) -> bool {
    let [one, other] = [one.as_bytes(), other.as_bytes()];
    match (one.first_chunk::<8>(), other.first_chunk(), one.last_chunk::<8>(), other.last_chunk()) {
        (Some(first), Some(other_first), Some(last), Some(other_last)) if one.len() <= 16 => {
            one.len() == other.len() && first == other_first && last == other_last
        }
        _ => one == other,
    }
}
