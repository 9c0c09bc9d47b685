//! The instants at which requests came, as logs write them.

use time::{Date, Month, PrimitiveDateTime, Time, UtcOffset};

/// The instant at which a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instant {
    /// Since the epoch.
    pub(crate) micros: u64,
    /// `false` if the log does not say of which time zone it is.
    pub(crate) has_zone: bool,
}

/// Reads instants. Those of neighbours are mostly the same, so the last one is remembered.
pub(crate) struct Clock {
    /// The zone of times that have none.
    zone: UtcOffset,
    last: Option<(String, Instant)>,
}

impl Clock {
    pub(crate) fn new(zone: UtcOffset) -> Self {
        Self { zone, last: None }
    }

    /// Reads an instant: `10/Oct/2025:13:55:36 +0000`, `2025-10-10T13:55:36.25Z`,
    /// `2025-10-10 13:55:36`, or a number since the epoch.
    pub(crate) fn read(&mut self, text: &str) -> Option<Instant> {
        if let Some((last, instant)) = &self.last
            && last == text
        {
            return Some(*instant);
        }
        let instant = match date_and_time(text) {
            Some((date, time)) => self.at(date, time)?,
            // nginx writes `$msec` like this.
            None => since_epoch(text.parse().ok()?)?,
        };
        self.last = Some((text.to_owned(), instant));
        Some(instant)
    }

    fn at(&self, date: Date, time: &str) -> Option<Instant> {
        let (time, rest) = time_of_day(time)?;
        let zone = match rest.trim_start() {
            "" => None,
            zone => Some(offset(zone)?),
        };
        let at = PrimitiveDateTime::new(date, time).assume_offset(zone.unwrap_or(self.zone));
        let micros = u64::try_from(at.unix_timestamp_nanos() / 1_000).ok()?;
        Some(Instant { micros, has_zone: zone.is_some() })
    }
}

/// Returns the date, and the text of the time behind it.
fn date_and_time(text: &str) -> Option<(Date, &str)> {
    if let Some(date) = text.get(..11)
        && let Some(time) = text.get(11..)?.strip_prefix(':')
    {
        let mut parts = date.split('/');
        let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
        let month = MONTHS.iter().position(|name| *name == month)? as u8 + 1;
        let month = Month::try_from(month).ok()?;
        let date = Date::from_calendar_date(number(year)?, month, number(day)?).ok()?;
        return Some((date, time));
    }
    let time = text.get(10..)?.strip_prefix(['T', 't', ' '])?;
    let mut parts = text.get(..10)?.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let month = Month::try_from(number::<u8>(month)?).ok()?;
    Some((Date::from_calendar_date(number(year)?, month, number(day)?).ok()?, time))
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Returns the time of day, and what stands behind it.
fn time_of_day(text: &str) -> Option<(Time, &str)> {
    let (clock, mut rest) = text.split_at_checked(8)?;
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
        let digits = fraction[..end].bytes().chain(std::iter::repeat(b'0')).take(9);
        nanos = digits.fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
        rest = &fraction[end..];
    }
    // A leap second is the one before it once more.
    let second = number::<u8>(second)?;
    let second = if second == 60 { 59 } else { second };
    Some((Time::from_hms_nano(number(hour)?, number(minute)?, second, nanos).ok()?, rest))
}

/// Reads the offset of a time zone: `Z`, `UTC`, `+0200`, `-05:30`, `+02`.
pub(crate) fn offset(text: &str) -> Option<UtcOffset> {
    if matches!(text, "Z" | "z" | "UTC" | "GMT") {
        return Some(UtcOffset::UTC);
    }
    let (sign, digits) = match text.strip_prefix('+') {
        Some(digits) => (1, digits),
        None => (-1, text.strip_prefix('-')?),
    };
    let digits = digits.replacen(':', "", 1);
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = if minutes.is_empty() { 0 } else { number::<i8>(minutes)? };
    if digits.len() > 4 || minutes > 59 {
        return None;
    }
    UtcOffset::from_hms(sign * number::<i8>(hours)?, sign * minutes, 0).ok()
}

/// Reads a number that consists of digits only.
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// Seconds, milliseconds or microseconds since the epoch: these instants would be thousands of
/// years from now in any smaller unit.
pub(crate) fn since_epoch(number: f64) -> Option<Instant> {
    let scale = match number {
        0.0..1e11 => 1e6,
        1e11..1e14 => 1e3,
        1e14..1e17 => 1.0,
        _ => return None,
    };
    Some(Instant { micros: (number * scale).round() as u64, has_zone: true })
}
