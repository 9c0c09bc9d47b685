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

use super::{Core, Micros, Wait, decide_in_steps, say};
use crate::Quota;
use crate::quota::Drain;
use crate::verdict::{Level, Reading, Verdict, div_rem};

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
    #[inline]
    fn level(&self, now: Micros) -> Drain {
        match self.tat.checked_sub(now) {
            Some(micros) => Drain { micros, fraction: self.fraction },
            None => Drain::default(),
        }
    }

    #[inline]
    fn at_level(now: Micros, level: Drain) -> Self {
        if level.is_zero() {
            // It is not to be taken for full should the clock go back.
            return Self::default();
        }
        let Drain { micros, fraction } = level;
        Self { tat: now + micros, fraction }
    }

    /// As many units are in it as were under the former quota, however long they take now.
    pub(super) fn fit(&mut self, now: Micros, former: &Quota, quota: &Quota) {
        self.advance(now, former);
        // At most 2^32 units of a period each, which like the other period is less than 2^45 µs.
        let level = level_of(self.level(now), former).get() * u128::from(quota.period_micros());
        let level = level.div_ceil(u128::from(former.period_micros()));
        let full = u128::from(quota.capacity()) * u128::from(quota.period_micros());
        let (micros, fraction) = div_rem(level.min(full), quota.limit().into());
        // Less than the limit, which fits.
        let level = Drain { micros, fraction: fraction as u32 };
        *self = Self::at_level(now, level);
    }
}

impl Core for Gcra {
    /// What has passed is judged by arithmetic. A bucket that is more than full is one whose
    /// clock went back or whose quota has changed; it is made full and drains from now on.
    #[inline]
    fn advance(&mut self, now: Micros, quota: &Quota) {
        let level = self.level(now);
        // What is usable is at most what is full, and is known.
        if level.exceeds(quota.usable_drain()) {
            let full = quota.drain_of(quota.capacity());
            if level.exceeds(full) {
                *self = Self::at_level(now, full);
            }
        }
    }

    #[inline]
    fn wait(&self, now: Micros, quota: &Quota, cost: u32) -> Micros {
        let level = self.level(now).plus(quota.drain_of(cost), quota.limit());
        if level.exceeds(quota.usable_drain()) {
            level.minus(quota.usable_drain(), quota.limit()).ceil()
        } else {
            0
        }
    }

    #[inline]
    fn read(&self, now: Micros, quota: &Quota) -> Reading {
        reading(self.level(now), quota)
    }

    #[inline]
    fn charge(&mut self, now: Micros, quota: &Quota, cost: u32) {
        let level = self.level(now).plus(quota.drain_of(cost), quota.limit());
        *self = Self::at_level(now, level);
    }

    /// The level is looked at once, unless there is something to be done about it first.
    #[inline]
    fn decide(
        &mut self,
        now: Micros,
        quota: &Quota,
        cost: u32,
        charges: bool,
        verdict: &mut Verdict,
    ) {
        let (level, usable) = (self.level(now), quota.usable_drain());
        if !charges || cost > quota.capacity() || level.exceeds(usable) {
            return decide_in_steps(self, now, quota, cost, charges, verdict);
        }
        let charged = level.plus(quota.drain_of(cost), quota.limit());
        if charged.exceeds(usable) {
            let wait = charged.minus(usable, quota.limit()).ceil();
            say(verdict, now, Wait::For(wait), reading(level, quota));
        } else {
            *self = Self::at_level(now, charged);
            say(verdict, now, Wait::None, reading(charged, quota));
        }
    }

    fn refund(&mut self, now: Micros, quota: &Quota, stamp: Micros, cost: u32) -> bool {
        let Some(elapsed) = now.checked_sub(stamp) else { return false };
        let charged = quota.drain_of(cost);
        let Some(micros) = charged.micros.checked_sub(elapsed) else { return false };
        let level = self.level(now);
        let back = Drain { micros, ..charged };
        let back = if back.exceeds(level) { level } else { back };
        if back.is_zero() {
            return false;
        }
        let left = level.minus(back, quota.limit());
        *self = Self::at_level(now, left);
        true
    }

    fn empty_at(&self, _: &Quota) -> Micros {
        self.level(0).ceil()
    }
}

fn level_of(drain: Drain, quota: &Quota) -> Level {
    let Drain { micros, fraction } = drain;
    Level { micros, fraction, limit: quota.limit() }
}

#[inline]
fn reading(level: Drain, quota: &Quota) -> Reading {
    let Drain { micros, fraction } = level;
    Reading::Bucket {
        exceeded: false,
        micros,
        fraction,
        limit: quota.limit(),
        capacity: quota.usable(),
        period: quota.period_micros(),
    }
}
