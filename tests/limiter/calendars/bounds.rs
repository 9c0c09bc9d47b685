//! Every window of ten years, in zones with and without changes of the clocks.

use support::almanac::{Almanac, YEARS};
use support::calendar_bounds::{windows_are_the_calendars, year};
use support::subject::Memory;

#[test]
fn each_window_is_that_of_the_calendar() {
    for almanac in Almanac::all() {
        let asked =
            windows_are_the_calendars(almanac, (Memory::small(), "s".to_owned()), |_, _| true);
        assert!(asked >= YEARS.len(), "{asked}");
    }
}

/// Where the clocks change, a day has 23 or 25 hours.
#[test]
fn days_with_a_change_of_the_clocks_are_among_them() {
    for (zone, changes) in [("Europe/Berlin", 22), ("America/Sao_Paulo", 1)] {
        let days = Almanac { unit: tollgate::Calendar::Day, zone }.starts();
        let hours = days.windows(2).map(|pair| (pair[1] - pair[0]) / 3_600_000_000);
        let years = days.iter().zip(hours).filter(|(start, hours)| {
            (year(YEARS.start)..year(YEARS.end)).contains(start) && *hours != 24
        });
        let hours: Vec<u64> = years.map(|(_, hours)| hours).collect();
        assert_eq!(hours.len(), changes, "{zone} {hours:?}");
        assert!(hours.iter().all(|hours| [23, 25].contains(hours)));
    }
}
