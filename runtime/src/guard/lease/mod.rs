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
use crate::backend::Verdict;
use crate::backend::erased::ErasedBackend;
use crate::{Action, Answer, Backend, BackendError, Clock, Operation, Outcome, Policy, Source};

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
    inner: Box<dyn ErasedBackend>,
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
        inner: Box<dyn ErasedBackend>,
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
        let Operation { policy, subject, action } = *operation;
        match action {
            Action::Charge { cost } => {
                shared.charge(policy, subject, cost).await.map(Answer::Verdict)
            }
            Action::Refund { stamp_micros, cost, .. } => {
                if shared.take_back(policy, subject, stamp_micros, cost) {
                    return Ok(Answer::Refunded(true));
                }
                shared.ask(&of_store(operation)).await
            }
            Action::Reset => {
                let _forgetting = Forgetting::new(shared, policy, subject);
                shared.ask(operation).await
            }
            Action::Peek { .. } => shared.ask(operation).await,
        }
    }
}

impl Backend for Lease {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        if let [operation] = batch {
            return vec![self.one(operation).await];
        }
        // Several at once are no requests'. They are the store's, in one journey.
        let _forgetting: Vec<_> = batch
            .iter()
            .filter(|operation| operation.action == Action::Reset)
            .map(|operation| Forgetting::new(&self.shared, operation.policy, operation.subject))
            .collect();
        let batch: Vec<_> = batch.iter().map(of_store).collect();
        self.shared.inner.apply(&batch).await
    }

    fn apply_now(&self, operation: &Operation<'_>) -> Option<Result<Answer, BackendError>> {
        let Operation { policy, subject, action } = *operation;
        match action {
            Action::Charge { cost } => {
                let mut verdict = Verdict::new(Outcome::Allowed, 0);
                let charged = Backend::charge_now(self, policy, subject, cost, &mut verdict)?;
                Some(charged.map(|()| Answer::Verdict(verdict)))
            }
            Action::Refund { stamp_micros, cost, .. } => self
                .shared
                .take_back(policy, subject, stamp_micros, cost)
                .then_some(Ok(Answer::Refunded(true))),
            Action::Peek { .. } => self.shared.inner.apply_now(operation),
            Action::Reset => None,
        }
    }

    #[inline]
    fn charge_now(
        &self,
        policy: &Policy,
        subject: &str,
        cost: u32,
        verdict: &mut Verdict,
    ) -> Option<Result<(), BackendError>> {
        let hash = self.shared.accounts.hash(policy, subject);
        if self.shared.spend(policy, subject, hash, cost, verdict) {
            return Some(Ok(()));
        }
        self.shared.inner.charge_now(policy, subject, cost, verdict)
    }

    async fn initialize(&self) -> Result<(), BackendError> {
        self.shared.inner.initialize().await
    }

    async fn close(&self) {
        self.shared.close().await;
    }
}

impl Shared {
    async fn ask(&self, operation: &Operation<'_>) -> Result<Answer, BackendError> {
        let answers = self.inner.apply(std::slice::from_ref(operation)).await;
        answers.into_iter().next().unwrap_or_else(|| {
            Err(BackendError::unknown("it gave fewer answers than it was asked for"))
        })
    }

    #[inline]
    fn spend(
        &self,
        policy: &Policy,
        subject: &str,
        hash: u64,
        cost: u32,
        verdict: &mut Verdict,
    ) -> bool {
        let mut shard = self.accounts.shard(hash);
        shard.find(policy, subject, hash).is_some_and(|entry| {
            entry.policy.counts_like(policy)
                && entry.value.spend(cost, self.clock.now_micros(), self.terms.of(policy), verdict)
        })
    }

    /// Takes back what was spent of a lease that still can be.
    fn take_back(&self, policy: &Policy, subject: &str, stamp: u64, cost: u32) -> bool {
        let hash = self.accounts.hash(policy, subject);
        let mut shard = self.accounts.shard(hash);
        shard.find(policy, subject, hash).is_some_and(|entry| {
            entry.policy.counts_like(policy)
                && entry.value.take_back(stamp, cost, self.clock.now_micros())
        })
    }

    /// Forgets what is leased, as the store does.
    fn forget(&self, policy: &Policy, subject: &str) {
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
    fn of(entry: &super::keyed::Entry<Account>) -> Self {
        let (policy, subject) = (Arc::clone(&entry.policy), entry.subject.clone());
        Self { policy, subject, hash: entry.hash }
    }
}

/// The charge of a lease is one of the store's like any other.
fn of_store<'a>(operation: &Operation<'a>) -> Operation<'a> {
    let action = match operation.action {
        Action::Refund { stamp_micros, cost, .. } => {
            Action::Refund { stamp_micros, cost, source: Source::Store }
        }
        other => other,
    };
    Operation { action, ..*operation }
}

/// A reset under way. What is leased is forgotten, now and, if more is leased before it has
/// reached the store, once more when it has.
struct Forgetting<'a> {
    shared: &'a Shared,
    policy: &'a Policy,
    subject: &'a str,
}

impl<'a> Forgetting<'a> {
    fn new(shared: &'a Shared, policy: &'a Policy, subject: &'a str) -> Self {
        shared.forget(policy, subject);
        Self { shared, policy, subject }
    }
}

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        self.shared.forget(self.policy, self.subject);
    }
}
