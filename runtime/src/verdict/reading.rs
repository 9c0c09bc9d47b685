//! The compact state of one quota at the time of a decision.

use super::Level;
use crate::micros::TimeSpan;

/// The number of units that remain in a quota, and the times until more are available. A check does
/// not compute them for a bucket, because that takes divisions: the bucket's level is converted to
/// these numbers only when they are read. A decision contains a reading for each quota, so the
/// fields are ordered to need the least memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reading {
    Known {
        exceeded: bool,
        remaining: u32,
        /// The time until the quota would admit more than `remaining` units; zero if no units are
        /// in use.
        more_after: TimeSpan,
        /// The time until no units are in use.
        reset_after: TimeSpan,
        /// The time until the quota would admit the same request again; [`TimeSpan::MAX`] if never.
        wait: TimeSpan,
    },
    /// The [`Level`] of a bucket, the cost of the request, and the numbers needed to convert the
    /// level to units.
    Bucket {
        exceeded: bool,
        micros: u64,
        fraction: u32,
        limit: u32,
        capacity: u32,
        cost: u32,
        period: Period,
    },
}

// A verdict contains several readings, and is moved with each decision.
const _: () = assert!(size_of::<Reading>() == 32);

/// A quota's period in microseconds. It takes 6 bytes, because periods are shorter than 2^48
/// microseconds, and the reading of a bucket would otherwise need 8 bytes more.
#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed(2))]
pub(crate) struct Period {
    low: u32,
    high: u16,
}

impl Period {
    #[inline]
    pub(crate) const fn from_micros(micros: u64) -> Self {
        Self { low: micros as u32, high: (micros >> 32) as u16 }
    }

    const fn micros(self) -> u64 {
        self.low as u64 | (self.high as u64) << 32
    }
}

impl Reading {
    #[inline]
    pub(crate) fn known(remaining: u32, more_after: TimeSpan, reset_after: TimeSpan) -> Self {
        Self::Known { exceeded: false, remaining, more_after, reset_after, wait: TimeSpan::ZERO }
    }

    /// Returns `true` if fewer than `cost` units remain. Returns `false` for a bucket: its wait
    /// for another request follows from its level, so it need not be computed in advance.
    #[inline]
    pub(crate) fn lacks(&self, cost: u32) -> bool {
        match *self {
            Self::Known { remaining, .. } => remaining < cost,
            Self::Bucket { .. } => false,
        }
    }

    /// Sets the cost of the request, and the time until the quota would admit the same request
    /// again.
    #[inline]
    pub(crate) fn set_wait(&mut self, request: u32, span: TimeSpan) {
        match self {
            Self::Known { wait, .. } => *wait = span,
            Self::Bucket { cost, .. } => *cost = request,
        }
    }

    /// Returns the time until the quota would admit the same request again, and zero if it would
    /// now; [`TimeSpan::MAX`] if never.
    pub(crate) fn wait(&self) -> TimeSpan {
        match *self {
            Self::Known { wait, .. } => wait,
            Self::Bucket { capacity, cost, .. } if cost > capacity => TimeSpan::MAX,
            // A debt makes a bucket fuller than full, and still nothing is waited for.
            Self::Bucket { cost: 0, .. } => TimeSpan::ZERO,
            Self::Bucket { micros, fraction, limit, capacity, cost, period, .. } => {
                let level = Level { micros, fraction, limit };
                TimeSpan::from_micros(level.wait(period.micros(), capacity, cost))
            }
        }
    }

    /// Sets the flag that is `true` if this quota refused the request.
    #[inline]
    pub(crate) fn set_exceeded(&mut self, now: bool) {
        match self {
            Self::Known { exceeded, .. } | Self::Bucket { exceeded, .. } => *exceeded = now,
        }
    }

    /// Returns `true` if this quota refused the request.
    pub(crate) fn exceeded(&self) -> bool {
        match *self {
            Self::Known { exceeded, .. } | Self::Bucket { exceeded, .. } => exceeded,
        }
    }

    /// Returns the state after `elapsed` has passed without further requests, for a request of
    /// `cost`, which must not be less than the cost of the request before. For `Known` the
    /// remaining units are a lower bound: the times at which units are replenished between the next
    /// unit and the full reset are not known. The wait is that of the request before, which is a
    /// lower bound, too.
    pub(crate) fn aged(self, elapsed: TimeSpan, capacity: u32, cost: u32) -> Self {
        match self {
            Self::Known { remaining, more_after, reset_after, wait, .. } => {
                let mut reading = if elapsed >= reset_after {
                    Self::known(capacity, TimeSpan::ZERO, TimeSpan::ZERO)
                } else {
                    let reset_after = reset_after - elapsed;
                    match more_after.checked_sub(elapsed) {
                        None | Some(TimeSpan::ZERO) => {
                            Self::known(remaining.saturating_add(1), reset_after, reset_after)
                        }
                        Some(more_after) => Self::known(remaining, more_after, reset_after),
                    }
                };
                let never = wait == TimeSpan::MAX || cost > capacity;
                let wait = if never { TimeSpan::MAX } else { wait.saturating_sub(elapsed) };
                reading.set_wait(cost, wait);
                reading
            }
            Self::Bucket { exceeded, micros, fraction, limit, capacity, period, .. } => {
                let (micros, fraction) = match micros.checked_sub(elapsed.micros()) {
                    Some(micros) => (micros, fraction),
                    None => (0, 0),
                };
                Self::Bucket { exceeded, micros, fraction, limit, capacity, cost, period }
            }
        }
    }

    /// Returns the number of units that the quota would still admit.
    pub(crate) fn remaining(&self) -> u32 {
        match *self {
            Self::Known { remaining, .. } => remaining,
            Self::Bucket { micros, fraction, limit, capacity, period, .. } => {
                capacity.saturating_sub(Level { micros, fraction, limit }.used(period.micros()))
            }
        }
    }

    /// Returns the time until the quota would admit more than [`remaining`](Self::remaining) units;
    /// zero if no units are in use.
    pub(crate) fn more_after(&self) -> TimeSpan {
        match *self {
            Self::Known { more_after, .. } => more_after,
            Self::Bucket { micros, fraction, limit, capacity, period, .. } => {
                let level = Level { micros, fraction, limit };
                TimeSpan::from_micros(level.more_after(period.micros(), capacity))
            }
        }
    }

    /// Returns the time until no units are in use.
    pub(crate) fn reset_after(&self) -> TimeSpan {
        match *self {
            Self::Known { reset_after, .. } => reset_after,
            Self::Bucket { micros, fraction, .. } => {
                TimeSpan::from_micros(micros + u64::from(fraction > 0))
            }
        }
    }
}
