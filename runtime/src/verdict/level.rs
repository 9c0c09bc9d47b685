//! The fill level of a bucket, and the divisions that convert it to units.

/// The fill level of a bucket, expressed as the time in which all its units drain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    pub(crate) micros: u64,
    /// The part of the time below one microsecond, in units of 1/limit of a microsecond.
    pub(crate) fraction: u32,
    pub(crate) limit: u32,
}

impl Level {
    /// Returns the level in units of 1/limit of a microsecond.
    pub(crate) fn get(&self) -> u128 {
        u128::from(self.micros) * u128::from(self.limit) + u128::from(self.fraction)
    }

    /// Returns the number of units in the bucket. A unit that has drained only in part counts in
    /// full. `period` is the quota's period in microseconds. A debt can be of more units than fit
    /// into `u32`.
    pub(super) fn used(&self, period: u64) -> u32 {
        u32::try_from(div_ceil(self.get(), period)).unwrap_or(u32::MAX)
    }

    /// Returns the time in microseconds until `cost` units, at most `capacity`, fit into a bucket of
    /// `capacity` units; 0 if they fit now.
    pub(super) fn wait(&self, period: u64, capacity: u32, cost: u32) -> u64 {
        let room = u128::from(capacity - cost) * u128::from(period);
        div_ceil(self.get().saturating_sub(room), self.limit.into())
    }

    /// Returns the time in microseconds until the bucket contains one unit less than now, and less
    /// than `capacity` units. Returns 0 if the bucket is empty.
    pub(super) fn more_after(&self, period: u64, capacity: u32) -> u64 {
        let Some(whole) = self.used(period).min(capacity).checked_sub(1) else { return 0 };
        let more = self.get() - u128::from(whole) * u128::from(period);
        div_ceil(more, self.limit.into())
    }
}

/// Returns the quotient and the remainder of `number` ÷ `by`. The quotient must fit into `u64`. All
/// quotients here are times or counts, which fit.
pub(crate) fn div_rem(number: u128, by: u64) -> (u64, u64) {
    // A division of 64-bit numbers is many times faster than one of 128-bit numbers, and nearly all
    // numbers fit into 64 bits.
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
