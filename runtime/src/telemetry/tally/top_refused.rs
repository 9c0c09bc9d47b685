//! Counts refusals to find the subjects refused most. The memory for it does not grow with the
//! number of subjects.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use smol_str::SmolStr;
use spin::mutex::SpinMutex;

use crate::check::Check;

/// The largest number of subjects that are counted in one window.
const CAPACITY: usize = 128;
/// The length of a window in seconds. Each window is counted from 0.
const WINDOW: u64 = 60;

#[derive(Default)]
pub(super) struct TopRefused {
    hasher: RandomState,
    windows: SpinMutex<Windows>,
}

/// The counts of the current window and of the previous one.
#[derive(Default)]
struct Windows {
    number: u64,
    current: SpaceSaving,
    previous: SpaceSaving,
}

/// Counts by the Space-Saving algorithm (Metwally et al.). When all entries are in use, a new
/// subject replaces the one with the lowest count and inherits that count. Every subject that
/// accounts for more than one in [`CAPACITY`] refusals is among the entries.
#[derive(Default)]
struct SpaceSaving {
    /// The hashes of the subjects. Hashes and counts are in arrays of their own, so that they are
    /// scanned quickly.
    hashes: Vec<u64>,
    counts: Vec<u64>,
    subjects: Vec<CountedSubject>,
}

struct CountedSubject {
    policy: SmolStr,
    subject: SmolStr,
    /// The part of the count that was inherited, and may belong to replaced subjects.
    inherited: u64,
}

/// A subject that was refused often, with the policy that refused it.
pub(crate) struct RefusedSubject {
    pub(crate) policy: SmolStr,
    pub(crate) subject: SmolStr,
    /// A lower bound of the number of its refusals.
    pub(crate) times: u64,
}

impl TopRefused {
    /// Counts a refusal. It never waits: if another thread has the lock, the refusal is not
    /// counted.
    pub(super) fn record(&self, second: u64, refused: &Check<'_>) {
        let Some(mut windows) = self.windows.try_lock() else { return };
        let hash = self.hasher.hash_one((refused.policy.name_hash(), refused.subject));
        windows.advance(second / WINDOW);
        windows.current.add(hash, refused);
    }

    /// Returns the `most` subjects refused most, in descending order.
    pub(super) fn top(&self, second: u64, most: usize) -> Vec<RefusedSubject> {
        let mut windows = self.windows.lock();
        windows.advance(second / WINDOW);
        let mut all = Vec::<RefusedSubject>::new();
        for (counted, times) in windows.current.iter().chain(windows.previous.iter()) {
            let CountedSubject { policy, subject, .. } = counted;
            match all.iter_mut().find(|it| it.policy == *policy && it.subject == *subject) {
                Some(known) => known.times += times,
                None => {
                    all.push(RefusedSubject {
                        policy: policy.clone(),
                        subject: subject.clone(),
                        times,
                    });
                }
            }
        }
        drop(windows);
        all.sort_by(|a, b| {
            b.times
                .cmp(&a.times)
                .then_with(|| (&a.policy, &a.subject).cmp(&(&b.policy, &b.subject)))
        });
        all.truncate(most);
        all
    }
}

impl Windows {
    /// Begins the window with this number, unless it is the current one. The number may be lower
    /// than before, if the clock has gone back.
    fn advance(&mut self, number: u64) {
        if number == self.number {
            return;
        }
        std::mem::swap(&mut self.current, &mut self.previous);
        self.current.clear();
        if number != self.number + 1 {
            self.previous.clear();
        }
        self.number = number;
    }
}

impl SpaceSaving {
    fn add(&mut self, hash: u64, refused: &Check<'_>) {
        if let Some(index) = self.hashes.iter().position(|&it| it == hash)
            && self.subjects[index].is_of(refused)
        {
            self.counts[index] += 1;
            return;
        }
        let counted = |inherited| CountedSubject {
            policy: refused.policy.name_handle(),
            subject: refused.subject.into(),
            inherited,
        };
        if self.subjects.len() < CAPACITY {
            self.hashes.push(hash);
            self.counts.push(1);
            self.subjects.push(counted(0));
            return;
        }
        let least = self.counts.iter().enumerate().min_by_key(|(_, count)| **count);
        if let Some((index, &count)) = least {
            self.hashes[index] = hash;
            self.counts[index] = count + 1;
            self.subjects[index] = counted(count);
        }
    }

    /// Returns the subjects, each with a lower bound of the number of its refusals.
    fn iter(&self) -> impl Iterator<Item = (&CountedSubject, u64)> {
        let subjects = self.subjects.iter().zip(&self.counts);
        subjects.map(|(counted, count)| (counted, count - counted.inherited))
    }

    fn clear(&mut self) {
        self.hashes.clear();
        self.counts.clear();
        self.subjects.clear();
    }
}

impl CountedSubject {
    fn is_of(&self, refused: &Check<'_>) -> bool {
        self.subject == refused.subject && self.policy == refused.policy.name()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{Policy, Quota};

    static POLICY: Policy = Policy::new("p", Quota::new(1, Duration::from_secs(1)));

    fn refused(subject: &str) -> Check<'_> {
        Check { policy: &POLICY, subject, cost: 1 }
    }

    proptest! {
        /// No count exceeds the true number of refusals, and every subject with more than one in
        /// `CAPACITY` of all refusals is included.
        #[test]
        fn it_names_who_came_often(came in prop::collection::vec((0_u32..4, 0_u32..2_000), 1..3_000)) {
            let (top, mut counts) = (TopRefused::default(), HashMap::new());
            for &(often, rare) in &came {
                // A quarter of the refusals come from five subjects, the rest from thousands.
                let subject = if often == 0 { rare % 5 } else { 10 + rare };
                top.record(0, &refused(&subject.to_string()));
                *counts.entry(subject.to_string()).or_insert(0_u64) += 1;
            }
            let most = top.top(0, usize::MAX);
            prop_assert!(most.len() <= CAPACITY);
            for it in &most {
                prop_assert!(it.times >= 1 && it.times <= counts[it.subject.as_str()]);
            }
            for (subject, count) in counts {
                if count > came.len() as u64 / CAPACITY as u64 {
                    prop_assert!(most.iter().any(|it| it.subject == subject), "{subject}: {count}");
                }
            }
        }
    }

    #[test]
    fn a_minute_ago_is_remembered_and_two_are_not() {
        let top = TopRefused::default();
        let who = |second| -> Vec<(String, u64)> {
            let most = top.top(second, 10).into_iter();
            most.map(|it| (it.subject.to_string(), it.times)).collect()
        };
        top.record(120, &refused("a"));
        top.record(179, &refused("b"));
        top.record(180, &refused("b"));
        assert_eq!(who(239), [("b".to_owned(), 2), ("a".to_owned(), 1)]);
        assert_eq!(who(240), [("b".to_owned(), 1)]);
        assert_eq!(who(360), []);
    }
}
