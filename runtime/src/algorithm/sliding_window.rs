//! The sliding window log: stores each admission for one period.
//!
//! An admission at `t` is in use until `t + period`, exclusive. So in an interval
//! `[a, a + period)`, all admissions are still in use when the last of them is decided, and at most
//! the limit is admitted in **any** such interval.
//!
//! Only admitted requests need memory. Up to a limit of [`RESOLUTION`] there is an entry for each
//! admission, at most `limit` of them. Above it, the admissions within a granule of
//! `g = ⌈period ÷ RESOLUTION⌉`, aligned to the epoch, share one entry. The entry stores the time of
//! its newest admission, and all its units expire one period after that. An entry never expires
//! before its admissions would have expired one by one, so the bound is the same. It expires later
//! by less than `g`. At most `RESOLUTION + 1` granules overlap one period.

use super::log::{Log, LogEntry};
use super::{Admissions, Counter, Settlement};
use crate::Quota;
use crate::micros::{TimeSpan, Timestamp};
use crate::verdict::Reading;

/// The largest number of granules into which a period is divided. A period that does not start with
/// a granule overlaps one more.
pub(super) const RESOLUTION: u64 = 1024;

/// The log of one quota for one subject. It has an entry for each admission, or one for all
/// admissions in a granule. It is empty for a subject without any charges. The sum of the units is
/// at most the limit, or an earlier, larger limit.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlidingWindow {
    log: Log,
}

impl SlidingWindow {
    /// Creates a log from (time, units) pairs, the oldest first.
    #[cfg(feature = "redis")]
    pub(super) fn from_raw(entries: impl Iterator<Item = (Timestamp, u32)>) -> Self {
        let mut log = Log::default();
        entries.for_each(|(newest, units)| log.push_back(LogEntry { newest, units }));
        Self { log }
    }

    /// Creates a log from the times of entries of one unit, the oldest first.
    pub(super) fn of_units(times: impl Iterator<Item = Timestamp>) -> Self {
        let mut log = Log::default();
        times.for_each(|newest| log.push_back(LogEntry { newest, units: 1 }));
        Self { log }
    }

    /// Returns `true` if each entry has one unit, there are no more of them than the limit, and all lie
    /// within one period up to the newest.
    pub(super) fn has_only_units(&self, quota: &Quota) -> bool {
        let (len, used) = (self.log.len(), self.log.used());
        let oldest = self.log.front().map(|oldest| oldest.newest + quota.period_span());
        len as u64 == u64::from(used)
            && used <= quota.limit()
            && oldest > self.log.back().map(|newest| newest.newest)
            && self.times().is_sorted()
            || len == 0
    }

    pub(super) fn len(&self) -> usize {
        self.log.len()
    }

    /// Returns the times of all entries, the oldest first.
    pub(super) fn times(&self) -> impl Iterator<Item = Timestamp> {
        self.log.iter().map(|entry| entry.newest)
    }

    /// Gives all admissions of one time one entry. Under a small limit each has an entry of its own,
    /// but under a large one the newest entry has all units of its time.
    pub(super) fn coalesce(&mut self) {
        let mut log = Log::default();
        for entry in self.log.iter() {
            if log.back().is_some_and(|back| back.newest == entry.newest) {
                log.add_to_back(entry.newest, entry.units);
            } else {
                log.push_back(entry);
            }
        }
        self.log = log;
    }

    /// Takes units from the entries in the granule of `charged_at`. Returns `false`, and takes
    /// nothing, if they have fewer.
    fn refund_within(&mut self, granule: TimeSpan, charged_at: Timestamp, back: u32) -> bool {
        let units_then = |log: &Log, at| {
            let entry = log.get(at).filter(|entry| together(entry.newest, charged_at, granule));
            entry.map(|entry| entry.units)
        };
        // The newest entry is examined first, because most refunds are of a recent charge.
        let mut newest_first = (0..self.log.len()).rev();
        let Some(newest) = newest_first.find(|at| units_then(&self.log, *at).is_some()) else {
            return false;
        };
        // Charges at the same time are in adjacent entries.
        let all = (0..=newest).rev().map_while(|at| units_then(&self.log, at));
        if all.map(u64::from).sum::<u64>() < u64::from(back) {
            return false;
        }
        let mut rest = back;
        for at in (0..=newest).rev() {
            let units = units_then(&self.log, at).unwrap_or_default().min(rest);
            if units == 0 {
                break;
            }
            self.log.take(at, units);
            rest -= units;
        }
        true
    }

    /// Refunds a charge only from entries of exactly its time.
    pub(super) fn refund_exact(&mut self, quota: &Quota, refund: Settlement) -> bool {
        let Settlement { now, charged_at, .. } = refund;
        charged_at + quota.period_span() > now
            && self.refund_within(TimeSpan::ONE, charged_at, refund.back())
    }

    /// Removes the oldest units.
    pub(super) fn forget_oldest(&mut self, mut units: u32) {
        while units > 0
            && let Some(oldest) = self.log.front()
        {
            if oldest.units > units {
                return self.log.take(0, units);
            }
            units -= oldest.units;
            self.log.pop_front();
        }
    }

    /// Moves admissions later than `now` to `now`, so that they are in use for one period from now
    /// on.
    fn fold_future(&mut self, now: Timestamp, granule: TimeSpan) {
        let mut units = 0;
        while let Some(entry) = self.log.back()
            && entry.newest.interval(granule) >= now.interval(granule)
        {
            units += entry.units;
            self.log.pop_back();
        }
        self.log.push_back(LogEntry { newest: now, units });
    }
}

impl Counter for SlidingWindow {
    #[inline(always)]
    fn advance(&mut self, now: Timestamp, quota: &Quota) {
        if self.log.back().is_some_and(|entry| entry.newest > now) {
            self.fold_future(now, granule(quota));
        }
        while let Some(oldest) = self.log.front()
            && oldest.newest + quota.period_span() <= now
        {
            self.log.pop_front();
        }
    }

    #[inline]
    fn wait(&self, now: Timestamp, quota: &Quota, cost: u32) -> TimeSpan {
        let room = quota.limit() - cost;
        let mut used = self.log.used();
        let mut entries = self.log.iter();
        let mut wait = TimeSpan::ZERO;
        while used > room
            && let Some(entry) = entries.next()
        {
            used -= entry.units;
            wait = entry.newest + quota.period_span() - now;
        }
        wait
    }

    #[inline]
    fn read(&self, now: Timestamp, quota: &Quota) -> Reading {
        let until_gone = |entry: LogEntry| entry.newest + quota.period_span() - now;
        let used = self.log.used();
        let more_after = if used > quota.limit() {
            // The limit was lowered: nothing is admitted until enough units have expired.
            self.wait(now, quota, 1)
        } else {
            self.log.front().map_or(TimeSpan::ZERO, until_gone)
        };
        let reset_after = self.log.back().map_or(TimeSpan::ZERO, until_gone);
        Reading::known(quota.limit().saturating_sub(used), more_after, reset_after)
    }

    #[inline(always)]
    fn charge(&mut self, now: Timestamp, quota: &Quota, cost: u32) {
        let granule = granule(quota);
        // Without granules each admission has an entry of its own, because an entry of one unit
        // needs the least memory.
        let is_shared = |back: LogEntry| together(back.newest, now, granule);
        if granule > TimeSpan::ONE && self.log.back().is_some_and(is_shared) {
            self.log.add_to_back(now, cost);
        } else {
            self.log.push_back(LogEntry { newest: now, units: cost });
        }
    }

    /// Beyond the limit, admissions share granules from a certain number of entries on, so that
    /// other policies of the same name cannot make the log longer without end.
    fn charge_beyond(&mut self, now: Timestamp, quota: &Quota, units: u32) -> bool {
        let units = units.min(u32::MAX - self.log.used());
        let shares = u64::from(quota.limit()).max(self.log.len() as u64 + 1) > RESOLUTION;
        let granule = granule_of(quota, shares);
        let is_shared = |back: LogEntry| together(back.newest, now, granule);
        if units == 0 {
            return false;
        }
        if self.log.back().is_some_and(is_shared) {
            self.log.add_to_back(now, units);
        } else {
            self.log.push_back(LogEntry { newest: now, units });
        }
        false
    }

    fn admissions(&self, _: &Quota) -> Admissions {
        self.log.iter().map(|entry| (entry.newest, entry.units)).collect()
    }

    fn refund(&mut self, quota: &Quota, refund: Settlement) -> bool {
        let Settlement { now, charged_at, .. } = refund;
        if charged_at + quota.period_span() <= now {
            // An entry of the same granule would be that of another charge, or count for this one
            // only until the granule's end.
            return false;
        }
        // A policy with a smaller limit may have given the charge an entry of its own.
        self.refund_within(TimeSpan::ONE, charged_at, refund.back())
            || self.refund_within(granule(quota), charged_at, refund.back())
    }

    fn empty_at(&self, quota: &Quota) -> Timestamp {
        self.log.back().map_or(Timestamp::EPOCH, |entry| entry.newest + quota.period_span())
    }
}

/// Returns `true` if two admissions are at the same time or in the same granule.
#[inline]
fn together(earlier: Timestamp, later: Timestamp, granule: TimeSpan) -> bool {
    // Without granules the times are only compared, which needs no division.
    earlier == later
        || (granule > TimeSpan::ONE && earlier.interval(granule) == later.interval(granule))
}

#[inline]
fn granule(quota: &Quota) -> TimeSpan {
    granule_of(quota, u64::from(quota.limit()) > RESOLUTION)
}

/// Returns the granule of a quota; one microsecond, if its admissions share no entries.
#[inline]
fn granule_of(quota: &Quota, shares: bool) -> TimeSpan {
    if shares {
        TimeSpan::from_micros(quota.period_micros().div_ceil(RESOLUTION))
    } else {
        TimeSpan::ONE
    }
}
