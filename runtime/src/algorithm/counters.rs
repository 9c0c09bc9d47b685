//! The state of one subject under one policy, and the decision about all its quotas at once.

use super::{LAST_INSTANT, QuotaCheck, QuotaCounter, Refund, Wait};
use crate::micros::Timestamp;
use crate::policy::MAX_QUOTAS;
use crate::verdict::Verdict;
use crate::{Check, Policy};

/// The effect of a decision on the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The cost is charged if it is admitted.
    Charge,
    /// Nothing is charged, even if the cost is admitted.
    Peek,
}

/// The state of one subject under one policy: a counter for each quota, in the order of
/// declaration. The number and the kind of the counters depend on the policy. When the policy has
/// changed, [`fit`](Self::fit) converts them.
#[derive(Clone, Debug)]
pub(crate) enum Counters {
    /// Most policies have one quota.
    One(QuotaCounter),
    Several(Box<[QuotaCounter]>),
}

impl Counters {
    /// Creates the state of a subject without any charges.
    pub(crate) fn new(policy: &Policy) -> Self {
        let counter = || QuotaCounter::new(policy.get_algorithm());
        match policy.quotas().len() {
            1 => Self::One(counter()),
            count => Self::Several((0..count).map(|_| counter()).collect()),
        }
    }

    /// Decides about a check at `now`, and writes the result to `verdict`. With [`Mode::Charge`],
    /// charges the cost if every quota admits it; a refusal charges nothing.
    pub(crate) fn decide(
        &mut self,
        check: &Check<'_>,
        now: Timestamp,
        mode: Mode,
        verdict: &mut Verdict,
    ) {
        self.decide_inline(check, now, mode, verdict);
    }

    /// Does the same as [`decide`](Self::decide), but is compiled into its caller. It is for the
    /// one caller that handles every check of a subject that is already stored.
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

    /// Records a charge that another store has admitted. Each quota is charged as much of the cost
    /// as it can still admit, independently of the other quotas.
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

    /// Refunds a charge in every quota in which it is still in use. Returns `true` if any quota
    /// refunded it.
    pub(crate) fn refund(&mut self, policy: &Policy, refund: Refund) -> bool {
        let now = refund.now.min(LAST_INSTANT);
        let refund = Refund { now, ..refund };
        let counters = self.as_mut_slice().iter_mut().zip(policy.quotas());
        counters.fold(false, |any, (counter, quota)| {
            counter.advance(now, quota);
            counter.refund(quota, refund) || any
        })
    }

    /// Returns the time from which on no units are in use, so that this state equals that of a
    /// subject without any charges.
    pub(crate) fn empty_at(&self, policy: &Policy) -> Timestamp {
        let counters = self.as_slice().iter().zip(policy.quotas());
        counters.map(|(counter, quota)| counter.empty_at(quota)).max().unwrap_or_default()
    }

    /// Returns the largest used share of any quota's capacity, in units of 1/65536. Returns `None`
    /// if a request of `cost` would have to wait at `now`.
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

    /// Converts the counters of the policy `former` to counters of `policy`, which has other quotas
    /// or another algorithm. Quotas that were added start with no units in use. Where the algorithm
    /// has changed, the units in use are charged to the new counter.
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

/// Decides a check under several quotas. If `charges` is `true` and all of them admit the cost, it
/// is charged to all; otherwise to none.
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
        verdict.push(counter.state(QuotaCheck { now, quota, cost }, *wait));
    }
}
