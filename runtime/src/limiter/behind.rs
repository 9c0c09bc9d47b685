//! Checks of a key for which somebody waits in this process: what they may take is what is left
//! behind the line.

use std::time::Duration;

use super::Limiter;
use super::prospect::{Ahead, Turn};
use super::queue::Passage;
use crate::micros::Timestamp;
use crate::operation::Operation;
use crate::verdict::Verdict;
use crate::{Check, Decision, Outcome, Source, Unavailable};

impl Limiter {
    /// Returns those who wait for the key of a check, if it could take units before them.
    pub(super) fn ahead_of(&self, check: &Check<'_>) -> Option<Ahead> {
        self.shared.queue.ahead_of(check).filter(|_| could_take(check))
    }

    /// Returns the passage of a check behind those who wait for its key, if it could take units
    /// before them.
    pub(super) fn pass<'a>(&'a self, check: &Check<'a>) -> Option<Passage<'a>> {
        let queue = &self.shared.queue;
        if queue.is_empty() || !could_take(check) { None } else { queue.pass(check) }
    }

    /// Decides a check in its turn, like [`decide_now`](Self::decide_now). This is for the time in
    /// which somebody waits for any key.
    #[cold]
    #[inline(never)]
    pub(super) fn decide_now_in_turn(
        &self,
        check: &Check<'_>,
        verdict: &mut Verdict,
    ) -> Option<Result<(), Unavailable>> {
        let timer = self.shared.telemetry.start_timer();
        let decided = self.ask_now_in_turn(check, verdict)?;
        self.observe(timer, check, decided.as_ref().err(), verdict);
        Some(decided)
    }

    fn ask_now_in_turn(
        &self,
        check: &Check<'_>,
        verdict: &mut Verdict,
    ) -> Option<Result<(), Unavailable>> {
        let Some(passage) = self.pass(check) else { return self.ask_now_apart(check, verdict) };
        if let Err(error) = self.validated() {
            return Some(Err(error));
        }
        let turn = Turn::of_plain(check, passage.ahead);
        let peek = Operation::peek(turn.question(check));
        let answer = self.shared.store.apply_now(&peek)?;
        let peeked = answer.and_then(|answer| answer.into_verdict(verdict));
        match self.conclude(&peek, peeked, verdict) {
            Ok(()) if put_behind(verdict, check, &turn) => self.ask_now_apart(check, verdict),
            concluded => Some(concluded),
        }
    }

    /// Decides a check behind a line.
    pub(super) async fn ask_behind(
        &self,
        check: &Check<'_>,
        passage: Passage<'_>,
        verdict: &mut Verdict,
    ) -> Result<(), Unavailable> {
        *verdict = self.peek_turn(check, &Turn::of_plain(check, passage.ahead)).await?;
        if verdict.is_allowed() { self.ask(check, verdict).await } else { Ok(()) }
    }

    /// Returns the refusal of a caller that leaves the line unadmitted, and that had these places
    /// before it. The time to retry is that of its turn, behind those.
    pub(super) async fn refuse_in_line(
        &self,
        check: &Check<'_>,
        ahead: Ahead,
    ) -> Result<Decision, Unavailable> {
        let verdict = self.peek_turn(check, &Turn::of_waiter(check, ahead)).await?;
        Ok(Decision::refused(verdict, check.policy, &self.shared.responses))
    }

    /// Returns the verdict on a check behind a line, and charges nothing.
    pub(super) async fn peek_turn(
        &self,
        check: &Check<'_>,
        turn: &Turn,
    ) -> Result<Verdict, Unavailable> {
        self.validated()?;
        let mut verdict = self.peek_verdict(turn.question(check)).await?;
        put_behind(&mut verdict, check, turn);
        Ok(verdict)
    }
}

/// Returns `true` if the check could take units.
fn could_take(check: &Check<'_>) -> bool {
    check.cost > 0 && !check.policy.is_blocked() && !check.can_never_pass()
}

/// Turns the store's verdict on the question of a turn into that on the check itself. Returns `true`
/// if the check is admitted.
pub(super) fn put_behind(verdict: &mut Verdict, check: &Check<'_>, turn: &Turn) -> bool {
    if verdict.source() == Source::Open {
        // The store has failed, so those in line go on as well.
        return true;
    }
    let told = match verdict.outcome() {
        Outcome::Allowed => Some(Duration::ZERO),
        Outcome::Refused { retry_after } => Some(retry_after),
        Outcome::Never | Outcome::Blocked | Outcome::Banned { .. } => None,
    };
    let now = Timestamp::from_micros(verdict.stamp_micros());
    let waits = told.map(|told| turn.wait(now, told).max(turn.wait_for_permit(check, verdict)));
    if let Some(retry_after) = waits.flatten() {
        verdict.set_outcome(Outcome::Refused { retry_after });
    }
    verdict.is_allowed()
}
