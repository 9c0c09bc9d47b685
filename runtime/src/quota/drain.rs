//! The time to replenish units of a quota.

/// The exact time to replenish a number of units: whole microseconds, and a fraction in units of
/// 1/limit of a microsecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drain {
    pub(crate) micros: u64,
    pub(crate) fraction: u32,
}

impl Drain {
    /// Returns the time to replenish `units` at a rate of `limit` per `period_micros`.
    pub(super) const fn of(units: u32, limit: u32, period_micros: u64) -> Self {
        if limit == 0 {
            // Nothing is ever charged to a quota that admits nobody.
            return Self { micros: 0, fraction: 0 };
        }
        let units = units as u64;
        let limit = limit as u64;
        let rest = units * (period_micros % limit);
        // A remainder of a division by `limit` is less than `limit`, so it fits into `u32`.
        Self {
            micros: units * (period_micros / limit) + rest / limit,
            fraction: (rest % limit) as u32,
        }
    }

    /// Returns the sum of the two times. Both must have fractions of the same `limit`.
    #[inline]
    pub(crate) fn plus(self, other: Self, limit: u32) -> Self {
        let micros = self.micros + other.micros;
        let fraction = u64::from(self.fraction) + u64::from(other.fraction);
        // Each fraction is less than `limit`, so the carry is at most one microsecond and the rest
        // fits into `u32`.
        match fraction.checked_sub(limit.into()) {
            Some(rest) => Self { micros: micros + 1, fraction: rest as u32 },
            None => Self { micros, fraction: fraction as u32 },
        }
    }

    /// Returns this time minus `other`, which must not be longer. Both must have fractions of the
    /// same `limit`.
    #[inline]
    pub(crate) fn minus(self, other: Self, limit: u32) -> Self {
        let micros = self.micros - other.micros;
        match self.fraction.checked_sub(other.fraction) {
            Some(fraction) => Self { micros, fraction },
            None => Self { micros: micros - 1, fraction: self.fraction + (limit - other.fraction) },
        }
    }

    #[inline]
    pub(crate) fn is_zero(self) -> bool {
        self == Self::default()
    }

    /// Returns `true` if this time is longer than `other`. Both must have fractions of the same
    /// limit.
    #[inline]
    pub(crate) fn exceeds(self, other: Self) -> bool {
        self.micros > other.micros
            || (self.micros == other.micros && self.fraction > other.fraction)
    }

    /// Returns the time in microseconds, rounded up.
    #[inline]
    pub(crate) fn ceil(self) -> u64 {
        self.micros + u64::from(self.fraction > 0)
    }
}
