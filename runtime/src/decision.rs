//! The answer to a request, and what it says of each quota.

use std::time::Duration;

use smol_str::SmolStr;

use crate::Policy;
use crate::backend::{Action, Verdict};

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It may go on, and its cost has been taken (unless it was only a peek).
    Allowed,
    /// It may not, and nothing has been taken.
    Refused {
        /// After this long the same request succeeds, if nobody else came; not one
        /// microsecond before.
        retry_after: Duration,
    },
    /// It may not, now or ever: its cost is more than a quota can hold.
    Never,
}

/// Who decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// The backend's own state.
    Store,
    /// Nobody: the backend failed and the policy lets requests through.
    Open,
}

/// One quota, as it stands after a decision. Its times are exact to the microsecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaState {
    remaining: u32,
    exceeded: bool,
    more_after: u64,
    reset_after: u64,
}

impl QuotaState {
    /// As [`new`](Self::new), in microseconds.
    pub(crate) const fn from_micros(
        exceeded: bool,
        remaining: u32,
        more_after: u64,
        reset_after: u64,
    ) -> Self {
        Self { remaining, exceeded, more_after, reset_after }
    }

    /// For a backend to say what it found; the arguments are described at the methods of the
    /// same names.
    #[must_use]
    pub const fn new(
        exceeded: bool,
        remaining: u32,
        more_after: Duration,
        reset_after: Duration,
    ) -> Self {
        Self::from_micros(exceeded, remaining, micros(more_after), micros(reset_after))
    }

    /// Whether this quota refused the request.
    #[must_use]
    pub const fn is_exceeded(&self) -> bool {
        self.exceeded
    }

    /// How much more it would admit now.
    #[must_use]
    pub const fn remaining(&self) -> u32 {
        self.remaining
    }

    /// Until it would admit more than [`remaining`](Self::remaining), if nobody came before
    /// then; zero when nothing is used.
    #[must_use]
    pub const fn more_after(&self) -> Duration {
        Duration::from_micros(self.more_after)
    }

    /// Until it would be whole again, if nobody came before then; zero when nothing is used.
    #[must_use]
    pub const fn reset_after(&self) -> Duration {
        Duration::from_micros(self.reset_after)
    }
}

/// In whole microseconds, rounded up so that nobody comes early; what lasts longer than half a
/// million years is taken for that.
const fn micros(span: Duration) -> u64 {
    let micros = span.as_nanos().div_ceil(1_000);
    if micros > u64::MAX as u128 { u64::MAX } else { micros as u64 }
}

/// The answer to one request.
///
/// It stands for what was charged, once: give it to [`Limiter::refund`] to undo that. That
/// is why it is not [`Clone`].
///
/// [`Limiter::refund`]: crate::Limiter::refund
#[derive(Debug)]
#[must_use = "a refused request must not go on"]
pub struct Decision {
    source: Source,
    verdict: Verdict,
    receipt: Option<Receipt>,
}

/// What a refund needs to know of the charge that it undoes.
#[derive(Debug)]
pub(crate) struct Receipt {
    pub(crate) policy: Policy,
    pub(crate) subject: SmolStr,
    pub(crate) stamp_micros: u64,
    pub(crate) cost: u32,
}

impl Receipt {
    pub(crate) fn action(&self) -> Action {
        Action::Refund { stamp_micros: self.stamp_micros, cost: self.cost }
    }
}

impl Decision {
    /// The store's verdict on a peek.
    pub(crate) fn peeked(verdict: Verdict) -> Self {
        Self { source: Source::Store, verdict, receipt: None }
    }

    /// The store's verdict on a charge.
    pub(crate) fn charged(verdict: Verdict, policy: &Policy, subject: &str, cost: u32) -> Self {
        let took_something = verdict.outcome() == Outcome::Allowed && cost > 0;
        let receipt = took_something.then(|| Receipt {
            policy: policy.clone(),
            subject: subject.into(),
            stamp_micros: verdict.stamp_micros(),
            cost,
        });
        Self { source: Source::Store, verdict, receipt }
    }

    /// For who could not get a turn in time: refused for at least `span`, even if there is room
    /// now, for it belongs to those who came before.
    pub(crate) fn refused_for(self, span: Duration) -> Self {
        let retry_after = self.retry_after().unwrap_or_default().max(span);
        match self.outcome() {
            Outcome::Never => self,
            Outcome::Allowed | Outcome::Refused { .. } => Self {
                verdict: self.verdict.with_outcome(Outcome::Refused { retry_after }),
                receipt: None,
                ..self
            },
        }
    }

    /// Let through because the backend failed.
    pub(crate) fn open() -> Self {
        let verdict = Verdict::new(Outcome::Allowed, 0);
        Self { source: Source::Open, verdict, receipt: None }
    }

    /// Whether the request may go on.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.outcome() == Outcome::Allowed
    }

    /// What was decided.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.verdict.outcome()
    }

    /// The least that remains in any of the quotas; 0 when nobody knows (see
    /// [`Source::Open`]).
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.quotas().iter().map(QuotaState::remaining).min().unwrap_or(0)
    }

    /// How long until the same request succeeds, if nobody else comes: exact to the
    /// microsecond. `None` when it was allowed, and when it can never succeed.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.outcome() {
            Outcome::Refused { retry_after } => Some(retry_after),
            Outcome::Allowed | Outcome::Never => None,
        }
    }

    /// Each quota of the policy, in written order. Empty when nobody knows (see
    /// [`Source::Open`]).
    #[must_use]
    pub fn quotas(&self) -> &[QuotaState] {
        self.verdict.quotas()
    }

    /// When, in microseconds on the store's clock.
    #[cfg(feature = "axum")]
    pub(crate) fn stamp_micros(&self) -> u64 {
        self.verdict.stamp_micros()
    }

    /// Who decided.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    pub(crate) fn into_receipt(self) -> Option<Receipt> {
        self.receipt
    }
}
