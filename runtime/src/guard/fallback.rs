//! The local fallback: decides checks in this process while the backend fails ([`OnError::Local`]).
//!
//! [`OnError::Local`]: crate::OnError::Local

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::unreported::{UnreportedCharge, UnreportedCharges};
use crate::backend::store::{Permits as _, Store};
use crate::micros::Timestamp;
use crate::operation::{Answer, Operation};
use crate::verdict::Verdict;
use crate::{
    Backend, BackendError, Check, Clock, MemoryBackend, Outcome, Policy, QuotaState, Source,
};

/// The reason for rejecting a policy with [`OnError::Local`](crate::OnError::Local) if the number
/// of instances is not set.
pub(crate) const NO_INSTANCES: &str = "`on_error = local` shares the limit among the processes \
     that use the store, and how many those are is not known: set \
     `Limiter::builder(…).instances(n)`";

/// The maximum number of unreported charges that are sent to the backend in one batch.
const BATCH: usize = 128;

/// Counters in this process's memory, for this process's share of each policy. Charges that the
/// backend admits for this process are recorded here, too, so that an outage does not begin with
/// empty counters.
pub(crate) struct Fallback {
    instances: u32,
    clock: Arc<dyn Clock>,
    memory: MemoryBackend,
    unreported: UnreportedCharges,
    /// Locked during a report, so that one ends before the next begins.
    reporting: Mutex<()>,
}

impl Fallback {
    pub(crate) fn new(instances: u32, clock: Arc<dyn Clock>) -> Self {
        let memory = MemoryBackend::builder().clock(Arc::clone(&clock)).build();
        Self {
            instances,
            clock,
            memory,
            unreported: UnreportedCharges::default(),
            reporting: Mutex::default(),
        }
    }

    fn share(&self, policy: &Policy) -> Policy {
        let mut share = policy.clone().map_quotas(|quota| quota.share(self.instances));
        share.set_in_flight(policy.get_in_flight().map(|it| it.share(self.instances)));
        share
    }

    /// Releases a permit that was given or recorded here.
    pub(crate) fn release(&self, check: &Check<'_>) {
        self.memory.release(check);
    }

    /// Records a charge that the backend admitted, as far as this process's share can hold it.
    /// Returns the time of the record, which identifies it when the charge is refunded.
    pub(crate) fn record(&self, check: &Check<'_>) -> Timestamp {
        self.memory.record(&check.with_policy(&self.share(check.policy)))
    }

    /// Decides a charge or a peek, and writes the result to `verdict`. Returns `false` if it cannot
    /// decide, because the cost exceeds the capacity of this process's share, but not that of the
    /// policy.
    pub(crate) fn decide(&self, operation: &Operation<'_>, verdict: &mut Verdict) -> bool {
        let Operation { check, action } = *operation;
        let share = self.share(check.policy);
        let decided = self
            .apply(&Operation { check: check.with_policy(&share), action })
            .and_then(|answer| answer.into_verdict(verdict));
        verdict.set_source(Source::Local);
        decided.is_ok() && (verdict.outcome() != Outcome::Never || check.can_never_pass())
    }

    /// Stores a charge that was admitted here, to report it to the backend later. Returns the number
    /// of this debt; 0 if it is not stored.
    pub(crate) fn add_unreported(&self, check: &Check<'_>) -> u64 {
        self.unreported.add(check, Timestamp::now(&self.clock))
    }

    /// Settles a charge that was recorded here at `charged_at`.
    pub(crate) fn settle(&self, check: &Check<'_>, charged_at: Timestamp, actual: u32) {
        let policy = self.share(check.policy);
        let check = check.with_policy(&policy);
        // The result is ignored: what cannot be settled here is at most refused too early.
        let _ = self.apply(&Operation::settle(check, charged_at.micros(), actual));
    }

    /// Bans the check's subject here, as the backend does.
    pub(crate) fn ban(&self, check: &Check<'_>, duration: Duration) {
        // The result is ignored: if there is no room, the subject is limited here by its quotas.
        let _ = self.apply(&Operation::ban(*check, duration));
    }

    /// Ends the ban of the check's subject here.
    pub(crate) fn unban(&self, check: &Check<'_>) {
        // The result is ignored, because this cannot fail in memory.
        let _ = self.apply(&Operation::unban(*check));
    }

    /// Refunds a charge that was admitted or recorded here at `charged_at`. Returns `true` if
    /// anything was refunded.
    fn refund(&self, check: &Check<'_>, charged_at: Timestamp) -> bool {
        let policy = self.share(check.policy);
        let operation = Operation::refund(check.with_policy(&policy), charged_at.micros());
        matches!(self.apply(&operation), Ok(Answer::Refunded(true)))
    }

    /// Refunds a charge that was admitted here at `charged_at`, and subtracts it from those that are
    /// to be reported to the backend. `debt` is the number that
    /// [`add_unreported`](Self::add_unreported) returned; 0 if the charge is not to be reported.
    /// Returns `true` if the charge was refunded. Returns `false`, and changes nothing, if its report
    /// has begun: then the charge counts at the backend.
    pub(crate) fn refund_decided(
        &self,
        check: &Check<'_>,
        charged_at: Timestamp,
        debt: u64,
    ) -> bool {
        let refund = || self.refund(check, charged_at);
        if debt == 0 { refund() } else { self.unreported.refund(check, debt, refund) }
    }

    /// Removes all charges of the check's subject, also those that are not yet reported.
    pub(crate) fn reset(&self, check: &Check<'_>) {
        // The result is ignored, because a reset in memory cannot fail.
        let _ = self.apply(&Operation::reset(*check));
        self.unreported.remove(check);
    }

    fn apply(&self, operation: &Operation<'_>) -> Result<Answer, BackendError> {
        Backend::apply_now(&self.memory, operation).unwrap_or_else(|| {
            Err(BackendError::not_executed("the memory backend did not answer at once"))
        })
    }

    /// Returns `true` if charges were admitted here and no caller has begun to report them.
    #[inline]
    pub(crate) fn has_unreported(&self) -> bool {
        self.unreported.any()
    }

    /// Claims the [`report`](Self::report) for the caller. Returns `true` if there are charges to
    /// report, and no other caller has claimed them.
    pub(crate) fn claim_report(&self) -> bool {
        self.unreported.claim()
    }

    /// Charges to the backend the units that were admitted here during its outage, as far as they
    /// are still in use. This is best effort: units that the backend does not admit are dropped,
    /// because it refuses further requests anyway.
    pub(crate) async fn report(&self, backend: &dyn Store) {
        let _reporting = self.reporting.lock().await;
        let mut charges = self.unreported.take();
        let now = Timestamp::now(&self.clock);
        charges.retain_mut(|charge| {
            let used = self.used(charge);
            charge.reduce_to(used);
            charge.counts_at(now) && charge.units() > 0
        });
        while !charges.is_empty() {
            let batch: Vec<UnreportedCharge> = charges.drain(..charges.len().min(BATCH)).collect();
            if let Err(unreported) = report_batch(backend, batch).await {
                // The backend fails again: the rest is reported when it is back.
                self.unreported.put_back(unreported.into_iter().chain(charges));
                return;
            }
        }
    }

    /// Returns the number of units of a subject that are in use here, in the quota in which most
    /// are.
    fn used(&self, charge: &UnreportedCharge) -> u32 {
        let policy = self.share(&charge.policy);
        let peek = Operation::peek(Check::new(&policy, &charge.subject, 0));
        let Ok(Answer::Verdict(verdict)) = self.apply(&peek) else { return 0 };
        let quotas = policy.quotas().iter().zip(verdict.quotas());
        let used = quotas.map(|(quota, state)| quota.capacity().saturating_sub(state.remaining()));
        used.max().unwrap_or(0)
    }
}

/// Charges each element of `batch` to the backend, with as many units as the backend can still
/// admit. The error contains the charges that had no effect and are to be sent again later.
async fn report_batch(
    backend: &dyn Store,
    mut batch: Vec<UnreportedCharge>,
) -> Result<(), Vec<UnreportedCharge>> {
    for _ in 0..2 {
        let operations: Vec<Operation<'_>> =
            batch.iter().map(|charge| Operation::charge(charge.check())).collect();
        let answers = backend.apply(&operations).await;
        drop(operations);
        let mut refused = Vec::new();
        let mut failed = Vec::new();
        for (charge, answer) in batch.into_iter().zip(answers) {
            match answer {
                Ok(Answer::Verdict(verdict)) if verdict.outcome() != Outcome::Allowed => {
                    let room = verdict.quotas().iter().map(QuotaState::remaining).min();
                    if let Some(room) = room.filter(|room| *room > 0) {
                        let mut charge = charge;
                        charge.reduce_to(room);
                        refused.push(charge);
                    }
                }
                Ok(_) => {}
                // A charge that may have had an effect is not sent again.
                Err(error) if error.had_no_effect() && !error.is_rejection() => {
                    failed.push(charge);
                }
                Err(_) => {}
            }
        }
        if !failed.is_empty() {
            return Err(failed.into_iter().chain(refused).collect());
        }
        if refused.is_empty() {
            return Ok(());
        }
        batch = refused;
    }
    Ok(())
}
