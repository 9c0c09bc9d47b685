//! Leases: permits of a hot key, several in one journey to the store.
//!
//! A lease is a charge of several units, by the same atomic decision as any, which are then
//! handed out here. So nothing is ever spent that was not charged before; what is bounded is
//! how much later it is spent, and how much lies idle meanwhile: see [`LocalTier`].
//!
//! [`LocalTier`]: crate::LocalTier

mod account;
mod refill;
mod returns;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use smol_str::SmolStr;

use self::account::{Account, Terms};
use self::returns::Returns;
use super::keyed::Keyed;
use crate::backend::store::{Answers, BoxFuture, Store};
use crate::{Action, Answer, BackendError, Check, Clock, Operation, Policy, Verdict};

/// Stands before the deny cache, which so learns of what is given back.
pub(super) struct Lease {
    shared: Arc<Shared>,
}

/// What those hold on to who go on when whoever began it has left.
struct Shared {
    accounts: Keyed<Account>,
    terms: Terms,
    returns: Returns,
    closed: AtomicBool,
    clock: Arc<dyn Clock>,
    inner: Box<dyn Store>,
}

/// An account's key.
#[derive(Clone)]
struct Key {
    policy: Arc<Policy>,
    subject: SmolStr,
    hash: u64,
}

impl Lease {
    /// Leases up to `max` permits for as long as `hold`.
    pub(super) fn new(
        inner: Box<dyn Store>,
        clock: Arc<dyn Clock>,
        max_keys: usize,
        max: u32,
        hold: Duration,
    ) -> Self {
        let hold = u64::try_from(hold.as_micros()).unwrap_or(u64::MAX);
        let shared = Shared {
            accounts: Keyed::new(max_keys),
            terms: Terms { max, hold },
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
            Action::Refund { stamp_micros, .. } => {
                if shared.take_back(check, stamp_micros) {
                    return Ok(Answer::Refunded(true));
                }
                shared.inner.apply_one(&of_store(operation)).await
            }
            Action::Reset => {
                let _forgetting = Forgetting::new(shared, check);
                shared.inner.apply_one(operation).await
            }
            Action::Peek => shared.inner.apply_one(operation).await,
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
        if self.shared.spend(check, verdict) {
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
            Action::Refund { stamp_micros, .. } => self
                .shared
                .take_back(&operation.check, stamp_micros)
                .then_some(Ok(Answer::Refunded(true))),
            Action::Peek => self.shared.inner.apply_now(operation),
            Action::Reset => None,
        }
    }

    fn apply<'a>(&'a self, batch: &'a [Operation<'a>]) -> BoxFuture<'a, Answers> {
        Box::pin(async move {
            if let [operation] = batch {
                return vec![self.one(operation).await];
            }
            // Requests always come alone. A batch is internal bookkeeping, so it bypasses leases
            // and goes out in one round trip.
            let _forgetting: Vec<_> = batch
                .iter()
                .filter(|operation| operation.action == Action::Reset)
                .map(|operation| Forgetting::new(&self.shared, &operation.check))
                .collect();
            let batch: Vec<_> = batch.iter().map(of_store).collect();
            self.shared.inner.apply(&batch).await
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.shared.close())
    }
}

impl Shared {
    #[inline]
    fn spend(&self, check: &Check<'_>, verdict: &mut Verdict) -> bool {
        let Check { policy, subject, cost, .. } = *check;
        let hash = self.accounts.hash(policy, subject);
        let mut shard = self.accounts.shard(hash);
        shard.find(policy, subject, hash).is_some_and(|entry| {
            entry.policy.counts_like(policy)
                && entry.value.spend(cost, self.clock.now_micros(), self.terms.of(policy), verdict)
        })
    }

    /// Takes back what was spent of a lease that still can be.
    fn take_back(&self, check: &Check<'_>, stamp: u64) -> bool {
        let Check { policy, subject, cost, .. } = *check;
        let hash = self.accounts.hash(policy, subject);
        let mut shard = self.accounts.shard(hash);
        shard.find(policy, subject, hash).is_some_and(|entry| {
            entry.policy.counts_like(policy)
                && entry.value.take_back(stamp, cost, self.clock.now_micros())
        })
    }

    /// Forgets what is leased, as the store does.
    fn forget(&self, check: &Check<'_>) {
        let Check { policy, subject, .. } = *check;
        let hash = self.accounts.hash(policy, subject);
        if let Some(entry) = self.accounts.shard(hash).find(policy, subject, hash) {
            entry.value.forget();
        }
    }

    /// Takes nothing new, waits for what is under way, and gives back what is left.
    async fn close(self: &Arc<Self>) {
        self.closed.store(true, Ordering::SeqCst);
        let refills: Vec<_> = self
            .accounts
            .shards()
            .flat_map(|mut shard| {
                shard.entries_mut().filter_map(|entry| entry.value.refill()).collect::<Vec<_>>()
            })
            .collect();
        for refill in refills {
            let _ = refill::landed(refill).await;
        }
        for mut shard in self.accounts.shards() {
            for entry in shard.entries_mut() {
                let (key, grant) = (Key::of(entry), entry.value.retire());
                self.returns.collect(key, grant);
            }
        }
        self.give_back().await;
        self.inner.close().await;
    }
}

impl Key {
    fn check(&self, cost: u32) -> Check<'_> {
        Check::new(&self.policy, &self.subject, cost)
    }

    fn of(entry: &super::keyed::Entry<Account>) -> Self {
        let (policy, subject) = (Arc::clone(&entry.policy), entry.subject.clone());
        Self { policy, subject, hash: entry.hash }
    }
}

/// Returns the operation as the store knows it: the charge of a lease is one of its own.
fn of_store<'a>(operation: &Operation<'a>) -> Operation<'a> {
    match operation.action {
        Action::Refund { stamp_micros, .. } => Operation::refund(operation.check, stamp_micros),
        Action::Charge | Action::Peek | Action::Reset => *operation,
    }
}

/// A reset under way. What is leased is forgotten, now and, if more is leased before it has
/// reached the store, once more when it has.
struct Forgetting<'a> {
    shared: &'a Shared,
    check: Check<'a>,
}

impl<'a> Forgetting<'a> {
    fn new(shared: &'a Shared, check: &Check<'a>) -> Self {
        shared.forget(check);
        Self { shared, check: *check }
    }
}

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        self.shared.forget(&self.check);
    }
}
