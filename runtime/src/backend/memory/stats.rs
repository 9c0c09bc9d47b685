//! The statistics of a memory backend.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::backend::{BackendStats, Gauges};

/// The statistics of a [`MemoryBackend`](super::MemoryBackend): the keys that it holds, and counts
/// since it was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// The number of keys that it holds.
    pub keys: usize,
    /// The number of keys that were evicted before they were fully replenished, because there was no
    /// room.
    pub evicted: u64,
    /// The number of checks that found no room for their subject and were answered from their
    /// policy's shared counter.
    pub overflowed: u64,
    /// The most keys that one check has looked at or moved, besides its own. It has a bound
    /// that does not grow with the number of keys.
    pub most_visited: usize,
}

/// The counters behind [`MemoryStats`]. Warm checks touch none of them.
#[derive(Debug, Default)]
pub(super) struct MemoryCounts {
    keys: AtomicUsize,
    evicted: AtomicU64,
    overflowed: AtomicU64,
    most_visited: AtomicUsize,
}

impl MemoryCounts {
    /// Reserves room for one more key; `false` if there are `max_keys` already.
    pub(super) fn reserve(&self, max_keys: usize) -> bool {
        let reserve = |keys| (keys < max_keys).then_some(keys + 1);
        self.keys.try_update(Ordering::Relaxed, Ordering::Relaxed, reserve).is_ok()
    }

    pub(super) fn released(&self, keys: usize) {
        if keys > 0 {
            self.keys.fetch_sub(keys, Ordering::Relaxed);
        }
    }

    pub(super) fn evicted(&self) {
        self.evicted.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an overflow. Returns `true` for the first.
    pub(super) fn overflowed(&self) -> bool {
        self.overflowed.fetch_add(1, Ordering::Relaxed) == 0
    }

    pub(super) fn visited(&self, keys: usize) {
        if keys > self.most_visited.load(Ordering::Relaxed) {
            self.most_visited.fetch_max(keys, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> MemoryStats {
        MemoryStats {
            keys: self.keys.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
            overflowed: self.overflowed.load(Ordering::Relaxed),
            most_visited: self.most_visited.load(Ordering::Relaxed),
        }
    }
}

impl Gauges for MemoryCounts {
    fn read(&self) -> BackendStats {
        BackendStats::Memory(MemoryCounts::read(self))
    }
}
