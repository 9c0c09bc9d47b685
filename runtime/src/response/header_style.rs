//! The choice of the header fields that describe limits.

/// The header fields with which responses describe limits to clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeaderStyle {
    /// `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-11. The
    /// default.
    ///
    /// `RateLimit-Policy` has the size `q` of each quota and its window `w` in seconds, which is
    /// left out if it is no whole number. A bucket has its burst as `q`, and the time in which that
    /// is replenished as `w`. `RateLimit` has the remaining units `r`, and the seconds `t` until
    /// there are more. On a refusal, `t` of an exceeded quota is the wait for this request's cost;
    /// the quota with the longest wait stands first, even if a layer describes itself on another
    /// line; and times later than `Retry-After` are left out.
    #[default]
    Ietf,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`. They describe only one
    /// quota: the one that refuses the request for the longest time, or else, if the request was
    /// admitted, the one with the least remaining. The limit of a bucket is its burst.
    Legacy,
    /// The fields of `Ietf` and of `Legacy`. This does not suit more clients than `Legacy` does:
    /// some that know only the older fields look at `RateLimit` first, cannot read it, and then
    /// look no further. For clients that know only the older fields use `Legacy`.
    Both,
    /// None of these fields. So clients, for instance those that guess passwords, cannot see how
    /// many requests they have left. A refusal's problem details do not name the limit either, nor its
    /// size and window. `Retry-After` is still sent.
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
    /// The Unix time, in seconds, at which the quota is fully replenished. The default, because
    /// more clients read it rightly: [the guide](crate::guide::clients) names them. Some of those
    /// take a number of seconds for a time in 1970, and ask again at once.
    ///
    /// It is not capped. Where a quota takes more than 24 days, some clients on Node.js ask again at
    /// once.
    #[default]
    Epoch,
    /// The number of seconds until the quota is fully replenished, at most 2,147,483 (nearly 25
    /// days).
    Delta,
}
