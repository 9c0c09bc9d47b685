//! The meaning of the script's replies.

use super::script::ScriptReply;
use crate::algorithm::{peek_permits, take_permit, verdict_from_raw};
use crate::micros::{TimeSpan, Timestamp};
use crate::operation::{Action, Answer, Operation};
use crate::verdict::Verdict;
use crate::{BackendError, Check, Outcome, Settled};

/// Returns `true` if the operation takes a permit of a request in flight, or looks if one is free.
pub(super) fn limits_in_flight(operation: &Operation<'_>) -> bool {
    matches!(operation.action, Action::Charge | Action::Peek)
        && operation.check.policy.get_in_flight().is_some()
}

/// Interprets the script's reply to an operation.
pub(super) fn answer(
    operation: &Operation<'_>,
    reply: ScriptReply,
) -> Result<Answer, BackendError> {
    let ScriptReply { now, mut numbers, note: _ } = reply;
    let has_permits = limits_in_flight(operation);
    // The number of permits that the subject had before stands at the end.
    let held = if has_permits { numbers.pop() } else { None };
    let held = held.and_then(|held| u32::try_from(held).ok()).unwrap_or(u32::MAX);
    let mut numbers = numbers.into_iter();
    let check = &operation.check;
    let status = numbers.next();
    let answer = match operation.action {
        Action::Charge | Action::Peek => {
            let verdict = status.and_then(|status| {
                if check.policy.quotas().is_empty() {
                    return Some(Verdict::new(Outcome::Allowed, now));
                }
                verdict(check, now, status, numbers)
            });
            verdict.map(|mut verdict| {
                match operation.action {
                    Action::Charge => _ = take_permit(check, held, &mut verdict),
                    _ => peek_permits(check, held, &mut verdict),
                }
                Answer::Verdict(verdict)
            })
        }
        Action::Reset => Some(Answer::Reset),
        Action::Refund { .. } => status.map(|status| Answer::Refunded(status == 1)),
        Action::Settle { .. } => status.and_then(settled).map(Answer::Settled),
        Action::Ban { .. } => status.map(|_| Answer::Banned),
        Action::Unban => status.map(|status| Answer::Unbanned(status == 1)),
    };
    answer.ok_or_else(|| BackendError::useless("the server's answer makes no sense"))
}

fn settled(status: u64) -> Option<Settled> {
    [Settled::Nothing, Settled::Refunded, Settled::Charged, Settled::Unchanged]
        .get(usize::try_from(status).ok()?)
        .copied()
}

/// The bit of a status that says that the subject is banned. The time left is the next number.
const BANNED: u64 = 1 << 48;
/// The bit of a status that says that the state is of another form, and is not stored in that of the check.
/// The time until nothing of it is in use any more is the next number.
const FORGETS: u64 = 1 << 49;

fn verdict(
    check: &Check<'_>,
    now: u64,
    status: u64,
    mut raw: impl Iterator<Item = u64>,
) -> Option<Verdict> {
    let mut span_if = |bit| match status & bit {
        0 => Some(None),
        _ => raw.next().map(|micros| Some(TimeSpan::from_micros(micros))),
    };
    let (left, forgets) = (span_if(BANNED)?, span_if(FORGETS)?);
    let status = status & !(BANNED | FORGETS);
    // The script only reads the state for a cost that can never be admitted (see `Plan`), so its
    // status is not a decision about that cost.
    let admitted = status & 1 == 1 && !check.can_never_pass();
    let now = Timestamp::from_micros(now);
    // The rest of the status is the time by which the clock is behind a bucket's last charge.
    let floor = now.saturating_add(TimeSpan::from_micros(status >> 1));
    let mut verdict = verdict_from_raw(check, [now, floor], admitted, raw)?;
    if let Some(span) = forgets {
        verdict.end_at(now.saturating_add(span), now);
    }
    if let Some(left) = left {
        verdict.set_outcome(Outcome::Banned { retry_after: left.to_duration() });
    }
    Some(verdict)
}
