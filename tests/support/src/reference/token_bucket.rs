//! A bucket that holds `burst` tokens and gets `limit` of them each period, evenly. A request
//! takes its cost in tokens.

use super::{Definition, Numbers};

pub(super) fn define(numbers: Numbers) -> Box<dyn Definition> {
    let whole = u128::from(numbers.period);
    let full = u128::from(numbers.capacity()) * whole;
    Box::new(TokenBucket { whole, flow: numbers.limit.into(), full, tokens: full, at: 0 })
}

/// Tokens are counted in parts, of which a whole one has as many as the period has microseconds;
/// so each microsecond brings as many parts as the limit.
struct TokenBucket {
    whole: u128,
    flow: u128,
    full: u128,
    /// What it held at `at`.
    tokens: u128,
    at: u64,
}

impl TokenBucket {
    fn tokens(&self, now: u64) -> u128 {
        self.full.min(self.tokens + u128::from(now - self.at) * self.flow)
    }
}

impl Definition for TokenBucket {
    fn admits(&self, now: u64, units: u64) -> bool {
        self.tokens(now) >= u128::from(units) * self.whole
    }

    fn charge(&mut self, now: u64, units: u64) {
        self.tokens = self.tokens(now) - u128::from(units) * self.whole;
        self.at = now;
    }

    fn refund(&mut self, now: u64, stamp: u64, units: u64) -> bool {
        // What has flowed in since has replaced as much of what was taken.
        let taken = u128::from(units) * self.whole;
        let replaced = u128::from(now - stamp) * self.flow;
        let missing = self.full - self.tokens(now);
        let back = taken.saturating_sub(replaced).min(missing);
        self.tokens = self.tokens(now) + back;
        self.at = now;
        back > 0
    }
}
