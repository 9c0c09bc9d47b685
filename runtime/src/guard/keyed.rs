//! What a guard remembers of keys: of a bounded number of them.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use smol_str::SmolStr;
use spin::Yield;
use spin::mutex::{SpinMutex, SpinMutexGuard};

use crate::Policy;
use crate::backend::memory::policies::Policies;

/// How many keys a shard holds when all is full.
const SHARD_KEYS: usize = 512;
const MAX_SHARDS: usize = 1 << 12;
/// How many keys are considered when one has to make room.
const SAMPLE: usize = 8;

/// A value for each of at most so many keys. At the bound the one goes that has not been asked
/// for since the hand came by last, as a clock's hand goes around them.
pub(crate) struct Keyed<V> {
    hasher: RandomState,
    /// As many as a power of two.
    shards: Box<[Padded<V>]>,
    policies: Policies,
}

/// On cache lines of its own, so that threads on different shards do not disturb each other.
#[repr(align(64))]
struct Padded<V>(SpinMutex<Shard<V>, Yield>);

/// A part of the keys, under one lock.
pub(crate) struct Shard<V> {
    /// Where in `entries`.
    index: HashTable<u32>,
    entries: Vec<Entry<V>>,
    most: usize,
    hand: usize,
}

/// One subject of one policy.
pub(crate) struct Entry<V> {
    pub(super) hash: u64,
    /// The policy by which the value came to be.
    pub(super) policy: Arc<Policy>,
    pub(super) subject: SmolStr,
    /// Whether it has been asked for since the hand came by.
    recent: bool,
    pub(crate) value: V,
}

impl<V> Keyed<V> {
    /// With room for `max_keys`, which is at least 1.
    pub(crate) fn new(max_keys: usize) -> Self {
        // A power of two, so that a mask picks the shard; and none without room.
        let shards = (max_keys / SHARD_KEYS).clamp(1, MAX_SHARDS).next_power_of_two();
        let most = max_keys / shards;
        let shard = || Shard { index: HashTable::new(), entries: Vec::new(), most, hand: 0 };
        Self {
            hasher: RandomState::default(),
            shards: (0..shards).map(|_| Padded(SpinMutex::new(shard()))).collect(),
            policies: Policies::default(),
        }
    }

    #[inline]
    pub(crate) fn hash(&self, policy: &Policy, subject: &str) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(subject.as_bytes());
        hasher.finish() ^ policy.name_hash()
    }

    /// The shard of that hash. The lock is held for no longer than it takes to look.
    #[inline]
    pub(crate) fn shard(&self, hash: u64) -> SpinMutexGuard<'_, Shard<V>, Yield> {
        // The table within the shard uses the lowest and the highest bits.
        self.shards[(hash >> 32) as usize & (self.shards.len() - 1)].0.lock()
    }

    /// One after the other.
    pub(super) fn shards(&self) -> impl Iterator<Item = SpinMutexGuard<'_, Shard<V>, Yield>> {
        self.shards.iter().map(|shard| shard.0.lock())
    }

    /// The policy, shared with other keys that are counted alike.
    pub(crate) fn share(&self, policy: &Policy) -> Arc<Policy> {
        self.policies.share(policy)
    }
}

impl<V> Shard<V> {
    #[inline]
    pub(crate) fn find(
        &mut self,
        policy: &Policy,
        subject: &str,
        hash: u64,
    ) -> Option<&mut Entry<V>> {
        let entries = &self.entries;
        let is_it = |at: &u32| entries[*at as usize].is_of(policy, subject);
        let at = *self.index.find(hash, is_it)?;
        let entry = &mut self.entries[at as usize];
        entry.recent = true;
        Some(entry)
    }

    /// Takes in a key that is not there. At the bound another one goes for it, but none that
    /// `stays`; `None` if there is no such other one.
    pub(crate) fn insert(
        &mut self,
        hash: u64,
        policy: Arc<Policy>,
        subject: &str,
        value: V,
        stays: impl Fn(&V) -> bool,
    ) -> Option<&mut Entry<V>> {
        if self.entries.len() >= self.most {
            let goes = self.least_missed(stays)?;
            self.remove_at(goes);
        }
        let at = self.entries.len();
        // It has to prove that it is asked for again.
        self.entries.push(Entry { hash, policy, subject: subject.into(), recent: false, value });
        let entries = &self.entries;
        // A shard's bound fits.
        self.index.insert_unique(hash, at as u32, |at| entries[*at as usize].hash);
        self.entries.last_mut()
    }

    pub(super) fn remove(&mut self, policy: &Policy, subject: &str, hash: u64) {
        let entries = &self.entries;
        let is_it = |at: &u32| entries[*at as usize].is_of(policy, subject);
        if let Some(at) = self.index.find(hash, is_it) {
            self.remove_at(*at as usize);
        }
    }

    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry<V>> {
        self.entries.iter_mut()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.index.len(), self.entries.len());
        self.entries.len()
    }

    fn least_missed(&mut self, stays: impl Fn(&V) -> bool) -> Option<usize> {
        let mut fallback = None;
        for _ in 0..SAMPLE.min(self.entries.len()) {
            self.hand = (self.hand + 1) % self.entries.len();
            let entry = &mut self.entries[self.hand];
            if stays(&entry.value) {
                continue;
            }
            if !entry.recent {
                return Some(self.hand);
            }
            entry.recent = false;
            fallback = fallback.or(Some(self.hand));
        }
        fallback
    }

    fn remove_at(&mut self, at: usize) {
        let last = self.entries.len() - 1;
        let removed = self.entries.swap_remove(at);
        if let Ok(entry) = self.index.find_entry(removed.hash, |place| *place as usize == at) {
            entry.remove();
        }
        if at < last {
            let moved = &self.entries[at];
            if let Some(of_moved) = self.index.find_mut(moved.hash, |at| *at as usize == last) {
                *of_moved = at as u32;
            }
        }
    }
}

impl<V> Entry<V> {
    #[inline]
    fn is_of(&self, policy: &Policy, subject: &str) -> bool {
        self.subject == subject && self.policy.has_name_of(policy)
    }
}
