//! The names of the time zones, and their rules.

use std::sync::OnceLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// The names of the bundled data, in the order of their bytes, one a line. A test compares them with
/// the data.
const TEXT: &str = include_str!("zones.txt");

const COUNT: usize = {
    let mut count = 0;
    let mut index = 0;
    while index < TEXT.len() {
        count += (TEXT.as_bytes()[index] == b'\n') as usize;
        index += 1;
    }
    count
};

const NAMES: [&str; COUNT] = {
    let mut names = [""; COUNT];
    let mut rest = TEXT;
    let mut found = 0;
    let mut length = 0;
    while found < COUNT {
        if rest.as_bytes()[length] == b'\n' {
            let (name, after) = rest.split_at(length);
            names[found] = name;
            rest = after.split_at(1).1;
            (found, length) = (found + 1, 0);
        } else {
            length += 1;
        }
    }
    names
};

/// The rules of the zones that were asked for; `None` if the bundled data lacks the zone.
static ZONES: [OnceLock<Option<TimeZone>>; COUNT] = [const { OnceLock::new() }; COUNT];

/// Returns the index of a zone among [`names`]; `None` if there is no such zone.
pub(super) const fn index_of(name: &str) -> Option<u16> {
    let (mut low, mut high) = (0, COUNT);
    while low < high {
        let middle = low.midpoint(high);
        match order(NAMES[middle].as_bytes(), name.as_bytes()) {
            0 => return Some(middle as u16),
            order if order < 0 => low = middle + 1,
            _ => high = middle,
        }
    }
    None
}

/// Compares two texts by their bytes. The result is negative if the first one comes first, and 0 if
/// they are equal.
const fn order(one: &[u8], other: &[u8]) -> i32 {
    let mut index = 0;
    while index < one.len() && index < other.len() {
        if one[index] != other[index] {
            return one[index] as i32 - other[index] as i32;
        }
        index += 1;
    }
    // Names are short.
    one.len() as i32 - other.len() as i32
}

pub(super) const fn name_of(index: u16) -> &'static str {
    NAMES[index as usize]
}

pub(super) fn names() -> &'static [&'static str] {
    &NAMES
}

/// Returns the rules of a zone, which are read when it is asked for the first time; `None` if the
/// bundled data lacks it.
pub(super) fn zone(index: u16) -> Option<&'static TimeZone> {
    let read = || TimeZoneDatabase::bundled().get(name_of(index)).ok();
    ZONES.get(usize::from(index))?.get_or_init(read).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_that_of_the_bundled_data() {
        let database = TimeZoneDatabase::bundled();
        let mut bundled: Vec<String> = database.available().map(|name| name.to_string()).collect();
        bundled.sort_unstable();
        assert_eq!(NAMES.to_vec(), bundled);
    }

    #[test]
    fn every_name_is_found() {
        for (index, name) in NAMES.iter().enumerate() {
            assert_eq!(index_of(name).map(usize::from), Some(index), "{name}");
            assert!(zone(index as u16).is_some(), "{name}");
        }
        for name in ["", "Europe", "Europe/Berlim", "europe/berlin", "Zzz", "UTC\n"] {
            assert_eq!(index_of(name), None, "{name}");
        }
    }
}
