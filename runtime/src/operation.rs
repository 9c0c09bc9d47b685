//! The operations that a store carries out, and its answers.

use std::time::Duration;

use crate::verdict::Verdict;
use crate::{BackendError, Check, Settled, Source};

/// One request to a store: an action for one subject under one policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Operation<'a> {
    /// The policy and the subject, which are the key of the counters, and the cost in units. A
    /// reset ignores the cost.
    pub check: Check<'a>,
    /// The action.
    pub action: Action,
}

impl<'a> Operation<'a> {
    /// Creates an operation, for stores that pass on the action of another.
    #[inline]
    #[must_use]
    pub const fn new(check: Check<'a>, action: Action) -> Self {
        Self { check, action }
    }

    /// Creates the operation that charges the check's cost to its subject.
    #[inline]
    #[must_use]
    pub const fn charge(check: Check<'a>) -> Self {
        Self { check, action: Action::Charge }
    }

    /// Creates the operation that returns the verdict on the check, but charges nothing.
    #[must_use]
    pub const fn peek(check: Check<'a>) -> Self {
        Self { check, action: Action::Peek }
    }

    /// Creates the operation that removes all charges of the check's subject. The check's cost is
    /// ignored.
    #[must_use]
    pub const fn reset(check: Check<'a>) -> Self {
        Self { check, action: Action::Reset }
    }

    /// Creates the operation that refunds a charge which the store itself made. `stamp_micros` is
    /// the [`Verdict::stamp_micros`] of the store's answer to that charge.
    #[must_use]
    pub const fn refund(check: Check<'a>, stamp_micros: u64) -> Self {
        let source = Source::Store;
        Self { check, action: Action::Refund { stamp_micros, source, forgives: false } }
    }

    /// Creates the operation that settles a charge of `check.cost` units, which the store itself
    /// made, at the `actual` units that the request came to. `stamp_micros` is that of the
    /// [refund](Self::refund).
    #[must_use]
    pub const fn settle(check: Check<'a>, stamp_micros: u64, actual: u32) -> Self {
        let source = Source::Store;
        Self { check, action: Action::Settle { stamp_micros, source, actual } }
    }

    /// Creates the operation that bans the check's subject for `duration`. The check's cost is
    /// ignored.
    #[must_use]
    pub const fn ban(check: Check<'a>, duration: Duration) -> Self {
        Self { check, action: Action::Ban { duration } }
    }

    /// Creates the operation that ends the ban of the check's subject. The check's cost is ignored.
    #[must_use]
    pub const fn unban(check: Check<'a>) -> Self {
        Self { check, action: Action::Unban }
    }
}

/// The action of an [`Operation`]. A store answers one that it does not know, or cannot do, with
/// [`Answer::Unsupported`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Charges the cost if every quota admits it; otherwise charges nothing. A cost of 0 charges
    /// nothing. While the subject is banned, the answer is [`Outcome::Banned`]. If the policy has a
    /// [`Ban`](crate::Ban) and is not in shadow mode, a refusal is counted for it, in the same step.
    ///
    /// [`Outcome::Banned`]: crate::Outcome::Banned
    Charge,
    /// Returns the answer that a charge would get, but charges nothing.
    Peek,
    /// Removes all charges of the subject, its ban, and the memory of refusals and earlier bans.
    Reset,
    /// Refunds a charge of the check's cost. Never refunds more than is in use. If it is not known
    /// exactly how much of the charge is still in use, refunds too little rather than too much.
    #[non_exhaustive]
    Refund {
        /// The [`Verdict::stamp_micros`] of the charge.
        stamp_micros: u64,
        /// The part of the limiter that recorded the charge, and therefore has to refund it. A
        /// store receives only refunds of its own charges.
        source: Source,
        /// `true` if the request has succeeded, so that the refusals of its subject and the bans
        /// before the one in force are forgotten, too.
        forgives: bool,
    },
    /// Replaces the cost of a charge by what the request came to. If that is less, gives back the
    /// difference as a refund does. If it is more, charges the difference at the time of the
    /// settlement, also beyond the limit: it is a debt, until it is worked off.
    #[non_exhaustive]
    Settle {
        /// The [`Verdict::stamp_micros`] of the charge, whose units are the check's cost.
        stamp_micros: u64,
        /// The part of the limiter that recorded the charge. A store receives only settlements of
        /// its own charges.
        source: Source,
        /// The units that the request came to.
        actual: u32,
    },
    /// Bans the subject: until the end of the ban, every request is refused. A ban that ends later
    /// stays.
    #[non_exhaustive]
    Ban {
        /// The time from now to the end of the ban, in whole microseconds.
        duration: Duration,
    },
    /// Ends the ban of the subject. Its charges, and the memory of earlier refusals and bans, stay.
    Unban,
}

/// A store's answer to an [`Operation`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "nearly all answers are verdicts")]
pub enum Answer {
    /// The answer to a charge or a peek.
    Verdict(Verdict),
    /// The answer to a reset: the charges have been removed.
    Reset,
    /// The answer to a refund: `true` if anything was refunded.
    Refunded(bool),
    /// The answer to a settlement.
    Settled(Settled),
    /// The answer to a ban: the subject is banned, for as long as was asked or longer.
    Banned,
    /// The answer to the end of a ban: `true` if the subject was banned.
    Unbanned(bool),
    /// The answer to an action that this store does not support. The store has done nothing.
    Unsupported,
}

impl Answer {
    /// Moves the verdict of this answer into `verdict`. Returns an error if the answer is not a
    /// verdict.
    pub(crate) fn into_verdict(self, verdict: &mut Verdict) -> Result<(), BackendError> {
        match self {
            Self::Verdict(given) => {
                *verdict = given;
                Ok(())
            }
            other => Err(other.mismatch("a check")),
        }
    }

    /// Returns the verdict; `None` if this is the answer to something else than a check.
    pub(crate) fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Verdict(verdict) => Some(verdict),
            _ => None,
        }
    }

    /// Returns the error for an answer of the wrong kind. `asked` names the operation in its
    /// message.
    pub(crate) fn mismatch(&self, asked: &str) -> BackendError {
        match self {
            Self::Unsupported => {
                BackendError::rejected(format!("this backend does not support {asked}"))
            }
            other => BackendError::unknown(format!("it answered {asked} with {other:?}")),
        }
    }
}
