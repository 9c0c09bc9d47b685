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
//! refunds until the bucket has drained admit more than a burst.) A refund of a part is bounded in
//! the same way: had the smaller cost been charged at first, the level would be lower by that part,
//! as long as the bucket would not have become empty meanwhile.
//!
//! A debt raises the level beyond the burst, to ten years of draining at most.
//!
//! [ITU-T I.371]: https://www.itu.int/rec/T-REC-I.371

use smallvec::smallvec;

use super::{
    Admissions, Counter, LAST_INSTANT, MAX_STEP_BACK, QuotaCheck, Settlement, Wait,
    decide_in_steps, write_verdict,
};
use crate::micros::{TimeSpan, Timestamp};
use crate::quota::Drain;
use crate::verdict::{Level, Period, Reading, Verdict};
use crate::{Check, Quota};

/// The fields are packed, so that the state of a key stays within one cache line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(Rust, packed(4))]
pub(crate) struct Gcra {
    /// The whole microseconds of the theoretical arrival time (TAT).
    tat: Timestamp,
    /// The time of the last charge. While the clock is behind it, the bucket does not drain.
    last: Timestamp,
    /// The rest of the TAT, in units of 1/limit of a microsecond.
    fraction: u32,
}

impl Gcra {
    #[cfg(feature = "redis")]
    pub(super) fn from_raw(tat: Timestamp, fraction: u32, last: Timestamp) -> Self {
        Self { tat, last, fraction }
    }

    /// Returns the time from `now` to the TAT; zero if the TAT has passed. A clock that was set
    /// back a little would make the bucket fuller than it was. So the time of the last charge takes
    /// the place of an earlier `now`.
    #[inline]
    fn level(&self, now: Timestamp) -> Drain {
        match self.tat.checked_since(now.max(self.last)) {
            Some(ahead) => Drain { micros: ahead.micros(), fraction: self.fraction },
            None => Drain::default(),
        }
    }

    /// Raises the level by `units`, but at most to `most`, unless a debt has raised it further before.
    /// Returns `true` if it could not take all of them.
    fn raise(&mut self, now: Timestamp, quota: &Quota, units: u32, most: Drain) -> bool {
        let before = self.level(now);
        let level = before.plus(quota.drain_of(units), quota.limit());
        let is_too_much = level.exceeds(most);
        let most = if before.exceeds(most) { before } else { most };
        *self = Self::at_level(now.max(self.last), if is_too_much { most } else { level });
        is_too_much
    }

    /// Returns `true` if the last charge is later than `now`, because the clock was set back.
    #[inline]
    fn is_ahead_of(&self, now: Timestamp) -> bool {
        // The field is copied, since a packed field cannot be borrowed.
        let last = self.last;
        last > now
    }

    #[inline]
    fn at_level(now: Timestamp, level: Drain) -> Self {
        if level.is_zero() {
            // If the clock were set back later, a TAT of `now` would then look like a full bucket.
            return Self::default();
        }
        let Drain { micros, fraction } = level;
        Self { tat: now + TimeSpan::from_micros(micros), last: now, fraction }
    }

    /// Moves the last charge to `now` with its level, if the clock was set back by more than
    /// [`MAX_STEP_BACK`]: otherwise nothing would drain until the clock is where it was. After a
    /// shorter step the time of the last charge takes the place of the present time. So clocks that
    /// disagree by as much neither make a bucket fuller nor drain it, however often a subject meets
    /// one and then the other.
    #[cold]
    fn step_back(&mut self, now: Timestamp) {
        if self.last.saturating_since(now) > MAX_STEP_BACK {
            *self = Self::at_level(now, self.level(self.last));
        }
    }
}

/// A bucket in two words, of which the first has [`FREE_BITS`](Self::FREE_BITS) bits to spare and the
/// second one: the whole microseconds of the TAT, and the time from the last charge to it above the rest
/// of the TAT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackedBucket {
    tat: u64,
    rest: u64,
}

/// The number of bits of a fraction in a packed bucket. It is less than the limit, so nothing is lost of
/// limits up to 65,536. The time beside it may be four years long.
const FRACTION_BITS: u32 = 16;

impl PackedBucket {
    /// The number of upper bits of the first word that are not used. Times fit until the year 2112.
    pub(crate) const FREE_BITS: u32 = 12;

    #[inline(always)]
    pub(crate) fn words(self) -> [u64; 2] {
        [self.tat, self.rest]
    }

    #[inline(always)]
    pub(crate) fn from_words([tat, rest]: [u64; 2]) -> Self {
        Self { tat, rest }
    }

    #[inline(always)]
    pub(crate) fn unpacked(self) -> Gcra {
        let span = TimeSpan::from_micros(self.rest >> FRACTION_BITS);
        let tat = Timestamp::from_micros(self.tat);
        let fraction = self.rest & ((1 << FRACTION_BITS) - 1);
        // Only the lowest bits are left of the fraction, which fit into `u32`.
        Gcra { tat, last: tat - span, fraction: fraction as u32 }
    }
}

impl Gcra {
    /// Returns the bucket in two words; `None` if it does not fit.
    #[inline(always)]
    pub(crate) fn packed(self) -> Option<PackedBucket> {
        let Self { tat, last, fraction } = self;
        let span = (tat - last).micros();
        // One comparison is faster than three.
        let lost = tat.micros() >> (u64::BITS - PackedBucket::FREE_BITS)
            | span >> (u64::BITS - 1 - FRACTION_BITS)
            | u64::from(fraction >> FRACTION_BITS);
        let rest = span << FRACTION_BITS | u64::from(fraction);
        (lost == 0).then_some(PackedBucket { tat: tat.micros(), rest })
    }

    /// Decides about a check under a policy with this bucket's quota alone.
    pub(crate) fn decide_check(
        &mut self,
        check: &Check<'_>,
        now: Timestamp,
        verdict: &mut Verdict,
    ) {
        let [quota] = check.policy.quotas() else { return };
        let charges = check.cost > 0;
        let check = QuotaCheck { now: now.min(LAST_INSTANT), quota, cost: check.cost };
        self.decide(check, charges, verdict);
    }

    /// Does the same as [`decide_check`](Self::decide_check) in the usual case, and returns `true` if the
    /// check is admitted; if it is not, the bucket is unchanged. Returns `None`, and has decided nothing, if
    /// the cost is 0 or exceeds the capacity, or the clock was set back.
    #[inline(always)]
    pub(crate) fn charge_usual(
        &mut self,
        check: &Check<'_>,
        now: Timestamp,
        verdict: &mut Verdict,
    ) -> Option<bool> {
        let quota = check.policy.only_quota()?;
        let (now, cost) = (now.min(LAST_INSTANT), check.cost);
        if cost == 0 || cost > quota.capacity() || self.is_ahead_of(now) {
            return None;
        }
        Some(self.charge_now(QuotaCheck { now, quota, cost }, verdict))
    }

    /// Charges a cost of at most the capacity if it is admitted, at a time that is not before the last
    /// charge. Computes the level only once.
    #[inline(always)]
    fn charge_now(&mut self, check: QuotaCheck<'_>, verdict: &mut Verdict) -> bool {
        let QuotaCheck { now, quota, cost } = check;
        let (level, usable) = (self.level(now), quota.usable_drain());
        let charged = level.plus(quota.drain_of(cost), quota.limit());
        let is_admitted = !charged.exceeds(usable);
        if is_admitted {
            *self = Self::at_level(now, charged);
            write_verdict(verdict, check, Wait::None, reading(charged, quota));
        } else {
            let wait = TimeSpan::from_micros(charged.minus(usable, quota.limit()).ceil());
            write_verdict(verdict, check, Wait::For(wait), reading(level, quota));
        }
        is_admitted
    }
}

impl Counter for Gcra {
    /// Corrects the bucket after the clock was set back. Draining needs no work, because the level
    /// follows from the TAT and the time.
    #[inline]
    fn advance(&mut self, now: Timestamp, _: &Quota) {
        if self.is_ahead_of(now) {
            self.step_back(now);
        }
    }

    #[inline]
    fn wait(&self, now: Timestamp, quota: &Quota, cost: u32) -> TimeSpan {
        let level = self.level(now).plus(quota.drain_of(cost), quota.limit());
        if level.exceeds(quota.usable_drain()) {
            let wait = level.minus(quota.usable_drain(), quota.limit()).ceil();
            // The bucket begins to drain when the clock has reached the last charge.
            TimeSpan::from_micros(wait + self.last.saturating_since(now).micros())
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
        *self = Self::at_level(now.max(self.last), level);
    }

    fn charge_beyond(&mut self, now: Timestamp, quota: &Quota, units: u32) -> bool {
        self.raise(now, quota, units.min(quota.capacity()), quota.drain_of(quota.capacity()))
    }

    fn charge_debt(&mut self, now: Timestamp, quota: &Quota, units: u32) {
        let longest = Drain { micros: Quota::MAX_FILL_MICROS, fraction: 0 };
        // More units would take longer to drain than the longest debt.
        self.raise(now, quota, units.min(quota.max_burst()), longest);
    }

    /// Returns the units that were in the bucket right after its last charge, rounded up to whole
    /// units, as admitted at that time.
    fn admissions(&self, quota: &Quota) -> Admissions {
        let level = level_of(self.level(self.last), quota);
        // With a debt, the level can be that of more units than fit into `u32`.
        let units = level.get().div_ceil(u128::from(quota.period_micros()));
        smallvec![(self.last, u32::try_from(units).unwrap_or(u32::MAX))]
    }

    /// Decides like [`decide_in_steps`], but computes the level only once, unless the state has to
    /// be corrected first.
    #[inline(always)]
    fn decide(&mut self, check: QuotaCheck<'_>, charges: bool, verdict: &mut Verdict) {
        let QuotaCheck { now, quota, cost } = check;
        if !charges || cost > quota.capacity() || self.is_ahead_of(now) {
            return decide_in_steps(self, check, charges, verdict);
        }
        self.charge_now(check, verdict);
    }

    fn refund(&mut self, quota: &Quota, refund: Settlement) -> bool {
        let Settlement { now, charged_at, cost, .. } = refund;
        let now = now.max(self.last);
        let Some(elapsed) = now.checked_since(charged_at) else { return false };
        let charged = quota.drain_of(cost.min(quota.capacity()));
        let Some(micros) = charged.micros.checked_sub(elapsed.micros()) else { return false };
        let level = self.level(now);
        let (left, part) =
            (Drain { micros, ..charged }, quota.drain_of(refund.back().min(quota.capacity())));
        let back = if left.exceeds(part) { part } else { left };
        let back = if back.exceeds(level) { level } else { back };
        if back.is_zero() {
            return false;
        }
        let left = level.minus(back, quota.limit());
        // The times up to the last charge count as that time, so `now` is not before it.
        let last = if left.is_zero() { Timestamp::EPOCH } else { self.last };
        *self = Self { last, ..Self::at_level(now, left) };
        true
    }

    fn empty_at(&self, _: &Quota) -> Timestamp {
        Timestamp::from_micros(self.tat.micros() + u64::from(self.fraction > 0))
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
