//! The outcome of a check.

use std::time::Duration;

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request may go on, and its cost has been charged (by a peek, nothing is).
    Allowed,
    /// The request may not go on, and nothing has been charged.
    Refused {
        /// The time until the same request succeeds if no other comes before it; not one
        /// microsecond earlier.
        retry_after: Duration,
    },
    /// The request may not go on, now or ever, because its cost exceeds the capacity of a quota.
    Never,
}

impl Outcome {
    /// Returns the outcome's name, as used for the labels of metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused { .. } => "refused",
            Self::Never => "never",
        }
    }

    /// Returns the time until the same request succeeds; `None` unless it was refused.
    pub(crate) const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after } => Some(retry_after),
            Self::Allowed | Self::Never => None,
        }
    }
}
