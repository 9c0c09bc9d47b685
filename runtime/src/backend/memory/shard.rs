//! A part of the keys under one lock: found by hash, collected by a cursor.

use std::num::NonZeroUsize;

use hashbrown::HashTable;
use smol_str::SmolStr;

use crate::Policy;
use crate::algorithm::{Counters, Mode};
use crate::backend::{Operation, Verdict};
use crate::decision::Outcome;

/// How many keys a charge looks at to see whether they can be collected.
const COLLECT: usize = 2;
/// How many keys are considered when one has to make room.
const SAMPLE: usize = 16;

/// Keys in the order of their coming, with gaps closed from the end, and an index by hash.
pub(super) struct Shard {
    max_keys: usize,
    index: HashTable<usize>,
    slots: Vec<Slot>,
    /// Where collecting and sampling go on.
    cursor: usize,
}

struct Slot {
    hash: u64,
    policy: SmolStr,
    subject: Box<str>,
    counters: Counters,
    standing: Standing,
}

/// What decides whether a key may be forgotten, as of its last decision.
#[derive(Clone, Copy)]
struct Standing {
    /// When forgetting it loses nothing.
    empty_at: u64,
    /// Until when it refuses somebody who has asked.
    refusing_until: u64,
    /// The used share of its tightest quota, in 1/65536.
    used: u32,
}

/// Where a subject's counters are, or could go.
pub(super) enum Place {
    Held(usize),
    Room { victim: Option<usize> },
    Full,
}

impl Shard {
    pub(super) fn new(max_keys: usize) -> Self {
        Self { max_keys, index: HashTable::new(), slots: Vec::new(), cursor: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn place(&mut self, policy: &Policy, subject: &str, hash: u64, now: u64) -> Place {
        if let Some(slot) = self.find(policy, subject, hash) {
            Place::Held(slot)
        } else if self.slots.len() < self.max_keys {
            Place::Room { victim: None }
        } else {
            self.victim(now).map_or(Place::Full, |victim| Place::Room { victim: Some(victim) })
        }
    }

    pub(super) fn decide(
        &mut self,
        slot: usize,
        policy: &Policy,
        now: u64,
        cost: u32,
        mode: Mode,
    ) -> Verdict {
        let slot = &mut self.slots[slot];
        let verdict = slot.counters.decide(policy, now, cost, mode);
        if mode == Mode::Charge {
            slot.standing = Standing::after(&verdict, &slot.counters, policy);
        }
        verdict
    }

    /// Takes a new key in, in the place of `victim` if there is one.
    pub(super) fn insert(
        &mut self,
        victim: Option<usize>,
        operation: &Operation<'_>,
        hash: u64,
        counters: Counters,
        verdict: &Verdict,
    ) {
        if let Some(victim) = victim {
            self.remove_slot(victim);
        }
        let Operation { policy, subject, .. } = *operation;
        let standing = Standing::after(verdict, &counters, policy);
        let slots = &self.slots;
        self.index.insert_unique(hash, slots.len(), |&slot| slots[slot].hash);
        let policy = policy.name_handle().clone();
        self.slots.push(Slot { hash, policy, subject: subject.into(), counters, standing });
    }

    pub(super) fn refund(
        &mut self,
        operation: &Operation<'_>,
        hash: u64,
        now: u64,
        stamp: u64,
        cost: u32,
    ) -> bool {
        let Operation { policy, subject, .. } = *operation;
        let Some(slot) = self.find(policy, subject, hash) else {
            return false;
        };
        let slot = &mut self.slots[slot];
        let refunded = slot.counters.refund(policy, now, stamp, cost);
        if refunded {
            slot.standing.empty_at = slot.counters.empty_at(policy);
            slot.standing.refusing_until = now;
        }
        refunded
    }

    pub(super) fn remove(&mut self, policy: &Policy, subject: &str, hash: u64) {
        if let Some(slot) = self.find(policy, subject, hash) {
            self.remove_slot(slot);
        }
    }

    /// Forgets those of the next few keys that are whole again.
    pub(super) fn collect(&mut self, now: u64) {
        for _ in 0..COLLECT {
            let Some(slot) = self.next_slot() else { return };
            if self.slots[slot].standing.empty_at <= now {
                self.remove_slot(slot);
            }
        }
    }

    /// Of a few keys from all over the shard the one that is missed least, if any may go.
    fn victim(&mut self, now: u64) -> Option<usize> {
        let start = self.next_slot()?;
        let len = self.slots.len();
        // Keys that came together often stand alike, so neighbours make a poor sample.
        let stride = (len / SAMPLE).max(1);
        let mut least_used = None;
        for step in 0..SAMPLE.min(len) {
            let slot = (start + step * stride) % len;
            let standing = self.slots[slot].standing;
            if standing.empty_at <= now {
                return Some(slot);
            }
            if standing.refusing_until <= now
                && least_used.is_none_or(|(used, _)| standing.used < used)
            {
                least_used = Some((standing.used, slot));
            }
        }
        least_used.map(|(_, slot)| slot)
    }

    fn next_slot(&mut self) -> Option<usize> {
        let len = NonZeroUsize::new(self.slots.len())?;
        let slot = self.cursor % len;
        self.cursor = slot + 1;
        Some(slot)
    }

    fn find(&self, policy: &Policy, subject: &str, hash: u64) -> Option<usize> {
        let is_it = |&slot: &usize| {
            let slot = &self.slots[slot];
            slot.hash == hash && *slot.subject == *subject && slot.policy == policy.name()
        };
        self.index.find(hash, is_it).copied()
    }

    fn remove_slot(&mut self, slot: usize) {
        let last = self.slots.len() - 1;
        if let Ok(entry) = self.index.find_entry(self.slots[slot].hash, |&at| at == slot) {
            entry.remove();
        }
        if let Some(at) = self.index.find_mut(self.slots[last].hash, |&at| at == last) {
            *at = slot;
        }
        self.slots.swap_remove(slot);
    }
}

impl Standing {
    fn after(verdict: &Verdict, counters: &Counters, policy: &Policy) -> Self {
        let now = verdict.stamp_micros();
        let refused_for = match verdict.outcome() {
            Outcome::Refused { retry_after } => retry_after,
            // What can never be admitted is refused by its cost, not by these counters.
            Outcome::Allowed | Outcome::Never => std::time::Duration::ZERO,
        };
        let quotas = || verdict.quotas().iter().zip(policy.quotas());
        let spent = quotas().filter(|(state, _)| state.remaining() == 0);
        let spent_for = spent.map(|(state, _)| state.more_after()).max().unwrap_or_default();
        let used = quotas().map(|(state, quota)| {
            let used = u64::from(quota.limit().saturating_sub(state.remaining()));
            ((used << 16) / u64::from(quota.limit())) as u32
        });
        Self {
            empty_at: counters.empty_at(policy),
            refusing_until: now + refused_for.max(spent_for).as_micros() as u64,
            used: used.max().unwrap_or(0),
        }
    }
}
