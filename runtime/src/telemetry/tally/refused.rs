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
    pub(super) fn note(&self, second: u64, policy: &Policy, subject: &str) {
        let hash = self.hasher.hash_one((policy.name_hash(), subject));
        let mut windows = self.windows.lock();
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
        let entry = |inherited| Entry {
            policy: policy.name_handle().clone(),
            subject: subject.into(),
            inherited,
        };
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
