//! Who asks again as soon as it may gets the rate that the documentation names, and no less.

use proptest::prelude::*;
use tollgate::Algorithm;

use support::reference::{Numbers, cases, for_all_six, micros, numbers};
use support::subject::Subject;

const PERIODS: u64 = 20;

fn small(algorithm: Algorithm) -> impl Strategy<Value = Numbers> {
    let few = |numbers: &Numbers| numbers.limit <= 12 && numbers.capacity() <= 100;
    numbers(algorithm).prop_filter("few enough to ask one by one", few)
}

/// One by one over many periods, to the unit.
fn greedy_get_the_whole_rate(algorithm: Algorithm) {
    proptest!(cases(30, 500), |(numbers in small(algorithm))| {
        let (limit, period) = (u64::from(numbers.limit), numbers.period);
        let mut subject = Subject::new(algorithm, &[numbers]);
        let edge = (subject.now / period + 1) * period;
        subject.set(edge);
        let admitted: u64 =
            subject.take_greedily(1, edge + PERIODS * period).iter().map(|(_, units)| units).sum();
        let expected = match algorithm {
            Algorithm::SlidingWindow | Algorithm::FixedWindow => PERIODS * limit,
            // The limit once, then one less in each window; a limit of 1 in every other.
            Algorithm::SlidingWindowCounter if limit == 1 => PERIODS / 2,
            Algorithm::SlidingWindowCounter => limit + (PERIODS - 1) * (limit - 1),
            // What was in the bucket, and what came until just before the end.
            _ => numbers.capacity() + PERIODS * limit - 1,
        };
        prop_assert_eq!(admitted, expected);
    });
}

for_all_six!(greedy_get_the_whole_rate);

/// However the first units lie in the period, each is replaced exactly one period later.
#[test]
fn the_sliding_window_replaces_each_unit_a_period_later() {
    let algorithm = Algorithm::SlidingWindow;
    let offsets = prop::collection::vec(0_u64..1_000, 12);
    proptest!(cases(100, 2_000), |(numbers in small(algorithm), offsets in offsets)| {
        let (limit, period) = (u64::from(numbers.limit), numbers.period);
        let mut offsets: Vec<u64> =
            offsets.iter().take(limit as usize).map(|share| share * (period - 1) / 999).collect();
        offsets.sort_unstable();
        let mut subject = Subject::new(algorithm, &[numbers]);
        let start = subject.now;
        for offset in offsets {
            subject.set(start + offset);
            prop_assert!(subject.check(1).is_allowed());
        }
        let later = subject.take_greedily(1, start + PERIODS * period);
        prop_assert_eq!(later.len() as u64, (PERIODS - 1) * limit);
    });
}

/// After all of it at the start of a window, the next unit comes a period and one share later.
#[test]
fn the_counter_waits_for_a_period_and_one_share() {
    let algorithm = Algorithm::SlidingWindowCounter;
    proptest!(cases(200, 5_000), |(numbers in numbers(algorithm))| {
        let (limit, period) = (u64::from(numbers.limit), numbers.period);
        let mut subject = Subject::new(algorithm, &[numbers]);
        subject.set((subject.now / period + 1) * period);
        prop_assert!(subject.check(numbers.limit).is_allowed());
        let wait = subject.check(1).retry_after().unwrap();
        prop_assert_eq!(micros(wait), period + period.div_ceil(limit));
    });
}

/// Above a limit of 1024, granules cost a steady demand less than one part in 1024.
#[test]
fn granules_cost_less_than_one_part_in_1024() {
    let share = prop_oneof![3 => Just(300_u64), 1 => 1_u64..=300];
    let demand = (1_025_u32..=4_096, 1_u64..=3_000, share);
    proptest!(cases(8, 200), |((limit, interval, share) in demand)| {
        // One request in each interval, or more.
        let period = (u64::from(limit) * interval).max(1_025);
        let gap = (interval * share).div_ceil(300);
        let mut subject = Subject::new(Algorithm::SlidingWindow, &[Numbers::new(limit, period)]);
        let periods = 5;
        let (mut admitted, end) = (0_u64, subject.now + periods * period);
        while subject.now < end {
            let decision = subject.check(1);
            admitted += u64::from(decision.is_allowed());
            // Who was refused comes when told; the others come evenly.
            subject.pass(decision.retry_after().map_or(gap, micros));
        }
        prop_assert!(admitted * 1_024 >= periods * u64::from(limit) * 1_023, "{admitted}");
    });
}
