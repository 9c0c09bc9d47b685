//! The refusals that are remembered, and what they answer.
//!
//! Between resets and refunds, what others do can only make a refusal last longer: whatever they
//! charge is added to what is in use, and each algorithm's wait grows with that and with the
//! cost. So a refusal of cost c, to be asked again in r, holds for every cost of at least c
//! until r has passed since it was given. It was given at the earliest when it was asked for.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use smallvec::SmallVec;

use super::super::keyed::Keyed;
use crate::Verdict;
use crate::algorithm::Micros;
use crate::{Outcome, Policy, QuotaState, Source};

/// How many numbers the keys share, a power of two, that change when a key is given something
/// back. That two keys share one costs at most a question more.
const EPOCHS: usize = 1 << 12;

pub(super) struct Refusals {
    kept: Keyed<Refusal>,
    epochs: Box<[AtomicU32]>,
    max_age: Micros,
}

/// When and after what a question was sent.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) hash: u64,
    pub(super) epoch: u32,
    pub(super) at: Micros,
}

struct Refusal {
    cost: u32,
    asked: Micros,
    answered: Micros,
    /// On the local clock, as the two above.
    until: Micros,
    /// From the answer on.
    retry_after: Micros,
    stamp: Micros,
    quotas: SmallVec<[QuotaState; 1]>,
}

impl Refusals {
    pub(super) fn new(max_keys: usize, max_age: Duration) -> Self {
        Self {
            kept: Keyed::new(max_keys),
            epochs: (0..EPOCHS).map(|_| AtomicU32::new(0)).collect(),
            max_age: micros(max_age),
        }
    }

    /// To be called before the store is asked.
    pub(super) fn ask(&self, policy: &Policy, subject: &str, at: Micros) -> Asked {
        let hash = self.kept.hash(policy, subject);
        Asked { hash, epoch: self.epoch(hash).load(Ordering::SeqCst), at }
    }

    /// Remembers what the store answered at `now`, if that was a refusal and nothing has been
    /// given back to the key since it was asked.
    pub(super) fn learn(
        &self,
        asked: Asked,
        policy: &Policy,
        subject: &str,
        cost: u32,
        verdict: &Verdict,
        now: Micros,
    ) {
        // What can never be admitted is not admitted later either.
        let retry_after = match verdict.outcome() {
            Outcome::Allowed => return,
            Outcome::Refused { retry_after } => micros(retry_after),
            Outcome::Never => Micros::MAX,
        };
        let refusal = Refusal {
            cost,
            asked: asked.at,
            answered: now,
            until: asked.at.saturating_add(retry_after.min(self.max_age)),
            retry_after,
            stamp: verdict.stamp_micros(),
            quotas: verdict.quotas().into(),
        };
        if !refusal.holds_at(now) {
            return;
        }
        let policy = self.kept.share(policy);
        let mut shard = self.kept.shard(asked.hash);
        // Read under the lock: who gives something back changes it before taking the lock, and
        // so either it is seen here, or what is put here is found there.
        if self.epoch(asked.hash).load(Ordering::SeqCst) != asked.epoch {
            return;
        }
        match shard.find(&policy, subject, asked.hash) {
            Some(entry) => {
                entry.policy = policy;
                entry.value = refusal;
            }
            None => {
                shard.insert(asked.hash, policy, subject, refusal, |_| false);
            }
        }
    }

    /// Answers a request of `cost` at `now`, if it is known that the store would refuse it.
    #[inline]
    pub(super) fn answer(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
        now: Micros,
        verdict: &mut Verdict,
    ) -> bool {
        let hash = self.kept.hash(policy, subject);
        let mut shard = self.kept.shard(hash);
        let Some(entry) = shard.find(policy, subject, hash) else { return false };
        if !entry.policy.counts_like(policy) {
            // Who is about to be asked will count otherwise from then on.
            shard.remove(policy, subject, hash);
            return false;
        }
        let known = entry.value.holds_at(now) && cost >= entry.value.cost;
        if known {
            entry.value.say(policy, cost, now, verdict);
        }
        known
    }

    /// Forgets a key to which something was given back.
    pub(super) fn forget(&self, policy: &Policy, subject: &str) {
        let hash = self.kept.hash(policy, subject);
        self.epoch(hash).fetch_add(1, Ordering::SeqCst);
        self.kept.shard(hash).remove(policy, subject, hash);
    }

    fn epoch(&self, hash: u64) -> &AtomicU32 {
        // Bits that choose neither the shard nor the place in it.
        &self.epochs[(hash >> 44) as usize & (EPOCHS - 1)]
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.kept.shards().map(|shard| shard.len()).sum()
    }
}

impl Refusal {
    /// A clock that has gone back knows nothing any more.
    fn holds_at(&self, now: Micros) -> bool {
        self.asked <= now && now < self.until
    }

    /// Says it again: what the store said, with its times nearer by what has passed since the
    /// answer came. Whoever then waits as long as it says comes no earlier than who was told
    /// by the store itself.
    fn say(&self, policy: &Policy, cost: u32, now: Micros, verdict: &mut Verdict) {
        let elapsed = now.saturating_sub(self.answered);
        let never = policy.quotas().iter().any(|quota| cost > quota.capacity());
        let outcome = if never {
            Outcome::Never
        } else {
            // It holds, so not all of it has passed.
            let retry_after = self.retry_after.saturating_sub(elapsed).max(1);
            Outcome::Refused { retry_after: Duration::from_micros(retry_after) }
        };
        verdict.restart(outcome, self.stamp.saturating_add(elapsed));
        verdict.set_source(Source::DenyCache);
        for (state, quota) in self.quotas.iter().zip(policy.quotas()) {
            verdict.push(state.aged(elapsed, quota, cost));
        }
    }
}

fn micros(span: Duration) -> Micros {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
