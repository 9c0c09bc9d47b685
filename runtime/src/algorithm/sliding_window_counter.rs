//! The sliding window counter: two counters, the earlier weighted by how much of its window
//! the period that ends now still covers.
//!
//! Windows of one period are aligned to the epoch. At `elapsed` into the current one, the
//! estimate is `previous × (period − elapsed) ÷ period + current`, and a cost is admitted if
//! estimate + cost ≤ limit. This is [Cloudflare's estimate], except that it is never rounded
//! down before it is compared, which would admit one more: both sides are multiplied by the
//! period instead.
//!
//! Any half-open interval of one period holds at most 2 × limit − 1: the limit at the very end
//! of one window, and in the next at most `limit × elapsed ÷ period`, which is less than the
//! limit before that window ends. That is reached. Under constant demand it admits limit − 1
//! in each period (for a limit of 2 or more), and after a full burst at a window's start the
//! next waits for period + period ÷ limit.
//!
//! [Cloudflare's estimate]: https://blog.cloudflare.com/counting-things-a-lot-of-different-things/

use super::{Core, Micros};
use crate::Quota;
use crate::verdict::Reading;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SlidingWindowCounter {
    /// When the current window began.
    start: Micros,
    current: u32,
    /// What the window before it admitted.
    previous: u32,
}

impl SlidingWindowCounter {
    #[cfg(feature = "redis")]
    pub(super) fn from_raw(start: Micros, current: u32, previous: u32) -> Self {
        Self { start, current, previous }
    }

    fn is_empty(&self) -> bool {
        self.current == 0 && self.previous == 0
    }

    /// How much of the previous window the period that ends now still covers.
    fn covered(&self, now: Micros, quota: &Quota) -> u64 {
        quota.period_micros() - (now - self.start)
    }

    /// How long until the estimate is at most `room`.
    fn until(&self, now: Micros, quota: &Quota, room: u32) -> Micros {
        let end = self.start + quota.period_micros();
        let at = if let Some(for_previous) = room.checked_sub(self.current) {
            // While this window lasts, or at the latest when the next begins.
            end - covered_at(self.previous, for_previous, quota)
        } else {
            // In the next window, of which this one is the previous.
            end + quota.period_micros() - covered_at(self.current, room, quota)
        };
        at.saturating_sub(now)
    }
}

/// The most of an earlier window that may be covered for its `count` to weigh at most `room`.
fn covered_at(count: u32, room: u32, quota: &Quota) -> u64 {
    if count <= room {
        return quota.period_micros();
    }
    // Less than the period, for the room is less than the count.
    (u128::from(room) * u128::from(quota.period_micros()) / u128::from(count)) as u64
}

impl Core for SlidingWindowCounter {
    fn advance(&mut self, now: Micros, quota: &Quota) {
        let period = quota.period_micros();
        if self.is_empty() {
            if now.wrapping_sub(self.start) >= period {
                self.start = now - now % period;
            }
        } else if now < self.start {
            self.start = now - now % period;
        } else if now - self.start >= period {
            let start = now - now % period;
            // Not one period only if the quota's period has changed.
            let follows = start - self.start < 2 * period;
            self.previous = if follows { self.current } else { 0 };
            self.current = 0;
            self.start = start;
        }
    }

    fn wait(&self, now: Micros, quota: &Quota, cost: u32) -> Micros {
        let room = quota.limit() - cost;
        // Most often there is room for both in full.
        if self.previous.checked_add(self.current).is_some_and(|both| both <= room) {
            return 0;
        }
        self.until(now, quota, room)
    }

    fn read(&self, now: Micros, quota: &Quota) -> Reading {
        if self.is_empty() {
            return Reading::known(quota.limit(), 0, 0);
        }
        let period = u128::from(quota.period_micros());
        let weighed = u128::from(self.previous) * u128::from(self.covered(now, quota));
        // At most the limit, rounded up: the remaining is rounded down.
        let used = u128::from(self.current) + weighed.div_ceil(period);
        let remaining = u128::from(quota.limit()).saturating_sub(used) as u32;
        let reset_after = self.empty_at(quota) - now;
        let more_after = match quota.limit().checked_sub(remaining.saturating_add(1)) {
            Some(room) => self.until(now, quota, room),
            None => reset_after,
        };
        Reading::known(remaining, more_after, reset_after)
    }

    fn charge(&mut self, _: Micros, _: &Quota, cost: u32) {
        self.current += cost;
    }

    /// From the counter that holds the stamp.
    fn refund(&mut self, _: Micros, quota: &Quota, stamp: Micros, cost: u32) -> bool {
        let counter = match stamp.checked_sub(self.start) {
            Some(elapsed) if elapsed < quota.period_micros() => &mut self.current,
            None if self.start - stamp <= quota.period_micros() => &mut self.previous,
            _ => return false,
        };
        let refunded = *counter >= cost;
        if refunded {
            *counter -= cost;
        }
        refunded
    }

    fn empty_at(&self, quota: &Quota) -> Micros {
        let end = self.start + quota.period_micros();
        match (self.current, self.previous) {
            (0, 0) => 0,
            (0, _) => end,
            _ => end + quota.period_micros(),
        }
    }
}
