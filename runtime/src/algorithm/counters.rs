//! The state of one subject under one policy, and the decision about all its quotas at once.

use super::{LAST_INSTANT, QuotaCheck, QuotaCounter, Refund, Wait};
use crate::micros::Timestamp;
use crate::policy::MAX_QUOTAS;
use crate::verdict::Verdict;
use crate::{Check, Policy};

/// The effect of a decision on the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// An admitted cost is charged.
    Charge,
    /// Nothing is charged.
    Peek,
}

/// The state of one subject under one policy: a counter for each quota, in declared order. Its form
/// is the policy's; when that has changed, [`fit`](Self::fit) converts it.
#[derive(Clone, Debug)]
pub(crate) enum Counters {
    /// Most policies have one quota.
    One(QuotaCounter),
    Several(Box<[QuotaCounter]>),
}

impl Counters {
    /// Creates the state of a subject that was never seen.
    pub(crate) fn new(policy: &Policy) -> Self {
        let counter = || QuotaCounter::new(policy.get_algorithm());
        match policy.quotas().len() {
            1 => Self::One(counter()),
            count => Self::Several((0..count).map(|_| counter()).collect()),
        }
    }

    /// Decides about a check at `now`, and with [`Mode::Charge`] charges its cost if every quota
    /// admits it. A refusal changes nothing.
    pub(crate) fn decide(
        &mut self,
        check: &Check<'_>,
        now: Timestamp,
        mode: Mode,
        verdict: &mut Verdict,
    ) {
        self.decide_inline(check, now, mode, verdict);
    }

    /// Decides like [`decide`](Self::decide), compiled into its caller: for the one caller that every
    /// warm check passes.
    #[inline(always)]
    pub(crate) fn decide_inline(
        &mut self,
        check: &Check<'_>,
        now: Timestamp,
        mode: Mode,
        verdict: &mut Verdict,
    ) {
        let now = now.min(LAST_INSTANT);
        let cost = check.cost;
        let charges = mode == Mode::Charge && cost > 0;
        match (self, check.policy.quotas()) {
            (Self::One(counter), [quota]) => {
                counter.decide(QuotaCheck { now, quota, cost }, charges, verdict);
            }
            (counters, _) => decide_all(counters.as_mut_slice(), check, now, charges, verdict),
        }
    }

    /// Records a charge that was admitted elsewhere: every quota is charged as much of the cost as
    /// it has room for, whatever the others have.
    pub(crate) fn record(&mut self, policy: &Policy, now: Timestamp, cost: u32) {
        let now = now.min(LAST_INSTANT);
        for (counter, quota) in self.as_mut_slice().iter_mut().zip(policy.quotas()) {
            counter.advance(now, quota);
            let room = quota.capacity() - counter.used(now, quota).min(quota.capacity());
            if room > 0 && cost > 0 {
                counter.charge(now, quota, cost.min(room));
            }
        }
    }

    /// Gives a charge back to every quota that still holds it. Returns `true` if any did.
    pub(crate) fn refund(&mut self, policy: &Policy, refund: Refund) -> bool {
        let now = refund.now.min(LAST_INSTANT);
        let refund = Refund { now, ..refund };
        let counters = self.as_mut_slice().iter_mut().zip(policy.quotas());
        counters.fold(false, |any, (counter, quota)| {
            counter.advance(now, quota);
            counter.refund(quota, refund) || any
        })
    }

    /// Returns the instant from which on this state equals that of a subject that was never seen.
    pub(crate) fn empty_at(&self, policy: &Policy) -> Timestamp {
        let counters = self.as_slice().iter().zip(policy.quotas());
        counters.map(|(counter, quota)| counter.empty_at(quota)).max().unwrap_or_default()
    }

    /// Returns the used share of the tightest quota, in 1/65536; `None` if a request of `cost` would
    /// be refused at `now`.
    pub(crate) fn used_share(&mut self, policy: &Policy, now: Timestamp, cost: u32) -> Option<u64> {
        let mut counters = self.as_mut_slice().iter_mut().zip(policy.quotas());
        counters.try_fold(0, |most, (counter, quota)| {
            counter.advance(now, quota);
            if let Wait::For(_) = counter.wait(now, quota, cost) {
                return None;
            }
            let share = (u64::from(counter.used(now, quota)) << 16) / u64::from(quota.capacity());
            Some(most.max(share))
        })
    }

    /// Converts state that was counted by another form of the policy, `former`, so that it serves
    /// `policy`. Quotas that were added start empty; where the algorithm has changed, the units in
    /// use are charged by the new one.
    pub(crate) fn fit(&mut self, former: &Policy, policy: &Policy, now: Timestamp) {
        let now = now.min(LAST_INSTANT);
        let algorithm = policy.get_algorithm();
        let quotas = policy.quotas();
        let olds = self.as_mut_slice();
        if olds.len() == quotas.len() && olds.iter().all(|old| old.serves(algorithm)) {
            for ((old, former), quota) in olds.iter_mut().zip(former.quotas()).zip(quotas) {
                old.fit(now, former, quota);
            }
            return;
        }
        let mut fitted = Self::new(policy);
        let news = fitted.as_mut_slice().iter_mut();
        let olds = olds.iter_mut().zip(former.quotas());
        for ((new, (old, former)), quota) in news.zip(olds).zip(quotas) {
            if old.serves(algorithm) {
                old.fit(now, former, quota);
                std::mem::swap(new, old);
                continue;
            }
            old.advance(now, former);
            let used = old.used(now, former).min(quota.capacity());
            if used > 0 {
                new.advance(now, quota);
                new.charge(now, quota, used);
            }
        }
        *self = fitted;
    }

    fn as_slice(&self) -> &[QuotaCounter] {
        match self {
            Self::One(counter) => std::slice::from_ref(counter),
            Self::Several(counters) => counters,
        }
    }

    fn as_mut_slice(&mut self) -> &mut [QuotaCounter] {
        match self {
            Self::One(counter) => std::slice::from_mut(counter),
            Self::Several(counters) => counters,
        }
    }
}

/// Decides about several quotas: they are charged only if all of them admit the cost.
fn decide_all(
    counters: &mut [QuotaCounter],
    check: &Check<'_>,
    now: Timestamp,
    charges: bool,
    verdict: &mut Verdict,
) {
    let (quotas, cost) = (check.policy.quotas(), check.cost);
    let mut waits = [Wait::None; MAX_QUOTAS];
    let mut longest = Wait::None;
    for ((counter, quota), wait) in counters.iter_mut().zip(quotas).zip(&mut waits) {
        counter.advance(now, quota);
        *wait = counter.wait(now, quota, cost);
        longest = longest.max(*wait);
    }
    verdict.restart(longest.into(), now.micros());
    for ((counter, quota), wait) in counters.iter_mut().zip(quotas).zip(&waits) {
        if charges && longest == Wait::None {
            counter.charge(now, quota, cost);
        }
        verdict.push(counter.state(now, quota, *wait != Wait::None));
    }
}
