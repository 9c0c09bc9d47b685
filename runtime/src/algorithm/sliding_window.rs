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
use super::{Counter, Refund};
use crate::Quota;
use crate::micros::{TimeSpan, Timestamp};
use crate::verdict::Reading;

/// The largest number of granules into which a period is divided. A period that does not start with
/// a granule overlaps one more.
const RESOLUTION: u64 = 1024;

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

    fn refund(&mut self, quota: &Quota, refund: Refund) -> bool {
        let Refund { now: _, charged_at, cost } = refund;
        let granule = granule(quota);
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
        if all.sum::<u32>() < cost {
            return false;
        }
        let mut rest = cost;
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
    if u64::from(quota.limit()) <= RESOLUTION {
        TimeSpan::ONE
    } else {
        TimeSpan::from_micros(quota.period_micros().div_ceil(RESOLUTION))
    }
}
