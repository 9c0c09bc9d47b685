//! All that generated code may name. Not for users: it changes without notice.

use std::time::Duration;

pub use crate::annotation::Limit;
pub use crate::call::{CallLimit, FromRateLimited, Permit, Refusal, admit, admit_now, call_once};
pub use crate::registry::POLICIES;
pub use crate::{Algorithm, Blocked, OnError, Quota, RegisteredPolicy, Subject};
pub use linkme;

#[cfg(feature = "axum")]
pub use crate::http::{
    Annotated, Checked, Cost, HandlerFuture, HttpLimit, InLast, IntoAnswer, IntoLimitedResponse,
    answered, failure, require_send, success,
};
#[cfg(feature = "axum")]
pub use crate::key::{Key, KeyPart, OnMissingKey, extension, resolve};
#[cfg(feature = "axum")]
pub use crate::response::HeaderStyle;
#[cfg(feature = "axum")]
pub use axum::http::request::Parts;
#[cfg(feature = "axum")]
pub use axum::response::Response;

/// What a `per = …` expression may be.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a length of time",
    label = "this counts no time",
    note = "write a constant of type `Duration`, or of type `u32` or `u64`, which counts seconds"
)]
pub trait IsPeriod: Copy {}

impl IsPeriod for Duration {}
impl IsPeriod for u32 {}
impl IsPeriod for u64 {}

/// Makes a [`Duration`] of an expression of any of those types: a trait's method could not be
/// called in a constant.
#[derive(Clone, Copy, Debug)]
pub struct Period<T>(T);

impl<T: IsPeriod> Period<T> {
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self(value)
    }
}

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

/// A number of another type is reported by the bound above, and not once more for want of a
/// method.
macro_rules! are_no_periods {
    ($($number:ty)*) => {$(
        impl Period<$number> {
            #[must_use]
            pub const fn get(self) -> Duration {
                Duration::ZERO
            }
        }
    )*};
}

are_no_periods!(i8 i16 i32 i64 i128 isize u8 u16 u128 usize f32 f64);

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

/// What is wrong with the burst, given the rest.
#[must_use]
pub const fn burst_error(mut quota: Quota, burst: u32) -> Option<&'static str> {
    match quota.set_burst(burst) {
        Err(error) => Some(error.text()),
        Ok(()) => None,
    }
}

/// What is wrong with a constant cost, given the quotas that it is charged to.
#[must_use]
pub const fn cost_error(cost: u32, quotas: &[Quota]) -> Option<&'static str> {
    if cost == 0 {
        return Some("a cost of 0 counts nothing: it must be at least 1");
    }
    let mut index = 0;
    while index < quotas.len() {
        let quota = &quotas[index];
        if cost > quota.capacity() {
            return Some(if quota.capacity() == quota.limit() {
                "no request of this cost can ever be admitted: it is more than the limit; lower \
                 the cost or raise the limit"
            } else {
                "no request of this cost can ever be admitted: it is more than the burst; lower \
                 the cost or raise the burst"
            });
        }
        index += 1;
    }
    None
}

/// The quota of a limit and a period in microseconds that the attribute has checked.
#[must_use]
pub const fn literal_quota(limit: u32, period_micros: u64) -> Quota {
    quota(limit, Duration::from_micros(period_micros))
}

/// The quota; what is wrong with it is left to the assertions, which point at it.
#[must_use]
pub const fn quota(limit: u32, period: Duration) -> Quota {
    match Quota::try_new(limit, period) {
        Ok(quota) => quota,
        Err(_) => Quota::PLACEHOLDER,
    }
}

/// The quota with a burst; what is wrong with that is left to an assertion.
#[must_use]
pub const fn burst(mut quota: Quota, burst: u32) -> Quota {
    let _ = quota.set_burst(burst);
    quota
}

/// Decides about a check as a handler's limit does, without the receipt for a refund, so that tests
/// and benchmarks can measure that. `None` if it would have to wait.
#[inline]
pub fn decide_now(
    limiter: &crate::Limiter,
    check: &crate::Check<'_>,
) -> Option<Result<crate::Outcome, crate::Unavailable>> {
    let mut verdict = crate::Verdict::open();
    let decided = limiter.decide_now(check, &mut verdict)?;
    Some(decided.map(|()| verdict.outcome()))
}

/// Decides like [`decide_now`], waiting if it must.
#[inline]
pub async fn decide(
    limiter: &crate::Limiter,
    check: &crate::Check<'_>,
) -> Result<crate::Outcome, crate::Unavailable> {
    let mut verdict = crate::Verdict::open();
    limiter.decide(check, &mut verdict).await?;
    Ok(verdict.outcome())
}

/// The subject of a call.
#[must_use]
pub fn subject(parts: &[&dyn std::fmt::Display]) -> Subject {
    Subject::of(parts)
}

/// The result that says that a limit is reached.
pub fn refuse<R: Refusal>(limited: crate::RateLimited) -> R {
    R::refusal(limited)
}

/// Whether a user's condition holds for a result.
pub fn holds<R>(result: &R, condition: impl FnOnce(&R) -> bool) -> bool {
    condition(result)
}

/// A value of any type, for branches that are never taken.
pub fn any<T>() -> T {
    unreachable!("generated code never gets here")
}
