//! The sliding window log: remember each admission for one period.
//!
//! An admission at `t` counts until `t + period`, exclusive. So an interval `[a, a + period)`
//! never holds two admissions of which one was admitted after the other had left, and at
//! most the limit is admitted in **any** such interval: the bound is the definition.
//!
//! Memory is paid by admitted traffic. Up to a limit of [`RESOLUTION`] there is an entry for
//! each admission, at most `limit` of them. Above it, admissions share a granule of
//! `g = ⌈period ÷ RESOLUTION⌉` aligned to the epoch, which keeps its newest time and leaves
//! as a whole at newest + period. An entry never leaves before its admissions would have, so
//! the bound holds; it leaves later by less than `g`, and at most `RESOLUTION + 1` granules
//! overlap one period.

use super::log::{Entry, Log};
use super::{Core, Micros};
use crate::Quota;
use crate::verdict::Reading;

/// The most entries, save one, that a window is divided into.
const RESOLUTION: u64 = 1024;

/// The log of one quota for one subject: an entry for each admission, or for those of a granule.
/// Empty is the state of a subject never seen. Its sum is at most a limit, or what an earlier,
/// larger limit admitted.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlidingWindow {
    log: Log,
}

impl SlidingWindow {
    /// From (time, units) pairs, the oldest first.
    #[cfg(feature = "redis")]
    pub(super) fn from_raw(entries: impl Iterator<Item = (Micros, u32)>) -> Self {
        let mut log = Log::default();
        entries.for_each(|(newest, units)| log.push_back(Entry { newest, units }));
        Self { log }
    }

    /// Brings what lies ahead of `now` down to it: it then leaves one period from now, and
    /// counts until then.
    fn fold_future(&mut self, now: Micros, granule: Micros) {
        let mut units = 0;
        while let Some(entry) = self.log.back()
            && entry.newest / granule >= now / granule
        {
            units += entry.units;
            self.log.pop_back();
        }
        self.log.push_back(Entry { newest: now, units });
    }
}

impl Core for SlidingWindow {
    #[inline]
    fn advance(&mut self, now: Micros, quota: &Quota) {
        if self.log.back().is_some_and(|entry| entry.newest > now) {
            self.fold_future(now, granule(quota));
        }
        while let Some(oldest) = self.log.front()
            && oldest.newest + quota.period_micros() <= now
        {
            self.log.pop_front();
        }
    }

    #[inline]
    fn wait(&self, now: Micros, quota: &Quota, cost: u32) -> Micros {
        let room = quota.limit() - cost;
        let mut used = self.log.used();
        let mut entries = self.log.iter();
        let mut wait = 0;
        while used > room
            && let Some(entry) = entries.next()
        {
            used -= entry.units;
            wait = entry.newest + quota.period_micros() - now;
        }
        wait
    }

    #[inline]
    fn read(&self, now: Micros, quota: &Quota) -> Reading {
        let until_gone = |entry: Entry| entry.newest + quota.period_micros() - now;
        let used = self.log.used();
        let more_after = if used > quota.limit() {
            // A lowered limit: nothing more until that much has left.
            self.wait(now, quota, 1)
        } else {
            self.log.front().map_or(0, until_gone)
        };
        let reset_after = self.log.back().map_or(0, until_gone);
        Reading::known(quota.limit().saturating_sub(used), more_after, reset_after)
    }

    #[inline]
    fn charge(&mut self, now: Micros, quota: &Quota, cost: u32) {
        let granule = granule(quota);
        // Without granules each has an entry of its own, for one unit takes the least room.
        let is_shared = |back: Entry| together(back.newest, now, granule);
        if granule > 1 && self.log.back().is_some_and(is_shared) {
            self.log.add_to_back(now, cost);
        } else {
            self.log.push_back(Entry { newest: now, units: cost });
        }
    }

    fn refund(&mut self, _: Micros, quota: &Quota, stamp: Micros, cost: u32) -> bool {
        let granule = granule(quota);
        let units_then = |log: &Log, at| {
            let entry = log.get(at).filter(|entry| together(entry.newest, stamp, granule));
            entry.map(|entry| entry.units)
        };
        // Most refunds are of what was charged just now.
        let mut newest_first = (0..self.log.len()).rev();
        let Some(newest) = newest_first.find(|at| units_then(&self.log, *at).is_some()) else {
            return false;
        };
        // What was charged at one time lies together.
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

    fn empty_at(&self, quota: &Quota) -> Micros {
        self.log.back().map_or(0, |entry| entry.newest + quota.period_micros())
    }
}

/// Whether two admissions share an entry.
#[inline]
fn together(earlier: Micros, later: Micros, granule: Micros) -> bool {
    // A limit that is not divided into granules need not divide.
    earlier == later || (granule > 1 && earlier / granule == later / granule)
}

#[inline]
fn granule(quota: &Quota) -> Micros {
    if u64::from(quota.limit()) <= RESOLUTION {
        1
    } else {
        quota.period_micros().div_ceil(RESOLUTION)
    }
}
