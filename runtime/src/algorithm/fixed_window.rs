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

use super::{Core, Micros};
use crate::Quota;
use crate::verdict::Reading;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FixedWindow {
    /// When the window opened; of no meaning while nothing is used.
    start: Micros,
    used: u32,
    /// How much of it was charged at its start.
    opening: u32,
}

impl FixedWindow {
    #[cfg(feature = "redis")]
    pub(super) fn from_raw(start: Micros, used: u32, opening: u32) -> Self {
        Self { start, used, opening }
    }

    fn end(&self, quota: &Quota) -> Micros {
        self.start + quota.period_micros()
    }
}

impl Core for FixedWindow {
    fn advance(&mut self, now: Micros, quota: &Quota) {
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

    fn wait(&self, now: Micros, quota: &Quota, cost: u32) -> Micros {
        // More may be in use than the limit, if that has been lowered.
        if cost <= quota.limit().saturating_sub(self.used) { 0 } else { self.end(quota) - now }
    }

    fn read(&self, now: Micros, quota: &Quota) -> Reading {
        let until_end = if self.used == 0 { 0 } else { self.end(quota) - now };
        let remaining = quota.limit().saturating_sub(self.used);
        Reading::known(remaining, until_end, until_end)
    }

    fn charge(&mut self, now: Micros, _: &Quota, cost: u32) {
        if self.used == 0 {
            self.start = now;
        }
        if self.start == now {
            self.opening += cost;
        }
        self.used += cost;
    }

    /// In the same window only. While others are in the window, one of the units that opened
    /// it stays: without that unit, they would be in a window that opened later.
    fn refund(&mut self, _: Micros, _: &Quota, stamp: Micros, cost: u32) -> bool {
        if self.used == cost && self.start == stamp {
            *self = Self::default();
        } else if self.start == stamp && self.opening > cost {
            self.opening -= cost;
            self.used -= cost;
        } else if self.start < stamp && self.used - self.opening >= cost {
            self.used -= cost;
        } else {
            return false;
        }
        true
    }

    fn empty_at(&self, quota: &Quota) -> Micros {
        if self.used == 0 { 0 } else { self.end(quota) }
    }
}
