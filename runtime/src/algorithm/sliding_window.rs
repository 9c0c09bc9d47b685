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

use std::collections::VecDeque;

use super::{Core, Micros, Reading};
use crate::Quota;

/// The most entries, save one, that a window is divided into.
const RESOLUTION: u64 = 1024;

/// The log of one quota for one subject. Empty is the state of a subject never seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlidingWindow {
    /// Oldest first, each in a granule of its own.
    entries: VecDeque<Entry>,
    /// The sum of all entries' units. At most a limit, or what an earlier, larger limit
    /// admitted.
    used: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// The newest admission in this entry.
    newest: Micros,
    units: u32,
}

impl SlidingWindow {
    /// From (time, units) pairs, the oldest first.
    #[cfg(feature = "redis")]
    pub(super) fn from_raw(used: u32, entries: impl Iterator<Item = (Micros, u32)>) -> Self {
        let entries = entries.map(|(newest, units)| Entry { newest, units }).collect();
        Self { entries, used }
    }

    /// Brings what lies ahead of `now` down to it: it then leaves one period from now, and
    /// counts until then.
    fn fold_future(&mut self, now: Micros, granule: Micros) {
        let mut units = 0;
        while let Some(entry) =
            self.entries.pop_back_if(|entry| entry.newest / granule >= now / granule)
        {
            units += entry.units;
        }
        self.entries.push_back(Entry { newest: now, units });
    }
}

impl Core for SlidingWindow {
    #[inline]
    fn advance(&mut self, now: Micros, quota: &Quota) {
        if self.entries.back().is_some_and(|entry| entry.newest > now) {
            self.fold_future(now, granule(quota));
        }
        while let Some(oldest) = self.entries.front()
            && oldest.newest + quota.period_micros() <= now
        {
            self.used -= oldest.units;
            self.entries.pop_front();
        }
    }

    #[inline]
    fn wait(&self, now: Micros, quota: &Quota, cost: u32) -> Micros {
        let room = quota.limit() - cost;
        let mut used = self.used;
        let mut wait = 0;
        for entry in &self.entries {
            if used <= room {
                break;
            }
            used -= entry.units;
            wait = entry.newest + quota.period_micros() - now;
        }
        wait
    }

    #[inline]
    fn read(&self, now: Micros, quota: &Quota) -> Reading {
        let until_gone = |entry: &Entry| entry.newest + quota.period_micros() - now;
        let mut more_after = self.entries.front().map_or(0, until_gone);
        if self.used > quota.limit() {
            // A lowered limit: nothing more until that much has left.
            more_after = self.wait(now, quota, 1);
        }
        let reset_after = self.entries.back().map_or(0, until_gone);
        Reading::known(quota.limit().saturating_sub(self.used), more_after, reset_after)
    }

    #[inline]
    fn charge(&mut self, now: Micros, quota: &Quota, cost: u32) {
        self.used += cost;
        match self.entries.back_mut() {
            Some(newest) if together(newest.newest, now, granule(quota)) => {
                newest.newest = now;
                newest.units += cost;
            }
            _ => self.entries.push_back(Entry { newest: now, units: cost }),
        }
    }

    fn refund(&mut self, _: Micros, quota: &Quota, stamp: Micros, cost: u32) -> bool {
        let granule = granule(quota);
        let Ok(at) =
            self.entries.binary_search_by_key(&(stamp / granule), |entry| entry.newest / granule)
        else {
            return false;
        };
        if self.entries[at].units < cost {
            return false;
        }
        self.used -= cost;
        self.entries[at].units -= cost;
        if self.entries[at].units == 0 {
            self.entries.remove(at);
        }
        true
    }

    fn empty_at(&self, quota: &Quota) -> Micros {
        self.entries.back().map_or(0, |entry| entry.newest + quota.period_micros())
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
