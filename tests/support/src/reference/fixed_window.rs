//! The first charge opens a window of one period, in which at most the limit is admitted.

use super::{Definition, Numbers};

pub(super) fn define(numbers: Numbers) -> Box<dyn Definition> {
    let Numbers { limit, period, .. } = numbers;
    Box::new(FixedWindow { limit: limit.into(), period, charges: Vec::new() })
}

struct FixedWindow {
    limit: u64,
    period: u64,
    /// When, and how much, in the newest window.
    charges: Vec<(u64, u64)>,
}

impl FixedWindow {
    /// When the window opened that is open at `now`.
    fn opened(&self, now: u64) -> Option<u64> {
        let first = self.charges.iter().map(|(at, _)| *at).min();
        first.filter(|at| now < at + self.period)
    }

    fn charged(&self) -> u64 {
        self.charges.iter().map(|(_, units)| units).sum()
    }

    fn charged_at(&self, instant: u64) -> u64 {
        self.charges.iter().filter(|(at, _)| *at == instant).map(|(_, units)| units).sum()
    }
}

impl Definition for FixedWindow {
    fn admits(&self, now: u64, units: u64) -> bool {
        let used = if self.opened(now).is_some() { self.charged() } else { 0 };
        used + units <= self.limit
    }

    fn charge(&mut self, now: u64, units: u64) {
        if self.opened(now).is_none() {
            self.charges.clear();
        }
        self.charges.push((now, units));
    }

    fn refund(&mut self, now: u64, stamp: u64, units: u64) -> bool {
        let Some(opened) = self.opened(now) else { return false };
        let Some(index) = self.charges.iter().position(|charge| *charge == (stamp, units)) else {
            return false;
        };
        // A unit of those that opened the window stays, or the others would find themselves
        // in one that opened later; only the last charge of all closes it.
        let is_all = self.charged() == units;
        if stamp == opened && self.charged_at(opened) == units && !is_all {
            return false;
        }
        self.charges.remove(index);
        true
    }

    fn relimit(&mut self, limit: u32) {
        self.limit = limit.into();
    }
}
