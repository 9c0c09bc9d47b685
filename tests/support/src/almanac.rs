//! When days, weeks, months and years begin, by another library than the limiter's, and by nothing but
//! the date that a zone's clocks show.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate};
use chrono_tz::Tz;
use proptest::prelude::*;
use tollgate::{Calendar, Quota};

/// The zones of the tests: without changes of the clocks, at night, at midnight (until 2019), and
/// with minutes in the distance from UTC.
pub const ZONES: [&str; 4] = ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu"];

/// The years in which the tests look at every window.
pub const YEARS: std::ops::Range<i32> = 2_019..2_030;

const FIRST_YEAR: i32 = 2_018;
const LAST_YEAR: i32 = 2_060;

const SECOND: u64 = 1_000_000;
const HOURS_36: i64 = 36 * 60 * 60;

/// A unit of the calendar in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Almanac {
    pub unit: Calendar,
    pub zone: &'static str,
}

impl Almanac {
    pub fn all() -> impl Iterator<Item = Self> {
        let of = |unit: &Calendar| ZONES.map(|zone| Self { unit: *unit, zone });
        Calendar::ALL.iter().flat_map(of)
    }

    pub fn quota(&self, limit: u32) -> Quota {
        Quota::calendar(limit, self.unit, self.zone)
    }

    /// The beginnings of all windows, in order, in microseconds.
    pub fn starts(&self) -> &'static [u64] {
        static KNOWN: LazyLock<Mutex<HashMap<Almanac, &'static [u64]>>> =
            LazyLock::new(Mutex::default);
        let mut known = KNOWN.lock().unwrap();
        known.entry(*self).or_insert_with(|| self.find().leak())
    }

    /// The window that contains an instant: from, and to.
    pub fn window(&self, at: u64) -> (u64, u64) {
        let starts = self.starts();
        let after = starts.partition_point(|start| *start <= at);
        (starts[after - 1], starts[after])
    }

    /// The longest that such a window can be.
    pub fn longest(&self) -> u64 {
        let hours = match self.unit {
            Calendar::Day => 25,
            Calendar::Week => 7 * 24 + 1,
            Calendar::Month => 31 * 24 + 1,
            Calendar::Year => 366 * 24,
            other => panic!("{other:?}"),
        };
        hours * 3_600 * SECOND
    }

    fn find(&self) -> Vec<u64> {
        let zone: Tz = self.zone.parse().unwrap();
        let mut date = NaiveDate::from_ymd_opt(FIRST_YEAR, 1, 1).unwrap();
        while self.unit == Calendar::Week && date.weekday() != chrono::Weekday::Mon {
            date = date.succ_opt().unwrap();
        }
        let mut starts = Vec::new();
        while date.year() < LAST_YEAR {
            starts.push(begins(zone, date));
            date = match self.unit {
                Calendar::Day => date + Days::new(1),
                Calendar::Week => date + Days::new(7),
                Calendar::Month => date + Months::new(1),
                _ => date + Months::new(12),
            };
        }
        starts
    }
}

/// The first second at which the clocks of a zone show a date or a later one, found by trying.
fn begins(zone: Tz, date: NaiveDate) -> u64 {
    let shows = |second: i64| {
        let utc = DateTime::from_timestamp(second, 0).unwrap();
        utc.with_timezone(&zone).date_naive() >= date
    };
    let midnight = date.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp();
    let (mut low, mut high) = (midnight - HOURS_36, midnight + HOURS_36);
    assert!(!shows(low) && shows(high));
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if shows(middle) { high = middle } else { low = middle }
    }
    u64::try_from(high).unwrap() * SECOND
}

pub fn almanacs() -> impl Strategy<Value = Almanac> {
    prop::sample::select(Almanac::all().collect::<Vec<_>>())
}

/// Instants at and around the bounds of windows of which the clocks change in one, and anywhere.
pub fn instants() -> impl Strategy<Value = u64> {
    let year = |year: i32| {
        let first = NaiveDate::from_ymd_opt(year, 1, 1).unwrap().and_hms_opt(0, 0, 0).unwrap();
        u64::try_from(first.and_utc().timestamp()).unwrap() * SECOND
    };
    let (first, last) = (year(YEARS.start), year(YEARS.end));
    let changed: Vec<u64> = ZONES
        .into_iter()
        .flat_map(|zone| {
            let days = Almanac { unit: Calendar::Day, zone }.starts();
            let changed = days.windows(2).filter(|pair| pair[1] - pair[0] != 24 * 3_600 * SECOND);
            changed.flat_map(|pair| [pair[0], pair[1]]).collect::<Vec<_>>()
        })
        .filter(|at| (first..last).contains(at))
        .collect();
    assert!(changed.len() > 40);
    prop_oneof![
        1 => first..last,
        1 => (prop::sample::select(changed), -2_i64..=2)
            .prop_map(|(at, beside)| at.saturating_add_signed(beside)),
    ]
}
