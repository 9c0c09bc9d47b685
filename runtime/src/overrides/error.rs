//! What is wrong with overrides.

use std::fmt;

/// Overrides that cannot be: none of them was taken. It says all that is wrong with them, a line
/// each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverridesError {
    mistakes: Vec<OverrideMistake>,
}

impl OverridesError {
    /// `None` if nothing is wrong.
    pub(super) fn of(mistakes: Vec<OverrideMistake>) -> Option<Self> {
        (!mistakes.is_empty()).then_some(Self { mistakes })
    }

    /// What is wrong, at least one thing.
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

impl std::error::Error for OverridesError {}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverrideMistake {
    pub(super) policy: String,
    pub(super) key: Option<&'static str>,
    pub(super) reason: String,
}

impl OverrideMistake {
    /// The name of the policy that was to be overridden.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// What of it is wrong: `limit`, for instance. `None` if that is the name.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key
    }

    /// Why, and what to do.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// As the key is written in a file.
impl fmt::Display for OverrideMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policies.{:?}", self.policy)?;
        if let Some(key) = self.key {
            write!(f, ".{key}")?;
        }
        write!(f, ": {}", self.reason)
    }
}
