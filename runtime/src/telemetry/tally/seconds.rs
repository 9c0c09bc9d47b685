//! A count for each of the last seconds.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many seconds back can be seen.
pub(crate) const SECONDS: usize = 60;

/// More than can be seen, so that a second that is shown is not one that is being counted.
const SLOTS: usize = 64;

/// The rest of a slot says which second it counts.
const COUNT_BITS: u32 = 40;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

pub(crate) struct Seconds {
    slots: [AtomicU64; SLOTS],
}

impl Default for Seconds {
    fn default() -> Self {
        Self { slots: [const { AtomicU64::new(0) }; SLOTS] }
    }
}

impl Seconds {
    pub(super) fn add(&self, second: u64) {
        let slot = self.slot(second);
        if slot.load(Ordering::Relaxed) & !COUNT == tag(second) {
            // Nobody takes it for another second in between: that would be one a minute away.
            slot.fetch_add(1, Ordering::Relaxed);
        } else {
            let counted = |seen| if seen & !COUNT == tag(second) { seen } else { tag(second) };
            slot.update(Ordering::Relaxed, Ordering::Relaxed, |seen| counted(seen) + 1);
        }
    }

    pub(crate) fn at(&self, second: u64) -> u64 {
        let seen = self.slot(second).load(Ordering::Relaxed);
        if seen & !COUNT == tag(second) { seen & COUNT } else { 0 }
    }

    /// Those of the seconds before `now`, the latest last.
    pub(crate) fn before(&self, now: u64) -> impl Iterator<Item = u64> {
        let first = now.saturating_sub(SECONDS as u64);
        (first..now).map(|second| self.at(second))
    }

    fn slot(&self, second: u64) -> &AtomicU64 {
        &self.slots[second as usize % SLOTS]
    }
}

fn tag(second: u64) -> u64 {
    second << COUNT_BITS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What is seen of the last minute is what came in it, with pauses and clocks that jump.
        #[test]
        fn it_counts_as_a_list_does(steps in prop::collection::vec((-90_i64..90, 1_usize..5), 0..60)) {
            let (seconds, mut now, mut came) = (Seconds::default(), 1_767_268_800_i64, Vec::new());
            for (step, times) in steps {
                // Back at most as far as nothing has been written over.
                now = (now + step).max(came.iter().copied().max().unwrap_or(now) - 3);
                for _ in 0..times {
                    seconds.add(now as u64);
                    came.push(now);
                }
                let after = now + 1;
                let counted: Vec<u64> = seconds.before(after as u64).collect();
                let expected: Vec<u64> = (after - SECONDS as i64..after)
                    .map(|second| came.iter().filter(|&&at| at == second).count() as u64)
                    .collect();
                prop_assert_eq!(counted, expected);
            }
        }
    }

    #[test]
    fn threads_lose_nothing() {
        let seconds = Seconds::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..40_000_u64).for_each(|count| seconds.add(count / 1_000)));
            }
        });
        assert_eq!(seconds.before(40).sum::<u64>(), 160_000);
    }
}
