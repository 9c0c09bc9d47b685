//! Quotas whose periods begin when the calendar says, and the windows of any quota.

use super::{Quota, QuotaError};
use crate::calendar::{Calendar, CalendarPeriod};
use crate::micros::{TimeSpan, Timestamp};

impl Quota {
    /// Creates a quota of `limit` requests per day, week, month or year of the calendar in a time zone,
    /// such as "1000 per month in Berlin". The zone has a name of the [IANA database], such as
    /// `Europe/Berlin` or `UTC`; the rules of all zones are part of the program.
    ///
    /// Only [`Algorithm::FixedWindow`](crate::Algorithm::FixedWindow) has such windows.
    ///
    /// ```
    /// use tollgate::{Algorithm, Calendar, Policy, Quota};
    ///
    /// const PLAN: Policy = Policy::new("plan", Quota::calendar(1_000, Calendar::Month, "Europe/Berlin"))
    ///     .algorithm(Algorithm::FixedWindow);
    /// assert_eq!(PLAN.quotas()[0].get_calendar(), Some((Calendar::Month, "Europe/Berlin")));
    /// ```
    ///
    /// A zone that is not known does not compile in a constant:
    ///
    /// ```compile_fail
    /// use tollgate::{Calendar, Quota};
    ///
    /// const NOWHERE: Quota = Quota::calendar(1, Calendar::Day, "Europe/Atlantis");
    /// println!("{NOWHERE:?}");
    /// ```
    ///
    /// [IANA database]: https://www.iana.org/time-zones
    ///
    /// # Panics
    ///
    /// If the limit is 0, or there is no such zone. In a `const` that is a compile error.
    #[cfg(feature = "calendar")]
    #[must_use]
    pub const fn calendar(limit: u32, calendar: Calendar, zone: &str) -> Self {
        match Self::try_calendar(limit, calendar, zone) {
            Ok(quota) => quota,
            Err(error) => error.panic(),
        }
    }

    /// Creates a quota of `limit` requests per day, week, month or year of the calendar in a time zone.
    ///
    /// # Errors
    ///
    /// [`QuotaError::ZeroLimit`] or [`QuotaError::UnknownZone`].
    #[cfg(feature = "calendar")]
    pub const fn try_calendar(
        limit: u32,
        calendar: Calendar,
        zone: &str,
    ) -> Result<Self, QuotaError> {
        match CalendarPeriod::new(calendar, zone) {
            Some(period) => Self::try_of_calendar(limit, period),
            None => Err(QuotaError::UnknownZone),
        }
    }

    /// Creates a quota of `limit` requests per window of a calendar, if the limit is not 0.
    pub(crate) const fn try_of_calendar(
        limit: u32,
        calendar: CalendarPeriod,
    ) -> Result<Self, QuotaError> {
        if limit == 0 {
            return Err(QuotaError::ZeroLimit);
        }
        let longest = calendar.calendar().longest_micros();
        Ok(Self::of(limit, longest).with_calendar(Some(calendar)))
    }

    /// Returns the quota with this calendar, whose longest length its period has.
    pub(super) const fn with_calendar(mut self, calendar: Option<CalendarPeriod>) -> Self {
        self.calendar = calendar;
        self
    }

    /// Returns the unit of the calendar and the name of the time zone, if the period begins when the
    /// calendar says; `None` if it has a length of its own.
    #[must_use]
    pub const fn get_calendar(&self) -> Option<(Calendar, &'static str)> {
        match self.calendar {
            Some(period) => Some((period.calendar(), period.zone())),
            None => None,
        }
    }

    /// Returns `true` if both quotas have the same period: the same length, or the same unit of the
    /// calendar in the same time zone.
    pub(crate) fn has_period_of(&self, other: &Self) -> bool {
        (self.period_micros, self.calendar) == (other.period_micros, other.calendar)
    }

    /// Returns the unit of the calendar and its zone; `None` if the period has a length of its own.
    #[inline]
    pub(crate) const fn calendar_period(&self) -> Option<CalendarPeriod> {
        self.calendar
    }

    /// Returns the period in words: `60s`, or `month in Europe/Berlin`.
    pub(crate) fn period_text(&self) -> String {
        match self.calendar {
            Some(calendar) => calendar.to_string(),
            None => format!("{:?}", self.period()),
        }
    }

    /// Returns a length that no period exceeds.
    pub(crate) const fn longest_span(&self) -> TimeSpan {
        match self.calendar {
            Some(calendar) => TimeSpan::from_micros(calendar.bound_micros()),
            None => self.period_span(),
        }
    }

    /// Returns a length in microseconds that no period falls short of.
    pub(crate) const fn shortest_micros(&self) -> u64 {
        match self.calendar {
            Some(calendar) => calendar.shortest_micros(),
            None => self.period_micros,
        }
    }

    /// Returns the end of the window that contains `start`, or begins there if it is of no calendar.
    #[inline]
    pub(crate) fn window_end(&self, start: Timestamp) -> Timestamp {
        match self.calendar {
            None => start + self.period_span(),
            Some(calendar) => calendar.window(start).end,
        }
    }

    /// Returns the end of the window that follows this one after `further` others.
    pub(crate) fn window_end_after(&self, start: Timestamp, further: u64) -> Timestamp {
        match self.calendar {
            None => start + self.period_span() * (further + 1),
            Some(calendar) => calendar.end_after(start, further),
        }
    }

    /// Returns the number of windows from the one of `start` to the one of `now`, which is not an
    /// earlier one, and the start of that.
    pub(crate) fn windows_passed(&self, start: Timestamp, now: Timestamp) -> (u64, Timestamp) {
        match self.calendar {
            None => {
                let passed = (now - start).intervals(self.period_span());
                (passed, start + self.period_span() * passed)
            }
            Some(calendar) => {
                let [first, last] = [start, now].map(|at| calendar.window(at));
                let passed = last.number.saturating_sub(first.number);
                (u64::try_from(passed).unwrap_or_default(), last.start)
            }
        }
    }
}
