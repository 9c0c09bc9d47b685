//! Durations as text.

use std::time::Duration;

/// The units, longest first, with their lengths in milliseconds.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads whole numbers, each followed by a unit, with the longest unit first: `15m`, `1h30m`. The
/// library reads them alike.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut millis = None;
    let mut units = UNITS.iter();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        // `find` has passed the units up to the one that it found, so none comes twice.
        let (_, length) = units.find(|(name, _)| *name == unit)?;
        let part = number.parse::<u64>().ok()?.checked_mul(*length)?;
        millis = Some(millis.unwrap_or(0_u64).checked_add(part)?);
        rest = behind;
    }
    millis.map(Duration::from_millis)
}

/// Writes a duration in its greatest units, rounded up, so that what lasts so long is over then.
pub(crate) fn shown(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    // The longer it is, the less matters the rest.
    let unit = match millis {
        0..10_000 => 1,
        10_000..600_000 => 1_000,
        600_000..172_800_000 => 60_000,
        _ => 3_600_000,
    };
    let text = in_units(millis.div_ceil(unit).saturating_mul(unit));
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Writes a period as exactly as it is.
pub(crate) fn exact(period: Duration) -> String {
    let micros = period.as_micros() % 1_000;
    let millis = Duration::from_micros(u64::try_from(period.as_micros() - micros).unwrap_or(0));
    let text = in_units(u64::try_from(millis.as_millis()).unwrap_or(u64::MAX));
    if micros > 0 { format!("{text}{micros}us") } else { text }
}

/// Writes milliseconds in all units of which there is one; nothing for 0.
fn in_units(millis: u64) -> String {
    let (mut rest, mut text) = (millis, String::new());
    for (unit, length) in UNITS {
        if rest >= length {
            text.push_str(&format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_read_as_the_library_reads_them() {
        let table = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/read_alike.txt");
        let table = std::fs::read_to_string(table).unwrap();
        let mut lines = 0;
        for line in table.lines().filter_map(|line| line.strip_prefix("length ")) {
            let (text, micros) = line.rsplit_once(' ').unwrap();
            // A command needs no microseconds.
            if text.contains("us") {
                continue;
            }
            assert_eq!(parse(text), micros.parse().ok().map(Duration::from_micros), "`{text}`");
            lines += 1;
        }
        assert!(lines > 15, "{lines}");
    }

    #[test]
    fn they_are_shown_by_their_greatest_units() {
        for (millis, expected) in [
            (0, "0s"),
            (1, "1ms"),
            (2_500, "2s500ms"),
            (3_599_100, "1h"),
            (59_000 + 1, "1m"),
            (61_001, "1m2s"),
            (3_600_000 + 61_000, "1h2m"),
            (47 * 3_600_000, "1d23h"),
            (3 * 86_400_000 + 1, "3d1h"),
        ] {
            assert_eq!(shown(Duration::from_millis(millis)), expected);
        }
        assert_eq!(exact(Duration::from_micros(61_000_001)), "1m1s1us");
    }
}
