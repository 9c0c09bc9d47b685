//! The user and password with which a connection begins.

use std::fmt;

/// A user and a password. Parts that are not given are `None`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
}

impl Credentials {
    /// Returns `true` if there is a user without a password.
    pub(super) fn lack_password(&self) -> bool {
        self.username.is_some() && self.password.is_none()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}
