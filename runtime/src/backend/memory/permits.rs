//! The permits of requests in flight that this process has given.
//!
//! They are apart from the counters: nothing evicts a permit that is held, and a key without permits
//! takes no room. There are never more keys than requests in flight.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use smol_str::SmolStr;

use super::{Lock, MemoryBackend, lock};
use crate::algorithm::{peek_permits, take_permit};
use crate::backend::store::Permits;
use crate::verdict::Verdict;
use crate::{BackendError, Check, InFlight, Outcome};

/// The number of shards, a power of two.
const SHARDS: usize = 64;

/// The permits that are held, by policy and subject.
pub(super) struct PermitTable {
    hasher: RandomState,
    shards: Box<[PaddedPermits]>,
}

/// A shard on cache lines of its own.
#[repr(align(64))]
#[derive(Default)]
struct PaddedPermits(Lock<HashTable<KeyPermits>>);

/// The permits of one subject under one policy, at least one.
struct KeyPermits {
    hash: u64,
    policy: SmolStr,
    subject: SmolStr,
    held: u32,
}

impl KeyPermits {
    fn is_of(&self, check: &Check<'_>) -> bool {
        self.subject == check.subject && self.policy == check.policy.name()
    }
}

impl Default for PermitTable {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| PaddedPermits::default()).collect();
        Self { hasher: RandomState::default(), shards }
    }
}

impl PermitTable {
    /// Calls `decide` with the number of permits that the check's subject holds, and adds one if it
    /// returns `true`. No other permit of the subject is given or released meanwhile.
    fn take_if(&self, check: &Check<'_>, decide: impl FnOnce(u32) -> bool) {
        let hash = self.hash(check);
        let mut shard = lock(&self.shard(hash).0);
        match shard.entry(hash, |permits| permits.is_of(check), |permits| permits.hash) {
            Entry::Occupied(mut entry) => {
                let permits = entry.get_mut();
                if decide(permits.held) {
                    permits.held = permits.held.saturating_add(1);
                }
            }
            Entry::Vacant(entry) => {
                if decide(0) {
                    let (policy, subject) = (check.policy.name_handle(), check.subject.into());
                    entry.insert(KeyPermits { hash, policy, subject, held: 1 });
                }
            }
        }
    }

    /// Adds a permit, whatever the limit.
    pub(super) fn take(&self, check: &Check<'_>) {
        self.take_if(check, |_| true);
    }

    /// Releases a permit.
    fn release(&self, check: &Check<'_>) {
        let hash = self.hash(check);
        let mut shard = lock(&self.shard(hash).0);
        if let Ok(mut entry) = shard.find_entry(hash, |permits| permits.is_of(check)) {
            let permits = entry.get_mut();
            permits.held -= 1;
            if permits.held == 0 {
                entry.remove();
            }
        }
    }

    fn hash(&self, check: &Check<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(check.subject.as_bytes());
        hasher.finish() ^ check.policy.name_hash()
    }

    fn shard(&self, hash: u64) -> &PaddedPermits {
        // The table uses the other bits of the hash.
        &self.shards[(hash >> 24) as usize & (SHARDS - 1)]
    }
}

impl MemoryBackend {
    /// Takes a permit and charges the quotas, if both are there, and otherwise does neither.
    #[cold]
    pub(super) fn charge_with_permit(
        &self,
        check: &Check<'_>,
        in_flight: InFlight,
        verdict: &mut Verdict,
    ) -> Result<(), BackendError> {
        let mut charged = Ok(());
        self.cold.permits.take_if(check, |held| {
            let is_free = check.cost == 0 || held < in_flight.limit();
            if check.policy.quotas().is_empty() {
                verdict.restart(Outcome::Allowed, self.now().micros());
            } else if is_free {
                charged = self.charge_quotas(check, verdict);
            } else {
                self.peek_quotas(check, verdict);
            }
            charged.is_ok() && take_permit(check, held, verdict)
        });
        charged
    }

    /// Looks if a permit is free and the quotas admit a check.
    pub(super) fn peek_with_permits(&self, check: &Check<'_>, verdict: &mut Verdict) {
        self.cold.permits.take_if(check, |held| {
            if check.policy.quotas().is_empty() {
                verdict.restart(Outcome::Allowed, self.now().micros());
            } else {
                self.peek_quotas(check, verdict);
            }
            peek_permits(check, held, verdict);
            false
        });
    }
}

impl Permits for MemoryBackend {
    fn adopt(&self, check: &Check<'_>) {
        self.cold.permits.take(check);
    }

    fn release(&self, check: &Check<'_>) {
        self.cold.permits.release(check);
    }

    fn each_held(&self, add: &mut dyn FnMut(&str, u32)) {
        for shard in &self.cold.permits.shards {
            lock(&shard.0).iter().for_each(|permits| add(&permits.policy, permits.held));
        }
    }
}
