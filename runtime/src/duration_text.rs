//! Parses and formats durations as text, such as `1h30m`.

use std::time::Duration;

/// The units, longest first, with their lengths in microseconds.
const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// Parses whole numbers, each followed by a unit, with the longest unit first. Returns `None` for
/// any other text. The attribute accepts the same texts.
#[cfg(any(feature = "config", feature = "dashboard", feature = "redis"))]
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut micros = None;
    let mut units = UNITS.iter();
    let mut rest = text;
    while !rest.is_empty() {
        let (number, unit);
        (number, rest) = split(rest, |c| c.is_ascii_digit());
        (unit, rest) = split(rest, |c| !c.is_ascii_digit());
        // `find` has consumed the units up to the one it found, so a repeated or a longer unit is
        // an error.
        let (_, unit_micros) = units.find(|(name, _)| *name == unit)?;
        let part = number.parse::<u64>().ok()?.checked_mul(*unit_micros)?;
        micros = Some(micros.unwrap_or(0_u64).checked_add(part)?);
    }
    micros.map(Duration::from_micros)
}

#[cfg(any(feature = "config", feature = "dashboard", feature = "redis"))]
fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// Formats a duration so that [`parse`] reads it back.
pub(crate) fn format(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, micros) in UNITS {
        if rest >= micros {
            text.push_str(&format!("{}{unit}", rest / micros));
            rest %= micros;
        }
    }
    text
}

#[cfg(all(test, any(feature = "config", feature = "dashboard", feature = "redis")))]
mod tests {
    use super::*;

    #[test]
    fn as_the_attribute_reads_it() {
        let table = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/read_alike.txt");
        let table = std::fs::read_to_string(table).unwrap();
        let mut lines = 0;
        for line in table.lines().filter_map(|line| line.strip_prefix("length ")) {
            let (text, micros) = line.rsplit_once(' ').unwrap();
            assert_eq!(parse(text), micros.parse().ok().map(Duration::from_micros), "`{text}`");
            lines += 1;
        }
        assert!(lines > 20, "{lines}");
    }

    #[cfg(feature = "dashboard")]
    #[test]
    fn spans_are_written_as_they_are_read() {
        for text in ["250ms", "1h30m", "1m5us", "366d", "1s500ms"] {
            assert_eq!(parse(text).map(super::format).as_deref(), Some(text));
        }
    }
}
