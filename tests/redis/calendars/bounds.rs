//! The windows of ten years: those of weeks, months and years, and the days on which clocks change, with
//! those beside them; at full scale every day.

use support::almanac::{Almanac, YEARS};
use support::calendar_bounds::windows_are_the_calendars;
use support::reference::DAY;
use support::scaled;
use tollgate::Calendar;

use crate::timed::Timed;

#[test]
fn each_window_is_that_of_the_calendar() {
    let timed = Timed::start();
    let every_day = scaled(0, 1) > 0;
    for almanac in Almanac::all() {
        let is_wanted = |start: u64, end: u64| {
            let starts = almanac.starts();
            let index = starts.partition_point(|other| *other < start);
            let days = starts[index.saturating_sub(1)..].windows(2).take(3);
            let is_changed = end - start != DAY || { days }.any(|day| day[1] - day[0] != DAY);
            every_day || almanac.unit != Calendar::Day || is_changed
        };
        let asked = windows_are_the_calendars(almanac, (&timed, timed.subject()), is_wanted);
        let is_still =
            almanac.unit == Calendar::Day && ["UTC", "Asia/Kathmandu"].contains(&almanac.zone);
        let expected = if is_still && !every_day { 0 } else { YEARS.len().min(3) };
        assert!(asked >= expected, "{asked} of {almanac:?}");
        println!("{almanac:?}: {asked} windows");
    }
}
