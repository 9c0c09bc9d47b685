//! The fixed window: one counter for a window of one period, which its first admission opens.
//!
//! The window is half-open, `[start, start + period)`, and admits at most the limit. The first
//! admission after its end opens the next window. It works like a Redis counter by `INCR` with an
//! expiry that is set once ([Redis, `INCR`, "Pattern: Rate limiter 2"]). Windows open at least one
//! period apart, and the first unit of each is at its start. So any half-open interval of one
//! period contains at most 2 × limit − 1 units: all but one of a window's units, late in that
//! window, and all of the next window's. This bound is reached.
//!
//! [Redis, `INCR`, "Pattern: Rate limiter 2"]: https://redis.io/docs/latest/commands/incr/

use smallvec::smallvec;

use super::{Admissions, Counter, Refund};
use crate::Quota;
use crate::micros::{TimeSpan, Timestamp};
use crate::verdict::Reading;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FixedWindow {
    /// The time at which the window opened. It has no meaning while `used` is 0.
    start: Timestamp,
    used: u32,
    /// The number of units among `used` that were charged exactly at `start`.
    opening: u32,
}

impl FixedWindow {
    #[cfg(feature = "redis")]
    pub(super) fn from_raw(start: Timestamp, used: u32, opening: u32) -> Self {
        Self { start, used, opening }
    }

    fn end(&self, quota: &Quota) -> Timestamp {
        self.start + quota.period_span()
    }
}

impl Counter for FixedWindow {
    fn advance(&mut self, now: Timestamp, quota: &Quota) {
        if self.used == 0 {
            return;
        }
        if self.end(quota) <= now {
            *self = Self::default();
        } else if self.start > now {
            self.start = now;
            self.opening = self.used;
        }
    }

    fn wait(&self, now: Timestamp, quota: &Quota, cost: u32) -> TimeSpan {
        // If the limit was lowered, more units than the limit can be in use.
        if cost <= quota.limit().saturating_sub(self.used) {
            TimeSpan::ZERO
        } else {
            self.end(quota) - now
        }
    }

    fn read(&self, now: Timestamp, quota: &Quota) -> Reading {
        let until_end = if self.used == 0 { TimeSpan::ZERO } else { self.end(quota) - now };
        let remaining = quota.limit().saturating_sub(self.used);
        Reading::known(remaining, until_end, until_end)
    }

    fn charge(&mut self, now: Timestamp, _: &Quota, cost: u32) {
        if self.used == 0 {
            self.start = now;
        }
        if self.start == now {
            self.opening += cost;
        }
        self.used += cost;
    }

    fn charge_beyond(&mut self, now: Timestamp, _: &Quota, units: u32) -> bool {
        if self.used == 0 {
            self.start = now;
        }
        self.used = self.used.saturating_add(units);
        if self.start == now {
            self.opening = self.opening.saturating_add(units);
        }
        self.used == u32::MAX
    }

    /// Returns the units of the window, as admitted when it opened.
    fn admissions(&self, _: &Quota) -> Admissions {
        smallvec![(self.start, self.used)]
    }

    /// Refunds only a charge of the present window. While other units are in the window, at least
    /// one of the units that opened it stays charged: without such a unit, the others would belong
    /// to a window that opened later.
    fn refund(&mut self, _: &Quota, refund: Refund) -> bool {
        let Refund { now: _, charged_at, cost } = refund;
        if self.used == cost && self.start == charged_at {
            *self = Self::default();
        } else if self.start == charged_at && self.opening > cost {
            self.opening -= cost;
            self.used -= cost;
        } else if self.start < charged_at && self.used - self.opening >= cost {
            self.used -= cost;
        } else {
            return false;
        }
        true
    }

    fn empty_at(&self, quota: &Quota) -> Timestamp {
        if self.used == 0 { Timestamp::EPOCH } else { self.end(quota) }
    }
}
