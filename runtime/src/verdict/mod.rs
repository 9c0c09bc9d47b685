//! The raw answer to a check: the outcome, its source, and the state of each quota. Stores, guards
//! and the limiter all write to one verdict in place. Users see it as a
//! [`Decision`](crate::Decision).

mod level;
mod outcome;
mod quota_state;
mod reading;
mod source;

use arrayvec::ArrayVec;

pub(crate) use self::level::Level;
pub use self::outcome::Outcome;
pub use self::quota_state::QuotaState;
pub(crate) use self::reading::{Period, Reading};
pub use self::source::Source;
use crate::micros::Timestamp;
use crate::policy::MAX_STATES;

/// A store's answer to a charge or a peek: the outcome, and the state of each quota after it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Verdict {
    outcome: Outcome,
    source: Source,
    stamp_micros: u64,
    /// See [`fallback_mark`](Self::fallback_mark).
    fallback_mark: u64,
    states: ArrayVec<QuotaState, MAX_STATES>,
}

impl Verdict {
    /// Creates the verdict of a store without the states of the quotas, which [`push`](Self::push)
    /// then adds. `stamp_micros` is the time of the decision on the store's clock, in microseconds
    /// since the Unix epoch.
    #[inline]
    #[must_use]
    pub fn new(outcome: Outcome, stamp_micros: u64) -> Self {
        Self::by(Source::Store, outcome, stamp_micros)
    }

    #[inline]
    fn by(source: Source, outcome: Outcome, stamp_micros: u64) -> Self {
        Self { outcome, source, stamp_micros, fallback_mark: 0, states: ArrayVec::new() }
    }

    /// Creates the verdict that admits a request because the backend failed. Every check starts
    /// with this verdict, and the part of the limiter that decides overwrites it.
    #[inline]
    pub(crate) fn open() -> Self {
        Self::by(Source::Open, Outcome::Allowed, 0)
    }

    /// Creates the verdict that admits a request because its policy is switched off.
    pub(crate) fn disabled() -> Self {
        Self::by(Source::Disabled, Outcome::Allowed, 0)
    }

    /// Creates the verdict that refuses a request because its policy admits nobody.
    pub(crate) fn blocked() -> Self {
        Self::by(Source::Policy, Outcome::Blocked, 0)
    }

    #[inline]
    pub(crate) fn set_source(&mut self, source: Source) {
        self.source = source;
    }

    #[inline]
    pub(crate) fn source(&self) -> Source {
        self.source
    }

    pub(crate) fn set_outcome(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    pub(crate) fn with_outcome(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }

    pub(crate) fn set_fallback_mark(&mut self, mark: u64) {
        self.fallback_mark = mark;
    }

    /// Returns the mark by which the limiter's fallback knows this charge, beside the stamp. If the
    /// store made the charge, it is the time of the fallback's record of it, in microseconds since
    /// the Unix epoch. If the fallback made the charge, it is the number of the debt to the store.
    /// It is 0 if there is no record, or no debt.
    pub(crate) fn fallback_mark(&self) -> u64 {
        self.fallback_mark
    }

    /// Replaces the outcome and the stamp, and removes the states of the quotas.
    /// [`push`](Self::push) then adds the new states.
    #[inline]
    pub(crate) fn restart(&mut self, outcome: Outcome, stamp_micros: u64) {
        self.outcome = outcome;
        self.stamp_micros = stamp_micros;
        self.states.clear();
    }

    /// Shortens all times of a verdict at `now` so that they end at `end`, if that is later than `now`: from
    /// then on the subject has no units in use under any form of the policy, and is as if it were new.
    #[cold]
    pub(crate) fn end_at(&mut self, end: Timestamp, now: Timestamp) {
        let span = end.saturating_since(now);
        if span.is_zero() {
            return;
        }
        if let Outcome::Refused { retry_after } = self.outcome {
            let retry_after = retry_after.min(span.to_duration());
            self.outcome = Outcome::Refused { retry_after };
        }
        for state in &mut self.states {
            *state = state.ended_after(span);
        }
    }

    /// Adds the state of the policy's next quota. Quotas have to be added in the order of
    /// declaration.
    ///
    /// # Panics
    ///
    /// If there are more than [`Policy::MAX_QUOTAS`](crate::Policy::MAX_QUOTAS) states already.
    #[inline]
    pub fn push(&mut self, state: QuotaState) {
        self.states.push(state);
    }

    /// Returns the outcome of the check.
    #[inline]
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Returns `true` if the request may go on.
    #[inline]
    pub(crate) fn is_allowed(&self) -> bool {
        self.outcome == Outcome::Allowed
    }

    /// Returns `true` if the request was admitted by a part of the limiter that records charges, so
    /// that its charge can be refunded.
    pub(crate) fn is_refundable(&self) -> bool {
        self.is_allowed() && self.source.keeps_charges()
    }

    /// Returns the time of the decision, in microseconds since the Unix epoch on the store's clock.
    /// Together with the cost it identifies the charge.
    #[must_use]
    pub fn stamp_micros(&self) -> u64 {
        self.stamp_micros
    }

    /// Returns the state of each quota, in the order of declaration. That of a limit on requests in
    /// flight comes last.
    #[must_use]
    pub fn quotas(&self) -> &[QuotaState] {
        &self.states
    }
}
