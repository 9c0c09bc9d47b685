//! The windows of calendars that come with a check, because the server has no calendars.
//!
//! A list of windows is a sequence of: the length of the calendar's name, the name, the number of its
//! windows (a byte each), and for each window its beginning, its end and its number, as doubles. The name
//! of a calendar is the letter of its unit and the name of its zone, such as `mEurope/Berlin`.

use smallvec::SmallVec;

use crate::calendar::{Calendar, CalendarPeriod, CalendarWindow};
use crate::micros::Timestamp;
use crate::{Policy, Quota};

/// The latest instant that is sent, in microseconds, up to which doubles are exact.
const MAX_INSTANT: u64 = 1 << 53;

/// The kinds of a window that the server asks for: that of an instant, and the one with a number.
const OF_INSTANT: u8 = 1;
const OF_NUMBER: u8 = 2;

/// Returns the list of the windows around `at`, for each quota of the policy that has a calendar.
pub(super) fn windows_of(policy: &Policy, at: Timestamp) -> Vec<u8> {
    let mut list = Vec::new();
    for period in policy.quotas().iter().filter_map(Quota::calendar_period) {
        encode(&name_of(period), &period.around(at), &mut list);
    }
    list
}

/// The list of the windows that the server has asked for, because the state of a key needs them: it may
/// be of another form of the policy.
#[derive(Default)]
pub(super) struct AskedWindows(Vec<u8>);

impl AskedWindows {
    /// Adds the windows that a reply asks for: a sequence of a kind (one byte), a double, and the name
    /// of a calendar after its length. Of a calendar that is not known there are none, and then the
    /// server takes the key's value for one that cannot be read. Returns `false` if the sequence makes
    /// no sense.
    pub(super) fn add(&mut self, mut wanted: &[u8]) -> bool {
        while let Some(([kind, value @ .., length], rest)) = wanted.split_first_chunk::<10>() {
            let Some((name, rest)) = rest.split_at_checked((*length).into()) else { return false };
            wanted = rest;
            let value = f64::from_le_bytes(*value);
            match (period_of(name), *kind) {
                // The casts saturate, and any window is a window.
                (Some(period), OF_INSTANT) => {
                    let at = Timestamp::from_micros(value as u64);
                    encode(name, &period.around(at), &mut self.0);
                }
                (Some(period), OF_NUMBER) => {
                    encode(name, &[period.numbered(value as i64)], &mut self.0);
                }
                (Some(_), _) => return false,
                (None, _) => encode(name, &[], &mut self.0),
            }
        }
        wanted.is_empty()
    }

    pub(super) fn list(&self) -> &[u8] {
        &self.0
    }
}

fn encode(name: &[u8], windows: &[CalendarWindow], list: &mut Vec<u8>) {
    // Names are shorter than 256 bytes, and there are at most three windows.
    list.push(name.len() as u8);
    list.extend(name);
    list.push(windows.len() as u8);
    for CalendarWindow { start, end, number } in windows {
        for instant in [start, end] {
            list.extend((instant.micros().min(MAX_INSTANT) as f64).to_le_bytes());
        }
        list.extend((*number as f64).to_le_bytes());
    }
}

fn letter(unit: Calendar) -> u8 {
    match unit {
        Calendar::Day => b'd',
        Calendar::Week => b'w',
        Calendar::Month => b'm',
        Calendar::Year => b'y',
    }
}

fn name_of(period: CalendarPeriod) -> SmallVec<[u8; 40]> {
    std::iter::once(letter(period.calendar())).chain(period.zone().bytes()).collect()
}

/// Returns the calendar of this name; `None` if it is not known.
pub(super) fn period_of(name: &[u8]) -> Option<CalendarPeriod> {
    let (first, zone) = name.split_first()?;
    let unit = Calendar::ALL.iter().copied().find(|unit| letter(*unit) == *first)?;
    let period = CalendarPeriod::parse(unit, str::from_utf8(zone).ok()?).ok()?;
    period.is_known().then_some(period)
}

#[cfg(all(test, feature = "calendar"))]
mod tests {
    use super::*;

    fn wanted(kind: u8, value: f64, name: &str) -> Vec<u8> {
        let mut wanted = vec![kind];
        wanted.extend(value.to_le_bytes());
        wanted.push(name.len() as u8);
        wanted.extend(name.as_bytes());
        wanted
    }

    fn answer(list: &[u8]) -> Option<Vec<u8>> {
        let mut asked = AskedWindows::default();
        asked.add(list).then(|| asked.list().to_vec())
    }

    #[test]
    fn each_calendar_has_a_name_by_which_it_is_found() {
        let at = Timestamp::from_micros(1_750_000_000_000_000);
        for unit in Calendar::ALL {
            for zone in ["UTC", "Europe/Berlin", "America/Argentina/ComodRivadavia"] {
                let period = CalendarPeriod::new(*unit, zone).unwrap();
                let name = name_of(period);
                assert_eq!(period_of(&name), Some(period));
                let name = str::from_utf8(&name).unwrap();
                let mut expected = Vec::new();
                encode(name.as_bytes(), &period.around(at), &mut expected);
                assert_eq!(answer(&wanted(OF_INSTANT, at.micros() as f64, name)), Some(expected));
                let mut expected = Vec::new();
                let window = period.window(at);
                encode(name.as_bytes(), &[window], &mut expected);
                assert_eq!(answer(&wanted(OF_NUMBER, window.number as f64, name)), Some(expected));
            }
        }
    }

    #[test]
    fn of_an_unknown_calendar_there_are_no_windows() {
        for name in ["dMittelerde", "xUTC", "d", ""] {
            let expected = [&[name.len() as u8], name.as_bytes(), &[0]].concat();
            assert_eq!(answer(&wanted(OF_INSTANT, f64::NAN, name)), Some(expected));
        }
    }

    #[test]
    fn what_is_cut_or_of_another_kind_is_no_list() {
        let good = wanted(OF_INSTANT, 0.0, "dUTC");
        for length in 1..good.len() {
            assert_eq!(answer(&good[..length]), None, "{length}");
        }
        assert_eq!(answer(&wanted(3, 0.0, "dUTC")), None);
        assert_eq!(answer(&[]), Some(Vec::new()));
    }
}
