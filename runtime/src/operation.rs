//! The operations that a store carries out, and its answers.

use crate::verdict::Verdict;
use crate::{BackendError, Check, Source};

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
        Self { check, action: Action::Refund { stamp_micros, source: Source::Store } }
    }
}

/// The action of an [`Operation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Charges the cost if every quota admits it; otherwise charges nothing. A cost of 0 charges
    /// nothing.
    Charge,
    /// Returns the answer that a charge would get, but charges nothing.
    Peek,
    /// Removes all charges of the subject.
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
    },
}

/// A store's answer to an [`Operation`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Answer {
    /// The answer to a charge or a peek.
    Verdict(Verdict),
    /// The answer to a reset: the charges have been removed.
    Reset,
    /// The answer to a refund: `true` if anything was refunded.
    Refunded(bool),
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
