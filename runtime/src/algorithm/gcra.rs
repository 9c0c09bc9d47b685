//! The generic cell rate algorithm: a bucket in one number, the theoretical arrival time.
//!
//! It is the virtual scheduling algorithm of [ITU-T I.371], annex A, with a tolerance of
//! burst − 1 intervals. One unit takes the interval `T = period ÷ limit`. The theoretical
//! arrival time (TAT) is when the bucket would be empty if nobody came: a request of `cost` at
//! `now` would move it to `max(now, TAT) + cost × T`, and is admitted if that is at most
//! `now + burst × T`.
//!
//! At `now` there are at most `burst` units, and in less than one period fewer than `limit`
//! come back, so any half-open interval of one period holds at most burst + limit − 1. That is
//! reached. Under constant demand it admits exactly the limit in each period.
//!
//! `T` is a fraction, so times are kept in whole microseconds and a remainder in 1/limit of a
//! microsecond: nothing is rounded, whatever the rate.
//!
//! A refund gives back `cost × T` less the time since the charge. What a charge adds to the
//! level drains only while it is there, at one microsecond a microsecond, so the level without
//! it would be lower by no less than that: whatever came between, no more is given back
//! than what the charge still takes. (Giving back the whole cost, however late, would let
//! requests that hold their refunds until the bucket has drained admit more than a burst.)
//!
//! [ITU-T I.371]: https://www.itu.int/rec/T-REC-I.371

use super::{Core, Micros, Reading};
use crate::Quota;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gcra {
    /// The theoretical arrival time: this, and `fraction` ÷ limit of a microsecond.
    tat: Micros,
    fraction: u32,
}

impl Gcra {
    #[cfg(feature = "redis")]
    pub(super) fn from_raw(tat: Micros, fraction: u32) -> Self {
        Self { tat, fraction }
    }

    /// How far ahead the TAT is, in 1/limit of a microsecond.
    fn level(&self, now: Micros, quota: &Quota) -> u128 {
        if self.tat < now {
            return 0;
        }
        let ahead = u128::from(self.tat - now) * u128::from(quota.limit());
        ahead + u128::from(self.fraction)
    }

    fn set_level(&mut self, now: Micros, quota: &Quota, level: u128) {
        if level == 0 {
            *self = Self::default();
            return;
        }
        let (micros, fraction) = div_rem(level, quota.limit().into());
        self.tat = now + micros;
        // Less than the limit, which fits.
        self.fraction = fraction as u32;
    }
}

/// What `count` units take, in 1/limit of a microsecond: one takes a period.
fn units(quota: &Quota, count: u32) -> u128 {
    u128::from(count) * u128::from(quota.period_micros())
}

/// Quotient and remainder; the quotients here are spans of time and counts, so they fit.
fn div_rem(number: u128, by: u64) -> (u64, u64) {
    // Many times as fast, and nearly always enough.
    if let Ok(number) = u64::try_from(number) {
        (number / by, number % by)
    } else {
        ((number / u128::from(by)) as u64, (number % u128::from(by)) as u64)
    }
}

fn div_ceil(number: u128, by: u64) -> u64 {
    let (quotient, remainder) = div_rem(number, by);
    quotient + u64::from(remainder > 0)
}

impl Core for Gcra {
    /// What has passed is judged by arithmetic. A bucket that is more than full is one whose
    /// clock went back or whose quota has changed; it is made full and drains from now on.
    fn advance(&mut self, now: Micros, quota: &Quota) {
        let full = units(quota, quota.capacity());
        if self.level(now, quota) > full {
            self.set_level(now, quota, full);
        }
    }

    fn wait(&self, now: Micros, quota: &Quota, cost: u32) -> Micros {
        let level = self.level(now, quota) + units(quota, cost);
        match level.checked_sub(units(quota, quota.capacity())) {
            None | Some(0) => 0,
            Some(beyond) => div_ceil(beyond, quota.limit().into()),
        }
    }

    fn read(&self, now: Micros, quota: &Quota) -> Reading {
        let level = self.level(now, quota);
        if level == 0 {
            return Reading { remaining: quota.capacity(), more_after: 0, reset_after: 0 };
        }
        // At least one, and at most the capacity, for the level is.
        let used = div_ceil(level, quota.period_micros()) as u32;
        let more = level - units(quota, used - 1);
        Reading {
            remaining: quota.capacity() - used,
            more_after: div_ceil(more, quota.limit().into()),
            reset_after: div_ceil(level, quota.limit().into()),
        }
    }

    fn charge(&mut self, now: Micros, quota: &Quota, cost: u32) {
        self.set_level(now, quota, self.level(now, quota) + units(quota, cost));
    }

    fn refund(&mut self, now: Micros, quota: &Quota, stamp: Micros, cost: u32) -> bool {
        let Some(elapsed) = now.checked_sub(stamp) else { return false };
        let drained = u128::from(elapsed) * u128::from(quota.limit());
        let level = self.level(now, quota);
        let back = units(quota, cost).saturating_sub(drained).min(level);
        if back > 0 {
            self.set_level(now, quota, level - back);
        }
        back > 0
    }

    fn empty_at(&self, _: &Quota) -> Micros {
        self.tat + Micros::from(self.fraction > 0)
    }
}
