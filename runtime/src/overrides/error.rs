//! Errors in overrides.

use std::fmt;

use super::origin::Origin;
use crate::error::fmt_with_causes;

/// The error for invalid overrides, none of which has been applied. Its text has one line for each
/// mistake, which begins with the source of the override if that is a configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct OverridesError {
    mistakes: Vec<OverrideMistake>,
}

impl OverridesError {
    /// Creates an error that contains these mistakes, or returns `None` if there are none.
    pub(super) fn of(mistakes: Vec<OverrideMistake>) -> Option<Self> {
        (!mistakes.is_empty()).then_some(Self { mistakes })
    }

    /// Returns the mistakes. There is at least one.
    #[must_use]
    pub fn mistakes(&self) -> &[OverrideMistake] {
        &self.mistakes
    }
}

impl fmt::Display for OverridesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            write!(f, "{}{mistake}", if index > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for OverridesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_with_causes(self, f)
    }
}

impl std::error::Error for OverridesError {}

/// One mistake in an [`Override`](crate::Override).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverrideMistake {
    pub(super) origin: Origin,
    pub(super) policy: String,
    pub(super) key: Option<&'static str>,
    pub(super) reason: String,
}

impl OverrideMistake {
    /// Returns the source of the override: the path of a configuration file, or the name of an
    /// environment variable. Returns `None` if the program itself has made the override.
    #[must_use]
    pub fn place(&self) -> Option<&str> {
        self.origin.place()
    }

    /// Returns the name of the policy that was to be overridden.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Returns the name of the invalid setting, for example `limit`. Returns `None` if there is no
    /// policy of this name.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key
    }

    /// Returns the reason why the setting is invalid, and what to do about it.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// Formats the mistake with its source, if there is one, and with its key as it is written in a
/// configuration file.
impl fmt::Display for OverrideMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place() {
            write!(f, "{place}: ")?;
        }
        write!(f, "policies.{:?}", self.policy)?;
        if let Some(key) = self.key {
            write!(f, ".{key}")?;
        }
        write!(f, ": {}", self.reason)
    }
}
