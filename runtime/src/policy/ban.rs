//! The ban: the rule by which a subject that is refused again and again is shut out.

use std::fmt;
use std::time::Duration;

use crate::error::fmt_with_causes;
use crate::micros::TimeSpan;
use crate::{Quota, duration_text};

/// The factor between the length of a ban and the longest one, unless that is set.
const MOST: u64 = 16;
/// The longest ban: ten years.
const MAX_BAN: u64 = 10 * Quota::MAX_PERIOD_MICROS;

/// A rule that shuts out a subject whose requests are refused again and again.
///
/// Refusals are counted within a window as long as the policy's longest period, which the first of
/// them opens. The refusal that makes their number [`after`](Self::new) begins a ban: until its end,
/// every request of the subject is refused ([`Outcome::Banned`](crate::Outcome::Banned)), and such
/// refusals change nothing. Each ban is [`grow`](Self::grow) times as long as the one before it,
/// [at most](Self::most) so long. Earlier bans are forgotten when, after the end of the last one, the
/// time of the longest ban has passed.
///
/// ```
/// use std::time::Duration;
/// use tollgate::{Ban, Policy, Quota};
///
/// const LOGIN: Policy = Policy::new("login", Quota::per_minute(5))
///     .ban(Ban::new(10, Duration::from_secs(3_600)).grow(2));
/// assert_eq!(LOGIN.get_ban().unwrap().longest(), Duration::from_secs(16 * 3_600));
/// ```
///
/// In the attribute it is written `ban(after = 10, for = "1h", grow = 2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ban {
    after: u32,
    grow: u32,
    first_micros: u64,
    most_micros: u64,
}

impl Ban {
    /// Creates a rule: the refusal number `after` within the policy's longest period begins a ban of
    /// `duration`. Every ban is as long as the first, unless [`grow`](Self::grow) is called.
    ///
    /// # Panics
    ///
    /// If `after` is 0, or if `duration` is shorter than 1 ms, longer than ten years or not a whole
    /// number of microseconds. In a `const` that is a compile error. For numbers that the program
    /// reads at run time, use [`try_new`](Self::try_new).
    #[must_use]
    pub const fn new(after: u32, duration: Duration) -> Self {
        match Self::try_new(after, duration) {
            Ok(ban) => ban,
            Err(error) => error.panic(),
        }
    }

    /// Creates a rule like [`new`](Self::new), if the numbers are valid.
    ///
    /// # Errors
    ///
    /// A [`BanError`] that names the number that is not valid.
    pub const fn try_new(after: u32, duration: Duration) -> Result<Self, BanError> {
        if after == 0 {
            return Err(BanError::ZeroRefusals);
        }
        let first_micros = match micros_of(duration) {
            Ok(micros) => micros,
            Err(error) => return Err(error),
        };
        let most = first_micros.saturating_mul(MOST);
        let most_micros = if most > MAX_BAN { MAX_BAN } else { most };
        Ok(Self { after, grow: 1, first_micros, most_micros })
    }

    /// Sets the factor by which each ban is longer than the one before it; 1 by default.
    ///
    /// # Panics
    ///
    /// If `factor` is 0. In a `const` that is a compile error.
    #[must_use]
    pub const fn grow(mut self, factor: u32) -> Self {
        if let Err(error) = self.set_grow(factor) {
            error.panic()
        }
        self
    }

    /// Sets the length of the longest ban; by default it is 16 times that of the first, but at most
    /// ten years.
    ///
    /// # Panics
    ///
    /// If `duration` is shorter than the first ban, longer than ten years or not a whole number of
    /// microseconds. In a `const` that is a compile error.
    #[must_use]
    pub const fn most(mut self, duration: Duration) -> Self {
        if let Err(error) = self.set_most(duration) {
            error.panic()
        }
        self
    }

    pub(crate) const fn set_grow(&mut self, factor: u32) -> Result<(), BanError> {
        if factor == 0 {
            return Err(BanError::ZeroGrowth);
        }
        self.grow = factor;
        Ok(())
    }

    pub(crate) const fn set_most(&mut self, duration: Duration) -> Result<(), BanError> {
        let most = match micros_of(duration) {
            Ok(micros) => micros,
            Err(error) => return Err(error),
        };
        if most < self.first_micros {
            return Err(BanError::MostTooShort);
        }
        self.most_micros = most;
        Ok(())
    }

    /// Returns the number of refusals of which the last begins a ban.
    #[must_use]
    pub const fn after(&self) -> u32 {
        self.after
    }

    /// Returns the length of the first ban.
    #[must_use]
    pub const fn first(&self) -> Duration {
        Duration::from_micros(self.first_micros)
    }

    /// Returns the length of the longest ban.
    #[must_use]
    pub const fn longest(&self) -> Duration {
        Duration::from_micros(self.most_micros)
    }

    /// Returns the factor by which each ban is longer than the one before it.
    #[must_use]
    pub const fn growth(&self) -> u32 {
        self.grow
    }

    /// Returns a rule that shuts out whoever `self` or `other` would, and at least for as long.
    pub(crate) fn stricter(self, other: Self) -> Self {
        Self {
            after: self.after.min(other.after),
            grow: self.grow.max(other.grow),
            first_micros: self.first_micros.max(other.first_micros),
            most_micros: self.most_micros.max(other.most_micros),
        }
    }

    /// Returns the length of the ban that comes after `earlier` others.
    pub(crate) fn length(&self, earlier: u32) -> TimeSpan {
        let growth = u64::from(self.grow).saturating_pow(earlier);
        TimeSpan::from_micros(self.first_micros.saturating_mul(growth).min(self.most_micros))
    }

    /// Returns the length of the longest ban.
    pub(crate) const fn longest_span(&self) -> TimeSpan {
        TimeSpan::from_micros(self.most_micros)
    }

    /// Returns the span of a ban that a caller sets by hand.
    pub(crate) const fn span_of(duration: Duration) -> Result<TimeSpan, BanError> {
        match micros_of(duration) {
            Ok(micros) => Ok(TimeSpan::from_micros(micros)),
            Err(error) => Err(error),
        }
    }
}

/// Formats the rule as an operator writes it, for example `after 5 for 15m grow 2 most 1d`. A part that
/// has its default is left out.
impl fmt::Display for Ban {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = |micros| duration_text::format(Duration::from_micros(micros));
        write!(f, "after {} for {}", self.after, length(self.first_micros))?;
        if self.grow != 1 {
            write!(f, " grow {}", self.grow)?;
        }
        if Self::try_new(self.after, self.first())
            .is_ok_and(|it| it.most_micros != self.most_micros)
        {
            write!(f, " most {}", length(self.most_micros))?;
        }
        Ok(())
    }
}

const fn micros_of(duration: Duration) -> Result<u64, BanError> {
    if !duration.subsec_nanos().is_multiple_of(1_000) {
        return Err(BanError::FractionalMicros);
    }
    // The length is compared before the cast, so that the cast cannot truncate it.
    if duration.as_micros() > MAX_BAN as u128 {
        return Err(BanError::TooLong);
    }
    let micros = duration.as_micros() as u64;
    if micros < Quota::MIN_PERIOD_MICROS { Err(BanError::TooShort) } else { Ok(micros) }
}

/// The reason why a number is not valid for a [`Ban`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum BanError {
    /// The number of refusals is 0: the first request would already be one too many.
    #[error("{}", Self::ZeroRefusals.text())]
    ZeroRefusals,
    /// A ban is shorter than 1 ms.
    #[error("{}", Self::TooShort.text())]
    TooShort,
    /// A ban is longer than ten years.
    #[error("{}", Self::TooLong.text())]
    TooLong,
    /// The length of a ban has a part smaller than a microsecond.
    #[error("{}", Self::FractionalMicros.text())]
    FractionalMicros,
    /// The factor by which bans grow is 0.
    #[error("{}", Self::ZeroGrowth.text())]
    ZeroGrowth,
    /// The longest ban is shorter than the first.
    #[error("{}", Self::MostTooShort.text())]
    MostTooShort,
}

impl fmt::Debug for BanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_with_causes(self, f)
    }
}

impl BanError {
    /// Returns the message of the error. Compile errors and errors at run time have the same
    /// message.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::ZeroRefusals => "a ban must come after at least 1 refusal",
            Self::TooShort => "a ban must last at least 1 ms",
            Self::TooLong => "a ban must last at most ten years",
            Self::FractionalMicros => "a ban must last a whole number of microseconds",
            Self::ZeroGrowth => "the factor by which bans grow must be at least 1",
            Self::MostTooShort => "the longest ban must be at least as long as the first",
        }
    }

    #[expect(clippy::panic, reason = "documented: a compile error in const context")]
    const fn panic(self) -> ! {
        panic!("{}", self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn accepts_the_whole_range_and_nothing_beyond() {
        let longest = Duration::from_micros(MAX_BAN);
        let cases = [
            (1, SECOND, Ok(())),
            (u32::MAX, Duration::from_millis(1), Ok(())),
            (1, longest, Ok(())),
            (0, SECOND, Err(BanError::ZeroRefusals)),
            (1, Duration::from_micros(999), Err(BanError::TooShort)),
            (1, Duration::ZERO, Err(BanError::TooShort)),
            (1, longest + Duration::from_micros(1), Err(BanError::TooLong)),
            (1, SECOND + Duration::from_nanos(1), Err(BanError::FractionalMicros)),
        ];
        for (after, duration, expected) in cases {
            assert_eq!(Ban::try_new(after, duration).map(|_| ()), expected, "{after} {duration:?}");
        }
    }

    #[test]
    fn each_ban_is_longer_until_the_longest() {
        let micros = |ban: Ban| [0, 1, 2, 5, u32::MAX].map(|n| ban.length(n).micros() / 1_000_000);
        assert_eq!(micros(Ban::new(3, SECOND)), [1, 1, 1, 1, 1]);
        assert_eq!(micros(Ban::new(3, SECOND).grow(2)), [1, 2, 4, 16, 16]);
        assert_eq!(micros(Ban::new(3, SECOND).grow(3).most(SECOND * 10)), [1, 3, 9, 10, 10]);
        assert_eq!(
            Ban::new(1, Duration::from_micros(MAX_BAN)).longest().as_micros(),
            u128::from(MAX_BAN)
        );
    }

    #[test]
    fn wrong_numbers_panic() {
        let wrong: [fn() -> Ban; 4] = [
            || Ban::new(0, SECOND),
            || Ban::new(1, SECOND).grow(0),
            || Ban::new(1, SECOND).most(SECOND / 2),
            || Ban::new(1, SECOND).most(Duration::MAX),
        ];
        for ban in wrong {
            assert!(std::panic::catch_unwind(ban).is_err());
        }
    }
}
