//! Periods that begin when the calendar says: days, weeks, months and years in a time zone.
//!
//! A period is stored as a small number, so that a quota stays as small as it is without one. Without
//! the feature `calendar` the number has no values, and nothing here costs anything.

#[cfg(feature = "calendar")]
mod windows;
#[cfg(feature = "calendar")]
mod zones;

use std::fmt;
#[cfg(feature = "calendar")]
use std::num::NonZeroU16;

use crate::micros::Timestamp;
#[cfg(feature = "calendar")]
use crate::suggest;

/// The most by which a window may be longer than [`Calendar::longest_micros`], in a zone that changes by more
/// than an hour.
const MARGIN: u64 = DAY;

const HOUR: u64 = 60 * 60 * 1_000_000;
const DAY: u64 = 24 * HOUR;

/// The unit of a period that begins when the calendar says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Calendar {
    /// A day, from midnight to midnight. Of a change of the clocks it has 23 or 25 hours.
    Day,
    /// A week, which begins on Monday.
    Week,
    /// A month, which begins on its first day.
    Month,
    /// A year, which begins on the first of January.
    Year,
}

impl Calendar {
    /// All units, in the order of the variants.
    pub const ALL: &'static [Self] = &[Self::Day, Self::Week, Self::Month, Self::Year];

    /// Returns the unit's name in the attribute and in configuration files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// Returns the longest length of such a period in microseconds, with an hour for a change of the
    /// clocks, where one can be longer for that.
    pub(crate) const fn longest_micros(self) -> u64 {
        match self {
            Self::Day => DAY + HOUR,
            Self::Week => 7 * DAY + HOUR,
            Self::Month => 31 * DAY + HOUR,
            Self::Year => 366 * DAY,
        }
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A unit of the calendar in a time zone.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CalendarPeriod(Id);

/// The index of the zone's name, times the number of the units, plus that of the unit, plus 1.
#[cfg(feature = "calendar")]
type Id = NonZeroU16;
#[cfg(not(feature = "calendar"))]
type Id = std::convert::Infallible;

/// A window of a calendar, with its number: that of the window after it is one higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CalendarWindow {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) number: i64,
}

impl CalendarWindow {
    #[cfg(feature = "calendar")]
    fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}

impl CalendarPeriod {
    /// Returns the period of this unit in the zone of this name; `None` if there is no such zone.
    #[cfg(feature = "calendar")]
    pub(crate) const fn new(calendar: Calendar, zone: &str) -> Option<Self> {
        let Some(index) = zones::index_of(zone) else { return None };
        let id = index * Calendar::ALL.len() as u16 + calendar as u16 + 1;
        match NonZeroU16::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// Returns the period of this unit in the zone of this name, or a message about the zone.
    pub(crate) fn parse(calendar: Calendar, zone: &str) -> Result<Self, String> {
        #[cfg(feature = "calendar")]
        return Self::new(calendar, zone).ok_or_else(|| unknown_zone(zone));
        #[cfg(not(feature = "calendar"))]
        Err(format!(
            "a {calendar} of the calendar ({zone}) needs the feature `calendar` of the crate \
             `tollgate`"
        ))
    }

    /// Returns the unit.
    pub(crate) const fn calendar(self) -> Calendar {
        #[cfg(feature = "calendar")]
        return match (self.0.get() - 1) % Calendar::ALL.len() as u16 {
            0 => Calendar::Day,
            1 => Calendar::Week,
            2 => Calendar::Month,
            _ => Calendar::Year,
        };
        #[cfg(not(feature = "calendar"))]
        match self.0 {}
    }

    /// Returns the name of the zone.
    pub(crate) const fn zone(self) -> &'static str {
        #[cfg(feature = "calendar")]
        return zones::name_of(self.zone_index());
        #[cfg(not(feature = "calendar"))]
        match self.0 {}
    }

    #[cfg(feature = "calendar")]
    const fn zone_index(self) -> u16 {
        (self.0.get() - 1) / Calendar::ALL.len() as u16
    }

    /// Returns `true` if the bundled data has the zone. A name without data is that of a release of
    /// the data that the program was not built with.
    pub(crate) fn is_known(self) -> bool {
        #[cfg(feature = "calendar")]
        return zones::zone(self.zone_index()).is_some();
        #[cfg(not(feature = "calendar"))]
        match self.0 {}
    }

    /// Returns the window that contains `at`.
    pub(crate) fn window(self, at: Timestamp) -> CalendarWindow {
        #[cfg(feature = "calendar")]
        return windows::containing(self, at);
        #[cfg(not(feature = "calendar"))]
        match (self.0, at) {}
    }

    /// Returns the end of the window that follows the one of `at` after `further` others; with 0
    /// that of the window itself.
    pub(crate) fn end_after(self, at: Timestamp, further: u64) -> Timestamp {
        let window = self.window(at);
        if further == 0 {
            return window.end;
        }
        #[cfg(feature = "calendar")]
        return windows::start_of(self, window.number.saturating_add_unsigned(further + 1));
        #[cfg(not(feature = "calendar"))]
        match self.0 {}
    }

    /// Returns the window before the one that contains `at`, that one, and the one after it.
    #[cfg(feature = "redis")]
    pub(crate) fn around(self, at: Timestamp) -> [CalendarWindow; 3] {
        #[cfg(feature = "calendar")]
        return windows::around(self, at);
        #[cfg(not(feature = "calendar"))]
        match (self.0, at) {}
    }

    /// Returns the window with this number.
    #[cfg(feature = "redis")]
    pub(crate) fn numbered(self, number: i64) -> CalendarWindow {
        #[cfg(feature = "calendar")]
        return windows::numbered(self, number);
        #[cfg(not(feature = "calendar"))]
        match (self.0, number) {}
    }

    /// Returns a length in microseconds that no window of the period exceeds.
    pub(crate) const fn bound_micros(self) -> u64 {
        self.calendar().longest_micros() + MARGIN
    }

    /// Returns a length in microseconds that no window of the period falls short of, unless the
    /// zone leaves out a whole day.
    pub(crate) const fn shortest_micros(self) -> u64 {
        match self.calendar() {
            Calendar::Day => DAY - 4 * HOUR,
            Calendar::Week => 7 * DAY - 4 * HOUR,
            Calendar::Month => 28 * DAY - 4 * HOUR,
            Calendar::Year => 365 * DAY - 4 * HOUR,
        }
    }
}

/// Formats the period for messages: `month`, and `month in Europe/Berlin` if it is not that of UTC.
impl fmt::Display for CalendarPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.zone() {
            "UTC" => self.calendar().fmt(f),
            zone => write!(f, "{} in {zone}", self.calendar()),
        }
    }
}

impl fmt::Debug for CalendarPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns the message about a zone that is not known, with the nearest that is.
#[cfg(feature = "calendar")]
fn unknown_zone(zone: &str) -> String {
    let mut names = zones::names().iter().copied();
    let same = names.clone().find(|name| name.eq_ignore_ascii_case(zone));
    let hint = same.or_else(|| suggest::nearest(zone, &mut names));
    let hint = hint.map_or_else(
        || "write a name of the IANA database, such as `Europe/Berlin`, or `UTC`".to_owned(),
        |nearest| format!("did you mean `{nearest}`?"),
    );
    format!("unknown time zone `{zone}`: {hint}")
}
