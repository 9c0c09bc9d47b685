//! The generic cell rate algorithm: cells are due one emission interval after another, and may
//! come early by no more than a tolerance.

use super::{Definition, Numbers, TEN_YEARS};

pub(super) fn define(numbers: Numbers) -> Box<dyn Definition> {
    Box::new(Gcra { numbers, due: 0 })
}

struct Gcra {
    numbers: Numbers,
    /// The theoretical arrival time of the next cell. All times here are in parts of a
    /// microsecond, of which there are as many as the limit: so the emission interval,
    /// period ÷ limit, is as many parts as the period has microseconds.
    due: u128,
}

impl Gcra {
    fn parts(&self, instant: u64) -> u128 {
        u128::from(instant) * u128::from(self.numbers.limit)
    }

    fn interval(&self) -> u128 {
        self.numbers.period.into()
    }

    /// The arrival time after `units` that come at `now`.
    fn next(&self, now: u64, units: u64) -> u128 {
        self.parts(now).max(self.due) + u128::from(units) * self.interval()
    }
}

impl Definition for Gcra {
    fn admits(&self, now: u64, units: u64) -> bool {
        let tolerance = u128::from(self.numbers.capacity()) * self.interval();
        self.next(now, units) <= self.parts(now) + tolerance
    }

    fn charge(&mut self, now: u64, units: u64) {
        self.due = self.next(now, units);
    }

    fn give_back(&mut self, now: u64, stamp: u64, units: u64, back: u64) -> bool {
        // Of the intervals that the charge put between then and what is due, those that have
        // gone by are gone.
        let charged = u128::from(units) * self.interval();
        let left = charged.saturating_sub(self.parts(now - stamp));
        let ahead = self.due.saturating_sub(self.parts(now));
        let back = (u128::from(back) * self.interval()).min(left).min(ahead);
        self.due -= back;
        back > 0
    }

    fn owe(&mut self, now: u64, units: u64) {
        // Nothing is due later than in ten years because of a debt.
        let latest = self.parts(now + TEN_YEARS).max(self.due);
        self.due = self.next(now, units.min(self.numbers.longest_debt())).min(latest);
    }
}
