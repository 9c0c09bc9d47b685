//! A map with a bounded number of keys. A key is a subject under a policy.
//!
//! The memory backend does not use this map. It has its own table, whose slots are laid out for the
//! processor's cache.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use smol_str::SmolStr;

use crate::backend::memory::policies::SharedPolicies;
use crate::sync::{SpinGuard, SpinLock};
use crate::{Check, Policy};

/// The number of keys in a shard when the map is full.
const SHARD_KEYS: usize = 512;
const MAX_SHARDS: usize = 1 << 12;
/// The number of entries in the sample from which an eviction selects one.
const SAMPLE: usize = 8;

/// A map with a bounded number of keys. When it is full, it evicts keys by the CLOCK (second
/// chance) algorithm.
pub(crate) struct BoundedMap<V> {
    hasher: RandomState,
    /// The shards, whose number is a power of two.
    shards: Box<[PaddedMapShard<V>]>,
    policies: SharedPolicies,
}

/// A shard on cache lines of its own, so that threads that use different shards do not slow each
/// other down.
#[repr(align(64))]
struct PaddedMapShard<V>(SpinLock<MapShard<V>>);

/// A part of the map's keys, under one lock.
pub(crate) struct MapShard<V> {
    /// A hash table of indices into `entries`.
    index: HashTable<u32>,
    entries: Vec<MapEntry<V>>,
    /// The maximum number of entries in this shard.
    most: usize,
    /// The index of the entry that an eviction examined last.
    hand: usize,
}

/// A key with its hash in one map, so that several steps with the key hash it only once.
#[derive(Clone, Copy)]
pub(crate) struct HashedKey<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) subject: &'a str,
    pub(super) hash: u64,
}

/// A key and its value.
pub(crate) struct MapEntry<V> {
    pub(super) hash: u64,
    /// The policy with the quotas and the algorithm for which the value was computed.
    pub(super) policy: Arc<Policy>,
    pub(super) subject: SmolStr,
    /// `true` if the entry was found since an eviction last examined it.
    recent: bool,
    pub(crate) value: V,
}

impl<V> BoundedMap<V> {
    /// Creates a map of at most `max_keys` keys, which must be at least 1.
    pub(crate) fn new(max_keys: usize) -> Self {
        // The number of shards is a power of two, so that a bit mask selects the shard. It is small
        // enough that each shard may have at least one key.
        let shards = (max_keys / SHARD_KEYS).clamp(1, MAX_SHARDS).next_power_of_two();
        let most = max_keys / shards;
        let shard = || MapShard { index: HashTable::new(), entries: Vec::new(), most, hand: 0 };
        Self {
            hasher: RandomState::default(),
            shards: (0..shards).map(|_| PaddedMapShard(SpinLock::new(shard()))).collect(),
            policies: SharedPolicies::default(),
        }
    }

    /// Hashes the key of a check for this map.
    #[inline]
    pub(crate) fn key<'a>(&self, check: &Check<'a>) -> HashedKey<'a> {
        let Check { policy, subject, .. } = *check;
        let mut hasher = self.hasher.build_hasher();
        hasher.write(subject.as_bytes());
        HashedKey { policy, subject, hash: hasher.finish() ^ policy.name_hash() }
    }

    /// Locks the shard of a key. The caller must release the lock after no more than a lookup,
    /// because other threads spin until then.
    #[inline]
    pub(crate) fn shard(&self, key: &HashedKey<'_>) -> SpinGuard<'_, MapShard<V>> {
        // Bits from the middle of the hash select the shard, because the table within the shard
        // uses the lowest and the highest bits.
        self.shards[(key.hash >> 32) as usize & (self.shards.len() - 1)].0.lock()
    }

    /// Returns an iterator that locks one shard after the other.
    pub(super) fn shards(&self) -> impl Iterator<Item = SpinGuard<'_, MapShard<V>>> {
        self.shards.iter().map(|shard| shard.0.lock())
    }

    /// Returns the policy as a shared pointer, which is the same for all keys as long as the quotas
    /// and the algorithm of the policy do not change.
    pub(crate) fn share(&self, policy: &Policy) -> Arc<Policy> {
        self.policies.share(policy)
    }
}

impl<V> MapShard<V> {
    #[inline]
    pub(crate) fn find(&mut self, key: &HashedKey<'_>) -> Option<&mut MapEntry<V>> {
        let entries = &self.entries;
        let is_it = |index: &u32| entries[*index as usize].is_of(key);
        let index = *self.index.find(key.hash, is_it)?;
        let entry = &mut self.entries[index as usize];
        entry.recent = true;
        Some(entry)
    }

    /// Adds a key that is not in the map. Its value was computed for `policy`. If the shard is
    /// full, another key is evicted, but none whose value is `pinned`. Returns `None`, and adds
    /// nothing, if no key can be evicted.
    pub(crate) fn insert(
        &mut self,
        key: &HashedKey<'_>,
        policy: Arc<Policy>,
        value: V,
        pinned: impl Fn(&V) -> bool,
    ) -> Option<&mut MapEntry<V>> {
        if self.entries.len() >= self.most {
            let evicted = self.choose_evicted(pinned)?;
            self.remove_at(evicted);
        }
        let index = self.entries.len();
        let HashedKey { hash, subject, .. } = *key;
        // The entry becomes `recent` only when it is found again, so that keys that are used once
        // are evicted first.
        let recent = false;
        self.entries.push(MapEntry { hash, policy, subject: subject.into(), recent, value });
        let entries = &self.entries;
        // A shard has far fewer than 2³² entries, so the index fits.
        self.index.insert_unique(hash, index as u32, |index| entries[*index as usize].hash);
        self.entries.last_mut()
    }

    pub(super) fn remove(&mut self, key: &HashedKey<'_>) {
        let entries = &self.entries;
        let is_it = |index: &u32| entries[*index as usize].is_of(key);
        if let Some(index) = self.index.find(key.hash, is_it) {
            self.remove_at(*index as usize);
        }
    }

    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = &mut MapEntry<V>> {
        self.entries.iter_mut()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.index.len(), self.entries.len());
        self.entries.len()
    }

    /// Returns the index of the entry to evict: the first one in the sample that was not found
    /// since an eviction last examined it, or else the first one in the sample that is not pinned.
    /// Returns `None` if all in the sample are pinned.
    fn choose_evicted(&mut self, pinned: impl Fn(&V) -> bool) -> Option<usize> {
        let mut fallback = None;
        for _ in 0..SAMPLE.min(self.entries.len()) {
            self.hand = (self.hand + 1) % self.entries.len();
            let entry = &mut self.entries[self.hand];
            if pinned(&entry.value) {
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

    fn remove_at(&mut self, removed: usize) {
        let last = self.entries.len() - 1;
        let entry = self.entries.swap_remove(removed);
        if let Ok(entry) = self.index.find_entry(entry.hash, |index| *index as usize == removed) {
            entry.remove();
        }
        if removed < last {
            let moved = &self.entries[removed];
            if let Some(index) = self.index.find_mut(moved.hash, |index| *index as usize == last) {
                *index = removed as u32;
            }
        }
    }
}

impl<V> MapEntry<V> {
    #[inline]
    fn is_of(&self, key: &HashedKey<'_>) -> bool {
        self.subject == key.subject && self.policy.has_name_of(key.policy)
    }
}
