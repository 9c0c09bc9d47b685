//! What one quota says at one instant.

use super::Level;
use crate::algorithm::Micros;

/// What is left of a quota, and until when. A check does not divide to say it: a bucket's
/// level is turned into these numbers for whoever asks. A decision holds one for each quota, so
/// its fields lie where they take the least room.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reading {
    Known {
        exceeded: bool,
        remaining: u32,
        /// Until more than `remaining` could be admitted; 0 when nothing is used.
        more_after: Micros,
        /// Until all is as if nothing had been used.
        reset_after: Micros,
    },
    /// A [`Level`] in a bucket.
    Bucket {
        exceeded: bool,
        micros: Micros,
        fraction: u32,
        limit: u32,
        capacity: u32,
        period: Micros,
    },
}

impl Reading {
    #[inline]
    pub(crate) fn known(remaining: u32, more_after: Micros, reset_after: Micros) -> Self {
        Self::Known { exceeded: false, remaining, more_after, reset_after }
    }

    /// Says whether the quota refused.
    #[inline]
    pub(crate) fn set_exceeded(&mut self, now: bool) {
        match self {
            Self::Known { exceeded, .. } | Self::Bucket { exceeded, .. } => *exceeded = now,
        }
    }

    /// Whether the quota refused.
    pub(crate) fn exceeded(&self) -> bool {
        match *self {
            Self::Known { exceeded, .. } | Self::Bucket { exceeded, .. } => exceeded,
        }
    }

    /// The same, `elapsed` later, if nobody came meanwhile. Of what came back one by one, only
    /// the first is known, and all.
    pub(crate) fn aged(self, elapsed: Micros, capacity: u32) -> Self {
        match self {
            Self::Known { reset_after, .. } if elapsed >= reset_after => {
                Self::known(capacity, 0, 0)
            }
            Self::Known { exceeded, remaining, more_after, reset_after } => {
                let reset_after = reset_after - elapsed;
                match more_after.checked_sub(elapsed) {
                    None | Some(0) => {
                        Self::known(remaining.saturating_add(1), reset_after, reset_after)
                    }
                    Some(more_after) => {
                        Self::Known { exceeded, remaining, more_after, reset_after }
                    }
                }
            }
            Self::Bucket { exceeded, micros, fraction, limit, capacity, period } => {
                let (micros, fraction) = match micros.checked_sub(elapsed) {
                    Some(micros) => (micros, fraction),
                    None => (0, 0),
                };
                Self::Bucket { exceeded, micros, fraction, limit, capacity, period }
            }
        }
    }

    /// How much would be admitted.
    pub(crate) fn remaining(&self) -> u32 {
        match *self {
            Self::Known { remaining, .. } => remaining,
            Self::Bucket { micros, fraction, limit, capacity, period, .. } => {
                capacity.saturating_sub(Level { micros, fraction, limit }.used(period))
            }
        }
    }

    /// Until more than that would be; 0 when nothing is used.
    pub(crate) fn more_after(&self) -> Micros {
        match *self {
            Self::Known { more_after, .. } => more_after,
            Self::Bucket { micros, fraction, limit, capacity, period, .. } => {
                Level { micros, fraction, limit }.more_after(period, capacity)
            }
        }
    }

    /// Until all is as if nothing had been used.
    pub(crate) fn reset_after(&self) -> Micros {
        match *self {
            Self::Known { reset_after, .. } => reset_after,
            Self::Bucket { micros, fraction, .. } => micros + Micros::from(fraction > 0),
        }
    }
}
