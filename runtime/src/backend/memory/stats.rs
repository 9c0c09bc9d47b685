//! The statistics of a memory backend.

use crate::backend::Gauges;
use crate::stats::{BackendStats, MemoryStats};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The counters behind [`MemoryStats`]. A check of a key that is already stored touches them only
/// if it removes unused keys. They are on a cache line of their own, since new keys write them.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct MemoryCounts {
    keys: AtomicUsize,
    evicted: AtomicU64,
    overflowed: AtomicU64,
    bans_lifted: AtomicU64,
    most_visited: AtomicUsize,
}

impl MemoryCounts {
    /// Counts one more key, and returns `true`. If there are `max_keys` already, returns `false`.
    pub(super) fn reserve(&self, max_keys: usize) -> bool {
        let reserve = |keys| (keys < max_keys).then_some(keys + 1);
        self.keys.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve).is_ok()
    }

    pub(super) fn released(&self, keys: usize) {
        if keys > 0 {
            self.keys.fetch_sub(keys, Ordering::Relaxed);
        }
    }

    pub(super) fn evicted(&self) {
        self.evicted.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a charge to a shared counter. Returns `true` if it is the first one.
    pub(super) fn overflowed(&self) -> bool {
        self.overflowed.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// Counts a ban that gave way to others. Returns `true` if it is the first one.
    pub(super) fn ban_lifted(&self) -> bool {
        self.bans_lifted.fetch_add(1, Ordering::Relaxed) == 0
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
            bans_lifted: self.bans_lifted.load(Ordering::Relaxed),
            most_visited: self.most_visited.load(Ordering::Relaxed),
        }
    }
}

impl Gauges for MemoryCounts {
    fn read(&self) -> BackendStats {
        BackendStats::Memory(MemoryCounts::read(self))
    }
}
