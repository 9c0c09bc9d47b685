//! The fixed window: one counter for a window of one period, which its first admission opens.
//!
//! The window is half-open, `[start, start + period)`, and admits at most the limit. The first
//! admission after its end opens the next window. It works like a Redis counter by `INCR` with an
//! expiry that is set once ([Redis, `INCR`, "Pattern: Rate limiter 2"]). Windows open at least one
//! period apart, and the first unit of each is at its start. So any half-open interval of one
//! period contains at most 2 × limit − 1 units: all but one of a window's units, late in that
//! window, and all of the next window's. This bound is reached.
//!
//! A debt fills the window up to the limit, and what is left of it the windows that follow, each of
//! which opens at the end of the one before, for ten years at most. Those windows are computed when
//! they are asked for, and stored only with a change: so a refusal or a peek under another limit
//! changes nothing, and a wait that was told stays exact.
//!
//! The window of a quota with a calendar is that of the calendar in which its first admission is. It
//! admits at most the limit, and opens and ends with the calendar's, whenever its first admission was.
//!
//! [Redis, `INCR`, "Pattern: Rate limiter 2"]: https://redis.io/docs/latest/commands/incr/

use smallvec::smallvec;

use super::{Admissions, Counter, MAX_STEP_BACK, Settlement};
use crate::Quota;
use crate::micros::{TimeSpan, Timestamp};
use crate::verdict::Reading;

/// The fields are packed, so that the state of a key stays within one cache line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(Rust, packed(4))]
pub(crate) struct FixedWindow {
    /// The time at which the window opened. It has no meaning while `used` is 0.
    start: Timestamp,
    used: u32,
    /// The number of units among `used` that were charged exactly at `start`.
    opening: u32,
    /// The units of a debt that the windows after this one have to take. There are none while `used`
    /// is 0.
    owed: u32,
}

impl FixedWindow {
    #[cfg(feature = "redis")]
    pub(super) fn from_raw(start: Timestamp, [used, opening, owed]: [u32; 3]) -> Self {
        Self { start, used, opening, owed }
    }

    /// Returns a copy of the start, since a packed field cannot be borrowed.
    fn start(&self) -> Timestamp {
        self.start
    }

    fn end(&self, quota: &Quota) -> Timestamp {
        quota.window_end(self.start)
    }

    /// Returns the units that the windows after this one have to take.
    fn owed(&self, quota: &Quota) -> u32 {
        self.owed.min(quota.max_owed())
    }

    /// Returns the window at `now`, which takes a part of the debt if this one is over.
    #[inline]
    fn at(&self, now: Timestamp, quota: &Quota) -> Self {
        if self.owed == 0 || now < self.end(quota) { *self } else { self.following(now, quota) }
    }

    /// Returns the window at `now`, which is not before the end of this one: the one that takes the
    /// rest of the debt, if any is left.
    #[cold]
    fn following(&self, now: Timestamp, quota: &Quota) -> Self {
        let limit = u64::from(quota.limit());
        let (passed, start) = quota.windows_passed(self.start, now);
        let taken = (passed - 1).saturating_mul(limit);
        let owed = u64::from(self.owed(quota)).saturating_sub(taken);
        if owed == 0 {
            return Self::default();
        }
        // The limit and the units owed fit into `u32`.
        let used = owed.min(limit) as u32;
        Self { start, used, opening: used, owed: owed as u32 - used }
    }

    /// Returns `true` if the window stays the one that it is at `now`, which is before the window's
    /// first admission. A window of a calendar stays if that is a disagreement of clocks at its
    /// bound: in the window before, its admissions would be forgotten at once.
    fn is_kept_at(&self, now: Timestamp, quota: &Quota) -> bool {
        quota.calendar_period().is_some_and(|calendar| {
            self.start() - now <= MAX_STEP_BACK && calendar.window(self.start).start > now
        })
    }

    /// Takes `back` units out of a window of a calendar, whose place does not depend on its first
    /// admission. The charge must not be older than that: it would be one of a time before the clock
    /// was set back.
    fn give_back(&mut self, quota: &Quota, charged_at: Timestamp, back: u32) -> bool {
        let is_within = self.start() <= charged_at && charged_at < self.end(quota);
        if is_within && self.used >= back {
            self.used -= back;
            self.opening = self.opening.min(self.used);
            true
        } else {
            false
        }
    }
}

impl Counter for FixedWindow {
    fn advance(&mut self, now: Timestamp, quota: &Quota) {
        if self.used == 0 {
            return;
        }
        if now < self.start() {
            if !self.is_kept_at(now, quota) {
                self.start = now;
                self.opening = self.used;
            }
        } else if self.owed == 0 && self.end(quota) <= now {
            *self = Self::default();
        }
    }

    fn wait(&self, now: Timestamp, quota: &Quota, cost: u32) -> TimeSpan {
        let window = self.at(now, quota);
        // If the limit was lowered, more units than the limit can be in use.
        if window.owed == 0 && cost <= quota.limit().saturating_sub(window.used) {
            TimeSpan::ZERO
        } else {
            // The windows that the debt fills, and the one after them, which may lack room.
            let owed = window.owed(quota);
            let full = owed / quota.limit();
            let lacks_room = owed % quota.limit() > quota.limit() - cost;
            let windows = u64::from(full) + u64::from(lacks_room);
            quota.window_end_after(window.start, windows) - now
        }
    }

    fn read(&self, now: Timestamp, quota: &Quota) -> Reading {
        let window = self.at(now, quota);
        if window.used == 0 {
            return Reading::known(quota.limit(), TimeSpan::ZERO, TimeSpan::ZERO);
        }
        if window.owed > 0 {
            return Reading::known(0, window.wait(now, quota, 1), window.empty_at(quota) - now);
        }
        let until_end = window.end(quota) - now;
        Reading::known(quota.limit().saturating_sub(window.used), until_end, until_end)
    }

    fn charge(&mut self, now: Timestamp, quota: &Quota, cost: u32) {
        if self.owed > 0 {
            *self = self.at(now, quota);
        }
        if self.used == 0 {
            self.start = now;
        }
        if self.start() == now {
            self.opening += cost;
        }
        self.used += cost;
    }

    fn charge_beyond(&mut self, now: Timestamp, quota: &Quota, units: u32) -> bool {
        *self = self.at(now, quota);
        if self.used == 0 {
            self.start = now;
        }
        self.used = self.used.saturating_add(units);
        if self.start() == now {
            self.opening = self.opening.saturating_add(units);
        }
        self.used == u32::MAX
    }

    fn charge_debt(&mut self, now: Timestamp, quota: &Quota, units: u32) {
        *self = self.at(now, quota);
        let room = if self.owed > 0 { 0 } else { quota.limit().saturating_sub(self.used) };
        let fits = room.min(units);
        self.charge(now, quota, fits);
        self.owed = self.owed.saturating_add(units - fits).min(quota.max_owed());
    }

    /// Returns the units of the window and the debt, as admitted when it opened.
    fn admissions(&self, _: &Quota) -> Admissions {
        smallvec![(self.start, self.used.saturating_add(self.owed))]
    }

    /// Refunds only a charge of the present window. While other units are in the window, at least
    /// one of the units that opened it stays charged: without such a unit, the others would belong
    /// to a window that opened later.
    fn refund(&mut self, quota: &Quota, refund: Settlement) -> bool {
        let mut window = self.at(refund.now, quota);
        let (start, charged_at, back) = (window.start, refund.charged_at, refund.back());
        if quota.calendar_period().is_some() {
            if !window.give_back(quota, charged_at, back) {
                return false;
            }
        } else if window.used == back && start == charged_at && window.owed == 0 {
            window = Self::default();
        } else if start == charged_at && window.opening > back {
            window.opening -= back;
            window.used -= back;
        } else if start < charged_at && window.used - window.opening >= back {
            window.used -= back;
        } else {
            return false;
        }
        // The debt takes the place of what was given back.
        let moved = window.owed.min(back);
        window.owed -= moved;
        window.used += moved;
        if window.used == 0 {
            window = Self::default();
        }
        *self = window;
        true
    }

    fn empty_at(&self, quota: &Quota) -> Timestamp {
        if self.used == 0 {
            return Timestamp::EPOCH;
        }
        quota.window_end_after(self.start, self.owed(quota).div_ceil(quota.limit()).into())
    }
}
