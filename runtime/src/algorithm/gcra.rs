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

    /// How far ahead the TAT is.
    fn level(&self, now: Micros, quota: &Quota) -> Level {
        let limit = quota.limit();
        match self.tat.checked_sub(now) {
            Some(micros) => Level { micros, fraction: self.fraction, limit },
            None => Level { micros: 0, fraction: 0, limit },
        }
    }

    /// As many units are in it as were under the former quota, however long they take now.
    pub(super) fn fit(&mut self, now: Micros, former: &Quota, quota: &Quota) {
        self.advance(now, former);
        // At most 2^32 units of a period each, which like the other period is less than 2^45 µs.
        let level = self.level(now, former).get() * u128::from(quota.period_micros());
        let level = level.div_ceil(u128::from(former.period_micros()));
        self.set_level(now, quota, level.min(units(quota, quota.capacity())));
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

impl Core for Gcra {
    /// What has passed is judged by arithmetic. A bucket that is more than full is one whose
    /// clock went back or whose quota has changed; it is made full and drains from now on.
    #[inline]
    fn advance(&mut self, now: Micros, quota: &Quota) {
        let full = units(quota, quota.capacity());
        if self.level(now, quota).get() > full {
            self.set_level(now, quota, full);
        }
    }

    #[inline]
    fn wait(&self, now: Micros, quota: &Quota, cost: u32) -> Micros {
        let level = self.level(now, quota).get() + units(quota, cost);
        match level.checked_sub(units(quota, quota.usable())) {
            None | Some(0) => 0,
            Some(beyond) => div_ceil(beyond, quota.limit().into()),
        }
    }

    #[inline]
    fn read(&self, now: Micros, quota: &Quota) -> Reading {
        let Level { micros, fraction, limit } = self.level(now, quota);
        Reading::Bucket {
            exceeded: false,
            micros,
            fraction,
            limit,
            capacity: quota.usable(),
            period: quota.period_micros(),
        }
    }

    #[inline]
    fn charge(&mut self, now: Micros, quota: &Quota, cost: u32) {
        if cost > 1 {
            let level = self.level(now, quota).get() + units(quota, cost);
            return self.set_level(now, quota, level);
        }
        if self.tat < now {
            *self = Self { tat: now, fraction: 0 };
        }
        let (micros, fraction) = quota.interval();
        self.tat += micros;
        // Both are less than the limit.
        match (u64::from(self.fraction) + u64::from(fraction)).checked_sub(quota.limit().into()) {
            Some(rest) => {
                self.tat += 1;
                self.fraction = rest as u32;
            }
            None => self.fraction += fraction,
        }
    }

    fn refund(&mut self, now: Micros, quota: &Quota, stamp: Micros, cost: u32) -> bool {
        let Some(elapsed) = now.checked_sub(stamp) else { return false };
        let drained = u128::from(elapsed) * u128::from(quota.limit());
        let level = self.level(now, quota).get();
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

/// How full a bucket is: what is in it takes this long to drain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) micros: Micros,
    /// In 1/limit of a microsecond.
    pub(super) fraction: u32,
    pub(super) limit: u32,
}

impl Level {
    /// In 1/limit of a microsecond.
    #[inline]
    fn get(&self) -> u128 {
        u128::from(self.micros) * u128::from(self.limit) + u128::from(self.fraction)
    }

    /// The units that are in it, begun ones included.
    pub(super) fn used(&self, period: Micros) -> u32 {
        div_ceil(self.get(), period) as u32
    }

    /// Until one unit less is in it, and less than `capacity`.
    pub(super) fn more_after(&self, period: Micros, capacity: u32) -> Micros {
        let Some(whole) = self.used(period).min(capacity).checked_sub(1) else { return 0 };
        let more = self.get() - u128::from(whole) * u128::from(period);
        div_ceil(more, self.limit.into())
    }
}

/// What `count` units take, in 1/limit of a microsecond: one takes a period.
#[inline]
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
