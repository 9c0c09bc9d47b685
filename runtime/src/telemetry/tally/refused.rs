//! Who is refused most, in memory that does not grow with their number.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use smol_str::SmolStr;
use spin::mutex::SpinMutex;

use crate::Policy;

/// How many are counted at a time.
const ROOM: usize = 128;
/// How long, in seconds, before counting begins anew.
const WINDOW: u64 = 60;

#[derive(Default)]
pub(super) struct Refused {
    hasher: RandomState,
    windows: SpinMutex<Windows>,
}

/// The present window and the one before it.
#[derive(Default)]
struct Windows {
    number: u64,
    current: Frequent,
    previous: Frequent,
}

/// Metwally's space-saving: who is new and finds no room takes the place, and the count, of who came
/// least. Whoever comes more often than one in [`ROOM`] is there.
#[derive(Default)]
struct Frequent {
    /// In arrays of their own, which are searched quickly.
    hashes: Vec<u64>,
    counts: Vec<u64>,
    entries: Vec<Entry>,
}

struct Entry {
    policy: SmolStr,
    subject: SmolStr,
    /// How much of its count may be others'.
    inherited: u64,
}

/// Somebody who was refused often.
pub(crate) struct MostRefused {
    pub(crate) policy: SmolStr,
    pub(crate) subject: SmolStr,
    /// How often at least.
    pub(crate) times: u64,
}

impl Refused {
    /// Nobody waits for it: who is refused while another is being counted is left out.
    pub(super) fn note(&self, second: u64, policy: &Policy, subject: &str) {
        let Some(mut windows) = self.windows.try_lock() else { return };
        let hash = self.hasher.hash_one((policy.name_hash(), subject));
        windows.turn(second / WINDOW);
        windows.current.add(hash, policy, subject);
    }

    pub(super) fn most(&self, second: u64, most: usize) -> Vec<MostRefused> {
        let mut windows = self.windows.lock();
        windows.turn(second / WINDOW);
        let mut all = Vec::<MostRefused>::new();
        for (entry, times) in windows.current.iter().chain(windows.previous.iter()) {
            let Entry { policy, subject, .. } = entry;
            match all.iter_mut().find(|it| it.policy == *policy && it.subject == *subject) {
                Some(known) => known.times += times,
                None => {
                    all.push(MostRefused {
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
    /// Begins a new window when the time has come, and also when the clock has gone back.
    fn turn(&mut self, number: u64) {
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

impl Frequent {
    fn add(&mut self, hash: u64, policy: &Policy, subject: &str) {
        if let Some(index) = self.hashes.iter().position(|&it| it == hash)
            && self.entries[index].is_of(policy, subject)
        {
            self.counts[index] += 1;
            return;
        }
        let entry =
            |inherited| Entry { policy: policy.name_handle(), subject: subject.into(), inherited };
        if self.entries.len() < ROOM {
            self.hashes.push(hash);
            self.counts.push(1);
            self.entries.push(entry(0));
            return;
        }
        let least = self.counts.iter().enumerate().min_by_key(|(_, count)| **count);
        if let Some((index, &count)) = least {
            self.hashes[index] = hash;
            self.counts[index] = count + 1;
            self.entries[index] = entry(count);
        }
    }

    /// With how often each came at least.
    fn iter(&self) -> impl Iterator<Item = (&Entry, u64)> {
        self.entries.iter().zip(&self.counts).map(|(entry, count)| (entry, count - entry.inherited))
    }

    fn clear(&mut self) {
        self.hashes.clear();
        self.counts.clear();
        self.entries.clear();
    }
}

impl Entry {
    fn is_of(&self, policy: &Policy, subject: &str) -> bool {
        self.subject == subject && self.policy == policy.name()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::Quota;

    const POLICY: Policy = Policy::new("p", Quota::new(1, Duration::from_secs(1)));

    proptest! {
        /// Nobody is said to have come more often than they did, and whoever came more often than
        /// one in `ROOM` is named.
        #[test]
        fn it_names_who_came_often(came in prop::collection::vec((0_u32..4, 0_u32..2_000), 1..3_000)) {
            let (refused, mut counts) = (Refused::default(), HashMap::new());
            for &(often, rare) in &came {
                // A quarter comes from five, the rest from thousands.
                let subject = if often == 0 { rare % 5 } else { 10 + rare };
                refused.note(0, &POLICY, &subject.to_string());
                *counts.entry(subject.to_string()).or_insert(0_u64) += 1;
            }
            let most = refused.most(0, usize::MAX);
            prop_assert!(most.len() <= ROOM);
            for it in &most {
                prop_assert!(it.times >= 1 && it.times <= counts[it.subject.as_str()]);
            }
            for (subject, count) in counts {
                if count > came.len() as u64 / ROOM as u64 {
                    prop_assert!(most.iter().any(|it| it.subject == subject), "{subject}: {count}");
                }
            }
        }
    }

    #[test]
    fn a_minute_ago_is_remembered_and_two_are_not() {
        let refused = Refused::default();
        let who = |second| -> Vec<(String, u64)> {
            let most = refused.most(second, 10).into_iter();
            most.map(|it| (it.subject.to_string(), it.times)).collect()
        };
        refused.note(120, &POLICY, "a");
        refused.note(179, &POLICY, "b");
        refused.note(180, &POLICY, "b");
        assert_eq!(who(239), [("b".to_owned(), 2), ("a".to_owned(), 1)]);
        assert_eq!(who(240), [("b".to_owned(), 1)]);
        assert_eq!(who(360), []);
    }
}
