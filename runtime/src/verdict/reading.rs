//! The state of one quota at one instant, in the form in which decisions store it.

use super::Level;
use crate::micros::TimeSpan;

/// The units that remain of a quota, and the times until there are more. A check does not divide to
/// report them: the level of a bucket is converted to these numbers when they are read. A decision
/// has one for each quota, so the fields are ordered to take the least room.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reading {
    Known {
        exceeded: bool,
        remaining: u32,
        /// The time until more than `remaining` could be admitted; zero if nothing is in use.
        more_after: TimeSpan,
        /// The time until nothing is in use.
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

    /// Records the quota's own answer: `true` if it refused.
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

    /// Returns the state after `elapsed`, if no request comes meanwhile. For `Known` it is a lower
    /// bound: between the next unit and the full reset, the times at which units are replenished
    /// are not known.
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

    /// Returns the number of units that would be admitted.
    pub(crate) fn remaining(&self) -> u32 {
        match *self {
            Self::Known { remaining, .. } => remaining,
            Self::Bucket { micros, fraction, limit, capacity, period, .. } => {
                capacity.saturating_sub(Level { micros, fraction, limit }.used(period))
            }
        }
    }

    /// Returns the time until more than that would be admitted; zero if nothing is in use.
    pub(crate) fn more_after(&self) -> TimeSpan {
        match *self {
            Self::Known { more_after, .. } => more_after,
            Self::Bucket { micros, fraction, limit, capacity, period, .. } => {
                let level = Level { micros, fraction, limit };
                TimeSpan::from_micros(level.more_after(period, capacity))
            }
        }
    }

    /// Returns the time until nothing is in use.
    pub(crate) fn reset_after(&self) -> TimeSpan {
        match *self {
            Self::Known { reset_after, .. } => reset_after,
            Self::Bucket { micros, fraction, .. } => {
                TimeSpan::from_micros(micros + u64::from(fraction > 0))
            }
        }
    }
}
