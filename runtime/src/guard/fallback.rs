//! The limiter in this process that decides while the backend cannot ([`OnError::Local`]).
//!
//! [`OnError::Local`]: crate::OnError::Local

use std::sync::Arc;

use super::owed::{Debt, Owed};
use crate::algorithm::Micros;
use crate::backend::erased::ErasedBackend;
use crate::backend::{Action, Verdict};
use crate::{
    Answer, Backend, BackendError, Clock, MemoryBackend, Operation, Outcome, Policy, QuotaState,
    Source,
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
    pub(crate) fn note(&self, policy: &Policy, subject: &str, cost: u32) -> Micros {
        self.memory.note(&self.share(policy), subject, cost)
    }

    /// Decides about a charge or a peek. `false`: it cannot, for the cost is more than the share
    /// can ever hold, though not more than the policy can.
    pub(crate) fn decide(&self, operation: &Operation<'_>, verdict: &mut Verdict) -> bool {
        let Operation { policy, subject, action } = *operation;
        let operation = Operation { policy: &self.share(policy), subject, action };
        let decided = self.ask(&operation).and_then(|answer| answer.into_verdict(verdict));
        verdict.set_source(Source::Local);
        let (Action::Charge { cost } | Action::Peek { cost }) = action else { return false };
        let can_be_held = || policy.quotas().iter().all(|quota| cost <= quota.capacity());
        decided.is_ok() && !(verdict.outcome() == Outcome::Never && can_be_held())
    }

    /// Remembers that a charge was decided here of which the backend knows nothing.
    pub(crate) fn owe(&self, policy: &Policy, subject: &str, cost: u32) {
        self.owed.add(policy, subject, cost, self.clock.now_micros());
    }

    /// Gives back what was taken or noted at `stamp_micros`.
    pub(crate) fn refund(
        &self,
        policy: &Policy,
        subject: &str,
        stamp_micros: Micros,
        cost: u32,
    ) -> bool {
        let action = Action::Refund { stamp_micros, cost, source: Source::Local };
        let operation = Operation { policy: &self.share(policy), subject, action };
        matches!(self.ask(&operation), Ok(Answer::Refunded(true)))
    }

    /// What was taken here is not to be posted, after all.
    pub(crate) fn forgive(&self, policy: &Policy, subject: &str, cost: u32) {
        self.owed.subtract(policy, subject, cost);
    }

    pub(crate) fn reset(&self, policy: &Policy, subject: &str) {
        let operation = Operation { policy, subject, action: Action::Reset };
        // Memory does not fail to forget.
        let _ = self.ask(&operation);
        self.owed.remove(policy, subject);
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
    pub(crate) async fn post(&self, backend: &dyn ErasedBackend) {
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
        let action = Action::Peek { cost: 0 };
        let operation = Operation { policy: &policy, subject: &debt.subject, action };
        let Ok(Answer::Verdict(verdict)) = self.ask(&operation) else { return 0 };
        let quotas = policy.quotas().iter().zip(verdict.quotas());
        let used = quotas.map(|(quota, state)| quota.capacity().saturating_sub(state.remaining()));
        used.max().unwrap_or(0)
    }
}

/// Charges each debt, or what of it there is room for. An error gives back those that were not
/// paid.
async fn pay(backend: &dyn ErasedBackend, mut batch: Vec<Debt>) -> Result<(), Vec<Debt>> {
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
