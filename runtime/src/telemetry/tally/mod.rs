//! What a dashboard shows: what each policy decided in the last minute, how long that took and who
//! was refused most. Its size has a bound, whatever is counted.

mod latency;
mod refused;
mod seconds;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hashbrown::HashTable;

pub(crate) use self::latency::Latency;
pub(crate) use self::refused::MostRefused;
use self::refused::Refused;
pub(crate) use self::seconds::{SECONDS, Seconds};
use super::Told;
use crate::{Clock, Policy, Source};

/// The most policies that are told apart. Names are the program's, and so few; of one that makes
/// them up as it goes, the rest are counted together.
const MAX_POLICIES: usize = 1_000;

const MICROS_PER_SECOND: u64 = 1_000_000;

pub(crate) struct Tally {
    clock: Arc<dyn Clock>,
    policies: ArcSwap<Policies>,
    others: Counts,
    /// Of the checks that the store answered, or should have.
    pub(crate) latency: Latency,
    refused: Refused,
}

pub(crate) type Policies = HashTable<Arc<Counted>>;

/// What is counted of one policy, as it was when it was first seen.
pub(crate) struct Counted {
    pub(crate) policy: Policy,
    pub(crate) counts: Counts,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) allowed: Seconds,
    pub(crate) refused: Seconds,
    /// The store could not answer, and the policy is closed.
    pub(crate) failed: Seconds,
}

impl Tally {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            policies: ArcSwap::default(),
            others: Counts::default(),
            latency: Latency::default(),
            refused: Refused::default(),
        }
    }

    /// A check has ended, or a wait for a turn.
    pub(super) fn note(&self, told: &Told<'_>, took: Duration) {
        let second = self.second();
        match self.policies.load().find(told.policy.name_hash(), |it| it.is_of(told.policy)) {
            Some(counted) => counted.counts.note(second, told),
            None => self.note_of_new(second, told),
        }
        let asked = told.failure.is_some() || told.verdict.source() == Source::Store;
        if asked && !told.waited {
            self.latency.add(second, took);
        }
        if told.failure.is_none() && !told.verdict.is_allowed() {
            self.refused.note(second, told.policy, told.subject);
        }
    }

    #[cold]
    fn note_of_new(&self, second: u64, told: &Told<'_>) {
        let is_it = |it: &Arc<Counted>| it.is_of(told.policy);
        let hash = told.policy.name_hash();
        if self.policies.load().len() < MAX_POLICIES {
            let new = Arc::new(Counted { policy: told.policy.clone(), counts: Counts::default() });
            self.policies.rcu(|policies| {
                let mut policies = Policies::clone(policies);
                if policies.len() < MAX_POLICIES && policies.find(hash, is_it).is_none() {
                    policies.insert_unique(hash, Arc::clone(&new), |it| it.policy.name_hash());
                }
                policies
            });
        }
        match self.policies.load().find(hash, is_it) {
            Some(counted) => counted.counts.note(second, told),
            None => self.others.note(second, told),
        }
    }

    /// The present second, which has not ended.
    pub(crate) fn second(&self) -> u64 {
        self.clock.now_micros() / MICROS_PER_SECOND
    }

    pub(crate) fn policies(&self) -> Arc<Policies> {
        self.policies.load_full()
    }

    /// Of the policies beyond those that are told apart.
    pub(crate) fn others(&self) -> &Counts {
        &self.others
    }

    /// Who was refused most in this minute and the one before it, the most first.
    pub(crate) fn most_refused(&self, most: usize) -> Vec<MostRefused> {
        self.refused.most(self.second(), most)
    }
}

impl Counted {
    fn is_of(&self, policy: &Policy) -> bool {
        self.policy.has_name_of(policy)
    }
}

impl Counts {
    fn note(&self, second: u64, told: &Told<'_>) {
        let count = if told.failure.is_some() {
            &self.failed
        } else if told.verdict.is_allowed() {
            &self.allowed
        } else {
            &self.refused
        };
        count.add(second);
    }
}
