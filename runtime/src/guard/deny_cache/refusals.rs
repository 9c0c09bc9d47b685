//! The stored refusals, and the answers that follow from them.
//!
//! Between resets and refunds, other requests can only make a refusal last longer: the units that
//! they charge are added to the units in use, and each algorithm's wait grows with the units in use
//! and with the cost. So a refusal of cost c with the retry time r is valid for every cost of at
//! least c, until r has passed since the store decided. The store decided no earlier than it was
//! asked, so r is counted from then.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use smallvec::SmallVec;

use super::super::bounded_map::{BoundedMap, HashedKey};
use crate::micros::{TimeSpan, Timestamp};
use crate::verdict::Verdict;
use crate::{Check, Outcome, QuotaState, Source};

/// The number of epochs, a power of two. Keys share the epochs, and a key's epoch changes when the
/// key is reset or refunded. If two keys share an epoch, that costs at most an extra request to the
/// store.
const EPOCHS: usize = 1 << 12;

pub(super) struct Refusals {
    map: BoundedMap<CachedRefusal>,
    epochs: Box<[AtomicU32]>,
    max_age: TimeSpan,
}

/// The time at which a check was sent to the store, and the epoch of its key at that time.
#[derive(Clone, Copy)]
pub(super) struct SentCheck<'a> {
    key: HashedKey<'a>,
    epoch: u32,
    at: Timestamp,
}

/// The reason for a refusal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Quota,
    Banned,
    Blocked,
}

/// A refusal by the store. All its times except `stamp` are on the local clock.
struct CachedRefusal {
    cost: u32,
    kind: Kind,
    asked: Timestamp,
    answered: Timestamp,
    /// The time until which the refusal is reused.
    until: Timestamp,
    /// The time to wait before a retry, counted from `answered`.
    retry_after: TimeSpan,
    stamp: Timestamp,
    quotas: SmallVec<[QuotaState; 1]>,
}

impl Refusals {
    pub(super) fn new(max_keys: usize, max_age: Duration) -> Self {
        Self {
            map: BoundedMap::new(max_keys),
            epochs: (0..EPOCHS).map(|_| AtomicU32::new(0)).collect(),
            max_age: TimeSpan::from_duration(max_age),
        }
    }

    /// Returns the record of a check that is about to be sent to the store.
    pub(super) fn sending<'a>(&self, check: &Check<'a>, at: Timestamp) -> SentCheck<'a> {
        let key = self.key(check);
        SentCheck { key, epoch: self.epoch(&key).load(Ordering::SeqCst), at }
    }

    /// Stores the store's answer to a check of `cost`, which arrived at `now`, if it is a refusal
    /// and the key was neither reset nor refunded since the check was sent.
    pub(super) fn learn(&self, sent: SentCheck<'_>, cost: u32, verdict: &Verdict, now: Timestamp) {
        // Neither a cost that can never be admitted nor a blocked subject is admitted later.
        let (kind, retry_after) = match verdict.outcome() {
            Outcome::Allowed => return,
            Outcome::Refused { retry_after } => (Kind::Quota, TimeSpan::from_duration(retry_after)),
            Outcome::Banned { retry_after } => (Kind::Banned, TimeSpan::from_duration(retry_after)),
            Outcome::Never => (Kind::Quota, TimeSpan::MAX),
            Outcome::Blocked => (Kind::Blocked, TimeSpan::MAX),
        };
        let SentCheck { key, epoch, at: asked } = sent;
        let refusal = CachedRefusal {
            // A ban is one of requests of any cost.
            cost: if kind == Kind::Banned { 0 } else { cost },
            kind,
            asked,
            answered: now,
            until: asked.saturating_add(retry_after.min(self.max_age)),
            retry_after,
            stamp: Timestamp::from_micros(verdict.stamp_micros()),
            quotas: verdict.quotas().into(),
        };
        if !refusal.holds_at(now) {
            return;
        }
        let policy = self.map.share(key.policy);
        let mut shard = self.map.shard(&key);
        // The epoch is read under the lock. `forget` changes the epoch before it takes the lock, so
        // either the change is seen here, or `forget` finds the entry that is inserted here.
        if self.epoch(&key).load(Ordering::SeqCst) != epoch {
            return;
        }
        match shard.find(&key) {
            Some(entry) => {
                entry.policy = policy;
                entry.value = refusal;
            }
            None => {
                shard.insert(&key, policy, refusal, |_| false);
            }
        }
    }

    /// Writes a refusal to `verdict`, if a stored refusal shows that the store would refuse the
    /// check at `now`. Returns `true` if so.
    #[inline]
    pub(super) fn answer(&self, check: &Check<'_>, now: Timestamp, verdict: &mut Verdict) -> bool {
        let key = self.key(check);
        let mut shard = self.map.shard(&key);
        let Some(entry) = shard.find(&key) else { return false };
        if !entry.policy.counts_like(check.policy) {
            // The policy has changed, and the store will decide by the new one, so this refusal is
            // stale.
            shard.remove(&key);
            return false;
        }
        let known = entry.value.holds_at(now) && check.cost >= entry.value.cost;
        if known {
            entry.value.write(check, now, verdict);
        }
        known
    }

    /// Removes the refusal of a key that was reset or refunded.
    pub(super) fn forget(&self, check: &Check<'_>) {
        let key = self.key(check);
        self.epoch(&key).fetch_add(1, Ordering::SeqCst);
        self.map.shard(&key).remove(&key);
    }

    #[inline]
    fn key<'a>(&self, check: &Check<'a>) -> HashedKey<'a> {
        self.map.key(check)
    }

    fn epoch(&self, key: &HashedKey<'_>) -> &AtomicU32 {
        // These bits of the hash select neither the shard nor the place in the shard.
        &self.epochs[(key.hash >> 44) as usize & (EPOCHS - 1)]
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.map.shards().map(|shard| shard.len()).sum()
    }
}

impl CachedRefusal {
    /// Returns `true` if the refusal may be reused at `now`. Returns `false` also if the clock was
    /// set back to before the check was sent.
    fn holds_at(&self, now: Timestamp) -> bool {
        self.asked <= now && now < self.until
    }

    /// Writes the store's answer to `verdict`, with its times shortened by the time since it
    /// arrived. A caller that waits for the resulting time comes no earlier than a caller that the
    /// store itself answered.
    fn write(&self, check: &Check<'_>, now: Timestamp, verdict: &mut Verdict) {
        let elapsed = now.saturating_since(self.answered);
        let quotas = check.policy.quotas();
        let never = quotas.iter().any(|quota| check.cost > quota.capacity());
        // The refusal is still valid, so some of the time is left.
        let left = self.retry_after.saturating_sub(elapsed).max(TimeSpan::ONE).to_duration();
        let outcome = match self.kind {
            Kind::Blocked => Outcome::Blocked,
            Kind::Banned => Outcome::Banned { retry_after: left },
            Kind::Quota if never => Outcome::Never,
            Kind::Quota => Outcome::Refused { retry_after: left },
        };
        verdict.restart(outcome, self.stamp.saturating_add(elapsed).micros());
        verdict.set_source(Source::DenyCache);
        for (state, quota) in self.quotas.iter().zip(quotas) {
            verdict.push(state.aged(elapsed, quota, check.cost));
        }
    }
}
