//! A histogram of the durations of checks for each of the last seconds. The sizes of its buckets
//! grow with the durations: there are four buckets for each doubling. So a quantile is at most a
//! quarter too large.

use std::time::Duration;

use super::Seconds;

/// The shortest duration that is distinguished, as a power of two of nanoseconds: 128 ns.
const SHORTEST: u32 = 7;
/// The longest duration that is distinguished, as a power of two of nanoseconds: 17 s.
const LONGEST: u32 = 34;
/// The number of buckets for each doubling of the duration.
const STEPS: u32 = 4;
const STEP_BITS: u32 = STEPS.trailing_zeros();
const BUCKETS: usize = ((LONGEST - SHORTEST) * STEPS) as usize;

pub(crate) struct Latency {
    buckets: Box<[Seconds]>,
}

impl Default for Latency {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| Seconds::default()).collect() }
    }
}

impl Latency {
    pub(super) fn record(&self, second: u64, took: Duration) {
        self.buckets[bucket(took)].add(second);
    }

    /// Returns these quantiles (0.5 is the median) of the durations in `seconds`; `None` if there
    /// were no checks. Each is the upper bound of the bucket that contains it.
    pub(crate) fn quantiles<const N: usize>(
        &self,
        seconds: impl Iterator<Item = u64> + Clone,
        quantiles: [f64; N],
    ) -> Option<[Duration; N]> {
        let counts: Vec<u64> = self
            .buckets
            .iter()
            .map(|bucket| seconds.clone().map(|second| bucket.at(second)).sum())
            .collect();
        let total: u64 = counts.iter().sum();
        (total > 0).then(|| quantiles.map(|quantile| value_at(&counts, total, quantile)))
    }
}

/// Returns the upper bound of the bucket that contains the quantile.
fn value_at(counts: &[u64], total: u64, quantile: f64) -> Duration {
    let rank = (quantile * total as f64).ceil().max(1.0) as u64;
    let mut cumulative = 0;
    let reaches_rank = |count: &u64| {
        cumulative += count;
        cumulative >= rank
    };
    upper_bound(counts.iter().position(reaches_rank).unwrap_or(BUCKETS - 1))
}

fn bucket(took: Duration) -> usize {
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    let nanos = nanos.clamp(1 << SHORTEST, (1 << LONGEST) - 1);
    let doublings = nanos.ilog2();
    let step = (nanos >> (doublings - STEP_BITS)) as u32 % STEPS;
    ((doublings - SHORTEST) * STEPS + step) as usize
}

fn upper_bound(bucket: usize) -> Duration {
    let (doublings, step) = (bucket as u32 / STEPS + SHORTEST, bucket as u32 % STEPS);
    Duration::from_nanos(u64::from(STEPS + step + 1) << (doublings - STEP_BITS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_quantile_is_at_most_a_quarter_too_long(
            mut nanos in prop::collection::vec(128_u64..10_000_000_000, 1..200),
            quantile in 0.01_f64..1.0,
        ) {
            let latency = Latency::default();
            for &nanos in &nanos {
                latency.record(7, Duration::from_nanos(nanos));
            }
            nanos.sort_unstable();
            let exact = nanos[((quantile * nanos.len() as f64).ceil() as usize).max(1) - 1] as f64;
            let [found] = latency.quantiles(0..10, [quantile]).unwrap_or_default();
            let found = found.as_nanos() as f64;
            prop_assert!(exact < found && found <= exact * 1.25, "{found} for {exact}");
        }
    }

    #[test]
    fn what_is_out_of_range_is_counted_at_its_end() {
        let latency = Latency::default();
        assert!(latency.quantiles(0..10, [0.5]).is_none());
        latency.record(1, Duration::ZERO);
        latency.record(1, Duration::MAX);
        let [least, most] = latency.quantiles(0..10, [0.5, 1.0]).unwrap_or_default();
        assert_eq!((least.as_nanos(), most.as_nanos()), (160, 1 << LONGEST));
    }
}
