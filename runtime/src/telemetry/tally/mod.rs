//! The counts that a dashboard shows: the decisions of each policy in the last minute, the
//! durations of checks, and the subjects refused most. The memory for them is bounded.

mod latency;
mod seconds;
mod top_refused;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hashbrown::HashTable;

pub(crate) use self::latency::Latency;
pub(crate) use self::seconds::{SECONDS, Seconds};
pub(crate) use self::top_refused::RefusedSubject;
use self::top_refused::TopRefused;
use super::CheckEvent;
use crate::{Clock, Policy, Source};

/// The largest number of policies that are counted separately. Programs have few policies. If a
/// program generates names of policies at run time, further ones are counted together.
const MAX_POLICIES: usize = 1_000;

const MICROS_PER_SECOND: u64 = 1_000_000;

pub(crate) struct Tally {
    clock: Arc<dyn Clock>,
    policies: ArcSwap<CountedPolicies>,
    others: DecisionCounts,
    /// The durations of the checks for which the store was asked, whether it answered or failed.
    pub(crate) latency: Latency,
    refused: TopRefused,
}

pub(crate) type CountedPolicies = HashTable<Arc<CountedPolicy>>;

/// The decisions of one policy. The policy is stored as it was at its first check.
pub(crate) struct CountedPolicy {
    pub(crate) policy: Policy,
    pub(crate) counts: DecisionCounts,
}

#[derive(Default)]
pub(crate) struct DecisionCounts {
    pub(crate) allowed: Seconds,
    pub(crate) refused: Seconds,
    /// The checks without a decision, because the store could not answer and the policy is closed.
    pub(crate) failed: Seconds,
}

impl Tally {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            policies: ArcSwap::default(),
            others: DecisionCounts::default(),
            latency: Latency::default(),
            refused: TopRefused::default(),
        }
    }

    /// Records a check or a wait in a queue after its end. `took` is its duration.
    pub(super) fn record(&self, event: &CheckEvent<'_>, took: Duration) {
        let second = self.second();
        let CheckEvent { check, verdict, failure, waited } = *event;
        match self.policies.load().find(check.policy.name_hash(), |it| it.is_of(check.policy)) {
            Some(counted) => counted.counts.record(second, event),
            None => self.record_first(second, event),
        }
        let asked_store = failure.is_some() || verdict.source() == Source::Store;
        if asked_store && !waited {
            self.latency.record(second, took);
        }
        if failure.is_none() && !verdict.is_allowed() {
            self.refused.record(second, &check);
        }
    }

    /// Records a check of a policy that has no counts of its own yet.
    #[cold]
    fn record_first(&self, second: u64, event: &CheckEvent<'_>) {
        let policy = event.check.policy;
        let is_it = |it: &Arc<CountedPolicy>| it.is_of(policy);
        let hash = policy.name_hash();
        if self.policies.load().len() < MAX_POLICIES {
            let counts = DecisionCounts::default();
            let new = Arc::new(CountedPolicy { policy: policy.clone(), counts });
            self.policies.rcu(|policies| {
                let mut policies = CountedPolicies::clone(policies);
                if policies.len() < MAX_POLICIES && policies.find(hash, is_it).is_none() {
                    policies.insert_unique(hash, Arc::clone(&new), |it| it.policy.name_hash());
                }
                policies
            });
        }
        match self.policies.load().find(hash, is_it) {
            Some(counted) => counted.counts.record(second, event),
            None => self.others.record(second, event),
        }
    }

    /// Returns the number of the current second, counted from the epoch of the clock. This second
    /// has not ended.
    pub(crate) fn second(&self) -> u64 {
        self.clock.now_micros() / MICROS_PER_SECOND
    }

    pub(crate) fn policies(&self) -> Arc<CountedPolicies> {
        self.policies.load_full()
    }

    /// Returns the counts of the policies that are not counted separately.
    pub(crate) fn others(&self) -> &DecisionCounts {
        &self.others
    }

    /// Returns up to `most` subjects: those refused most in this minute and the previous one, in
    /// descending order.
    pub(crate) fn top_refused(&self, most: usize) -> Vec<RefusedSubject> {
        self.refused.top(self.second(), most)
    }
}

impl CountedPolicy {
    fn is_of(&self, policy: &Policy) -> bool {
        self.policy.has_name_of(policy)
    }
}

impl DecisionCounts {
    fn record(&self, second: u64, event: &CheckEvent<'_>) {
        let count = if event.failure.is_some() {
            &self.failed
        } else if event.verdict.is_allowed() {
            &self.allowed
        } else {
            &self.refused
        };
        count.add(second);
    }
}
