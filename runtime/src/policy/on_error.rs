//! The handling of requests while the backend of their limit fails.

#[doc = include_str!("../docs/outages.md")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnError {
    /// Refuses requests (over HTTP with 503). This is the default: an outage never lifts a limit.
    #[default]
    Closed,
    /// Admits requests without counting them. In the attribute, `skip_on_error` is short for this
    /// mode.
    Open,
    /// Lets a limiter in this process decide, with this process's share of the limit. The number of
    /// processes that share the limit must be known ([`LimiterBuilder::instances`]); otherwise the
    /// limiter does not start.
    ///
    /// [`LimiterBuilder::instances`]: crate::LimiterBuilder::instances
    Local,
}

impl OnError {
    /// All variants.
    #[cfg(any(feature = "config", feature = "dashboard"))]
    pub(crate) const ALL: &'static [Self] = &[Self::Closed, Self::Open, Self::Local];

    /// Returns the variant's name in the attribute and in configuration files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Local => "local",
        }
    }
}
