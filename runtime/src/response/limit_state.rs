//! The state of one limit after a decision, from which the header fields are formatted.

use std::cmp::Reverse;
use std::time::Duration;

use arrayvec::ArrayVec;

use super::header_style::{HeaderStyle, LegacyReset};
use super::legacy_headers::LegacyHeaders;
use super::limit_field::LimitItem;
use super::policy_text::PolicyText;
use super::reset_time::ResetTime;
use super::seconds::wait_seconds;
use crate::policy::MAX_STATES;
use crate::verdict::Verdict;
use crate::{Outcome, QuotaState};

/// The items of one line of the field `RateLimit`, in order.
pub(super) type LimitItems<'a> = ArrayVec<LimitItem<'a>, MAX_STATES>;

/// The state of one limit after a decision, and the style of the fields that describe it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LimitState<'a> {
    pub(super) text: &'a PolicyText,
    pub(super) style: HeaderStyle,
    /// The outcome; `None` if nothing was decided.
    pub(super) outcome: Option<Outcome>,
    /// The states of the quotas; empty if they are unknown.
    pub(super) quotas: &'a [QuotaState],
    /// The wall time of the decision, in microseconds since the Unix epoch; 0 if no field tells it.
    pub(super) wall_micros: u64,
    /// `true` if every request has the same cost at this limit.
    pub(super) has_fixed_cost: bool,
}

impl<'a> LimitState<'a> {
    /// Creates the state of a limit with the texts `text`, of which `verdict` is the verdict on a
    /// charge or on a peek.
    pub(crate) fn new(
        text: &'a PolicyText,
        verdict: &'a Verdict,
        style: HeaderStyle,
        reset: &ResetTime,
    ) -> Self {
        Self {
            text,
            style,
            outcome: Some(verdict.outcome()),
            quotas: verdict.quotas(),
            wall_micros: reset.wall_micros(verdict, style),
            has_fixed_cost: false,
        }
    }

    /// Says if every request has the same cost at this limit. By default the cost is the request's
    /// own.
    pub(crate) fn fixed_cost(self, has_fixed_cost: bool) -> Self {
        Self { has_fixed_cost, ..self }
    }

    /// Returns `true` if the limit can never admit the request, because the request's own cost is
    /// too large. A fixed cost that is too large is no fault of the request: an override has lowered
    /// the limit below it.
    pub(super) fn is_too_small(&self) -> bool {
        self.outcome == Some(Outcome::Never) && !self.has_fixed_cost
    }

    /// Creates the state of a limit that has decided nothing.
    pub(super) fn undecided(text: &'a PolicyText, style: HeaderStyle) -> Self {
        Self { text, style, outcome: None, quotas: &[], wall_micros: 0, has_fixed_cost: false }
    }

    /// Returns the time until this limit would admit the same request. After an admission this is
    /// the time until it would admit the request once more. [`Duration::MAX`] if it never can.
    pub(super) fn wait(&self) -> Duration {
        match self.outcome {
            Some(Outcome::Refused { retry_after } | Outcome::Banned { retry_after }) => retry_after,
            Some(Outcome::Never | Outcome::Blocked) => Duration::MAX,
            Some(Outcome::Allowed) => self.quotas.iter().map(quota_wait).max().unwrap_or_default(),
            None => Duration::ZERO,
        }
    }

    /// Returns the index of the quota that decides: the one that refuses the request for the
    /// longest time, or else the one with the least remaining. Of several it is the first.
    pub(super) fn deciding(&self) -> usize {
        if self.quotas.len() < 2 {
            return 0;
        }
        let quotas = self.quotas.iter().enumerate();
        let longest = quotas.max_by_key(|(index, state)| {
            let is_exceeded = state.is_exceeded();
            let remaining = (!is_exceeded).then(|| Reverse(state.remaining()));
            (is_exceeded, quota_wait(state), remaining, Reverse(*index))
        });
        longest.map_or(0, |(index, _)| index)
    }

    /// Returns the items of an admission, in the order of declaration.
    pub(super) fn items(&self) -> LimitItems<'a> {
        let quotas = self.text.quotas.iter().zip(self.quotas);
        let items = quotas.map(|(text, state)| LimitItem {
            text,
            remaining: state.remaining(),
            seconds: if text.has_times { wait_seconds(state.more_after()) } else { 0 },
        });
        items.take(MAX_STATES).collect()
    }

    /// Returns the items for a refusal, after which the same request succeeds in `wait`
    /// ([`Duration::MAX`]: never). If the limit `decides` that, its deciding quota comes first.
    ///
    /// A quota that would refuse the request again has the wait for it. Other times are left out
    /// if they are later than the retry, because clients would wait for them in vain. All are left
    /// out if no wait helps.
    pub(super) fn refusal_items(&self, wait: Duration, decides: bool) -> LimitItems<'a> {
        let deciding = decides.then(|| self.deciding());
        let longest = if wait == Duration::MAX { 0 } else { wait_seconds(wait).max(1) };
        let seconds = |index, state: &QuotaState| {
            if longest == 0 || deciding == Some(index) {
                return longest;
            }
            if self.is_banned() {
                return 0;
            }
            let own = quota_wait(state);
            let seconds = wait_seconds(if own.is_zero() { state.more_after() } else { own });
            if seconds <= longest { seconds } else { 0 }
        };
        let quotas = self.text.quotas.iter().zip(self.quotas).enumerate();
        let items = quotas.map(|(index, (text, state))| LimitItem {
            text,
            // Whatever the quotas have left, a banned client can use none of it.
            remaining: if self.is_banned() { 0 } else { state.remaining() },
            seconds: if text.has_times { seconds(index, state) } else { 0 },
        });
        let mut items: LimitItems<'a> = items.take(MAX_STATES).collect();
        if let Some(deciding) = deciding.filter(|deciding| *deciding < items.len()) {
            items[..=deciding].rotate_right(1);
        }
        items
    }

    /// Returns the legacy fields of the quota that decides.
    pub(super) fn legacy(&self, reset: LegacyReset) -> Option<LegacyHeaders> {
        let deciding = self.deciding();
        let limit = self.text.quotas.get(deciding)?.capacity;
        let banned = match self.outcome {
            Some(Outcome::Banned { retry_after: span }) => {
                Some(QuotaState::new(true, 0, span, span))
            }
            _ => None,
        };
        let state = banned.as_ref().or(self.quotas.get(deciding));
        Some(LegacyHeaders::new(limit, state, self.wall_micros, reset))
    }

    fn is_banned(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Banned { .. }))
    }

    /// Returns the legacy fields of the quota with the least remaining, after an admission.
    pub(super) fn tightest_legacy(&self, reset: LegacyReset) -> Option<LegacyHeaders> {
        let quotas = self.text.quotas.iter().zip(self.quotas);
        match quotas.min_by_key(|(_, state)| state.remaining()) {
            Some((quota, state)) => {
                Some(LegacyHeaders::new(quota.capacity, Some(state), self.wall_micros, reset))
            }
            None => self.legacy(reset),
        }
    }
}

/// Returns the time until the quota would admit the same request; [`Duration::MAX`] if never.
fn quota_wait(state: &QuotaState) -> Duration {
    state.retry_after().unwrap_or(Duration::MAX)
}
