//! What `on_blocked` is told.

use crate::{Check, Decision, Policy};

/// A refusal, for the function that an annotation names with `on_blocked`. It is called before
/// the refusal is sent, so it should be quick.
#[derive(Debug)]
pub struct Blocked<'a> {
    pub(crate) check: Check<'a>,
    pub(crate) decision: &'a Decision,
    #[cfg(feature = "axum")]
    pub(crate) request: Option<&'a axum::http::request::Parts>,
}

impl<'a> Blocked<'a> {
    /// Creates the refusal of a check outside of HTTP.
    pub(crate) fn new(check: &Check<'a>, decision: &'a Decision) -> Self {
        Self {
            check: *check,
            decision,
            #[cfg(feature = "axum")]
            request: None,
        }
    }

    /// The policy that refused.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        self.check.policy
    }

    /// Whose request it was: an address, the hash of a credential, or what a key function gave.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.check.subject
    }

    /// The refusal.
    pub fn decision(&self) -> &Decision {
        self.decision
    }

    /// Whether the policy is in `shadow`, so that the request goes on all the same.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        self.check.policy.is_shadow()
    }

    /// The request; `None` for a function that is no handler.
    #[cfg(feature = "axum")]
    #[must_use]
    pub fn request(&self) -> Option<&axum::http::request::Parts> {
        self.request
    }
}
