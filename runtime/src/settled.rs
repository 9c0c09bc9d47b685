//! The result of a settlement.

use std::fmt;

/// The result of [`Limiter::settle`](crate::Limiter::settle).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Settled {
    /// The request came to what had been charged, so nothing changed.
    Unchanged,
    /// The request came to less. Of the difference, what is certainly still in use was given back.
    Refunded,
    /// The request came to more. The difference was charged at the time of the settlement, also
    /// beyond the limit.
    Charged,
    /// Nothing changed: no charge is recorded for the decision in the store, or what was charged
    /// does not count any more.
    Nothing,
}

impl Settled {
    /// Returns the result's name, as used for the labels of metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Refunded => "refunded",
            Self::Charged => "charged",
            Self::Nothing => "nothing",
        }
    }
}

impl fmt::Display for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
