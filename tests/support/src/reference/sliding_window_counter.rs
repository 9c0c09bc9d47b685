//! Windows aligned to the epoch; the one before counts by the share of it that a window ending
//! now still covers.

use super::{Definition, MOST, Numbers};

pub(super) fn define(numbers: Numbers) -> Box<dyn Definition> {
    let Numbers { limit, period, .. } = numbers;
    Box::new(SlidingWindowCounter { limit, period, charges: Vec::new() })
}

struct SlidingWindowCounter {
    limit: u32,
    period: u64,
    /// When, and how much. What is given back is a charge of less than nothing.
    charges: Vec<(u64, i64)>,
}

impl SlidingWindowCounter {
    /// What was charged in one of the windows.
    fn counter(&self, window: u64) -> i128 {
        let charges = self.charges.iter().filter(|(at, _)| at / self.period == window);
        charges.map(|(_, units)| i128::from(*units)).sum()
    }
}

impl Definition for SlidingWindowCounter {
    fn admits(&self, now: u64, units: u64) -> bool {
        let window = now / self.period;
        let period = i128::from(self.period);
        let elapsed = i128::from(now % self.period);
        let before = window.checked_sub(1).map_or(0, |window| self.counter(window));
        let counted = self.counter(window) + i128::from(units);
        // before × (period − elapsed) ÷ period + counted ≤ limit
        before * (period - elapsed) + counted * period <= i128::from(self.limit) * period
    }

    fn charge(&mut self, now: u64, units: u64) {
        self.charges.push((now, i64::try_from(units).unwrap()));
    }

    fn give_back(&mut self, now: u64, stamp: u64, _: u64, back: u64) -> bool {
        let (window, of_stamp) = (now / self.period, stamp / self.period);
        let back = i64::try_from(back).unwrap();
        let counts = of_stamp == window || of_stamp + 1 == window;
        let refunds = counts && self.counter(of_stamp) >= back.into();
        if refunds {
            self.charges.push((stamp, -back));
        }
        refunds
    }

    fn owe(&mut self, now: u64, units: u64) {
        let room = u64::try_from(i128::from(MOST) - self.counter(now / self.period)).unwrap();
        self.charge(now, units.min(room));
    }

    fn relimit(&mut self, limit: u32) {
        self.limit = limit;
    }
}
