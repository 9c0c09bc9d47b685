//! Every window of ten years, in zones with and without changes of the clocks.

use std::time::Duration;

use tollgate::{Algorithm, Outcome, Policy};

use support::almanac::{Almanac, YEARS};
use support::subject::{Memory, Store as _};

/// Charges all of each window, and asks at its bounds.
fn each_window_is_the_calendars(almanac: Almanac) {
    let memory = Memory::small();
    let policy = Policy::new("p", almanac.quota(2)).algorithm(Algorithm::FixedWindow);
    let at = |instant: u64| {
        memory.clock().set_micros(instant);
        memory.check(&policy, "s", 1)
    };
    let mut asked = 0;
    for pair in almanac.starts().windows(2).take_while(|pair| pair[1] < year(YEARS.end)) {
        let &[start, end] = pair else { panic!("{pair:?}") };
        let whole = Duration::from_micros(end - start);
        let first = at(start);
        assert_eq!((first.remaining(), first.quotas()[0].reset_after()), (1, whole), "{almanac:?}");
        let last = at(end - 1);
        let micro = Duration::from_micros(1);
        assert_eq!((last.remaining(), last.quotas()[0].reset_after()), (0, micro), "{almanac:?}");
        let refused = |instant| (at(instant).outcome(), instant);
        for instant in [start, start + (end - start) / 3, end - 1] {
            let retry_after = Duration::from_micros(end - instant);
            assert_eq!(
                refused(instant),
                (Outcome::Refused { retry_after }, instant),
                "{almanac:?}"
            );
        }
        asked += 1;
    }
    assert!(asked >= YEARS.len(), "{asked}");
}

fn year(year: i32) -> u64 {
    // Close enough.
    u64::try_from(year - 1_970).unwrap() * 31_557_600_000_000
}

#[test]
fn each_window_is_that_of_the_calendar() {
    for almanac in Almanac::all() {
        each_window_is_the_calendars(almanac);
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
