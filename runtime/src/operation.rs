//! The operations that a store carries out, and its answers.

use crate::verdict::Verdict;
use crate::{BackendError, Check, Source};

/// One request to a store: an action for one subject of one policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Operation<'a> {
    /// The policy and the subject, which are the key, and the cost if the action has one.
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

    /// Creates the charge of a check.
    #[inline]
    #[must_use]
    pub const fn charge(check: Check<'a>) -> Self {
        Self { check, action: Action::Charge }
    }

    /// Creates the peek of a check, which charges nothing.
    #[must_use]
    pub const fn peek(check: Check<'a>) -> Self {
        Self { check, action: Action::Peek }
    }

    /// Creates the reset of a check's subject; its cost does not matter.
    #[must_use]
    pub const fn reset(check: Check<'a>) -> Self {
        Self { check, action: Action::Reset }
    }

    /// Creates the refund of a check that the store itself charged, and answered with
    /// `stamp_micros`.
    #[must_use]
    pub const fn refund(check: Check<'a>, stamp_micros: u64) -> Self {
        Self { check, action: Action::Refund { stamp_micros, source: Source::Store } }
    }
}

/// The action of an [`Operation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Charges the cost if every quota admits it, and otherwise nothing. A cost of 0 charges
    /// nothing.
    Charge,
    /// Returns the answer that a charge would have, and charges nothing.
    Peek,
    /// Forgets everything that was charged to the subject.
    Reset,
    /// Refunds a charge of the check's cost: never more than is in use, and rather too little than
    /// too much.
    #[non_exhaustive]
    Refund {
        /// The [`Verdict::stamp_micros`] of the charge.
        stamp_micros: u64,
        /// The part of the limiter that recorded the charge, and refunds it. A store receives only
        /// refunds of its own charges.
        source: Source,
    },
}

/// A store's answer to an [`Operation`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Answer {
    /// Answers a charge or a peek.
    Verdict(Verdict),
    /// Answers a reset: it is done.
    Reset,
    /// Answers a refund: `true` if there was something to refund.
    Refunded(bool),
    /// Answers an action that this store does not support. Nothing was done.
    Unsupported,
}

impl Answer {
    /// Moves the verdict into `verdict`; any other answer is an error.
    pub(crate) fn into_verdict(self, verdict: &mut Verdict) -> Result<(), BackendError> {
        match self {
            Self::Verdict(given) => {
                *verdict = given;
                Ok(())
            }
            other => Err(other.mismatch("a check")),
        }
    }

    /// Returns the error for an answer of the wrong kind.
    pub(crate) fn mismatch(&self, asked: &str) -> BackendError {
        match self {
            Self::Unsupported => {
                BackendError::rejected(format!("this backend does not support {asked}"))
            }
            other => BackendError::unknown(format!("it answered {asked} with {other:?}")),
        }
    }
}
