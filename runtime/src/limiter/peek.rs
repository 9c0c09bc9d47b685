//! Peeks: what a check would be told, without charging anything.

use super::Limiter;
#[cfg(feature = "axum")]
use super::behind::put_behind;
use super::overrides::FoundPolicy;
use super::prospect::Turn;
use crate::named_subject::AsSubject;
use crate::operation::Operation;
use crate::verdict::Verdict;
use crate::{Check, Decision, Policy, Unavailable};

impl Limiter {
    /// Returns the decision that [`check_cost`](Self::check_cost) would return now, and charges
    /// nothing.
    ///
    /// # Errors
    ///
    /// If the backend cannot answer and the policy is closed.
    pub async fn peek(
        &self,
        policy: &Policy,
        subject: impl AsSubject,
        cost: u32,
    ) -> Result<Decision, Unavailable> {
        let subject = self.subject_of(&subject);
        let declared = Check::new(policy, &subject, cost);
        let FoundPolicy { policy, failed } = self.find_policy_for(&declared, None).await;
        if !policy.is_enabled() {
            return Ok(Decision::disabled());
        }
        let check = declared.with_policy(&policy);
        if let Some(failed) = failed {
            let mut verdict = Verdict::open();
            let operation = Operation::peek(check);
            return match self.decide_unfound(&operation, failed, &mut verdict).await {
                Ok(()) => Ok(self.found(verdict, &check)),
                Err(error) => self.undecided(&check, error),
            };
        }
        if let Err(error) = self.validated() {
            return self.undecided(&check, error);
        }
        if policy.is_blocked() {
            return Ok(self.found(Verdict::blocked(), &check));
        }
        let peeked = match self.ahead_of(&check) {
            Some(ahead) => self.peek_turn(&check, &Turn::of_plain(&check, ahead)).await,
            None => self.peek_verdict(check).await,
        };
        match peeked {
            Ok(verdict) => Ok(self.found(verdict, &check)),
            Err(error) => self.undecided(&check, error),
        }
    }

    /// Returns the verdict on a check by the policy in it, and charges nothing.
    pub(super) async fn peek_verdict(&self, check: Check<'_>) -> Result<Verdict, Unavailable> {
        let mut verdict = Verdict::open();
        let operation = Operation::peek(check);
        let answer = self.apply(&operation).await;
        let peeked = answer.and_then(|answer| answer.into_verdict(&mut verdict));
        self.conclude(&operation, peeked, &mut verdict)?;
        Ok(verdict)
    }

    /// Returns the store's verdicts on checks, and charges nothing. A verdict is `None` if the store
    /// fails, or if it has to be awaited and `may_wait` is `false`. The store is awaited once for
    /// all.
    #[cfg(feature = "axum")]
    pub(crate) async fn peek_all(
        &self,
        checks: &[Check<'_>],
        may_wait: bool,
    ) -> Vec<Option<Verdict>> {
        let is_asked = |check: &&Check<'_>| !check.policy.is_blocked();
        let asked: Vec<Check<'_>> = checks.iter().filter(is_asked).copied().collect();
        let mut peeked = self.peek_asked(&asked, may_wait).await.into_iter();
        let verdicts = checks.iter().map(|check| match is_asked(&check) {
            true => peeked.next().flatten(),
            false => Some(Verdict::blocked()),
        });
        verdicts.collect()
    }

    #[cfg(feature = "axum")]
    async fn peek_asked(&self, checks: &[Check<'_>], may_wait: bool) -> Vec<Option<Verdict>> {
        let store = &self.shared.store;
        let turn = |check| Some(Turn::of_plain(check, self.ahead_of(check)?));
        let turns: Vec<Option<Turn>> = checks.iter().map(turn).collect();
        let questions = checks.iter().zip(&turns).map(|(check, turn)| match turn {
            Some(turn) => turn.question(check),
            None => *check,
        });
        let batch: Vec<Operation<'_>> = questions.map(Operation::peek).collect();
        let mut answers: Vec<_> = batch.iter().map(|peek| store.apply_now(peek)).collect();
        if may_wait && answers.iter().any(Option::is_none) {
            let waiting = answers.iter().zip(&batch).filter(|(answer, _)| answer.is_none());
            let waiting: Vec<Operation<'_>> = waiting.map(|(_, peek)| *peek).collect();
            let late = store.apply(&waiting).await;
            for (answer, late) in answers.iter_mut().filter(|answer| answer.is_none()).zip(late) {
                *answer = Some(late);
            }
        }
        let answers = answers.into_iter().zip(&turns).zip(checks);
        answers
            .map(|((answer, turn), check)| {
                let mut verdict = answer?.ok()?.verdict()?;
                if let Some(turn) = turn {
                    put_behind(&mut verdict, check, turn);
                }
                Some(verdict)
            })
            .collect()
    }

    /// Creates the decision of a peek.
    fn found(&self, verdict: Verdict, check: &Check<'_>) -> Decision {
        if verdict.is_allowed() {
            return Decision::without_receipt(verdict);
        }
        Decision::refused(verdict, check.policy, &self.shared.responses)
    }
}
