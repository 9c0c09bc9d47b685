//! The windows of a calendar, of which each is charged, and asked at its bounds.

use std::time::Duration;

use tollgate::{Algorithm, Outcome, Policy};

use crate::almanac::{Almanac, YEARS};
use crate::subject::Store;

/// Looks at the windows of the test years that are `wanted`, by their beginning and end.
pub fn windows_are_the_calendars(
    almanac: Almanac,
    (store, subject): (impl Store, String),
    wanted: impl Fn(u64, u64) -> bool,
) -> usize {
    let policy = Policy::new("p", almanac.quota(2)).algorithm(Algorithm::FixedWindow);
    let at = |instant: u64| {
        store.clock().set_micros(instant);
        store.check(&policy, &subject, 1)
    };
    let mut asked = 0;
    for pair in almanac.starts().windows(2).take_while(|pair| pair[1] < year(YEARS.end)) {
        let &[start, end] = pair else { panic!("{pair:?}") };
        if !wanted(start, end) {
            continue;
        }
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
    asked
}

/// The beginning of a year, close enough.
pub fn year(year: i32) -> u64 {
    u64::try_from(year - 1_970).unwrap() * 31_557_600_000_000
}
