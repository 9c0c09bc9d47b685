//! The part of the limiter that decided.

use std::fmt;

/// The part of the limiter that decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// The backend, by its own state.
    #[default]
    Store,
    /// The deny cache, by an earlier refusal that is still valid.
    DenyCache,
    /// A lease: units that the backend charged before, several at once.
    Lease,
    /// The fallback in this process, because the backend failed ([`OnError::Local`]).
    ///
    /// [`OnError::Local`]: crate::OnError::Local
    Local,
    /// No part: the backend failed, and the policy admits requests then.
    Open,
    /// No part: the backend failed and the policy is closed. The result is then no decision but
    /// [`Unavailable`](crate::Unavailable), and the variant is used in metrics only.
    Closed,
    /// No part: an override has switched the policy off.
    Disabled,
}

impl Source {
    /// Returns the source's name, as used for the labels of metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
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

    /// Returns `true` if the source records charges, and so can refund them.
    pub(super) const fn keeps_charges(self) -> bool {
        match self {
            Self::Store | Self::Lease | Self::Local => true,
            Self::DenyCache | Self::Open | Self::Closed | Self::Disabled => false,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
