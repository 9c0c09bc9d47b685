//! The fixed window: one counter, in a window that its first admission opens.
//!
//! The window is half-open, `[start, start + period)`, and admits at most the limit; the next
//! admission after it opens the next one. It is the counter of `INCR` with an expiry that is
//! set once ([Redis, `INCR`, "Pattern: Rate limiter 2"]). Windows open at least one period
//! apart, and the first unit of each is at its start, so any half-open interval of one
//! period holds at most 2 × limit − 1 units: all but one of a window's, late, and all of the next
//! one's. That is reached.
//!
//! [Redis, `INCR`, "Pattern: Rate limiter 2"]: https://redis.io/docs/latest/commands/incr/

use super::{Counter, Refund};
use crate::Quota;
use crate::micros::{TimeSpan, Timestamp};
use crate::verdict::Reading;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FixedWindow {
    /// The instant at which the window opened; without meaning while nothing is used.
    start: Timestamp,
    used: u32,
    /// The units of `used` that were charged at the very start.
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
        // A limit that was lowered may be less than the units in use.
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

    /// Gives back within the same window only. While the window holds other units, one of those
    /// that opened it stays: without it, the others would belong to a window that opened later.
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
