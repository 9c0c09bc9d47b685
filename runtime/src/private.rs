//! The items that generated code uses. They are not for users, and change without notice.

use std::time::Duration;

use crate::{Ban, BanError, InFlight};

pub use crate::annotation::Limit;
pub use crate::call::{
    AfterCall, Call, CallGrants, CallLimit, FailsWith, FromRateLimited, LimitedResult, Refused,
    SyncResult, admit, admit_now, call_once,
};
pub use crate::registry::{Naming, POLICIES};
pub use crate::site::Site;
pub use crate::units::{IntoUnits, units};
pub use crate::{Algorithm, Blocked, Calendar, OnError, Quota, RegisteredPolicy, Subject};
pub use linkme;
pub use tollgate_macros::{rate_limit_in_block, rate_limit_last};

#[cfg(feature = "axum")]
pub use crate::__tollgate_arguments as arguments;
#[cfg(feature = "axum")]
pub use crate::http::argument::{in_parts, in_request, report_in_parts, report_in_request};
#[cfg(feature = "axum")]
pub use crate::http::argument_values::{ArgumentValues, ThenArguments, argument, argument_cost};
#[cfg(feature = "axum")]
pub use crate::http::convert::{IntoAnswer, IntoLimitedResponse, answered, require_send};
#[cfg(feature = "axum")]
pub use crate::http::extract::{ArgumentsGivenByRouter, GivenByRouter};
#[cfg(feature = "axum")]
pub use crate::http::extractor::{Argument, IsNoExtractor, Shown};
#[cfg(feature = "axum")]
pub use crate::http::handler_future::HandlerFuture;
#[cfg(feature = "axum")]
pub use crate::http::limit::{Annotated, Cost, HttpLimit};
#[cfg(feature = "axum")]
pub use crate::http::plan::look_up;
#[cfg(feature = "axum")]
pub use crate::http::refund_if::RefundIf;
#[cfg(feature = "axum")]
pub use crate::key::{Key, KeyPart, Network, OnMissingKey, extension, resolve};
#[cfg(feature = "axum")]
pub use crate::response::HeaderStyle;
#[cfg(feature = "axum")]
pub use axum::http::request::Parts;
#[cfg(feature = "axum")]
pub use axum::response::Response;

/// A type that a `per = …` expression may have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a length of time",
    label = "this counts no time",
    note = "write a constant of type `Duration`, or of type `u32` or `u64`, which counts seconds"
)]
pub trait IsPeriod: Copy {}

impl IsPeriod for Duration {}
impl IsPeriod for u32 {}
impl IsPeriod for u64 {}

/// Converts a value of any [`IsPeriod`] type to a [`Duration`]. The conversion is not a method of
/// that trait, because constants cannot call trait methods.
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

/// Implements `get` for other types of numbers, too. The bound in `Period::new` reports these
/// types; without the method, the compiler would report each mistake twice.
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

/// Returns the message about a mistake in the limit; `None` if the limit is not at fault.
#[must_use]
pub const fn limit_error(limit: u32, period: Duration) -> Option<&'static str> {
    match Quota::try_new(limit, period) {
        Err(error) if error.is_about_limit() => Some(error.text()),
        _ => None,
    }
}

/// Returns the message about a mistake in the period; `None` if the period is not at fault.
#[must_use]
pub const fn period_error(limit: u32, period: Duration) -> Option<&'static str> {
    match Quota::try_new(limit, period) {
        Err(error) if !error.is_about_limit() => Some(error.text()),
        _ => None,
    }
}

/// Returns the message about an invalid limit of a calendar's period.
#[must_use]
pub const fn calendar_limit_error(limit: u32) -> Option<&'static str> {
    limit_error(limit, Duration::from_secs(24 * 60 * 60))
}

/// Returns the message about an unknown time zone.
#[must_use]
pub const fn zone_error(zone: &str) -> Option<&'static str> {
    #[cfg(feature = "calendar")]
    return match Quota::try_calendar(1, Calendar::Day, zone) {
        Err(error) => Some(error.text()),
        Ok(_) => None,
    };
    #[cfg(not(feature = "calendar"))]
    {
        let _ = zone;
        Some(
            "a period of the calendar needs the feature `calendar` of the crate `tollgate`: add it \
             in `Cargo.toml`",
        )
    }
}

/// Returns the message about an invalid burst; `None` if the burst is valid for this quota.
#[must_use]
pub const fn burst_error(mut quota: Quota, burst: u32) -> Option<&'static str> {
    match quota.set_burst(burst) {
        Err(error) => Some(error.text()),
        Ok(()) => None,
    }
}

/// Returns the message about an invalid constant cost; `None` if the cost is valid with all these
/// quotas.
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

/// Returns the message about an invalid number of refusals in a ban.
#[must_use]
pub const fn ban_after_error(after: u32) -> Option<&'static str> {
    error_text(&Ban::try_new(after, Duration::from_secs(1)))
}

/// Returns the message about an invalid length of the first ban.
#[must_use]
pub const fn ban_for_error(duration: Duration) -> Option<&'static str> {
    error_text(&Ban::try_new(1, duration))
}

/// Returns the message about an invalid factor by which bans grow.
#[must_use]
pub const fn ban_grow_error(factor: u32) -> Option<&'static str> {
    let mut ban = Ban::new(1, Duration::from_secs(1));
    match ban.set_grow(factor) {
        Err(error) => Some(error.text()),
        Ok(()) => None,
    }
}

/// Returns the message about an invalid length of the longest ban; `None` if it is valid, or if the
/// first ban is at fault.
#[must_use]
pub const fn ban_most_error(duration: Duration, most: Duration) -> Option<&'static str> {
    match Ban::try_new(1, duration) {
        Ok(mut ban) => match ban.set_most(most) {
            Err(error) => Some(error.text()),
            Ok(()) => None,
        },
        Err(_) => None,
    }
}

/// Returns the message about an invalid number of requests in flight.
#[must_use]
pub const fn in_flight_error(limit: u32) -> Option<&'static str> {
    match InFlight::try_new(limit) {
        Err(error) => Some(error.text()),
        Ok(_) => None,
    }
}

/// Returns the message about an invalid time for which permits are held.
#[must_use]
pub const fn hold_error(duration: Duration) -> Option<&'static str> {
    let mut in_flight = InFlight::new(1);
    match in_flight.set_hold(duration) {
        Err(error) => Some(error.text()),
        Ok(()) => None,
    }
}

const fn error_text(ban: &Result<Ban, BanError>) -> Option<&'static str> {
    match ban {
        Err(error) => Some(error.text()),
        Ok(_) => None,
    }
}

/// Returns the quota of a literal limit and a literal period in microseconds. The attribute has
/// checked both.
#[must_use]
pub const fn literal_quota(limit: u32, period_micros: u64) -> Quota {
    quota(limit, Duration::from_micros(period_micros))
}

/// Returns the quota. An invalid quota is replaced by a placeholder, because assertions report the
/// mistake at its place in the attribute.
#[must_use]
pub const fn quota(limit: u32, period: Duration) -> Quota {
    match Quota::try_new(limit, period) {
        Ok(quota) => quota,
        Err(_) => Quota::PLACEHOLDER,
    }
}

/// Returns the quota of a calendar. An invalid quota is replaced by a placeholder, because assertions
/// report the mistake at its place in the attribute.
#[must_use]
pub const fn calendar_quota(limit: u32, calendar: Calendar, zone: &str) -> Quota {
    #[cfg(feature = "calendar")]
    if let Ok(quota) = Quota::try_calendar(limit, calendar, zone) {
        return quota;
    }
    let _ = (limit, calendar, zone);
    Quota::PLACEHOLDER
}

/// Returns the quota with a burst. An invalid burst is ignored, because an assertion reports it.
#[must_use]
pub const fn burst(mut quota: Quota, burst: u32) -> Quota {
    let _ = quota.set_burst(burst);
    quota
}

/// Creates the result of a call that was refused.
pub fn refuse<R: LimitedResult>(limited: crate::RateLimited) -> R {
    R::refusal(limited)
}

/// Creates the result of a call that was refused, of a function that is not async and may be meant
/// for a handler.
pub fn refuse_unless_async<R: SyncResult>(limited: crate::RateLimited) -> R {
    R::refusal(limited)
}

/// Creates the result of a call that was refused, with the error that the user's function makes.
pub fn refuse_with<R: FailsWith<E>, E>(
    limited: crate::RateLimited,
    error: fn(crate::RateLimited) -> E,
) -> R {
    R::failure(error(limited))
}

/// Returns `true` if a user's condition returns `true` for a result.
pub fn holds<R>(result: &R, condition: impl FnOnce(&R) -> bool) -> bool {
    condition(result)
}

/// Returns the units that a user's function returns for a result.
pub fn came_to<R>(result: &R, units: impl FnOnce(&R) -> u32) -> u32 {
    units(result)
}

/// Returns a value of any type, for branches that are never taken.
pub fn any<T>() -> T {
    unreachable!("generated code never gets here")
}
