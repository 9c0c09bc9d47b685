//! The quota: a limit on the number of requests per period.

mod calendar;
mod drain;
mod error;

use std::hash::{Hash, Hasher};
use std::time::Duration;

pub(crate) use self::drain::Drain;
pub use self::error::QuotaError;
use crate::calendar::CalendarPeriod;
use crate::micros::TimeSpan;

const MICROS_PER_SECOND: u64 = 1_000_000;
const MIN_PERIOD: u64 = 1_000;
const MAX_FILL: u64 = 10 * MAX_PERIOD;
const MAX_PERIOD: u64 = 366 * 24 * 60 * 60 * MICROS_PER_SECOND;

/// A limit on the number of requests per period, such as "100 per minute".
///
/// The limit is at least 1, except for [`Quota::BLOCKED`]. The period is between 1 ms and 366 days, in whole microseconds. The
/// rate (limit ÷ period) is at most 1,000,000 per second. Within these ranges all arithmetic is
/// exact.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    limit: u32,
    burst: u32,
    /// The number of units of the burst that one request may use. It equals `burst`, except for
    /// requests that leave a queue at even intervals.
    usable: u32,
    /// The unit of the calendar with which the period begins; `None` if it has a length of its own.
    calendar: Option<CalendarPeriod>,
    /// The length of the period, for one of a calendar the longest.
    period_micros: u64,
    /// The time to replenish one unit.
    interval: Drain,
    /// The time to replenish `usable` units.
    usable_drain: Drain,
}

impl Quota {
    /// A quota that admits nobody: each request is answered with
    /// [`Outcome::Blocked`](crate::Outcome::Blocked), over HTTP with 403 and without `Retry-After`.
    /// The backend is not asked, so this holds in an outage, too. Its limit is 0, and its period,
    /// one second, means nothing.
    ///
    /// It is for what the program or its data says of a customer who is suspended, of a feature that
    /// is not sold, or of a partner who is paused; see [`PerSubject`](crate::PerSubject).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use tollgate::{Limiter, MemoryBackend, Outcome, Policy, Quota};
    ///
    /// const EXPORTS: Policy = Policy::new("exports", Quota::BLOCKED);
    ///
    /// let limiter = Limiter::new(MemoryBackend::new());
    /// assert_eq!(limiter.check(&EXPORTS, "alice").await?.outcome(), Outcome::Blocked);
    /// # Ok::<_, tollgate::Unavailable>(()) }).unwrap();
    /// ```
    pub const BLOCKED: Self = Self::of(0, MICROS_PER_SECOND);

    /// Returns `true` if this is [`BLOCKED`](Self::BLOCKED).
    #[must_use]
    pub const fn is_blocked(&self) -> bool {
        self.limit == 0
    }

    /// Creates a quota of `limit` requests per `period`.
    ///
    /// # Panics
    ///
    /// If a number is outside the ranges given at [`Quota`]. In a `const` that is a compile error.
    /// For numbers that the program reads at run time, use [`Quota::try_new`].
    #[must_use]
    pub const fn new(limit: u32, period: Duration) -> Self {
        match Self::try_new(limit, period) {
            Ok(quota) => quota,
            Err(error) => error.panic(),
        }
    }

    /// Creates a quota of `limit` requests per second.
    ///
    /// ```
    /// use tollgate::{Policy, Quota};
    ///
    /// const SEARCH: Policy = Policy::new("search", Quota::per_second(5)).and(Quota::per_day(1_000));
    /// assert_eq!(SEARCH.quotas()[1].limit(), 1_000);
    /// ```
    ///
    /// A number that is no limit does not compile in a constant:
    ///
    /// ```compile_fail
    /// const NOTHING: tollgate::Quota = tollgate::Quota::per_second(0);
    /// println!("{NOTHING:?}");
    /// ```
    ///
    /// # Panics
    ///
    /// Like [`new`](Self::new): if the limit is 0 or more than 1,000,000.
    #[must_use]
    pub const fn per_second(limit: u32) -> Self {
        Self::new(limit, Duration::from_secs(1))
    }

    /// Creates a quota of `limit` requests per minute.
    ///
    /// # Panics
    ///
    /// Like [`new`](Self::new): if the limit is 0 or more than 60,000,000.
    #[must_use]
    pub const fn per_minute(limit: u32) -> Self {
        Self::new(limit, Duration::from_secs(60))
    }

    /// Creates a quota of `limit` requests per hour.
    ///
    /// # Panics
    ///
    /// Like [`new`](Self::new): if the limit is 0 or more than 3,600,000,000.
    #[must_use]
    pub const fn per_hour(limit: u32) -> Self {
        Self::new(limit, Duration::from_secs(60 * 60))
    }

    /// Creates a quota of `limit` requests per 24 hours.
    ///
    /// # Panics
    ///
    /// Like [`new`](Self::new): if the limit is 0.
    #[must_use]
    pub const fn per_day(limit: u32) -> Self {
        Self::new(limit, Duration::from_secs(24 * 60 * 60))
    }

    /// Creates a quota of `limit` requests per `period`, if the numbers are in the ranges given at
    /// [`Quota`].
    ///
    /// # Errors
    ///
    /// A [`QuotaError`] that names the violated range.
    pub const fn try_new(limit: u32, period: Duration) -> Result<Self, QuotaError> {
        if limit == 0 {
            return Err(QuotaError::ZeroLimit);
        }
        if period.is_zero() {
            return Err(QuotaError::ZeroPeriod);
        }
        if !period.subsec_nanos().is_multiple_of(1_000) {
            return Err(QuotaError::FractionalMicros);
        }
        // The period is compared before the cast below, so that the cast cannot truncate it.
        if period.as_micros() > MAX_PERIOD as u128 {
            return Err(QuotaError::PeriodTooLong);
        }
        let period_micros = period.as_micros() as u64;
        if period_micros < MIN_PERIOD {
            return Err(QuotaError::PeriodTooShort);
        }
        // The highest rate, 1,000,000 per second, is one per microsecond.
        if limit as u64 > period_micros {
            return Err(QuotaError::RateTooHigh);
        }
        Ok(Self::of(limit, period_micros))
    }

    /// Creates a quota of numbers that the caller has validated. The period must be at least 1. A
    /// limit of 0 admits nobody.
    const fn of(limit: u32, period_micros: u64) -> Self {
        Self {
            limit,
            burst: limit,
            usable: limit,
            calendar: None,
            period_micros,
            interval: Drain::of(1, limit, period_micros),
            usable_drain: Drain::of(limit, limit, period_micros),
        }
    }

    /// Sets the size of the bucket in units, for the algorithms that have a bucket. The default is
    /// the limit.
    ///
    /// # Panics
    ///
    /// If `burst` is 0, or if a bucket of this size would take more than ten years to fill. In a
    /// `const` that is a compile error.
    #[must_use]
    pub const fn burst(mut self, burst: u32) -> Self {
        if let Err(error) = self.set_burst(burst) {
            error.panic()
        }
        self
    }

    /// The shortest period of a quota, in microseconds.
    pub(crate) const MIN_PERIOD_MICROS: u64 = MIN_PERIOD;
    /// The longest period of a quota, in microseconds.
    pub(crate) const MAX_PERIOD_MICROS: u64 = MAX_PERIOD;

    /// The longest time that a bucket may take to drain, in microseconds: ten years.
    pub(crate) const MAX_FILL_MICROS: u64 = MAX_FILL;

    /// Returns the largest burst with which the bucket fills in ten years. It is at least 10.
    pub(crate) const fn max_burst(&self) -> u32 {
        let burst = MAX_FILL as u128 * self.limit as u128 / self.period_micros as u128;
        if burst > u32::MAX as u128 { u32::MAX } else { burst as u32 }
    }

    /// Returns the largest debt of whole windows, in units: what windows of ten years can take.
    pub(crate) fn max_owed(&self) -> u32 {
        let owed = u64::from(self.limit).saturating_mul(MAX_FILL / self.period_micros);
        u32::try_from(owed).unwrap_or(u32::MAX)
    }

    pub(crate) const fn set_burst(&mut self, burst: u32) -> Result<(), QuotaError> {
        if burst == 0 {
            return Err(QuotaError::ZeroBurst);
        }
        if self.is_blocked() {
            // It has no bucket that could hold anything.
            return Ok(());
        }
        // The product is at most 2^32 × 2^45, and the limit is at least 1, so nothing overflows.
        let fill_micros = burst as u128 * self.period_micros as u128 / self.limit as u128;
        if fill_micros > MAX_FILL as u128 {
            return Err(QuotaError::BurstTooLarge);
        }
        *self = self.with_capacity(burst);
        Ok(())
    }

    /// Returns the limit: the number of requests per period. It is 0 if the quota admits nobody.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Returns the length of the period. Periods of a calendar differ, and this is the longest.
    #[must_use]
    pub const fn period(&self) -> Duration {
        Duration::from_micros(self.period_micros)
    }

    /// Returns the largest number of units that can be admitted at once: the burst if one was set,
    /// and otherwise the limit.
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.burst
    }

    /// Returns the quota with a bucket of `capacity` units, which must be at least 1.
    pub(crate) const fn with_capacity(mut self, capacity: u32) -> Self {
        self.burst = capacity;
        self.using(capacity)
    }

    /// Returns the quota for a request that may use at most `usable` units of the bucket.
    pub(crate) const fn using(mut self, usable: u32) -> Self {
        self.usable = if usable < self.burst { usable } else { self.burst };
        self.usable_drain = self.drain_of(self.usable);
        self
    }

    /// Returns `true` if both quotas have the same limit, burst and period, so that the counters of
    /// one can be used for the other without conversion.
    #[inline]
    pub(crate) fn is_kept_like(&self, other: &Self) -> bool {
        // The other fields are derived from these, except for `usable`, which may differ between
        // the requests of one subject.
        (self.limit, self.burst, self.period_micros)
            == (other.limit, other.burst, other.period_micros)
            && self.calendar == other.calendar
    }

    /// Returns the number of units of the bucket that one request may use. It is at most the
    /// capacity.
    pub(crate) const fn usable(&self) -> u32 {
        self.usable
    }

    /// Divides the quota among `instances` processes, and returns the quota of one of them.
    /// Together they admit about as much as this quota. Rounding may make the bucket of one process
    /// take a tenth longer to fill than [`MAX_FILL`], and the arithmetic does not overflow even
    /// then.
    pub(crate) fn share(self, instances: u32) -> Self {
        let share = |units: u32| units.div_ceil(instances.max(1));
        Self::of(share(self.limit), self.period_micros)
            .with_calendar(self.calendar)
            .with_capacity(share(self.burst))
    }

    pub(crate) const fn period_micros(&self) -> u64 {
        self.period_micros
    }

    #[inline]
    pub(crate) const fn period_span(&self) -> TimeSpan {
        TimeSpan::from_micros(self.period_micros)
    }

    /// Returns the time to replenish `units`, which must be at most [`max_burst`](Self::max_burst).
    #[inline]
    pub(crate) const fn drain_of(&self, units: u32) -> Drain {
        if units == 1 {
            // Most requests cost one unit, so the time for one unit is precomputed.
            return self.interval;
        }
        Drain::of(units, self.limit, self.period_micros)
    }

    /// Returns the time to replenish the units that one request may use.
    #[inline]
    pub(crate) const fn usable_drain(&self) -> Drain {
        self.usable_drain
    }

    /// The quota that generated code uses in place of an invalid one, whose error is already
    /// reported at compile time. It prevents a second report of the same error.
    pub(crate) const PLACEHOLDER: Self = Self::of(1, MICROS_PER_SECOND);
}

impl PartialEq for Quota {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.is_kept_like(other) && self.usable == other.usable
    }
}

impl Eq for Quota {}

impl Hash for Quota {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.limit, self.burst, self.period_micros, self.calendar).hash(state);
    }
}

#[cfg(test)]
mod tests;
