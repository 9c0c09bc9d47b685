//! A bucket that leaks `limit` units each period, evenly, and overflows above `burst`. A request
//! pours its cost in, if that does not make it overflow.

use super::{Definition, Numbers, TEN_YEARS};

pub(super) fn define(numbers: Numbers) -> Box<dyn Definition> {
    Box::new(LeakyBucket { numbers, poured: Vec::new() })
}

struct LeakyBucket {
    numbers: Numbers,
    /// When, and by how much the level rose (or fell, when something was given back): in parts
    /// of a unit, of which a whole one has as many as the period has microseconds.
    poured: Vec<(u64, i128)>,
}

impl LeakyBucket {
    fn whole(&self) -> i128 {
        self.numbers.period.into()
    }

    /// What a span lets leak.
    fn leak(&self, span: u64) -> i128 {
        i128::from(span) * i128::from(self.numbers.limit)
    }

    /// The level, followed from the beginning.
    fn level(&self, now: u64) -> i128 {
        let (mut level, mut at) = (0, 0);
        for (next, parts) in &self.poured {
            level = (level - self.leak(next - at)).max(0) + parts;
            at = *next;
        }
        (level - self.leak(now - at)).max(0)
    }
}

impl Definition for LeakyBucket {
    fn admits(&self, now: u64, units: u64) -> bool {
        let rim = i128::from(self.numbers.capacity()) * self.whole();
        self.level(now) + i128::from(units) * self.whole() <= rim
    }

    fn charge(&mut self, now: u64, units: u64) {
        self.poured.push((now, i128::from(units) * self.whole()));
    }

    fn give_back(&mut self, now: u64, stamp: u64, units: u64, back: u64) -> bool {
        // What has leaked since may have been of this; the rest is still in the bucket, if
        // anything is.
        let left = i128::from(units) * self.whole() - self.leak(now - stamp);
        let back = left.min(i128::from(back) * self.whole()).clamp(0, self.level(now));
        self.poured.push((now, -back));
        back > 0
    }

    fn owe(&mut self, now: u64, units: u64) {
        let level = self.level(now);
        let more = i128::from(units.min(self.numbers.longest_debt())) * self.whole();
        // A debt makes it no fuller than can leak in ten years.
        let room = (self.leak(TEN_YEARS) - level).max(0);
        self.poured.push((now, more.min(room)));
    }
}
