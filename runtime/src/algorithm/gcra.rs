//! The generic cell rate algorithm: a bucket stored as one number, the theoretical arrival time.
//!
//! It is the virtual scheduling algorithm of [ITU-T I.371], annex A, with a tolerance of burst − 1
//! intervals. One unit takes the interval `T = period ÷ limit`. The theoretical arrival time (TAT)
//! is the time at which the bucket would be empty if no request came: a request of `cost` at `now`
//! would move it to `max(now, TAT) + cost × T`, and is admitted if that is at most
//! `now + burst × T`.
//!
//! At any time at most `burst` units are available, and in less than one period fewer than `limit`
//! are replenished. So any half-open interval of one period contains at most burst + limit − 1
//! admitted units. This bound is reached. Under constant demand, exactly the limit is admitted in
//! each period.
//!
//! `T` need not be a whole number of microseconds, so times are stored as whole microseconds and a
//! remainder in units of 1/limit of a microsecond. So nothing is rounded, at any rate.
//!
//! A refund lowers the level by `cost × T` less the time since the charge. A charge raises the
//! level by `cost × T`, and of that at most one microsecond drains per microsecond. So no more is
//! refunded than is still in the bucket because of the charge, whatever other requests came in
//! between. (A refund of the full cost at any later time would let requests that delay their
//! refunds until the bucket has drained admit more than a burst.)
//!
//! [ITU-T I.371]: https://www.itu.int/rec/T-REC-I.371

use super::{Counter, QuotaCheck, Refund, Wait, decide_in_steps, write_verdict};
use crate::Quota;
use crate::micros::{TimeSpan, Timestamp};
use crate::quota::Drain;
use crate::verdict::{Level, Period, Reading, Verdict, div_rem};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gcra {
    /// The whole microseconds of the theoretical arrival time (TAT).
    tat: Timestamp,
    /// The rest of the TAT, in units of 1/limit of a microsecond.
    fraction: u32,
}

impl Gcra {
    #[cfg(feature = "redis")]
    pub(super) fn from_raw(tat: Timestamp, fraction: u32) -> Self {
        Self { tat, fraction }
    }

    /// Returns the time from `now` to the TAT; zero if the TAT has passed.
    #[inline]
    fn level(&self, now: Timestamp) -> Drain {
        match self.tat.checked_since(now) {
            Some(ahead) => Drain { micros: ahead.micros(), fraction: self.fraction },
            None => Drain::default(),
        }
    }

    #[inline]
    fn at_level(now: Timestamp, level: Drain) -> Self {
        if level.is_zero() {
            // If the clock were set back later, a TAT of `now` would then look like a full bucket.
            return Self::default();
        }
        let Drain { micros, fraction } = level;
        Self { tat: now + TimeSpan::from_micros(micros), fraction }
    }

    /// Converts a bucket of the quota `former` to one of `quota` with the same number of units in
    /// it, at most the new capacity. The time in which these units drain may change.
    pub(super) fn fit(&mut self, now: Timestamp, former: &Quota, quota: &Quota) {
        self.advance(now, former);
        // A level is a number of units times the period of its quota, so this product contains both
        // periods. It is at most 2^32 × 2^45 × 2^45 and fits into `u128`.
        let level = level_of(self.level(now), former).get() * u128::from(quota.period_micros());
        let level = level.div_ceil(u128::from(former.period_micros()));
        let full = u128::from(quota.capacity()) * u128::from(quota.period_micros());
        let (micros, fraction) = div_rem(level.min(full), quota.limit().into());
        // The remainder is less than the limit, so it fits into `u32`.
        let level = Drain { micros, fraction: fraction as u32 };
        *self = Self::at_level(now, level);
    }
}

impl Counter for Gcra {
    /// Makes a bucket that is more than full exactly full. A bucket can be more than full if the
    /// clock was set back or the quota has changed. Draining needs no work, because the level
    /// follows from the TAT and the time.
    #[inline]
    fn advance(&mut self, now: Timestamp, quota: &Quota) {
        let level = self.level(now);
        // The level is first compared with the usable part, which is at most the full bucket,
        // because its drain time is precomputed.
        if level.exceeds(quota.usable_drain()) {
            let full = quota.drain_of(quota.capacity());
            if level.exceeds(full) {
                *self = Self::at_level(now, full);
            }
        }
    }

    #[inline]
    fn wait(&self, now: Timestamp, quota: &Quota, cost: u32) -> TimeSpan {
        let level = self.level(now).plus(quota.drain_of(cost), quota.limit());
        if level.exceeds(quota.usable_drain()) {
            TimeSpan::from_micros(level.minus(quota.usable_drain(), quota.limit()).ceil())
        } else {
            TimeSpan::ZERO
        }
    }

    #[inline]
    fn read(&self, now: Timestamp, quota: &Quota) -> Reading {
        reading(self.level(now), quota)
    }

    #[inline]
    fn charge(&mut self, now: Timestamp, quota: &Quota, cost: u32) {
        let level = self.level(now).plus(quota.drain_of(cost), quota.limit());
        *self = Self::at_level(now, level);
    }

    /// Decides like [`decide_in_steps`], but computes the level only once, unless the state has to
    /// be corrected first.
    #[inline(always)]
    fn decide(&mut self, check: QuotaCheck<'_>, charges: bool, verdict: &mut Verdict) {
        let QuotaCheck { now, quota, cost } = check;
        let (level, usable) = (self.level(now), quota.usable_drain());
        if !charges || cost > quota.capacity() || level.exceeds(usable) {
            return decide_in_steps(self, check, charges, verdict);
        }
        let charged = level.plus(quota.drain_of(cost), quota.limit());
        if charged.exceeds(usable) {
            let wait = TimeSpan::from_micros(charged.minus(usable, quota.limit()).ceil());
            write_verdict(verdict, check, Wait::For(wait), reading(level, quota));
        } else {
            *self = Self::at_level(now, charged);
            write_verdict(verdict, check, Wait::None, reading(charged, quota));
        }
    }

    fn refund(&mut self, quota: &Quota, refund: Refund) -> bool {
        let Refund { now, charged_at, cost } = refund;
        let Some(elapsed) = now.checked_since(charged_at) else { return false };
        let charged = quota.drain_of(cost);
        let Some(micros) = charged.micros.checked_sub(elapsed.micros()) else { return false };
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

    fn empty_at(&self, _: &Quota) -> Timestamp {
        Timestamp::from_micros(self.level(Timestamp::EPOCH).ceil())
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
        cost: 1,
        period: Period::from_micros(quota.period_micros()),
    }
}
