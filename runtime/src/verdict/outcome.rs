//! The outcome of a check.

use std::time::Duration;

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// Returns the time after which the same request would be admitted. Returns `None` if the
    /// request was allowed, or if it can never be admitted.
    pub(crate) const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after } => Some(retry_after),
            Self::Allowed | Self::Never => None,
        }
    }
}
