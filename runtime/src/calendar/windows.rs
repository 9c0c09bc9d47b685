//! The bounds of windows, by the rules of the time zones.

use std::cell::Cell;

use jiff::SignedDuration;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::{Calendar, CalendarPeriod, CalendarWindow, zones};
use crate::micros::{TimeSpan, Timestamp};

/// The calendar ends with the window before the one of this date. The windows from there on have the
/// length of the longest of their kind.
const END: Date = jiff::civil::date(9990, 1, 1);

/// A time at which no zone has come to the end of the calendar, weeks before it.
const NEAR_END: Timestamp = Timestamp::from_micros(253_084_000_000_000_000);

/// The number of windows that a thread remembers.
const REMEMBERED: usize = 4;

thread_local! {
    /// The windows that were asked for last.
    static RECENT: [Cell<Option<(CalendarPeriod, CalendarWindow)>>; REMEMBERED] =
        const { [const { Cell::new(None) }; REMEMBERED] };
}

#[cfg(feature = "redis")]
thread_local! {
    /// The windows around the instant that was asked for last.
    static AROUND: Cell<Option<(CalendarPeriod, [CalendarWindow; 3])>> = const { Cell::new(None) };
}

/// Returns the window of `period` that contains `at`.
pub(super) fn containing(period: CalendarPeriod, at: Timestamp) -> CalendarWindow {
    RECENT.with(|recent| {
        let place = &recent[usize::from(period.0.get()) % REMEMBERED];
        match place.get() {
            Some((known, window)) if known == period && window.contains(at) => window,
            _ => {
                let window = find(period, at);
                place.set(Some((period, window)));
                window
            }
        }
    })
}

/// Returns the start of the window with this number.
pub(super) fn start_of(period: CalendarPeriod, number: i64) -> Timestamp {
    let end = number_of(period.calendar(), END);
    let start = first_date(period.calendar(), number.min(end))
        .and_then(|date| first_instant(rules(period), date))
        .unwrap_or(NEAR_END);
    let after = u64::try_from(number.saturating_sub(end)).unwrap_or_default();
    start.saturating_add(length(period).saturating_mul(after))
}

/// Returns the window before the one that contains `at`, that one, and the one after it.
#[cfg(feature = "redis")]
pub(super) fn around(period: CalendarPeriod, at: Timestamp) -> [CalendarWindow; 3] {
    AROUND.with(|around| match around.get() {
        Some((known, windows)) if known == period && windows[1].contains(at) => windows,
        _ => {
            let window = find(period, at);
            let before = match window.start {
                Timestamp::EPOCH => window,
                start => find(period, start - TimeSpan::ONE),
            };
            let windows = [before, window, find(period, window.end)];
            around.set(Some((period, windows)));
            windows
        }
    })
}

/// Returns the window with this number.
#[cfg(feature = "redis")]
pub(super) fn numbered(period: CalendarPeriod, number: i64) -> CalendarWindow {
    let [start, end] = [number, number.saturating_add(1)].map(|number| start_of(period, number));
    CalendarWindow { start, end, number }
}

fn find(period: CalendarPeriod, at: Timestamp) -> CalendarWindow {
    let mut number = number_at(period, at);
    // Where clocks are set back at midnight, a date may come twice. It begins when it comes first.
    while start_of(period, number) > at && number > 0 {
        number -= 1;
    }
    while start_of(period, number + 1) <= at {
        number += 1;
    }
    let [start, end] = [number, number + 1].map(|number| start_of(period, number));
    CalendarWindow { start, end, number }
}

/// Returns the number of the window of the date that the clocks say, or a number after the end of the
/// calendar.
fn number_at(period: CalendarPeriod, at: Timestamp) -> i64 {
    let calendar = period.calendar();
    let last = number_of(calendar, END);
    if at >= NEAR_END
        && let end = start_of(period, last)
        && let Some(passed) = at.checked_since(end)
    {
        return last.saturating_add_unsigned(passed.intervals(length(period)));
    }
    instant(at)
        .map_or(last, |instant| number_of(calendar, rules(period).to_datetime(instant).date()))
}

fn rules(period: CalendarPeriod) -> &'static TimeZone {
    // No limiter starts with a zone without rules.
    static UTC: TimeZone = TimeZone::UTC;
    zones::zone(period.zone_index()).unwrap_or(&UTC)
}

const fn length(period: CalendarPeriod) -> TimeSpan {
    TimeSpan::from_micros(period.calendar().longest_micros())
}

fn instant(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_microsecond(i64::try_from(at.micros()).ok()?).ok()
}

/// Returns the number of the window that contains a date.
fn number_of(calendar: Calendar, date: Date) -> i64 {
    match calendar {
        Calendar::Day => days(date),
        Calendar::Week => (days(date) + DAYS_BEFORE_EPOCH).div_euclid(7),
        Calendar::Month => i64::from(date.year()) * 12 + i64::from(date.month()) - 1,
        Calendar::Year => date.year().into(),
    }
}

/// Returns the first date of a window; `None` if there is no such date.
fn first_date(calendar: Calendar, number: i64) -> Option<Date> {
    let [year, month] = match calendar {
        Calendar::Day => return date(number),
        Calendar::Week => return date(number * 7 - DAYS_BEFORE_EPOCH),
        Calendar::Month => [number.div_euclid(12), number.rem_euclid(12) + 1],
        Calendar::Year => [number, 1],
    };
    Date::new(year.try_into().ok()?, month.try_into().ok()?, 1).ok()
}

/// The days of the week of 1970-01-01 before that date, which was a Thursday.
const DAYS_BEFORE_EPOCH: i64 = 3;

const EPOCH: Date = jiff::civil::date(1970, 1, 1);

/// Returns the number of days from 1970-01-01 to a date.
fn days(date: Date) -> i64 {
    date.duration_since(EPOCH).as_hours() / 24
}

/// Returns the date that is so many days after 1970-01-01.
fn date(days: i64) -> Option<Date> {
    EPOCH.checked_add(SignedDuration::from_hours(days.checked_mul(24)?)).ok()
}

/// Returns the first instant at which the clocks of a zone say this date, or a later one if the zone
/// leaves it out. It is not before 1970.
fn first_instant(zone: &TimeZone, date: Date) -> Option<Timestamp> {
    let midnight = zone.to_ambiguous_timestamp(date.to_datetime(Time::midnight()));
    let is_left_out = matches!(midnight.offset(), AmbiguousOffset::Gap { .. });
    let mut instant = midnight.compatible().ok()?;
    if is_left_out {
        // The clocks jump over midnight, and where they do is the date's first instant.
        let after = instant.checked_add(SignedDuration::from_nanos(1)).ok()?;
        instant = zone.preceding(after).next()?.timestamp();
    }
    Some(Timestamp::from_micros(instant.as_microsecond().try_into().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> Timestamp {
        let instant: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_micros(instant.as_microsecond() as u64)
    }

    fn period(calendar: Calendar, zone: &str) -> CalendarPeriod {
        CalendarPeriod::new(calendar, zone).unwrap()
    }

    #[test]
    fn a_date_that_comes_twice_begins_once() {
        // The clocks of Newfoundland were set back by an hour at one minute past midnight.
        let day = period(Calendar::Day, "America/St_Johns");
        let midnight = micros("2009-11-01T02:30:00Z");
        let next = micros("2009-11-02T03:30:00Z");
        for minutes in [0, 1, 30, 61, 62] {
            let window = day.window(midnight + TimeSpan::from_micros(minutes * 60_000_000));
            assert_eq!((window.start, window.end), (midnight, next), "{minutes}");
        }
        let before = day.window(midnight - TimeSpan::ONE);
        assert_eq!((before.end, before.number + 1), (midnight, day.window(midnight).number));
    }

    #[test]
    fn a_date_that_is_left_out_has_no_window() {
        let day = period(Calendar::Day, "Pacific/Apia");
        let jump = micros("2011-12-30T10:00:00Z");
        assert_eq!(day.window(jump - TimeSpan::ONE).end, jump);
        assert_eq!(day.window(jump).start, jump);
        assert_eq!(day.window(jump).number, day.window(jump - TimeSpan::ONE).number + 2);
    }

    #[test]
    fn the_first_instant_of_a_date_without_a_midnight_is_that_of_the_jump() {
        let day = period(Calendar::Day, "America/Sao_Paulo");
        let jump = micros("2018-11-04T03:00:00Z");
        let window = day.window(jump);
        assert_eq!((window.start, window.end), (jump, micros("2018-11-05T02:00:00Z")));
        // In 1919 the clocks of Toronto jumped at half past eleven in the evening.
        let zone = zones::zone(zones::index_of("America/Toronto").unwrap()).unwrap();
        let instant = first_instant(zone, jiff::civil::date(1919, 3, 31));
        assert_eq!(instant, Some(Timestamp::EPOCH));
    }

    #[test]
    fn windows_follow_each_other_without_a_gap_to_the_end_of_time() {
        for calendar in Calendar::ALL {
            for zone in ["UTC", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Kiritimati"] {
                let period = period(*calendar, zone);
                let end = 253_086_768_000_000_000;
                let ends = [0, end - 1, end, end + 400 * 86_400_000_000, 1 << 62];
                for at in ends.map(Timestamp::from_micros) {
                    let mut window = period.window(at);
                    for further in 0..4 {
                        assert!(window.start < window.end, "{calendar} {zone} {at:?}");
                        assert_eq!(period.end_after(at, further), window.end);
                        let next = period.window(window.end);
                        assert_eq!(next.start, window.end, "{calendar} {zone} {at:?}");
                        window = next;
                    }
                }
            }
        }
    }
}
