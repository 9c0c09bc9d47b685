//! The argument of `on_blocked` functions.

use crate::{Check, Decision, Outcome, Policy};

/// A refusal, as it is passed to `on_blocked` functions. They are called before the refusal is sent
/// or returned, so they should be quick.
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

    /// Returns the policy that refused.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        self.check.policy
    }

    /// Returns the subject of the request, as it is counted: an address, the hash of a credential, or
    /// the result of a key function. [`Subject::counted`](crate::Subject::counted) names it to a
    /// limiter.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.check.subject
    }

    /// Returns the decision that refused the request.
    pub fn decision(&self) -> &Decision {
        self.decision
    }

    /// Returns `true` if the subject is banned ([`Outcome::Banned`](crate::Outcome::Banned)), also if
    /// this refusal begins the ban.
    #[must_use]
    pub fn is_ban(&self) -> bool {
        matches!(self.decision.outcome(), Outcome::Banned { .. })
    }

    /// Returns `true` if the policy is in shadow mode, so that the request is not refused after
    /// all.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        self.check.policy.is_shadow()
    }

    /// Returns the request without its body; `None` if the check was not made for an HTTP request.
    #[cfg(feature = "axum")]
    #[must_use]
    pub fn request(&self) -> Option<&axum::http::request::Parts> {
        self.request
    }
}
