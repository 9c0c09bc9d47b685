//! The requests that a store carries out, and its answers.

use crate::{BackendError, Check, Source, Verdict};

/// One request to a store: an action, for one subject of one policy.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    /// The policy and the subject, which are the key, and the cost where the action has one.
    pub check: Check<'a>,
    /// The action.
    pub action: Action,
}

impl<'a> Operation<'a> {
    /// Creates the charge of a check.
    #[inline]
    #[must_use]
    pub const fn charge(check: Check<'a>) -> Self {
        Self { check, action: Action::Charge }
    }

    /// Creates the peek at a check, which charges nothing.
    #[must_use]
    pub const fn peek(check: Check<'a>) -> Self {
        Self { check, action: Action::Peek }
    }

    /// Creates the reset of a check's subject; its cost does not matter.
    #[must_use]
    pub const fn reset(check: Check<'a>) -> Self {
        Self { check, action: Action::Reset }
    }

    /// Creates the refund of a check that was charged at `stamp_micros`, by the store itself.
    #[must_use]
    pub const fn refund(check: Check<'a>, stamp_micros: u64) -> Self {
        Self { check, action: Action::Refund { stamp_micros, source: Source::Store } }
    }
}

/// The action of an [`Operation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Charges the cost if every quota admits it, and otherwise nothing. A cost of 0 charges
    /// nothing.
    Charge,
    /// Answers as a charge would be answered, and charges nothing.
    Peek,
    /// Forgets the subject.
    Reset,
    /// Gives back a charge of the check's cost: never below empty, and rather too little than too
    /// much.
    Refund {
        /// The [`Verdict::stamp_micros`] of the charge.
        stamp_micros: u64,
        /// The part of the limiter that holds the charge, and gives it back: a store is asked for
        /// its own only.
        source: Source,
    },
}

/// A store's answer to an [`Operation`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Answers a charge or a peek.
    Verdict(Verdict),
    /// Answers a reset: it is done.
    Reset,
    /// Answers a refund: `true` if there was something to give back.
    Refunded(bool),
    /// Answers an action that this store does not have. Nothing was done.
    Unsupported,
}

impl Answer {
    /// Moves the verdict that this should be into `verdict`.
    pub(crate) fn into_verdict(self, verdict: &mut Verdict) -> Result<(), BackendError> {
        match self {
            Self::Verdict(given) => {
                *verdict = given;
                Ok(())
            }
            other => Err(other.mismatch("a check")),
        }
    }

    /// Returns the error for an answer of another kind than was asked for.
    pub(crate) fn mismatch(&self, asked: &str) -> BackendError {
        match self {
            Self::Unsupported => {
                BackendError::rejected(format!("this backend does not support {asked}"))
            }
            other => BackendError::unknown(format!("it answered {asked} with {other:?}")),
        }
    }
}
