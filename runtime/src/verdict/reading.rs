//! The state of one quota at one instant, as a decision carries it.

use super::Level;
use crate::micros::TimeSpan;

/// The rest of a quota, and how long it lasts. A check does not divide to report it: the level of a
/// bucket is converted to these numbers when somebody reads them. A decision holds one for each
/// quota, so the fields are ordered to take the least room.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reading {
    Known {
        exceeded: bool,
        remaining: u32,
        /// The time until more than `remaining` could be admitted; zero when nothing is used.
        more_after: TimeSpan,
        /// The time until the quota is as if nothing had been used.
        reset_after: TimeSpan,
    },
    /// A [`Level`] in a bucket, and the numbers needed to convert it.
    Bucket { exceeded: bool, micros: u64, fraction: u32, limit: u32, capacity: u32, period: u64 },
}

impl Reading {
    #[inline]
    pub(crate) fn known(remaining: u32, more_after: TimeSpan, reset_after: TimeSpan) -> Self {
        Self::Known { exceeded: false, remaining, more_after, reset_after }
    }

    /// Sets whether the quota refused.
    #[inline]
    pub(crate) fn set_exceeded(&mut self, now: bool) {
        match self {
            Self::Known { exceeded, .. } | Self::Bucket { exceeded, .. } => *exceeded = now,
        }
    }

    /// Returns `true` if the quota refused.
    pub(crate) fn exceeded(&self) -> bool {
        match *self {
            Self::Known { exceeded, .. } | Self::Bucket { exceeded, .. } => exceeded,
        }
    }

    /// Returns the state `elapsed` later, if nobody comes meanwhile. Of a `Known` one that is a lower
    /// bound: between the next unit and the full reset we do not know when units come back.
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

    /// Returns the units that would be admitted.
    pub(crate) fn remaining(&self) -> u32 {
        match *self {
            Self::Known { remaining, .. } => remaining,
            Self::Bucket { micros, fraction, limit, capacity, period, .. } => {
                capacity.saturating_sub(Level { micros, fraction, limit }.used(period))
            }
        }
    }

    /// Returns the time until more than that would be admitted; zero when nothing is used.
    pub(crate) fn more_after(&self) -> TimeSpan {
        match *self {
            Self::Known { more_after, .. } => more_after,
            Self::Bucket { micros, fraction, limit, capacity, period, .. } => {
                let level = Level { micros, fraction, limit };
                TimeSpan::from_micros(level.more_after(period, capacity))
            }
        }
    }

    /// Returns the time until the quota is as if nothing had been used.
    pub(crate) fn reset_after(&self) -> TimeSpan {
        match *self {
            Self::Known { reset_after, .. } => reset_after,
            Self::Bucket { micros, fraction, .. } => {
                TimeSpan::from_micros(micros + u64::from(fraction > 0))
            }
        }
    }
}
