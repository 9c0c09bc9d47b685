//! Periods as text: `"250ms"`, `"1m"`, `"1h30m"`.

/// The units, longest first, with their names in microseconds.
const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// The microseconds that `text` means: whole numbers, each with a unit, from long to short.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let mut micros = 0_u64;
    let mut units = UNITS.iter();
    let mut rest = text;
    while !rest.is_empty() {
        let (number, unit);
        (number, rest) = split(rest, |c| c.is_ascii_digit());
        (unit, rest) = split(rest, |c| !c.is_ascii_digit());
        // `find` leaves off behind the unit, so that none comes twice or out of order.
        let Some((_, unit_micros)) = units.find(|(name, _)| *name == unit) else {
            return Err(explain(text));
        };
        let number: u64 = number.parse().map_err(|_| explain(text))?;
        let part = number.checked_mul(*unit_micros);
        micros = part
            .and_then(|part| micros.checked_add(part))
            .ok_or_else(|| format!("the period \"{text}\" must be at most 366 days"))?;
    }
    if text.is_empty() { Err(explain(text)) } else { Ok(micros) }
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

fn explain(text: &str) -> String {
    format!(
        "cannot read \"{text}\" as a period: write whole numbers with units, from long to \
         short, such as \"250ms\", \"90s\", \"1m\", \"1h30m\" or \"1d\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(parse("250ms"), Ok(250_000));
        assert_eq!(parse("1500us"), Ok(1_500));
        assert_eq!(parse("1m"), Ok(60_000_000));
        assert_eq!(parse("1h30m"), Ok(5_400_000_000));
        assert_eq!(parse("366d"), Ok(366 * 86_400_000_000));
        assert_eq!(parse("1m5ms"), Ok(60_005_000));
    }

    #[test]
    fn refuses_what_is_ambiguous() {
        for text in ["", "m", "10", "1.5s", "1 m", "30m1h", "1m1m", "1M", "-1s", "1min", "s1"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("99999999999999999999s").is_err());
        assert!(parse("9999999999999999d").is_err());
    }
}
