//! Points in time and lengths of time, in whole microseconds.
//!
//! Each is a type of its own, so that neither can be passed in place of the other. In memory both
//! are plain `u64` numbers. The public API uses `u64` microseconds, which are converted at its
//! boundary.
//!
//! The operators `+`, `-` and `*` are those of `u64`, so the caller has to make sure that the
//! result fits. The names of the other methods show their treatment of a result that does not fit:
//! `checked_…` returns `None`, `saturating_…` the nearest number, `wrapping_…` wraps around.

use std::fmt;
use std::ops::{Add, Mul, Sub};
use std::time::Duration;

use crate::Clock;

/// A point in time: microseconds since the Unix epoch, on the clock from which it was read.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub(crate) struct Timestamp(u64);

/// A length of time in microseconds.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub(crate) struct TimeSpan(u64);

impl Timestamp {
    pub(crate) const EPOCH: Self = Self(0);

    #[inline]
    pub(crate) const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Returns the present time of a clock.
    #[inline]
    pub(crate) fn now(clock: &(impl Clock + ?Sized)) -> Self {
        Self(clock.now_micros())
    }

    /// Returns the microseconds since the Unix epoch.
    #[inline]
    pub(crate) const fn micros(self) -> u64 {
        self.0
    }

    /// Returns the time from `earlier` to this timestamp; `None` if `earlier` is the later one.
    #[inline]
    pub(crate) const fn checked_since(self, earlier: Self) -> Option<TimeSpan> {
        match self.0.checked_sub(earlier.0) {
            Some(micros) => Some(TimeSpan(micros)),
            None => None,
        }
    }

    /// Returns the time from `earlier` to this timestamp; zero if `earlier` is the later one.
    #[inline]
    pub(crate) const fn saturating_since(self, earlier: Self) -> TimeSpan {
        TimeSpan(self.0.saturating_sub(earlier.0))
    }

    /// Returns the time from `earlier` to this timestamp; a very long time if `earlier` is the
    /// later one.
    #[inline]
    pub(crate) const fn wrapping_since(self, earlier: Self) -> TimeSpan {
        TimeSpan(self.0.wrapping_sub(earlier.0))
    }

    /// Returns the timestamp that is `span` later. If that cannot be represented, returns the last
    /// one that can.
    #[inline]
    pub(crate) const fn saturating_add(self, span: TimeSpan) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// Divides the time since the epoch into intervals of length `width`. Returns the number of the
    /// interval that contains this timestamp.
    #[inline]
    pub(crate) const fn interval(self, width: TimeSpan) -> u64 {
        self.0 / width.0
    }

    /// Returns the start of the interval of length `width` that contains this timestamp.
    #[inline]
    pub(crate) const fn start_of_interval(self, width: TimeSpan) -> Self {
        Self(self.0 - self.0 % width.0)
    }
}

impl TimeSpan {
    pub(crate) const ZERO: Self = Self(0);
    /// One microsecond.
    pub(crate) const ONE: Self = Self(1);
    pub(crate) const MAX: Self = Self(u64::MAX);

    #[inline]
    pub(crate) const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Converts a duration, rounded down to whole microseconds. A duration longer than
    /// [`TimeSpan::MAX`] (half a million years) becomes `TimeSpan::MAX`.
    pub(crate) const fn from_duration(duration: Duration) -> Self {
        let micros = duration.as_micros();
        Self(if micros > u64::MAX as u128 { u64::MAX } else { micros as u64 })
    }

    #[inline]
    pub(crate) const fn micros(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) const fn to_duration(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// Returns the number of whole intervals of length `width` in this span.
    #[inline]
    pub(crate) const fn intervals(self, width: Self) -> u64 {
        self.0 / width.0
    }

    #[inline]
    pub(crate) const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Returns this span minus `other`; `None` if `other` is longer.
    #[inline]
    pub(crate) const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(micros) => Some(Self(micros)),
            None => None,
        }
    }

    /// Returns this span minus `other`; zero if `other` is longer.
    #[inline]
    pub(crate) const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Returns the span multiplied by `times`, at most [`TimeSpan::MAX`].
    #[inline]
    pub(crate) const fn saturating_mul(self, times: u64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl Add<TimeSpan> for Timestamp {
    type Output = Self;

    #[inline]
    fn add(self, span: TimeSpan) -> Self {
        Self(self.0 + span.0)
    }
}

impl Sub<TimeSpan> for Timestamp {
    type Output = Self;

    #[inline]
    fn sub(self, span: TimeSpan) -> Self {
        Self(self.0 - span.0)
    }
}

impl Sub for Timestamp {
    type Output = TimeSpan;

    #[inline]
    fn sub(self, earlier: Self) -> TimeSpan {
        TimeSpan(self.0 - earlier.0)
    }
}

impl Add for TimeSpan {
    type Output = Self;

    #[inline]
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for TimeSpan {
    type Output = Self;

    #[inline]
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Mul<u64> for TimeSpan {
    type Output = Self;

    #[inline]
    fn mul(self, times: u64) -> Self {
        Self(self.0 * times)
    }
}

/// Formats the plain number of microseconds, without the name of the type.
impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Formats the plain number of microseconds, without the name of the type.
impl fmt::Debug for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
