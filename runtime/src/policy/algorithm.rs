//! The algorithms that decide if a quota admits a request.

use std::fmt;
use std::str::FromStr;

use super::unknown_word::UnknownWord;

/// An algorithm that decides if a quota admits a request. Each variant states how much it admits at
/// most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// A log of the times of admissions. **Any** half-open window of one period contains at most
    /// the limit, wherever the window starts.
    ///
    /// With a limit of up to 1024 the log is exact. With a higher limit, all admissions within
    /// ⌈period ÷ 1024⌉ (one granule) share a log entry. The limit is still never exceeded, but a
    /// unit can become available again later than with an exact log, by less than one granule.
    #[default]
    SlidingWindow,
    /// Two counters, one for the present window and one for the previous window. The previous one
    /// is weighted by the part of its window that the last period still covers. Of the two sliding
    /// windows it needs less memory. Under constant demand it admits limit − 1 in each period. At
    /// worst, it admits 2 × limit − 1 in a window of one period.
    SlidingWindowCounter,
    /// One counter for a window of one period, which the first admission opens. Each such window
    /// admits at most the limit. At worst, with admissions late in one window and early in the
    /// next, 2 × limit − 1 are admitted in a window of one period.
    FixedWindow,
    /// A bucket of `burst` tokens that fills steadily at limit ÷ period. It admits at most burst +
    /// limit − 1 in any half-open window of one period.
    TokenBucket,
    /// A bucket of `burst` units that leaks at limit ÷ period. It decides like the token bucket.
    /// With `wait`, queued calls go on one by one, period ÷ limit apart, and `burst` is the length
    /// of the queue.
    LeakyBucket,
    /// The generic cell rate algorithm: the token bucket stored as a single number, with the same
    /// bound.
    Gcra,
}

impl Algorithm {
    /// All algorithms, in the order of the variants.
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

    /// Returns `true` if the algorithm has a bucket. Only then may a quota set a burst, which is
    /// the size of the bucket.
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
        // The compiler reports a new variant that is missing in this match.
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
