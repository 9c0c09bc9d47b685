//! The limit on requests in flight: completes the verdict of the quotas by the permits that are held.

use std::time::Duration;

use crate::verdict::Verdict;
use crate::{Check, InFlight, Outcome, QuotaState};

/// Completes the verdict of the quotas on a charge, while the subject holds `held` permits. Returns
/// `true` if the request takes one more.
pub(crate) fn take_permit(check: &Check<'_>, held: u32, verdict: &mut Verdict) -> bool {
    let Some(in_flight) = check.policy.get_in_flight() else { return false };
    let takes = check.cost > 0 && admits(in_flight, check, held) && verdict.is_allowed();
    if takes {
        verdict.push(state(in_flight, held.saturating_add(1), false));
    } else {
        peek_permits(check, held, verdict);
    }
    takes
}

/// Completes the verdict of the quotas on a peek, or on a charge that takes no permit.
pub(crate) fn peek_permits(check: &Check<'_>, held: u32, verdict: &mut Verdict) {
    let Some(in_flight) = check.policy.get_in_flight() else { return };
    let is_refused = !admits(in_flight, check, held);
    let hint = in_flight.get_retry_after();
    match verdict.outcome() {
        Outcome::Allowed if is_refused => {
            verdict.set_outcome(Outcome::Refused { retry_after: hint });
        }
        Outcome::Refused { retry_after } if is_refused => {
            verdict.set_outcome(Outcome::Refused { retry_after: retry_after.max(hint) });
        }
        _ => {}
    }
    verdict.push(state(in_flight, held, is_refused));
}

/// Returns `true` if the request needs no permit, or finds one that is free.
fn admits(in_flight: InFlight, check: &Check<'_>, held: u32) -> bool {
    check.cost == 0 || held < in_flight.limit()
}

/// Returns the state of the limit. Nobody knows when a permit will be free, so there are times only
/// for a refused request, which is told when to come again.
fn state(in_flight: InFlight, held: u32, is_refused: bool) -> QuotaState {
    let wait = if is_refused { in_flight.get_retry_after() } else { Duration::ZERO };
    QuotaState::new(is_refused, in_flight.limit().saturating_sub(held), wait, wait)
}
