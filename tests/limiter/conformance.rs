//! The suite for stores passes one that is right, and names what is wrong with one that is not.

use std::time::Duration;

use tollgate::backend::{Action, Answer, Operation, Verdict};
use tollgate::testing::{ManualClock, assert_conforms};
use tollgate::{Algorithm, Backend, BackendError, Check, MemoryBackend, Outcome, Policy, Settled};

/// What a store may get wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Refunds are not supported, which is allowed.
    GivesNothingBack,
    /// Settlements and bans are not supported, which is allowed.
    OnlyCounts,
    /// Bans are, and settlements are not.
    OnlyBans,
    ForgetsDebts,
    /// It has no rule for bans, and answers as if it had.
    BansNobody,
    IgnoresBans,
    BansForAsLongEachTime,
    NeverForgives,
    LiftsNoBan,
    ReversesBatches,
    LosesAnswers,
    JoinsKeys,
    TakesForNothing,
    TakesFromTheRefused,
    GivesBackAll,
    IsNotAtomic,
    RoundsWaits,
    HasItsOwnClock,
    Fails,
}

struct Store {
    memory: MemoryBackend,
    fault: Fault,
}

impl Store {
    fn answer(&self, operation: Operation<'_>) -> Result<Answer, BackendError> {
        self.memory.apply_now(&operation).unwrap()
    }

    async fn carry_out(&self, operation: &Operation<'_>) -> Result<Answer, BackendError> {
        let Operation { check, action, .. } = *operation;
        match (self.fault, action) {
            (Fault::GivesNothingBack, Action::Refund { .. }) => {
                // Refusals are forgotten all the same.
                self.answer(Operation::new(check.with_cost(0), action))?;
                Ok(Answer::Refunded(false))
            }
            (Fault::OnlyCounts | Fault::OnlyBans, Action::Settle { .. })
            | (Fault::OnlyCounts, Action::Ban { .. } | Action::Unban) => Ok(Answer::Unsupported),
            (Fault::ForgetsDebts, Action::Settle { actual, .. }) if actual > check.cost => {
                Ok(Answer::Settled(Settled::Charged))
            }
            (Fault::BansNobody, Action::Charge) => {
                let policy = check.policy;
                let quotas = &policy.quotas()[1..];
                let plain = Policy::named(policy.name(), policy.quotas()[0]);
                let plain = quotas.iter().fold(plain, |plain, quota| plain.and(*quota));
                let plain = plain.algorithm(policy.get_algorithm());
                self.answer(Operation::charge(Check::new(&plain, check.subject, check.cost)))
            }
            (Fault::IgnoresBans, Action::Ban { .. }) => Ok(Answer::Banned),
            (Fault::BansForAsLongEachTime, Action::Charge) if check.policy.get_ban().is_some() => {
                let ban = check.policy.get_ban().unwrap().grow(1);
                let flat = check.policy.clone().ban(ban);
                self.answer(Operation::charge(Check::new(&flat, check.subject, check.cost)))
            }
            (Fault::NeverForgives, Action::Refund { stamp_micros, .. }) => {
                self.answer(Operation::refund(check, stamp_micros))
            }
            (Fault::LiftsNoBan, Action::Unban) => Ok(Answer::Unbanned(false)),
            (Fault::JoinsKeys, _) => {
                let policy = check.policy;
                let quotas = policy.quotas();
                let joined = quotas[1..]
                    .iter()
                    .fold(Policy::new("joined", quotas[0]), |policy, quota| policy.and(*quota))
                    .algorithm(policy.get_algorithm());
                let subject = format!("{}:{}", policy.name(), check.subject);
                self.answer(Operation::new(Check::new(&joined, &subject, check.cost), action))
            }
            (Fault::TakesForNothing, Action::Charge) if check.cost == 0 => {
                self.answer(Operation::charge(check.with_cost(1)))
            }
            (Fault::TakesFromTheRefused, Action::Charge) if check.cost >= 2 => {
                let answer = self.answer(*operation)?;
                if !is_allowed(&answer) {
                    self.answer(Operation::charge(check.with_cost(1)))?;
                }
                Ok(answer)
            }
            (Fault::GivesBackAll, Action::Refund { .. }) => {
                self.answer(Operation::reset(check))?;
                Ok(Answer::Refunded(true))
            }
            (Fault::IsNotAtomic, Action::Charge) => {
                let peeked = self.answer(Operation::peek(check))?;
                tokio::task::yield_now().await;
                if !is_allowed(&peeked) {
                    return Ok(peeked);
                }
                let charged = self.answer(*operation)?;
                Ok(if is_allowed(&charged) { charged } else { peeked })
            }
            (Fault::RoundsWaits, _) => Ok(match self.answer(*operation)? {
                Answer::Verdict(verdict) => Answer::Verdict(rounded(&verdict)),
                answer => answer,
            }),
            (Fault::Fails, Action::Peek) => Err(BackendError::not_executed("out of order")),
            _ => self.answer(*operation),
        }
    }
}

fn is_allowed(answer: &Answer) -> bool {
    matches!(answer, Answer::Verdict(verdict) if verdict.outcome() == Outcome::Allowed)
}

/// To whole seconds, as `Retry-After` has it.
fn rounded(verdict: &Verdict) -> Verdict {
    let outcome = match verdict.outcome() {
        Outcome::Refused { retry_after } => {
            let seconds = retry_after.as_micros().div_ceil(1_000_000) as u64;
            Outcome::Refused { retry_after: Duration::from_secs(seconds) }
        }
        outcome => outcome,
    };
    let mut rounded = Verdict::new(outcome, verdict.stamp_micros());
    verdict.quotas().iter().for_each(|quota| rounded.push(*quota));
    rounded
}

impl Backend for Store {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        let mut answers = Vec::new();
        for operation in batch {
            answers.push(self.carry_out(operation).await);
        }
        match self.fault {
            Fault::ReversesBatches => answers.reverse(),
            Fault::LosesAnswers if batch.len() > 1 => answers.truncate(batch.len() - 1),
            _ => {}
        }
        answers
    }
}

/// What the suite says of such a store; `None`: that it is right.
async fn said_of(fault: Fault) -> Option<String> {
    let clock = ManualClock::new();
    let memory = MemoryBackend::builder();
    let memory = if fault == Fault::HasItsOwnClock { memory } else { memory.clock(clock.clone()) };
    let store = Store { memory: memory.build(), fault };
    let suite = async move { assert_conforms(store, &clock, Algorithm::ALL).await };
    let panic = tokio::spawn(suite).await.err()?.into_panic();
    Some(*panic.downcast::<String>().unwrap())
}

#[tokio::test]
async fn passes_stores_that_are_right() {
    for fault in [Fault::None, Fault::GivesNothingBack, Fault::OnlyCounts, Fault::OnlyBans] {
        assert_eq!(said_of(fault).await, None, "{fault:?}");
    }
}

#[tokio::test]
async fn names_what_is_wrong() {
    for (fault, words) in [
        (Fault::ReversesBatches, "a batch has one answer for each operation, in its order"),
        (Fault::LosesAnswers, "a batch has one answer for each operation, in its order"),
        (Fault::JoinsKeys, "policy and subject are the key"),
        (Fault::TakesForNothing, "Charge of 0\nthe store answers"),
        (Fault::TakesFromTheRefused, "and should answer"),
        (Fault::GivesBackAll, "source: Store, forgives: false } of 1\nthe store answers"),
        (Fault::IsNotAtomic, "each operation is atomic"),
        (Fault::RoundsWaits, "and should answer"),
        (Fault::HasItsOwnClock, "and should answer"),
        (Fault::ForgetsDebts, "and should answer"),
        (Fault::BansNobody, "and should answer"),
        (Fault::IgnoresBans, "and should answer"),
        (Fault::BansForAsLongEachTime, "and should answer"),
        (Fault::NeverForgives, "and should answer"),
        (Fault::LiftsNoBan, "and should answer"),
        (Fault::Fails, "out of order"),
    ] {
        let said = said_of(fault).await.unwrap_or_default();
        assert!(said.contains(words), "{fault:?}: {said}");
    }
}
