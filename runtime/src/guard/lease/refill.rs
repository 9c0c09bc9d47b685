//! Asking the store: for one check, or for more to hand out.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::account::{Account, Grant, Landing, Next, Refill};
use super::{Key, Shared};
use crate::{Answer, BackendError, Check, Operation, Outcome, Source, Verdict};

impl Shared {
    pub(super) async fn charge(
        self: &Arc<Self>,
        check: &Check<'_>,
    ) -> Result<Verdict, BackendError> {
        let Check { policy, subject, cost, .. } = *check;
        let hash = self.accounts.hash(policy, subject);
        let mut verdict = Verdict::open();
        match self.next(check, hash, &mut verdict) {
            Next::Spent => return Ok(verdict),
            Next::Ask => {}
            Next::Wait(landing) => {
                // It waits once: so it takes no longer than who brings the permits, and then
                // no longer than its own question.
                landed(landing).await?;
                if self.spend(check, &mut verdict) {
                    return Ok(verdict);
                }
            }
            Next::Refill(refill) => {
                let policy = self.accounts.share(policy);
                let key = Key { policy, subject: subject.into(), hash };
                // In a task of its own: what it brings is not lost if this check is given up.
                let journey = tokio::spawn(Arc::clone(self).refill(key, cost, refill));
                return journey.await.unwrap_or_else(|_| {
                    Err(BackendError::unknown("the runtime that asked is gone"))
                });
            }
        }
        let verdict = self.charge_at_store(*check).await?;
        self.note(check, hash, &verdict);
        Ok(verdict)
    }

    fn next(self: &Arc<Self>, check: &Check<'_>, hash: u64, verdict: &mut Verdict) -> Next {
        let Check { policy, subject, cost, .. } = *check;
        let mut shard = self.accounts.shard(hash);
        let Some(entry) = shard.find(policy, subject, hash) else { return Next::Ask };
        // Read under the lock: who closes looks for what is under way after saying so.
        if self.closed.load(Ordering::SeqCst) || Handle::try_current().is_err() {
            return Next::Ask;
        }
        if !entry.policy.counts_like(policy) {
            let (key, grant) = (Key::of(entry), entry.value.retire());
            entry.policy = self.accounts.share(policy);
            self.give_back_soon(key, grant);
        }
        entry.value.next(cost, self.clock.now_micros(), self.terms.of(policy), verdict)
    }

    /// Notes what the store said to one check, and opens an account if it was admitted.
    fn note(&self, check: &Check<'_>, hash: u64, verdict: &Verdict) {
        let Check { policy, subject, cost, .. } = *check;
        let (now, terms) = (self.clock.now_micros(), self.terms.of(policy));
        if cost == 0 || terms.max < 2 {
            return;
        }
        let mut shard = self.accounts.shard(hash);
        if let Some(entry) = shard.find(policy, subject, hash) {
            entry.value.note(verdict);
        } else if verdict.outcome() == Outcome::Allowed {
            let policy = self.accounts.share(policy);
            let account = Account::new(now, cost, terms, verdict);
            shard.insert(hash, policy, subject, account, Account::is_needed);
        }
    }

    /// Brings permits, of which `cost` are for who began it. If there are not as many, it asks
    /// for those alone.
    async fn refill(
        self: Arc<Self>,
        key: Key,
        cost: u32,
        refill: Refill,
    ) -> Result<Verdict, BackendError> {
        let Refill { units, era, landing } = refill;
        let asked = self.clock.now_micros();
        let brought = match self.charge_at_store(key.check(units)).await {
            Ok(mut verdict) if verdict.outcome() == Outcome::Allowed => {
                let hold = self.terms.of(&key.policy).hold;
                let grant = Grant::new(units, units - cost, asked, hold, &verdict);
                grant.say(Source::Store, &mut verdict);
                self.land(&key, era, Some(grant));
                Ok(verdict)
            }
            Ok(_) => {
                let alone = self.charge_at_store(key.check(cost)).await;
                if let Ok(verdict) = &alone {
                    self.note(&key.check(cost), key.hash, verdict);
                }
                self.land(&key, era, None);
                alone
            }
            Err(error) => {
                self.land(&key, era, None);
                Err(error)
            }
        };
        let told = match &brought {
            Ok(_) => Landing::Landed,
            Err(error) => Landing::Failed(error.for_another()),
        };
        // Nobody may be waiting.
        let _ = landing.send(told);
        brought
    }

    async fn charge_at_store(&self, check: Check<'_>) -> Result<Verdict, BackendError> {
        match self.inner.apply_one(&Operation::charge(check)).await? {
            Answer::Verdict(verdict) => Ok(verdict),
            other => Err(other.mismatch("a check")),
        }
    }

    /// Puts what was brought where it can be spent, or gives it back.
    fn land(self: &Arc<Self>, key: &Key, era: u32, grant: Option<Grant>) {
        let mut shard = self.accounts.shard(key.hash);
        let Some(entry) = shard.find(&key.policy, &key.subject, key.hash) else {
            return self.give_back_soon(key.clone(), grant);
        };
        let is_known = entry.value.land(era);
        let Some(grant) = grant.filter(|_| is_known) else { return };
        if self.closed.load(Ordering::SeqCst) || !entry.policy.counts_like(&key.policy) {
            return self.give_back_soon(key.clone(), Some(grant));
        }
        let account = &mut entry.value;
        let until = grant.until;
        let before = account.put(grant);
        let watched = std::mem::replace(&mut account.watched, true);
        drop(shard);
        self.give_back_soon(key.clone(), before);
        if watched {
            self.attend();
        } else {
            self.watch(key.clone(), until);
        }
    }
}

/// Waits until a refill has landed. Who waited has had no effect if that failed.
pub(super) async fn landed(mut landing: watch::Receiver<Landing>) -> Result<(), BackendError> {
    let has_landed = |landing: &Landing| !matches!(landing, Landing::Pending);
    match landing.wait_for(has_landed).await.as_deref() {
        Ok(Landing::Failed(error)) => Err(error.for_another()),
        // If who brought it is gone, everybody asks for themselves.
        Ok(Landing::Pending | Landing::Landed) | Err(_) => Ok(()),
    }
}
