//! All that generated code may name. Not for users: it changes without notice.

use std::time::Duration;

pub use crate::{Algorithm, OnError, Policy, Quota};

#[cfg(feature = "axum")]
pub use crate::http::{Annotated, Annotation, Guard, IntoLimitedResponse, require_send};
#[cfg(feature = "axum")]
pub use crate::key::Key;
#[cfg(feature = "axum")]
pub use axum::response::Response;

/// Makes a [`Duration`] of whatever type a `per = …` expression has; another type has no
/// `get`.
#[derive(Clone, Copy, Debug)]
pub struct Period<T>(pub T);

impl Period<Duration> {
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl Period<u32> {
    #[must_use]
    pub const fn get(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

impl Period<u64> {
    #[must_use]
    pub const fn get(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

/// What is wrong with the limit, whatever the period.
#[must_use]
pub const fn limit_error(limit: u32, period: Duration) -> Option<&'static str> {
    match Quota::try_new(limit, period) {
        Err(error) if error.is_about_limit() => Some(error.text()),
        _ => None,
    }
}

/// What is wrong with the period, given the limit.
#[must_use]
pub const fn period_error(limit: u32, period: Duration) -> Option<&'static str> {
    match Quota::try_new(limit, period) {
        Err(error) if !error.is_about_limit() => Some(error.text()),
        _ => None,
    }
}

/// The quota; what is wrong with it is left to the assertions, which point at it.
#[must_use]
pub const fn quota(limit: u32, period: Duration) -> Quota {
    match Quota::try_new(limit, period) {
        Ok(quota) => quota,
        Err(_) => Quota::PLACEHOLDER,
    }
}

/// The policy of an annotated function, known to clients as `label`.
#[must_use]
pub const fn policy(name: &'static str, label: &'static str, quota: Quota) -> Policy {
    Policy::new(name, quota).labelled(label)
}

/// A value of any type, for branches that are never taken.
pub fn any<T>() -> T {
    unreachable!("generated code never gets here")
}
