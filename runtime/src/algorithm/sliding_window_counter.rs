//! The sliding window counter: one counter for the present window and one for the previous window.
//! The previous one is weighted by the part of its window that the period up to now still covers.
//!
//! Windows of one period are aligned to the epoch. At `elapsed` into the present one, the estimate
//! is `previous × (period − elapsed) ÷ period + current`, and a cost is admitted if estimate + cost
//! ≤ limit. This is [Cloudflare's estimate], except that it is not rounded down before the
//! comparison, because that would admit one unit more. Instead, both sides are multiplied by the
//! period.
//!
//! Any half-open interval of one period contains at most 2 × limit − 1 admitted units: the limit at
//! the very end of one window, and in the next window at most `limit × elapsed ÷ period`, which is
//! less than the limit before that window ends. This bound is reached. Under constant demand, limit
//! − 1 is admitted in each period (for a limit of 2 or more). After a full burst at a window's
//! start, the next request waits for period + period ÷ limit.
//!
//! [Cloudflare's estimate]: https://blog.cloudflare.com/counting-things-a-lot-of-different-things/

use smallvec::smallvec;

use super::{Admissions, Counter, Settlement};
use crate::Quota;
use crate::micros::{TimeSpan, Timestamp};
use crate::verdict::Reading;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SlidingWindowCounter {
    /// The start of the present window.
    start: Timestamp,
    /// The number of units admitted in the present window.
    current: u32,
    /// The number of units admitted in the window before the present one.
    previous: u32,
}

impl SlidingWindowCounter {
    #[cfg(feature = "redis")]
    pub(super) fn from_raw(start: Timestamp, current: u32, previous: u32) -> Self {
        Self { start, current, previous }
    }

    fn is_empty(&self) -> bool {
        self.current == 0 && self.previous == 0
    }

    /// Returns the length of the part of the previous window that is within one period before
    /// `now`.
    fn covered(&self, now: Timestamp, quota: &Quota) -> TimeSpan {
        quota.period_span() - (now - self.start)
    }

    /// Returns the time until the estimate of the units in use is at most `room`.
    fn until(&self, now: Timestamp, quota: &Quota, room: u32) -> TimeSpan {
        let end = self.start + quota.period_span();
        let at = if let Some(for_previous) = room.checked_sub(self.current) {
            // That time is within the present window, or at the latest at the start of the next
            // one.
            end - covered_at(self.previous, for_previous, quota)
        } else {
            // That time is within the next window, whose previous window is the present one.
            end + quota.period_span() - covered_at(self.current, room, quota)
        };
        at.saturating_since(now)
    }
}

/// Returns the length of the largest part of a window that may be covered so that its `count` units
/// add at most `room` to the estimate.
fn covered_at(count: u32, room: u32, quota: &Quota) -> TimeSpan {
    if count <= room {
        return quota.period_span();
    }
    // The result is less than the period, because `room` is less than `count`.
    let micros = u128::from(room) * u128::from(quota.period_micros()) / u128::from(count);
    TimeSpan::from_micros(micros as u64)
}

impl Counter for SlidingWindowCounter {
    fn advance(&mut self, now: Timestamp, quota: &Quota) {
        let period = quota.period_span();
        if self.is_empty() {
            if now.wrapping_since(self.start) >= period {
                self.start = now.start_of_interval(period);
            }
        } else if now < self.start {
            self.start = now.start_of_interval(period);
        } else if now - self.start >= period {
            let start = now.start_of_interval(period);
            // The distance between the two windows is a multiple of the period.
            let follows = start - self.start < period * 2;
            self.previous = if follows { self.current } else { 0 };
            self.current = 0;
            self.start = start;
        }
    }

    fn wait(&self, now: Timestamp, quota: &Quota, cost: u32) -> TimeSpan {
        let room = quota.limit() - cost;
        // In most cases the cost fits even if the previous window counts in full.
        if self.previous.checked_add(self.current).is_some_and(|both| both <= room) {
            return TimeSpan::ZERO;
        }
        self.until(now, quota, room)
    }

    fn read(&self, now: Timestamp, quota: &Quota) -> Reading {
        if self.is_empty() {
            return Reading::known(quota.limit(), TimeSpan::ZERO, TimeSpan::ZERO);
        }
        let period = u128::from(quota.period_micros());
        let weighed = u128::from(self.previous) * u128::from(self.covered(now, quota).micros());
        // The units in use are rounded up, so that the remaining units are rounded down.
        let used = u128::from(self.current) + weighed.div_ceil(period);
        let remaining = u128::from(quota.limit()).saturating_sub(used) as u32;
        let reset_after = self.empty_at(quota) - now;
        let more_after = match quota.limit().checked_sub(remaining.saturating_add(1)) {
            Some(room) => self.until(now, quota, room),
            None => reset_after,
        };
        Reading::known(remaining, more_after, reset_after)
    }

    fn charge(&mut self, _: Timestamp, _: &Quota, cost: u32) {
        self.current += cost;
    }

    fn charge_beyond(&mut self, _: Timestamp, _: &Quota, units: u32) -> bool {
        self.current = self.current.saturating_add(units);
        self.current == u32::MAX
    }

    /// Returns the units of both windows, each as admitted when its window began.
    fn admissions(&self, quota: &Quota) -> Admissions {
        let before = self.start.micros().saturating_sub(quota.period_micros());
        smallvec![(Timestamp::from_micros(before), self.previous), (self.start, self.current)]
    }

    /// Subtracts the units from the counter of the window in which the charge was made.
    fn refund(&mut self, quota: &Quota, refund: Settlement) -> bool {
        let (charged_at, back) = (refund.charged_at, refund.back());
        let counter = match charged_at.checked_since(self.start) {
            Some(elapsed) if elapsed < quota.period_span() => &mut self.current,
            None if self.start - charged_at <= quota.period_span() => &mut self.previous,
            _ => return false,
        };
        let refunded = *counter >= back;
        if refunded {
            *counter -= back;
        }
        refunded
    }

    fn empty_at(&self, quota: &Quota) -> Timestamp {
        let end = self.start + quota.period_span();
        match (self.current, self.previous) {
            (0, 0) => Timestamp::EPOCH,
            (0, _) => end,
            _ => end + quota.period_span(),
        }
    }
}
