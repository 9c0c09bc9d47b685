//! The outcome of a check.

use std::fmt;
use std::time::Duration;

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The request may go on, and its cost has been charged (except by a peek, which charges
    /// nothing).
    Allowed,
    /// The request may not go on, and nothing has been charged.
    Refused {
        /// The time after which the same request would be admitted, if no other request of the
        /// subject is admitted before. It is exact: one microsecond earlier, the request would
        /// still be refused.
        retry_after: Duration,
    },
    /// The request may not go on, because its subject is banned: it was refused too often (see
    /// [`Ban`](crate::Ban)), or [`Limiter::ban`](crate::Limiter::ban) was called. Every other
    /// request of it is refused, too, whatever it costs. Nothing has been charged.
    Banned {
        /// The time until the end of the ban.
        retry_after: Duration,
    },
    /// The request may not go on, now or ever, because its cost exceeds the capacity of a quota.
    /// Over HTTP the answer is 413 without `Retry-After`, or 429 if every request has this cost.
    Never,
    /// The request may not go on, because its subject is blocked: every other request of it is
    /// refused, too, whatever it costs and however long it waits. The policy admits nobody
    /// ([`Quota::BLOCKED`](crate::Quota::BLOCKED), [`Override::block`](crate::Override::block)), or a
    /// [`Backend`](crate::Backend) of another crate blocks the subject. Over HTTP the answer is 403
    /// without `Retry-After`.
    Blocked,
}

impl Outcome {
    /// Returns the outcome's name, as used for the labels of metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused { .. } => "refused",
            Self::Banned { .. } => "banned",
            Self::Never => "never",
            Self::Blocked => "blocked",
        }
    }

    /// Returns the time after which the same request would be admitted, or the ban of its subject is
    /// over. Returns `None` if the request was allowed, or if it can never be admitted.
    pub(crate) const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after } | Self::Banned { retry_after } => Some(retry_after),
            Self::Allowed | Self::Never | Self::Blocked => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
