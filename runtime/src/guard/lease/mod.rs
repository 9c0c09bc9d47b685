//! Leases: several permits for a hot key, obtained in one round trip to the store.
//!
//! The store charges all units of a lease together, by the same atomic decision as any other
//! charge. Then this process hands them out as permits, so no permit is spent that was not charged
//! before. [`LocalTier`] describes the bounds on the time until a permit is spent, and on the
//! number of unspent permits.
//!
//! [`LocalTier`]: crate::LocalTier

mod key_lease;
#[cfg(all(test, shuttle))]
mod models;
mod refill;
mod returns;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;

use self::key_lease::{KeyLease, LeaseLimits};
use self::returns::Returns;
use super::bounded_map::{BoundedMap, HashedKey, MapEntry};
use crate::algorithm::Settlement;
use crate::backend::store::{Answers, BoxFuture, Store};
use crate::micros::{TimeSpan, Timestamp};
use crate::operation::{Action, Answer, Operation};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::verdict::Verdict;
use crate::{BackendError, Check, Clock, Policy, Settled, Source};

/// The guard that answers checks from leases. It is in front of the deny cache, so that the refunds
/// of unspent permits pass through the cache, which then removes its refusals of the key.
pub(super) struct Lease {
    shared: Arc<SharedLeases>,
}

/// State shared with background tasks, which can outlive the check that started them.
struct SharedLeases {
    leases: BoundedMap<KeyLease>,
    limits: LeaseLimits,
    returns: Returns,
    closed: AtomicBool,
    clock: Arc<dyn Clock>,
    inner: Box<dyn Store>,
}

/// The key of a lease, with owned parts, for use in background tasks.
#[derive(Clone)]
struct LeaseKey {
    policy: Arc<Policy>,
    subject: SmolStr,
    hash: u64,
}

impl Lease {
    /// Creates the guard in front of `inner`. A lease has up to `max` permits, which may be spent
    /// for at most `hold`.
    pub(super) fn new(
        inner: Box<dyn Store>,
        clock: Arc<dyn Clock>,
        max_keys: usize,
        max: u32,
        hold: Duration,
    ) -> Self {
        let shared = SharedLeases {
            leases: BoundedMap::new(max_keys),
            limits: LeaseLimits { max, hold: TimeSpan::from_duration(hold) },
            returns: Returns::default(),
            closed: AtomicBool::new(false),
            clock,
            inner,
        };
        Self { shared: Arc::new(shared) }
    }

    async fn one(&self, operation: &Operation<'_>) -> Result<Answer, BackendError> {
        let shared = &self.shared;
        let check = &operation.check;
        match operation.action {
            Action::Charge => shared.charge(check).await.map(Answer::Verdict),
            Action::Refund { .. } | Action::Settle { .. } => match shared.take_back(operation) {
                Some(answer) => Ok(answer),
                None => shared.inner.apply_one(&of_store(operation)).await,
            },
            Action::Reset | Action::Ban { .. } => {
                let _reset = ResetGuard::new(shared, check);
                shared.inner.apply_one(operation).await
            }
            Action::Peek | Action::Unban => shared.inner.apply_one(operation).await,
        }
    }
}

impl Store for Lease {
    fn inner(&self) -> Option<&dyn Store> {
        Some(&*self.shared.inner)
    }

    #[inline]
    fn charge_now(
        &self,
        check: &Check<'_>,
        verdict: &mut Verdict,
    ) -> Option<Result<(), BackendError>> {
        if self.shared.spend(&self.shared.key(check), check.cost, verdict) {
            return Some(Ok(()));
        }
        self.shared.inner.charge_now(check, verdict)
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        match operation.action {
            Action::Charge => {
                let mut verdict = Verdict::open();
                let charged = self.charge_now(&operation.check, &mut verdict)?;
                Some(charged.map(|()| Answer::Verdict(verdict)))
            }
            Action::Refund { .. } | Action::Settle { .. } => {
                self.shared.take_back(operation).map(Ok)
            }
            Action::Peek | Action::Unban => self.shared.inner.apply_now(operation),
            Action::Reset | Action::Ban { .. } => None,
        }
    }

    fn apply<'a>(&'a self, batch: &'a [Operation<'a>]) -> BoxFuture<'a, Answers> {
        Box::pin(async move {
            if let [operation] = batch {
                return vec![self.one(operation).await];
            }
            // The operation of a request is always alone in its batch. A larger batch is internal
            // bookkeeping, so it bypasses the leases and is sent in one round trip.
            let _resets: Vec<_> = batch
                .iter()
                .filter(|operation| matches!(operation.action, Action::Reset | Action::Ban { .. }))
                .map(|operation| ResetGuard::new(&self.shared, &operation.check))
                .collect();
            let batch: Vec<_> = batch.iter().map(of_store).collect();
            self.shared.inner.apply(&batch).await
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.shared.close())
    }
}

impl SharedLeases {
    #[inline]
    fn key<'a>(&self, check: &Check<'a>) -> HashedKey<'a> {
        self.leases.key(check)
    }

    #[inline]
    fn spend(&self, key: &HashedKey<'_>, cost: u32, verdict: &mut Verdict) -> bool {
        let mut shard = self.leases.shard(key);
        shard.find(key).is_some_and(|entry| {
            entry.policy.counts_like(key.policy)
                && entry.value.spend(cost, self.now(), self.limits.of(key.policy), verdict)
        })
    }

    /// Puts spent permits back into their lease, if it has not ended. Returns the answer to the
    /// operation if it did so.
    fn take_back(&self, operation: &Operation<'_>) -> Option<Answer> {
        let check = &operation.check;
        let (stamp_micros, actual, answer) = match operation.action {
            Action::Refund { stamp_micros, forgives: false, .. } => {
                (stamp_micros, 0, Answer::Refunded(true))
            }
            Action::Settle { stamp_micros, actual, .. } if actual < check.cost => {
                (stamp_micros, actual, Answer::Settled(Settled::Refunded))
            }
            _ => return None,
        };
        let key = self.key(check);
        let mut shard = self.leases.shard(&key);
        let entry = shard.find(&key)?;
        let charged_at = Timestamp::from_micros(stamp_micros);
        let refund = || Settlement { now: self.now(), charged_at, cost: check.cost, actual };
        let taken = entry.policy.counts_like(check.policy) && entry.value.take_back(refund());
        taken.then_some(answer)
    }

    /// Drops a key's lease, because a reset removes its charge from the store, or because its subject
    /// is banned.
    fn forget(&self, check: &Check<'_>) {
        let key = self.key(check);
        if let Some(entry) = self.leases.shard(&key).find(&key) {
            entry.value.forget();
        }
    }

    /// Stops leasing, waits for the refills in progress, and returns all unspent permits to the
    /// store.
    async fn close(self: &Arc<Self>) {
        self.closed.store(true, Ordering::SeqCst);
        let refills: Vec<_> = self
            .leases
            .shards()
            .flat_map(|mut shard| {
                shard.entries_mut().filter_map(|entry| entry.value.refill()).collect::<Vec<_>>()
            })
            .collect();
        for refill in refills {
            let _ = refill::wait_for_refill(refill).await;
        }
        for mut shard in self.leases.shards() {
            for entry in shard.entries_mut() {
                let (key, grant) = (LeaseKey::of(entry), entry.value.retire());
                self.returns.add(key, grant);
            }
        }
        self.return_due().await;
        self.inner.close().await;
    }
}

impl LeaseKey {
    fn new(policy: Arc<Policy>, key: &HashedKey<'_>) -> Self {
        Self { policy, subject: key.subject.into(), hash: key.hash }
    }

    fn of(entry: &MapEntry<KeyLease>) -> Self {
        let (policy, subject) = (Arc::clone(&entry.policy), entry.subject.clone());
        Self { policy, subject, hash: entry.hash }
    }

    fn check(&self, cost: u32) -> Check<'_> {
        Check::new(&self.policy, &self.subject, cost)
    }

    fn hashed(&self) -> HashedKey<'_> {
        HashedKey { policy: &self.policy, subject: &self.subject, hash: self.hash }
    }
}

/// Returns the operation as it is sent to the store. The refund or settlement of a permit becomes
/// that of one of the store's own charges, because the store made the charge of the lease.
fn of_store<'a>(operation: &Operation<'a>) -> Operation<'a> {
    let mut operation = *operation;
    if let Action::Refund { source, .. } | Action::Settle { source, .. } = &mut operation.action {
        *source = Source::Store;
    }
    operation
}

/// A guard for a reset or a ban in progress. It drops the key's lease at once, and again when the store has
/// answered, because more permits may have been leased before the operation reached the store.
struct ResetGuard<'a> {
    shared: &'a SharedLeases,
    check: Check<'a>,
}

impl<'a> ResetGuard<'a> {
    fn new(shared: &'a SharedLeases, check: &Check<'a>) -> Self {
        shared.forget(check);
        Self { shared, check: *check }
    }
}

impl Drop for ResetGuard<'_> {
    fn drop(&mut self) {
        self.shared.forget(&self.check);
    }
}
