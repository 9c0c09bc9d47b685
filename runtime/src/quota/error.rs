//! The error of a quota's numbers.

use std::fmt;

use crate::error::fmt_with_causes;

/// The reason why a limit, a period or a burst is not valid for a [`Quota`](crate::Quota).
#[derive(Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum QuotaError {
    /// The limit is 0: nothing would ever be admitted.
    #[error("{}", Self::ZeroLimit.text())]
    ZeroLimit,
    /// The period is 0.
    #[error("{}", Self::ZeroPeriod.text())]
    ZeroPeriod,
    /// The period has a part smaller than a microsecond.
    #[error("{}", Self::FractionalMicros.text())]
    FractionalMicros,
    /// The period is shorter than 1 ms.
    #[error("{}", Self::PeriodTooShort.text())]
    PeriodTooShort,
    /// The period is longer than 366 days.
    #[error("{}", Self::PeriodTooLong.text())]
    PeriodTooLong,
    /// The rate is higher than 1,000,000 requests per second.
    #[error("{}", Self::RateTooHigh.text())]
    RateTooHigh,
    /// The burst is 0: nothing would ever be admitted.
    #[error("{}", Self::ZeroBurst.text())]
    ZeroBurst,
    /// The burst is so large that the bucket takes more than ten years to fill.
    #[error("{}", Self::BurstTooLarge.text())]
    BurstTooLarge,
    /// The time zone of a calendar's period is not known.
    #[cfg(feature = "calendar")]
    #[error("{}", Self::UnknownZone.text())]
    UnknownZone,
}

impl fmt::Debug for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_with_causes(self, f)
    }
}

impl QuotaError {
    /// Returns the message of the error. Compile errors and errors at run time have the same
    /// message.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::ZeroLimit => "the limit must be at least 1",
            Self::ZeroPeriod => "the period must be longer than zero",
            Self::FractionalMicros => "the period must be a whole number of microseconds",
            Self::PeriodTooShort => "the period must be at least 1 ms",
            Self::PeriodTooLong => "the period must be at most 366 days",
            Self::ZeroBurst => "the burst must be at least 1",
            Self::BurstTooLarge => {
                "burst × period ÷ limit must be at most ten years: lower the burst"
            }
            #[cfg(feature = "calendar")]
            Self::UnknownZone => {
                "the time zone is not known: write a name of the IANA database, such as \
                 `Europe/Berlin`, or `UTC`"
            }
            Self::RateTooHigh => {
                "limit ÷ period must be at most 1,000,000 per second: lower the limit or lengthen the period"
            }
        }
    }

    /// Returns `true` if the error concerns the limit alone, so that no period would make it valid.
    pub(crate) const fn is_about_limit(self) -> bool {
        matches!(self, Self::ZeroLimit)
    }

    #[expect(clippy::panic, reason = "documented: a compile error in const context")]
    pub(super) const fn panic(self) -> ! {
        panic!("{}", self.text())
    }
}
