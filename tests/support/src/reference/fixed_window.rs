//! The first charge opens a window of one period, in which at most the limit is admitted. What is
//! owed beyond it fills the windows that follow, each from the end of the one before.

use super::{Definition, MOST, Numbers};

pub(super) fn define(numbers: Numbers) -> Box<dyn Definition> {
    Box::new(FixedWindow::new(numbers))
}

#[derive(Clone, Debug)]
pub(super) struct FixedWindow {
    numbers: Numbers,
    /// When, and how much, in the newest window.
    charges: Vec<(u64, u64)>,
    /// The part of a debt that has taken the place of what was given back.
    moved: u64,
    /// The units that the windows after the newest one have to take.
    owed: u64,
}

impl FixedWindow {
    pub(super) fn new(numbers: Numbers) -> Self {
        Self { numbers, charges: Vec::new(), moved: 0, owed: 0 }
    }

    /// When the newest window opened.
    fn opened(&self) -> Option<u64> {
        self.charges.iter().map(|(at, _)| *at).min()
    }

    fn charged(&self) -> u64 {
        self.charges.iter().map(|(_, units)| units).sum::<u64>() + self.moved
    }

    fn charged_at(&self, instant: u64) -> u64 {
        self.charges.iter().filter(|(at, _)| *at == instant).map(|(_, units)| units).sum()
    }

    /// The window that is open at `now`; one without charges, if none is. It is found anew each time,
    /// by the limit in force then, and kept only when something is charged or given back.
    fn at(&self, now: u64) -> Self {
        let Some(first) = self.opened() else { return self.clone() };
        let Numbers { limit, period, .. } = self.numbers;
        let passed = (now - first) / period;
        if passed == 0 {
            return self.clone();
        }
        // Those between have taken as much as they could.
        let owed = self.owed.min(self.numbers.longest_owed());
        let left = owed.saturating_sub((passed - 1).saturating_mul(limit.into()));
        let taken = left.min(limit.into());
        let mut window = Self::new(self.numbers);
        if taken > 0 {
            window.charges.push((first + passed * period, taken));
            window.owed = left - taken;
        }
        window
    }

    /// Says if nothing counts at `now`.
    pub(super) fn is_unused(&self, now: u64) -> bool {
        self.at(now).charges.is_empty()
    }

    /// From when on nothing counts.
    pub(super) fn empty_at(&self) -> u64 {
        let Some(opened) = self.opened() else { return 0 };
        let owed = self.owed.min(self.numbers.longest_owed());
        opened + self.numbers.period * (1 + owed.div_ceil(self.numbers.limit.into()))
    }

    pub(super) fn numbers(&self) -> Numbers {
        self.numbers
    }
}

impl Definition for FixedWindow {
    fn admits(&self, now: u64, units: u64) -> bool {
        let window = self.at(now);
        window.owed == 0 && window.charged() + units <= self.numbers.limit.into()
    }

    fn charge(&mut self, now: u64, units: u64) {
        *self = self.at(now);
        self.charges.push((now, units));
    }

    fn give_back(&mut self, now: u64, stamp: u64, units: u64, back: u64) -> bool {
        let mut window = self.at(now);
        let Some(opened) = window.opened() else { return false };
        let Some(index) = window.charges.iter().position(|charge| *charge == (stamp, units)) else {
            return false;
        };
        // A unit of those that opened the window stays, or the others would find themselves
        // in one that opened later; only the last charge of all closes it.
        let is_all = window.charged() == back && window.owed == 0;
        if stamp == opened && window.charged_at(opened) == back && !is_all {
            return false;
        }
        window.charges[index].1 -= back;
        window.charges.retain(|(_, units)| *units > 0);
        let moved = window.owed.min(back);
        window.owed -= moved;
        window.moved += moved;
        *self = window;
        true
    }

    fn owe(&mut self, now: u64, units: u64) {
        *self = self.at(now);
        let limit = u64::from(self.numbers.limit);
        let room = if self.owed > 0 { 0 } else { limit.saturating_sub(self.charged()) };
        let fits = room.min(units);
        if fits > 0 {
            self.charges.push((now, fits));
        }
        let owed = (self.owed + units - fits).min(MOST);
        self.owed = owed.min(self.numbers.longest_owed());
    }

    fn relimit(&mut self, limit: u32) {
        self.numbers.limit = limit;
    }
}
