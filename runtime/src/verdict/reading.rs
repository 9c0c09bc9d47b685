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
    },
    /// The [`Level`] of a bucket, and the numbers needed to convert it to units.
    Bucket { exceeded: bool, micros: u64, fraction: u32, limit: u32, capacity: u32, period: u64 },
}

impl Reading {
    #[inline]
    pub(crate) fn known(remaining: u32, more_after: TimeSpan, reset_after: TimeSpan) -> Self {
        Self::Known { exceeded: false, remaining, more_after, reset_after }
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

    /// Returns the state after `elapsed` has passed without further requests. For `Known` the
    /// remaining units are a lower bound: the times at which units are replenished between the next
    /// unit and the full reset are not known.
    pub(crate) fn aged(self, elapsed: TimeSpan, capacity: u32) -> Self {
        match self {
            Self::Known { reset_after, .. } if elapsed >= reset_after => {
                Self::known(capacity, TimeSpan::ZERO, TimeSpan::ZERO)
            }
            Self::Known { exceeded, remaining, more_after, reset_after } => {
                let reset_after = reset_after - elapsed;
                match more_after.checked_sub(elapsed) {
                    None | Some(TimeSpan::ZERO) => {
                        Self::known(remaining.saturating_add(1), reset_after, reset_after)
                    }
                    Some(more_after) => {
                        Self::Known { exceeded, remaining, more_after, reset_after }
                    }
                }
            }
            Self::Bucket { exceeded, micros, fraction, limit, capacity, period } => {
                let (micros, fraction) = match micros.checked_sub(elapsed.micros()) {
                    Some(micros) => (micros, fraction),
                    None => (0, 0),
                };
                Self::Bucket { exceeded, micros, fraction, limit, capacity, period }
            }
        }
    }

    /// Returns the number of units that the quota would still admit.
    pub(crate) fn remaining(&self) -> u32 {
        match *self {
            Self::Known { remaining, .. } => remaining,
            Self::Bucket { micros, fraction, limit, capacity, period, .. } => {
                capacity.saturating_sub(Level { micros, fraction, limit }.used(period))
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
                TimeSpan::from_micros(level.more_after(period, capacity))
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
