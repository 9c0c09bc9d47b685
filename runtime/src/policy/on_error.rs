//! The handling of requests while the backend of their limit fails.

use std::fmt;
use std::str::FromStr;

use super::unknown_word::UnknownWord;

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
    /// All variants, in the order of this enum.
    pub const ALL: &'static [Self] = &[Self::Closed, Self::Open, Self::Local];

    /// Returns the variant's name in the attribute and in configuration files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Local => "local",
        }
    }
}

impl fmt::Display for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Parses the name that [`as_str`](Self::as_str) returns.
impl FromStr for OnError {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let named = Self::ALL.iter().copied().find(|known| known.as_str() == word);
        named.ok_or_else(|| UnknownWord::new(word, Self::ALL.iter().map(|known| known.as_str())))
    }
}
