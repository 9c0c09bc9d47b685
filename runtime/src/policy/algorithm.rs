//! The algorithms by which quotas are counted.

use std::fmt;
use std::str::FromStr;

use super::unknown_word::UnknownWord;

/// An algorithm by which quotas are counted. Each variant states its bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// A log of the times of admissions. **Any** half-open window of one period contains at most
    /// the limit: never one more, wherever the window starts.
    ///
    /// Up to a limit of 1024 it is exact. Above that, admissions share granules of
    /// ⌈period ÷ 1024⌉: still never more than the limit, but a unit can come back later than it
    /// might, by less than one granule.
    #[default]
    SlidingWindow,
    /// Two counters, the earlier weighted by the part of it that the window still covers: the least
    /// memory of the windows that slide. Under constant demand it admits limit − 1 in each period;
    /// at worst, 2 × limit − 1 in a window of one period.
    SlidingWindowCounter,
    /// One counter, in a window that the first admission opens. At most the limit in each such
    /// window; at worst, late in one and early in the next, 2 × limit − 1 in a window of one
    /// period.
    FixedWindow,
    /// A bucket of `burst` tokens that fills steadily at limit ÷ period. At most burst + limit − 1
    /// in any half-open window of one period.
    TokenBucket,
    /// A bucket of `burst` units that leaks at limit ÷ period. It decides like the token bucket;
    /// with `wait`, calls leave spaced by period ÷ limit, and `burst` is the length of the queue.
    LeakyBucket,
    /// The generic cell rate algorithm: the token bucket stored as a single number, with the same
    /// bound.
    Gcra,
}

impl Algorithm {
    /// All algorithms, in the order of this enum.
    pub const ALL: &'static [Self] = &[
        Self::SlidingWindow,
        Self::SlidingWindowCounter,
        Self::FixedWindow,
        Self::TokenBucket,
        Self::LeakyBucket,
        Self::Gcra,
    ];

    /// Returns the algorithm's name in the attribute and in configuration files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SlidingWindow => "sliding_window",
            Self::SlidingWindowCounter => "sliding_window_counter",
            Self::FixedWindow => "fixed_window",
            Self::TokenBucket => "token_bucket",
            Self::LeakyBucket => "leaky_bucket",
            Self::Gcra => "gcra",
        }
    }

    /// Returns `true` if the algorithm has a bucket, whose size is a quota's burst.
    pub(crate) const fn has_bucket(self) -> bool {
        match self {
            Self::SlidingWindow | Self::SlidingWindowCounter | Self::FixedWindow => false,
            Self::TokenBucket | Self::LeakyBucket | Self::Gcra => true,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Parses the name that [`as_str`](Self::as_str) returns.
impl FromStr for Algorithm {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let named = Self::ALL.iter().copied().find(|known| known.as_str() == word);
        named.ok_or_else(|| UnknownWord::new(word, Self::ALL.iter().map(|known| known.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_others_are_answered_with_the_nearest() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(*algorithm));
        }
        let error = "token-bucket".parse::<Algorithm>().unwrap_err();
        assert_eq!(error.word(), "token-bucket");
        let text = "`token-bucket` is none of `sliding_window`, `sliding_window_counter`, \
                    `fixed_window`, `token_bucket`, `leaky_bucket`, `gcra`: did you mean \
                    `token_bucket`?";
        assert_eq!(error.to_string(), text);
        let text = "`shut` is none of `closed`, `open`, `local`";
        assert_eq!("shut".parse::<crate::OnError>().unwrap_err().to_string(), text);
    }

    #[test]
    fn no_algorithm_is_left_out() {
        // The compiler asks for a new one here.
        let next = |algorithm| match algorithm {
            Algorithm::SlidingWindow => Some(Algorithm::SlidingWindowCounter),
            Algorithm::SlidingWindowCounter => Some(Algorithm::FixedWindow),
            Algorithm::FixedWindow => Some(Algorithm::TokenBucket),
            Algorithm::TokenBucket => Some(Algorithm::LeakyBucket),
            Algorithm::LeakyBucket => Some(Algorithm::Gcra),
            Algorithm::Gcra => None,
        };
        let all: Vec<_> =
            std::iter::successors(Some(Algorithm::default()), |one| next(*one)).collect();
        assert_eq!(all, Algorithm::ALL);
    }
}
