//! Who comes most often, and how many there are, in memory that does not grow with their number.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};

/// Counts the most frequent subjects: Misra and Gries' summary, which takes the median from all
/// when it is full, so that half of it or more is free again.
pub(crate) struct Frequent {
    counts: HashMap<Box<str>, u64>,
    room: usize,
    /// The most that any count can be short by.
    pub(crate) short_by: u64,
}

impl Frequent {
    pub(crate) fn new(room: usize) -> Self {
        Self { counts: HashMap::new(), room, short_by: 0 }
    }

    pub(crate) fn add(&mut self, subject: &str) {
        if let Some(count) = self.counts.get_mut(subject) {
            *count += 1;
            return;
        }
        if self.counts.len() >= self.room {
            let mut counts: Vec<u64> = self.counts.values().copied().collect();
            let middle = counts.len() / 2;
            let median = *counts.select_nth_unstable(middle).1;
            self.counts.retain(|_, count| {
                *count = count.saturating_sub(median);
                *count > 0
            });
            self.short_by += median;
        }
        self.counts.insert(subject.into(), 1);
    }

    /// The most frequent, and at least how often each came.
    pub(crate) fn top(&self, most: usize) -> Vec<(&str, u64)> {
        let mut top: Vec<_> =
            self.counts.iter().map(|(subject, count)| (&**subject, *count)).collect();
        top.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        top.truncate(most);
        top
    }
}

/// Counts distinct subjects: exactly up to [`ROOM`](Self::ROOM), and beyond from how close to
/// zero the least of their hashes lie, within a few percent.
pub(crate) struct Distinct {
    hasher: RandomState,
    least: BTreeSet<u64>,
}

impl Distinct {
    const ROOM: usize = 4096;

    /// With the same hasher, some of these subjects are never estimated to be more than all.
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self { hasher, least: BTreeSet::new() }
    }

    pub(crate) fn add(&mut self, subject: &str) {
        let hash = self.hasher.hash_one(subject);
        if self.is_exact() {
            self.least.insert(hash);
        } else if self.least.last().is_some_and(|greatest| hash < *greatest)
            && self.least.insert(hash)
        {
            self.least.pop_last();
        }
    }

    pub(crate) fn is_exact(&self) -> bool {
        self.least.len() < Self::ROOM
    }

    pub(crate) fn count(&self) -> u64 {
        match self.least.last() {
            Some(greatest) if !self.is_exact() => {
                let share = *greatest as f64 / u64::MAX as f64;
                ((Self::ROOM - 1) as f64 / share).round() as u64
            }
            _ => self.least.len() as u64,
        }
    }
}
