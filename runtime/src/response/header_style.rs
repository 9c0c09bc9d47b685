//! Choices of header fields.

/// Header fields by which responses inform clients of their limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeaderStyle {
    /// `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-11. The
    /// default.
    #[default]
    Ietf,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`. They have room for
    /// one quota: the one that refused, else the one with the least remaining.
    Legacy,
    /// Both of these.
    Both,
    /// No fields, so that clients cannot see the number of guesses left. `Retry-After` stays.
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

/// The unit of `X-RateLimit-Reset`. The field was never specified, and both units are in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LegacyReset {
    /// The Unix time, in seconds, at which the quota is fully replenished. The default.
    #[default]
    Epoch,
    /// The number of seconds until then.
    Delta,
}
