//! All that generated code may name. Not for users: it changes without notice.

use std::time::Duration;

use crate::quota::QuotaError;
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

/// Fails to compile, at the limit, if that is what is wrong with the quota.
pub const fn assert_limit(limit: u32, period: Duration) {
    if let Err(error) = Quota::try_new(limit, period)
        && error.is_about_limit()
    {
        fail(error);
    }
}

/// Fails to compile, at the period, if that is what is wrong with the quota.
pub const fn assert_period(limit: u32, period: Duration) {
    if let Err(error) = Quota::try_new(limit, period)
        && !error.is_about_limit()
    {
        fail(error);
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

#[expect(clippy::panic, reason = "it is evaluated at compile time only")]
const fn fail(error: QuotaError) {
    panic!("{}", error.text())
}

/// A value of any type, for branches that are never taken.
pub fn any<T>() -> T {
    unreachable!("generated code never gets here")
}
