//! Charges at the store: for a single check, or for more permits to lease.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use super::key_lease::{Grant, KeyLease, NextStep, Refill, RefillState};
use super::{LeaseKey, SharedLeases};
use crate::algorithm::Settlement;
use crate::guard::bounded_map::HashedKey;
use crate::micros::{TimeSpan, Timestamp};
use crate::operation::Operation;
use crate::sync::atomic::Ordering;
use crate::sync::runtime::Handle;
use crate::verdict::Verdict;
use crate::{BackendError, Check, Outcome, Policy, Source};

impl SharedLeases {
    /// Charges a check: to the key's lease if it has enough permits, and otherwise to the store.
    pub(super) async fn charge(
        self: &Arc<Self>,
        check: &Check<'_>,
    ) -> Result<Verdict, BackendError> {
        let (key, cost) = (self.key(check), check.cost);
        let mut verdict = Verdict::open();
        match self.next_step(&key, cost, &mut verdict) {
            NextStep::Spent => return Ok(verdict),
            NextStep::Ask => {}
            NextStep::Wait(refill) => {
                // The check waits for one refill only. So it takes no longer than that refill and
                // one request of its own.
                wait_for_refill(refill).await?;
                if self.spend(&key, cost, &mut verdict) {
                    return Ok(verdict);
                }
            }
            NextStep::Refill(refill) => {
                let key = LeaseKey::new(self.leases.share(key.policy), &key);
                // The refill runs in a task of its own, so that its permits are not lost if this
                // check is cancelled.
                let epoch = refill.epoch;
                let (check, answer) = oneshot::channel();
                let order = RefillOrder { key: key.clone(), cost, refill, check };
                let runtime = Handle::current();
                runtime.spawn(Arc::clone(self).refill(order));
                let shared = Arc::clone(self);
                let mut awaited = RefillAnswer { shared, key, cost, epoch, runtime, answer };
                return (&mut awaited.answer).await.unwrap_or_else(|_| {
                    Err(BackendError::unknown("the runtime that asked is gone"))
                });
            }
        }
        self.inner.apply_one(&Operation::charge(*check)).await?.into_verdict(&mut verdict)?;
        self.record_answer(&key, cost, &verdict);
        Ok(verdict)
    }

    fn next_step(
        self: &Arc<Self>,
        key: &HashedKey<'_>,
        cost: u32,
        verdict: &mut Verdict,
    ) -> NextStep {
        let mut shard = self.leases.shard(key);
        let Some(entry) = shard.find(key) else { return NextStep::Ask };
        // `closed` is read under the lock, because `close` looks for refills after it has set it.
        if self.closed.load(Ordering::SeqCst) || Handle::try_current().is_err() {
            return NextStep::Ask;
        }
        if !entry.policy.counts_like(key.policy) {
            let (former, grant) = (LeaseKey::of(entry), entry.value.retire());
            entry.policy = self.leases.share(key.policy);
            self.return_soon(former, grant);
        }
        entry.value.next_step(cost, self.now(), self.limits.of(key.policy), verdict)
    }

    /// Records the remaining units in the store's answer to a single check. If the key is new and
    /// was admitted, begins to measure the demand for it.
    fn record_answer(&self, key: &HashedKey<'_>, cost: u32, verdict: &Verdict) {
        let (now, limits) = (self.now(), self.limits.of(key.policy));
        if cost == 0 || limits.max < 2 {
            return;
        }
        let mut shard = self.leases.shard(key);
        if let Some(entry) = shard.find(key) {
            entry.value.update_remaining(verdict);
        } else if verdict.outcome() == Outcome::Allowed {
            let policy = self.leases.share(key.policy);
            let lease = KeyLease::new(now, cost, limits, verdict);
            shard.insert(key, policy, lease, KeyLease::is_in_use);
        }
    }

    /// Leases permits, of which `cost` are for the check that began the refill. If the store does
    /// not admit as many, asks it for these `cost` units alone.
    async fn refill(self: Arc<Self>, order: RefillOrder) {
        let RefillOrder { key, cost, refill, check } = order;
        let Refill { units, epoch, state } = refill;
        let asked = self.now();
        let answer = match self.charge_at_store(&key, units).await {
            Ok(mut verdict) if verdict.outcome() == Outcome::Allowed => {
                let hold =
                    self.limits.of(&key.policy).hold.min(left_of_windows(&key.policy, &verdict));
                let grant = Grant::new(units, units - cost, asked, hold, &verdict);
                grant.write(Source::Store, &mut verdict);
                self.finish_refill(&key, epoch, Some(grant));
                Ok(verdict)
            }
            // Nobody needs the units any more, and others ask for their own.
            Ok(verdict) if check.is_closed() => {
                self.finish_refill(&key, epoch, None);
                Ok(verdict)
            }
            Ok(_) => {
                let alone = self.charge_at_store(&key, cost).await;
                if let Ok(verdict) = &alone {
                    self.record_answer(&key.hashed(), cost, verdict);
                }
                self.finish_refill(&key, epoch, None);
                alone
            }
            Err(error) => {
                self.finish_refill(&key, epoch, None);
                Err(error)
            }
        };
        let end = match &answer {
            Ok(_) => RefillState::Done,
            Err(error) => RefillState::Failed(error.for_another()),
        };
        if let Err(Ok(verdict)) = check.send(answer) {
            self.keep_unclaimed(&key, cost, epoch, &verdict);
        }
        // An error means that no check is waiting.
        let _ = state.send(end);
    }

    /// Gives the units of a check that was given up, and that the store has charged, to other checks
    /// of the key, as permits of its lease, or else back to the store.
    fn keep_unclaimed(self: &Arc<Self>, key: &LeaseKey, cost: u32, epoch: u32, verdict: &Verdict) {
        if !verdict.is_allowed() {
            return;
        }
        let (hashed, now) = (key.hashed(), self.now());
        let charged_at = Timestamp::from_micros(verdict.stamp_micros());
        if let Some(entry) = self.leases.shard(&hashed).find(&hashed) {
            let lease = &mut entry.value;
            // After a reset the store does not count these units any more.
            let is_gone = !lease.is_of(epoch);
            let is_same = entry.policy.counts_like(&key.policy);
            let refund = Settlement { now, charged_at, cost, actual: 0 };
            if is_gone || is_same && lease.take_back(refund) {
                return;
            }
        }
        self.return_soon(key.clone(), Some(Grant::new(cost, cost, now, TimeSpan::ZERO, verdict)));
    }

    async fn charge_at_store(&self, key: &LeaseKey, cost: u32) -> Result<Verdict, BackendError> {
        let mut verdict = Verdict::open();
        let charge = Operation::charge(key.check(cost));
        self.inner.apply_one(&charge).await?.into_verdict(&mut verdict)?;
        Ok(verdict)
    }

    /// Puts a grant into the key's lease, or returns it to the store if it cannot be spent there.
    fn finish_refill(self: &Arc<Self>, key: &LeaseKey, epoch: u32, grant: Option<Grant>) {
        let hashed = key.hashed();
        let mut shard = self.leases.shard(&hashed);
        let Some(entry) = shard.find(&hashed) else {
            return self.return_soon(key.clone(), grant);
        };
        let is_known = entry.value.end_refill(epoch);
        let Some(grant) = grant.filter(|_| is_known) else { return };
        if self.closed.load(Ordering::SeqCst) || !entry.policy.counts_like(&key.policy) {
            return self.return_soon(key.clone(), Some(grant));
        }
        let lease = &mut entry.value;
        let until = grant.until;
        let before = lease.replace_grant(grant);
        let is_scheduled = std::mem::replace(&mut lease.return_scheduled, true);
        drop(shard);
        self.return_soon(key.clone(), before);
        if is_scheduled {
            self.spawn_return_task();
        } else {
            self.schedule_return(key.clone(), until);
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::now(&self.clock)
    }
}

/// Returns the time until the first window of a calendar ends, in which the store has charged a lease;
/// a very long time if there is none. Permits of that window must not be spent in the one after it.
fn left_of_windows(policy: &Policy, verdict: &Verdict) -> TimeSpan {
    let states = policy.quotas().iter().zip(verdict.quotas());
    let of_calendars = states.filter(|(quota, _)| quota.calendar_period().is_some());
    let left = of_calendars.map(|(_, state)| TimeSpan::from_duration(state.reset_after()));
    left.min().unwrap_or(TimeSpan::MAX)
}

/// A refill, with everything that its task needs.
struct RefillOrder {
    key: LeaseKey,
    cost: u32,
    refill: Refill,
    /// Sends the answer to the check that began the refill.
    check: oneshot::Sender<Result<Verdict, BackendError>>,
}

/// The answer to the check that began a refill. If it is dropped before the check has taken the
/// answer, the check was given up, and its units are kept for others.
struct RefillAnswer {
    shared: Arc<SharedLeases>,
    key: LeaseKey,
    cost: u32,
    epoch: u32,
    /// The check may be dropped outside of any runtime.
    runtime: Handle,
    answer: oneshot::Receiver<Result<Verdict, BackendError>>,
}

impl Drop for RefillAnswer {
    fn drop(&mut self) {
        // From here on the task keeps the units, unless it has sent them before.
        self.answer.close();
        if let Ok(Ok(verdict)) = self.answer.try_recv() {
            let _entered = self.runtime.enter();
            self.shared.keep_unclaimed(&self.key, self.cost, self.epoch, &verdict);
        }
    }
}

/// Waits until a refill has ended. If the refill failed, returns an error for the waiting check,
/// which had no effect.
pub(super) async fn wait_for_refill(
    mut refill: watch::Receiver<RefillState>,
) -> Result<(), BackendError> {
    let has_ended = |state: &RefillState| !matches!(state, RefillState::Pending);
    match refill.wait_for(has_ended).await.as_deref() {
        Ok(RefillState::Failed(error)) => Err(error.for_another()),
        // If the task of the refill is gone, each waiting check asks the store itself.
        Ok(RefillState::Pending | RefillState::Done) | Err(_) => Ok(()),
    }
}
