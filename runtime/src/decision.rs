//! The answer to a request, and what it says of each quota.

use std::time::Duration;

use smol_str::SmolStr;

use crate::algorithm::Reading;
use crate::backend::{Action, Operation, Verdict};
use crate::micros::{TimeSpan, Timestamp};
use crate::{Policy, Quota};

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

impl Outcome {
    /// A word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused { .. } => "refused",
            Self::Never => "never",
        }
    }

    /// How long until the same request succeeds, if that is what it says.
    pub(crate) const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after } => Some(retry_after),
            Self::Allowed | Self::Never => None,
        }
    }
}

/// Who decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// The backend's own state.
    #[default]
    Store,
    /// What is remembered of an earlier refusal, which still holds.
    DenyCache,
    /// Permits that the backend has charged before, several at once.
    Lease,
    /// The limiter in this process, for the backend failed ([`OnError::Local`]).
    ///
    /// [`OnError::Local`]: crate::OnError::Local
    Local,
    /// Nobody: the backend failed and the policy lets requests through.
    Open,
    /// Nobody: the backend failed and the policy is closed. Then there is no decision, but
    /// [`Unavailable`](crate::Unavailable); it is here for those who count.
    Closed,
    /// Nobody: an override has switched the policy off.
    Disabled,
}

impl Source {
    /// A word for it, as for a metric's label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::DenyCache => "deny_cache",
            Self::Lease => "lease",
            Self::Local => "local",
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Disabled => "disabled",
        }
    }

    /// Whether somebody keeps the charge, who can give it back.
    const fn keeps_charges(self) -> bool {
        match self {
            Self::Store | Self::Lease | Self::Local => true,
            Self::DenyCache | Self::Open | Self::Closed | Self::Disabled => false,
        }
    }
}

/// One quota, as it stands after a decision. Its times are exact to the microsecond.
#[derive(Clone, Copy, Debug)]
pub struct QuotaState(Reading);

impl QuotaState {
    /// For a backend to say what it found; the arguments are described at the methods of the
    /// same names. What is not whole microseconds is rounded up, so that nobody comes early.
    #[must_use]
    pub const fn new(
        exceeded: bool,
        remaining: u32,
        more_after: Duration,
        reset_after: Duration,
    ) -> Self {
        let [more_after, reset_after] = [micros(more_after), micros(reset_after)];
        Self(Reading::Known { exceeded, remaining, more_after, reset_after })
    }

    #[inline]
    pub(crate) fn read(exceeded: bool, mut reading: Reading) -> Self {
        reading.set_exceeded(exceeded);
        Self(reading)
    }

    /// The same when `elapsed` has passed, for a request of `cost`. More may remain than it says,
    /// for not everything that has come back since is known.
    pub(crate) fn aged(&self, elapsed: TimeSpan, quota: &Quota, cost: u32) -> Self {
        let mut reading = self.0.aged(elapsed, quota.capacity());
        reading.set_exceeded(cost > reading.remaining());
        Self(reading)
    }

    /// The same with `units` more that remain, which were charged before.
    pub(crate) fn with_more(&self, units: u32) -> Self {
        let remaining = self.remaining().saturating_add(units);
        Self(Reading::known(remaining, self.0.more_after(), self.0.reset_after()))
    }

    /// Whether this quota refused the request.
    #[must_use]
    pub fn is_exceeded(&self) -> bool {
        self.0.exceeded()
    }

    /// How much more it would admit now.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.0.remaining()
    }

    /// Until it would admit more than [`remaining`](Self::remaining), if nobody came before
    /// then; zero when nothing is used.
    #[must_use]
    pub fn more_after(&self) -> Duration {
        self.0.more_after().to_duration()
    }

    /// Until it would be whole again, if nobody came before then; zero when nothing is used.
    #[must_use]
    pub fn reset_after(&self) -> Duration {
        self.0.reset_after().to_duration()
    }
}

/// Two are equal if they say the same.
impl PartialEq for QuotaState {
    fn eq(&self, other: &Self) -> bool {
        let says = |state: &Self| (state.is_exceeded(), state.remaining(), state.more_after());
        says(self) == says(other) && self.reset_after() == other.reset_after()
    }
}

impl Eq for QuotaState {}

/// What lasts longer than half a million years is taken for that.
const fn micros(span: Duration) -> TimeSpan {
    let micros = span.as_nanos().div_ceil(1_000);
    if micros > u64::MAX as u128 { TimeSpan::MAX } else { TimeSpan::from_micros(micros as u64) }
}

/// What the limiter says of a request. It does not name what was charged: whoever wants that
/// given back says it again.
#[derive(Debug)]
pub struct Ruling {
    verdict: Verdict,
    /// The instant that names this charge in the limiter's fallback, where it was noted; else 0.
    noted: Timestamp,
}

impl Ruling {
    /// Let through because the backend failed.
    #[inline]
    #[must_use]
    pub fn open() -> Self {
        Self {
            verdict: Verdict::new(Outcome::Allowed, 0).from(Source::Open),
            noted: Timestamp::EPOCH,
        }
    }

    /// Leaves [`open`](Self::open) in its place.
    #[cfg(feature = "axum")]
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::open())
    }

    /// Makes it the store's, which is to say what it is; a guard in front of the store that
    /// answers itself says so.
    #[inline]
    pub(crate) fn by_store(&mut self) -> &mut Verdict {
        self.verdict.set_source(Source::Store);
        &mut self.verdict
    }

    #[inline]
    pub(crate) fn source(&self) -> Source {
        self.verdict.source()
    }

    pub(crate) fn note(&mut self, instant: Timestamp) {
        self.noted = instant;
    }

    #[inline]
    pub(crate) fn outcome(&self) -> Outcome {
        self.verdict.outcome()
    }

    /// Whether the request may go on.
    #[inline]
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.outcome() == Outcome::Allowed
    }

    pub(crate) fn quotas(&self) -> &[QuotaState] {
        self.verdict.quotas()
    }

    /// When, in microseconds on the store's clock.
    #[cfg(feature = "axum")]
    pub(crate) fn stamp_micros(&self) -> u64 {
        self.verdict.stamp_micros()
    }

    /// What gives back the `cost` that was charged; `None` if nothing was.
    pub(crate) fn undo(&self, cost: u32) -> Option<Action> {
        let source = self.source();
        let charged = self.is_allowed() && source.keeps_charges() && cost > 0;
        charged.then(|| Action::Refund { stamp_micros: self.verdict.stamp_micros(), cost, source })
    }
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
    ruling: Ruling,
    receipt: Option<Receipt>,
}

/// What a refund needs to know of the charge that it undoes.
#[derive(Debug)]
pub(crate) struct Receipt {
    pub(crate) policy: Policy,
    pub(crate) subject: SmolStr,
    pub(crate) action: Action,
    /// As [`Ruling::note`] has it.
    pub(crate) noted: Timestamp,
}

impl Receipt {
    /// What gives the charge back.
    pub(crate) fn operation(&self) -> Operation<'_> {
        Operation { policy: &self.policy, subject: &self.subject, action: self.action }
    }
}

impl Decision {
    /// What was said of a peek, or of what is not going to be given back.
    pub(crate) fn final_one(ruling: Ruling) -> Self {
        Self { ruling, receipt: None }
    }

    /// Let through because the policy is switched off.
    pub(crate) fn disabled() -> Self {
        let verdict = Verdict::new(Outcome::Allowed, 0).from(Source::Disabled);
        Self::final_one(Ruling { verdict, noted: Timestamp::EPOCH })
    }

    /// What was said of a charge.
    pub(crate) fn charged(ruling: Ruling, policy: &Policy, subject: &str, cost: u32) -> Self {
        let receipt = ruling.undo(cost).map(|action| Receipt {
            policy: policy.clone(),
            subject: subject.into(),
            action,
            noted: ruling.noted,
        });
        Self { ruling, receipt }
    }

    /// For who could not get a turn in time: refused for at least `span`, even if there is room
    /// now, for it belongs to those who came before.
    pub(crate) fn refused_for(self, span: Duration) -> Self {
        let retry_after = self.retry_after().unwrap_or_default().max(span);
        match self.outcome() {
            Outcome::Never => self,
            Outcome::Allowed | Outcome::Refused { .. } => {
                let verdict = self.ruling.verdict.with_outcome(Outcome::Refused { retry_after });
                Self::final_one(Ruling { verdict, noted: Timestamp::EPOCH })
            }
        }
    }

    /// Whether the request may go on.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.outcome() == Outcome::Allowed
    }

    /// What was decided.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.ruling.outcome()
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
        self.outcome().retry_after()
    }

    /// Each quota of the policy, in written order. Empty when nobody knows (see
    /// [`Source::Open`]).
    #[must_use]
    pub fn quotas(&self) -> &[QuotaState] {
        self.ruling.quotas()
    }

    pub(crate) fn ruling(&self) -> &Ruling {
        &self.ruling
    }

    /// Who decided.
    #[must_use]
    pub fn source(&self) -> Source {
        self.ruling.source()
    }

    pub(crate) fn into_receipt(self) -> Option<Receipt> {
        self.receipt
    }
}
