//! The settings of a memory backend.

use std::fmt;
use std::sync::Arc;

use super::bans::Bans;
use super::key::KeyHasher;
use super::overflow::Overflow;
use super::permits::PermitTable;
use super::policies::SharedPolicies;
use super::{Cold, MemoryBackend, PaddedShard};
use crate::Clock;
use crate::backend::identity::next_identity;
use crate::clock::Time;

const DEFAULT_MAX_KEYS: usize = 100_000;
/// The average number of keys in a shard when the backend is full. It is small, so that two threads
/// seldom need the same shard, but large enough that the shards' own data do not fill the
/// processor's cache.
const SHARD_KEYS: usize = 64;
/// The maximum number of shards, unless a shard would then have more than [`MAX_SHARD_KEYS`] on
/// average.
const SHARDS: usize = 1024;
/// The maximum average number of keys in a shard. It bounds the work of one check, which is largest
/// when the check has to grow the shard's table.
const MAX_SHARD_KEYS: usize = 512;

/// Builds a [`MemoryBackend`].
pub struct MemoryBackendBuilder {
    max_keys: usize,
    time: Time,
}

impl MemoryBackendBuilder {
    pub(super) fn new() -> Self {
        Self { max_keys: DEFAULT_MAX_KEYS, time: Time::system() }
    }

    /// Sets the maximum number of keys, at least 1; 100,000 by default. A key takes 45 to 60 bytes under a
    /// policy with a bucket and one quota, and 90 to 115 bytes otherwise. The sliding window adds memory
    /// from the eighth admission in a period on: 4 bytes for each. With a period of more than 71 minutes it
    /// is from the fifth on, and 6 bytes for each. Where costs vary, there are several quotas, or the limit
    /// is above 1,024, it is from the second on, and 8 bytes for each or up to 16. This memory grows in
    /// steps, so that it can be twice as large as needed.
    #[must_use]
    pub fn max_keys(mut self, max_keys: usize) -> Self {
        self.max_keys = max_keys.max(1);
        self
    }

    /// Reads the time from `clock` instead of the machine's clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.time = Time::of(clock);
        self
    }

    /// Builds the backend.
    #[must_use]
    pub fn build(self) -> MemoryBackend {
        // The number of shards is a power of two, so that a bit mask selects the shard.
        let shards = self.max_keys.div_ceil(SHARD_KEYS).min(SHARDS);
        let shards = shards.max(self.max_keys.div_ceil(MAX_SHARD_KEYS)).next_power_of_two();
        MemoryBackend {
            max_keys: self.max_keys,
            identity: next_identity(),
            time: self.time,
            hasher: KeyHasher::new(),
            shards: (0..shards).map(|_| PaddedShard::default()).collect(),
            counts: Arc::default(),
            cold: Cold {
                policies: SharedPolicies::default(),
                overflow: Overflow::default(),
                bans: Bans::new(self.max_keys),
                permits: PermitTable::default(),
            },
        }
    }
}

impl fmt::Debug for MemoryBackendBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { max_keys, time: _ } = self;
        f.debug_struct("MemoryBackendBuilder").field("max_keys", max_keys).finish_non_exhaustive()
    }
}
