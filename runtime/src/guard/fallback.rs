//! The limiter in this process that decides while the backend cannot ([`OnError::Local`]).
//!
//! [`OnError::Local`]: crate::OnError::Local

use std::sync::Arc;

use super::owed::{Debt, Owed};
use crate::algorithm::Micros;
use crate::backend::store::Store;
use crate::{
    Answer, Backend, BackendError, Check, Clock, MemoryBackend, Operation, Outcome, Policy,
    QuotaState, Source, Verdict,
};

/// Why such a policy does not start.
pub(crate) const NO_INSTANCES: &str = "`on_error = local` shares the limit among the processes \
     that use the store, and how many those are is not known: set \
     `Limiter::builder(…).instances(n)`";

/// How many debts are posted in one call.
const BATCH: usize = 128;

/// Counts in this process's memory, by each policy's share. What the backend admits to this
/// process is noted, too, so that an outage finds it warm.
pub(crate) struct Fallback {
    instances: u32,
    clock: Arc<dyn Clock>,
    memory: MemoryBackend,
    owed: Owed,
}

impl Fallback {
    pub(crate) fn new(instances: u32, clock: Arc<dyn Clock>) -> Self {
        let memory = MemoryBackend::builder().clock(Arc::clone(&clock)).build();
        Self { instances, clock, memory, owed: Owed::default() }
    }

    fn share(&self, policy: &Policy) -> Policy {
        policy.clone().map_quotas(|quota| quota.share(self.instances))
    }

    /// Notes a charge that the backend took: as much of it as the share has room for. It gives the
    /// instant that names it.
    pub(crate) fn note(&self, check: &Check<'_>) -> Micros {
        self.memory.note(&check.with_policy(&self.share(check.policy)))
    }

    /// Decides about a charge or a peek. `false`: it cannot, for the cost is more than the share
    /// can ever hold, though not more than the policy can.
    pub(crate) fn decide(&self, operation: &Operation<'_>, verdict: &mut Verdict) -> bool {
        let Operation { check, action } = *operation;
        let share = self.share(check.policy);
        let operation = Operation { check: check.with_policy(&share), action };
        let decided = self.ask(&operation).and_then(|answer| answer.into_verdict(verdict));
        verdict.set_source(Source::Local);
        decided.is_ok() && (verdict.outcome() != Outcome::Never || check.can_never_pass())
    }

    /// Remembers that a charge was decided here of which the backend knows nothing.
    pub(crate) fn owe(&self, check: &Check<'_>) {
        self.owed.add(check.policy, check.subject, check.cost, self.clock.now_micros());
    }

    /// Gives back what was taken or noted at `stamp_micros`.
    pub(crate) fn refund(&self, check: &Check<'_>, stamp_micros: Micros) -> bool {
        let share = self.share(check.policy);
        let operation = Operation::refund(check.with_policy(&share), stamp_micros);
        matches!(self.ask(&operation), Ok(Answer::Refunded(true)))
    }

    /// What was taken here is not to be posted, after all.
    pub(crate) fn forgive(&self, check: &Check<'_>) {
        self.owed.subtract(check.policy, check.subject, check.cost);
    }

    pub(crate) fn reset(&self, check: &Check<'_>) {
        // Memory does not fail to forget.
        let _ = self.ask(&Operation::reset(*check));
        self.owed.remove(check.policy, check.subject);
    }

    fn ask(&self, operation: &Operation<'_>) -> Result<Answer, BackendError> {
        Backend::apply_now(&self.memory, operation).unwrap_or_else(|| {
            Err(BackendError::not_executed("the memory backend did not answer at once"))
        })
    }

    /// Whether something was taken here of which the backend does not know.
    #[inline]
    pub(crate) fn owes(&self) -> bool {
        self.owed.any()
    }

    /// Whether the caller is the one to [`post`](Self::post) that.
    pub(crate) fn claims_debts(&self) -> bool {
        self.owed.claim()
    }

    /// Posts to the backend, best effort, what was taken here during its outage, as far as that
    /// still counts. What has no room there is let go: then it refuses already.
    pub(crate) async fn post(&self, backend: &dyn Store) {
        let mut debts = self.owed.take();
        let now = self.clock.now_micros();
        debts.retain_mut(|debt| {
            let held = self.held(debt);
            debt.units = debt.units.min(held);
            debt.counts_at(now) && debt.units > 0
        });
        while !debts.is_empty() {
            let batch: Vec<Debt> = debts.drain(..debts.len().min(BATCH)).collect();
            if let Err(unpaid) = pay(backend, batch).await {
                // It fails again: what is left waits for its next return.
                self.owed.put_back(unpaid.into_iter().chain(debts));
                return;
            }
        }
    }

    /// The most that still counts here, in any quota.
    fn held(&self, debt: &Debt) -> u32 {
        let policy = self.share(&debt.policy);
        let operation = Operation::peek(Check::new(&policy, &debt.subject, 0));
        let Ok(Answer::Verdict(verdict)) = self.ask(&operation) else { return 0 };
        let quotas = policy.quotas().iter().zip(verdict.quotas());
        let used = quotas.map(|(quota, state)| quota.capacity().saturating_sub(state.remaining()));
        used.max().unwrap_or(0)
    }
}

/// Charges each debt, or what of it there is room for. An error gives back those that were not
/// paid.
async fn pay(backend: &dyn Store, mut batch: Vec<Debt>) -> Result<(), Vec<Debt>> {
    for _ in 0..2 {
        let operations: Vec<Operation<'_>> = batch.iter().map(Debt::charge).collect();
        let answers = backend.apply(&operations).await;
        drop(operations);
        let mut refused = Vec::new();
        let mut failed = Vec::new();
        for (debt, answer) in batch.into_iter().zip(answers) {
            match answer {
                Ok(Answer::Verdict(verdict)) if verdict.outcome() != Outcome::Allowed => {
                    let room = verdict.quotas().iter().map(QuotaState::remaining).min();
                    if let Some(units) = room.filter(|units| *units > 0) {
                        refused.push(Debt { units: units.min(debt.units), ..debt });
                    }
                }
                Ok(_) => {}
                // What may have been charged is not charged again.
                Err(error) if error.had_no_effect() && !error.is_rejection() => {
                    failed.push(debt);
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
