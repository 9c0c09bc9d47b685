//! The level of a bucket, and the division that turns it into units.

/// The level of a bucket, as the time that its units take to drain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    pub(crate) micros: u64,
    /// The remainder, in 1/limit of a microsecond.
    pub(crate) fraction: u32,
    pub(crate) limit: u32,
}

impl Level {
    /// Returns the level in 1/limit of a microsecond.
    pub(crate) fn get(&self) -> u128 {
        u128::from(self.micros) * u128::from(self.limit) + u128::from(self.fraction)
    }

    /// Returns the number of units in the bucket; a unit that has begun to drain counts.
    pub(super) fn used(&self, period: u64) -> u32 {
        div_ceil(self.get(), period) as u32
    }

    /// Returns the time in microseconds until the bucket contains one unit less, and less than
    /// `capacity`.
    pub(super) fn more_after(&self, period: u64, capacity: u32) -> u64 {
        let Some(whole) = self.used(period).min(capacity).checked_sub(1) else { return 0 };
        let more = self.get() - u128::from(whole) * u128::from(period);
        div_ceil(more, self.limit.into())
    }
}

/// Returns quotient and remainder. All quotients here are spans of time or counts, which fit.
pub(crate) fn div_rem(number: u128, by: u64) -> (u64, u64) {
    // Division of 64 bits is many times as fast, and nearly always enough.
    if let Ok(number) = u64::try_from(number) {
        (number / by, number % by)
    } else {
        ((number / u128::from(by)) as u64, (number % u128::from(by)) as u64)
    }
}

fn div_ceil(number: u128, by: u64) -> u64 {
    let (quotient, remainder) = div_rem(number, by);
    quotient + u64::from(remainder > 0)
}
