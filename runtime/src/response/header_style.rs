//! The choice of the header fields that describe limits.

/// The header fields with which responses describe limits to clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeaderStyle {
    /// `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-11. The
    /// default.
    #[default]
    Ietf,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`. They describe only one
    /// quota: the quota that refused the request, or else the quota with the least remaining.
    Legacy,
    /// The fields of `Ietf` and of `Legacy`.
    Both,
    /// None of these fields. So clients, for instance those that guess passwords, cannot see how
    /// many requests they have left. `Retry-After` is still sent.
    None,
}

impl HeaderStyle {
    pub(crate) const fn has_ietf(self) -> bool {
        matches!(self, Self::Ietf | Self::Both)
    }

    pub(crate) const fn has_legacy(self) -> bool {
        matches!(self, Self::Legacy | Self::Both)
    }
}

/// The meaning of `X-RateLimit-Reset`. The field was never specified, and both meanings are in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LegacyReset {
    /// The Unix time, in seconds, at which the quota is fully replenished. The default.
    #[default]
    Epoch,
    /// The number of seconds until the quota is fully replenished.
    Delta,
}
