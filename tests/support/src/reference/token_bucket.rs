//! A bucket that holds `burst` tokens and gets `limit` of them each period, evenly. A request
//! takes its cost in tokens.

use super::{Definition, Numbers, TEN_YEARS};

pub(super) fn define(numbers: Numbers) -> Box<dyn Definition> {
    let whole = i128::from(numbers.period);
    let full = i128::from(numbers.capacity()) * whole;
    Box::new(TokenBucket { numbers, whole, full, tokens: full, at: 0 })
}

/// Tokens are counted in parts, of which a whole one has as many as the period has microseconds;
/// so each microsecond brings as many parts as the limit.
struct TokenBucket {
    numbers: Numbers,
    whole: i128,
    full: i128,
    /// What it held at `at`. A debt is less than nothing.
    tokens: i128,
    at: u64,
}

impl TokenBucket {
    /// The parts that a span brings.
    fn flow(&self, span: u64) -> i128 {
        i128::from(span) * i128::from(self.numbers.limit)
    }

    fn tokens(&self, now: u64) -> i128 {
        self.full.min(self.tokens + self.flow(now - self.at))
    }
}

impl Definition for TokenBucket {
    fn admits(&self, now: u64, units: u64) -> bool {
        self.tokens(now) >= i128::from(units) * self.whole
    }

    fn charge(&mut self, now: u64, units: u64) {
        self.tokens = self.tokens(now) - i128::from(units) * self.whole;
        self.at = now;
    }

    fn give_back(&mut self, now: u64, stamp: u64, units: u64, back: u64) -> bool {
        // What has flowed in since has replaced as much of what was taken.
        let left = i128::from(units) * self.whole - self.flow(now - stamp);
        let missing = self.full - self.tokens(now);
        let back = left.min(i128::from(back) * self.whole).clamp(0, missing);
        self.tokens = self.tokens(now) + back;
        self.at = now;
        back > 0
    }

    fn owe(&mut self, now: u64, units: u64) {
        let tokens = self.tokens(now);
        let units = i128::from(units.min(self.numbers.longest_debt()));
        // A debt leaves no less than can flow in within ten years.
        let least = self.full - self.flow(TEN_YEARS);
        self.tokens = tokens.min(least.max(tokens - units * self.whole));
        self.at = now;
    }
}
