//! Counts events in each of the last seconds.

use std::sync::atomic::{AtomicU64, Ordering};

/// The number of past seconds whose counts can be read.
pub(crate) const SECONDS: usize = 60;

/// The number of slots, one for each second. It is larger than [`SECONDS`], so that no slot is read
/// while it is being reused for the current second.
const SLOTS: usize = 64;

/// The number of bits of a slot that contain its count. The other bits identify the second.
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
            // No other thread reuses the slot in between, because the second for which it would be
            // reused is a minute away.
            slot.fetch_add(1, Ordering::Relaxed);
        } else {
            let counted = |seen| if seen & !COUNT == tag(second) { seen } else { tag(second) };
            let count = |seen| Some(counted(seen) + 1);
            // It never fails, because there is always a next value.
            let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        }
    }

    pub(crate) fn at(&self, second: u64) -> u64 {
        let seen = self.slot(second).load(Ordering::Relaxed);
        if seen & !COUNT == tag(second) { seen & COUNT } else { 0 }
    }

    /// Returns the counts of the last [`SECONDS`] seconds before the second `now`, in chronological
    /// order.
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
        /// The last minute's counts are exact, even after pauses and when the clock jumps.
        #[test]
        fn it_counts_as_a_list_does(steps in prop::collection::vec((-90_i64..90, 1_usize..5), 0..60)) {
            let (seconds, mut now, mut came) = (Seconds::default(), 1_767_268_800_i64, Vec::new());
            for (step, times) in steps {
                // The clock goes back at most 3 seconds behind the latest, because no slot is
                // reused in that range.
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
