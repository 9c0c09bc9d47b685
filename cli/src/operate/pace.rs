//! The pace of reading, by which others hardly notice it.

use std::collections::VecDeque;
use std::time::Duration;

/// The cost of a step to a server beside the work itself: reading the command, and sending the reply.
const OVERHEAD: Duration = Duration::from_micros(130);
/// The work that a step should take at most, so that nobody waits for it noticeably.
const AIM: Duration = Duration::from_micros(200);
/// The bounds of the keys that a step looks at.
const FEWEST: u32 = 10;
const MOST: u32 = 400;
/// Of so many steps, the quickest tells what a key takes.
const RECENT: usize = 8;

/// The part of the share that is aimed at. What a step costs varies with what else the server and its
/// processors do.
const AIMED: f64 = 0.75;

/// The things that are done with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// They are listed.
    Listing,
    /// Their state is read.
    Reading,
}

impl Work {
    /// Returns the least that a key takes, whatever was measured.
    const fn least(self) -> Duration {
        match self {
            Self::Listing => Duration::from_nanos(500),
            Self::Reading => Duration::from_micros(10),
        }
    }
}

/// Says how many keys the next step looks at, and how long to pause before it.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The share of the server's time that may be taken.
    share: f64,
    /// The shortest round trip so far: the line's part in a step.
    line: Duration,
    /// The time that a key took in recent steps, beyond the line.
    listing: VecDeque<Duration>,
    reading: VecDeque<Duration>,
    /// The time that a key took in listing, by the server's own account.
    told: Option<Duration>,
    count: u32,
}

impl Pace {
    /// `share` is a part of 1.
    pub(crate) fn new(share: f64) -> Self {
        let (listing, reading) = (VecDeque::new(), VecDeque::new());
        Self { share, line: Duration::MAX, listing, reading, told: None, count: 100 }
    }

    /// Forgets what was measured, as another server comes next.
    pub(crate) fn begin_server(&mut self) {
        self.line = Duration::MAX;
        self.listing.clear();
        self.reading.clear();
        self.told = None;
    }

    /// Notes what listing so many keys has taken by the server's own account, which is better than
    /// any other: it knows nothing of the line, nor of who else has the machine's processors.
    pub(crate) fn told(&mut self, keys: u32, spent: Duration) {
        self.told = Some(spent / keys.max(1));
    }

    /// Notes how long the server took to answer to nothing.
    pub(crate) fn idle(&mut self, round_trip: Duration) {
        self.line = self.line.min(round_trip);
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Returns the pause after a step with so many keys that took so long. Unless the server has told
    /// its work, it is taken to be what the quickest of recent steps took for a key beyond the line:
    /// others and the line only add to it.
    pub(crate) fn after(&mut self, work: Work, keys: u32, took: Duration) -> Duration {
        let recent = match work {
            Work::Listing => &mut self.listing,
            Work::Reading => &mut self.reading,
        };
        recent.push_front(took.saturating_sub(self.line) / keys.max(1));
        recent.truncate(RECENT);
        let quickest = recent.iter().min().copied().unwrap_or_default();
        let told = self.told.filter(|_| work == Work::Listing);
        let per_key = told.unwrap_or(quickest).max(work.least());
        if work == Work::Listing {
            let count = AIM.as_nanos() / per_key.as_nanos().max(1);
            self.count = u32::try_from(count).unwrap_or(MOST).clamp(FEWEST, MOST);
        }
        (per_key * keys + OVERHEAD).mul_f64((1.0 / self.share - 1.0).max(0.0) / AIMED)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    proptest! {
        /// Whatever the line and however dear a key, a server's work within any second is at most
        /// the share, but for the step that the second cuts. The line's shortest round trip is among
        /// those to nothing.
        #[test]
        fn no_second_has_more_work_than_the_share(
            line in 10_u64..5_000,
            per_key in 50_u64..5_000,
            jitter in prop::collection::vec(prop_oneof![3 => Just(0), 1 => 0_u64..3_000], 1..50),
            percent in 1_u64..50,
        ) {
            let share = percent as f64 / 100.0;
            let (mut pace, mut now) = (Pace::new(share), Duration::ZERO);
            let line = Duration::from_micros(line);
            pace.idle(line + Duration::from_micros(jitter[0]));
            pace.idle(line);
            // The time of each step's work, and its length.
            let mut steps: Vec<(Duration, Duration)> = Vec::new();
            for step in 0..150 {
                let work = Duration::from_nanos(per_key) * pace.count();
                let delay = Duration::from_micros(jitter[step % jitter.len()]);
                steps.push((now, work + OVERHEAD));
                let took = line + delay + work;
                now += took + pace.after(Work::Listing, pace.count(), took);
            }
            for (start, _) in &steps {
                let within = steps.iter().filter(|(at, _)| at >= start && *at < *start + SECOND);
                let work: Vec<Duration> = within.map(|(_, work)| *work).collect();
                let most = work.iter().max().copied().unwrap_or_default();
                let all: Duration = work.iter().sum();
                prop_assert!(all <= SECOND.mul_f64(share) + most, "{:?}", all);
            }
        }
    }

    #[test]
    fn steps_are_as_large_as_they_may() {
        let line = Duration::from_micros(100);
        let mut pace = Pace::new(0.01);
        pace.idle(line);
        let mut steps = |per_key: Duration| {
            for _ in 0..2 * RECENT {
                pace.after(Work::Listing, pace.count(), line + per_key * pace.count());
            }
            pace.count()
        };
        assert_eq!(steps(Duration::from_nanos(100)), MOST);
        assert_eq!(steps(Duration::from_micros(4)), 50);
        assert_eq!(steps(Duration::from_micros(100)), FEWEST);
    }

    #[test]
    fn one_slow_step_is_not_the_servers_work() {
        let mut pace = Pace::new(0.5);
        pace.idle(Duration::from_micros(100));
        let quick = pace.after(Work::Listing, 100, Duration::from_micros(200));
        assert_eq!(quick, (OVERHEAD + Duration::from_micros(100)).div_f64(AIMED));
        assert_eq!(pace.after(Work::Listing, 100, Duration::from_millis(50)), quick);
        for _ in 0..RECENT {
            pace.after(Work::Listing, 100, Duration::from_millis(50));
        }
        assert!(pace.after(Work::Listing, 100, Duration::from_millis(50)) > 20 * quick);
        // The server knows better.
        pace.told(1_000, Duration::from_millis(1));
        assert_eq!(pace.after(Work::Listing, 100, Duration::from_millis(50)), quick);
        // All of the time leaves no pause.
        assert_eq!(Pace::new(1.0).after(Work::Reading, 9, Duration::ZERO), Duration::ZERO);
    }
}
