//! The part of the limiter that decided.

/// The part of the limiter that decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// The backend, by its own state.
    #[default]
    Store,
    /// The deny cache, by an earlier refusal that still holds.
    DenyCache,
    /// A lease: units that the backend charged before, several at once.
    Lease,
    /// The fallback in this process, because the backend failed ([`OnError::Local`]).
    ///
    /// [`OnError::Local`]: crate::OnError::Local
    Local,
    /// Nobody: the backend failed and the policy admits requests.
    Open,
    /// Nobody: the backend failed and the policy is closed. There is no decision then but
    /// [`Unavailable`](crate::Unavailable); the variant serves metrics.
    Closed,
    /// Nobody: an override has switched the policy off.
    Disabled,
}

impl Source {
    /// Returns the source's name, as used for a metric's label.
    #[must_use]
    pub const fn name(self) -> &'static str {
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

    /// Returns `true` if it records charges, and so can give them back.
    pub(super) const fn keeps_charges(self) -> bool {
        match self {
            Self::Store | Self::Lease | Self::Local => true,
            Self::DenyCache | Self::Open | Self::Closed | Self::Disabled => false,
        }
    }
}
