//! The part of the limiter that decided a check.

use std::fmt;

/// The part of the limiter that decided a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// The backend, by its counters.
    #[default]
    Store,
    /// The deny cache, which reused an earlier refusal of the backend that is still valid.
    DenyCache,
    /// A lease: the request used units that the backend had charged in advance, several at once.
    Lease,
    /// The fallback in this process decided, because the backend failed ([`OnError::Local`]).
    ///
    /// [`OnError::Local`]: crate::OnError::Local
    Local,
    /// No part decided: the backend failed, and the policy admits requests in that case.
    Open,
    /// The policy itself: it is [blocked](crate::Quota::BLOCKED), so the backend was not asked.
    Policy,
    /// No part decided: the backend failed, and the policy refuses requests in that case. The
    /// caller gets [`Unavailable`](crate::Unavailable) instead of a decision, so this variant is
    /// used in metrics only.
    Closed,
    /// No part decided: an override has switched the policy off.
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
            Self::Policy => "policy",
            Self::Closed => "closed",
            Self::Disabled => "disabled",
        }
    }

    /// Returns `true` if this part of the limiter records charges, and so can refund them.
    pub(super) const fn keeps_charges(self) -> bool {
        match self {
            Self::Store | Self::Lease | Self::Local => true,
            Self::DenyCache | Self::Open | Self::Policy | Self::Closed | Self::Disabled => false,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
