//! One subject's state under one policy, and the decision about all its quotas at once.

use super::{LAST_INSTANT, Micros, Part, Wait};
use crate::Verdict;
use crate::policy::MAX_QUOTAS;
use crate::{Policy, Quota};

/// Whether a decision takes what it decides about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Charge,
    Peek,
}

/// One subject's state under one policy: a part for each quota, in written order. It is of the
/// policy's form; [`fit`](Self::fit) makes it so when that has changed.
#[derive(Clone, Debug)]
pub(crate) enum Counters {
    /// Most policies have one quota.
    One(Part),
    Several(Box<[Part]>),
}

impl Counters {
    /// The state of a subject never seen.
    pub(crate) fn new(policy: &Policy) -> Self {
        let part = || Part::new(policy.get_algorithm());
        match policy.quotas().len() {
            1 => Self::One(part()),
            count => Self::Several((0..count).map(|_| part()).collect()),
        }
    }

    /// Decides about `cost` at `now`, and with [`Mode::Charge`] takes it if every quota
    /// admits it. A refusal changes nothing.
    #[inline]
    pub(crate) fn decide(
        &mut self,
        policy: &Policy,
        now: Micros,
        cost: u32,
        mode: Mode,
        verdict: &mut Verdict,
    ) {
        let now = now.min(LAST_INSTANT);
        let charges = mode == Mode::Charge && cost > 0;
        match (self, policy.quotas()) {
            (Self::One(part), [quota]) => part.decide(now, quota, cost, charges, verdict),
            (counters, quotas) => {
                decide_all(counters.parts_mut(), quotas, now, cost, charges, verdict);
            }
        }
    }

    /// Charges to each quota what of `cost` it has room for, whatever the others say: it was
    /// admitted elsewhere.
    pub(crate) fn note(&mut self, policy: &Policy, now: Micros, cost: u32) {
        let now = now.min(LAST_INSTANT);
        for (part, quota) in self.parts_mut().iter_mut().zip(policy.quotas()) {
            part.advance(now, quota);
            let room = quota.capacity() - part.used(now, quota).min(quota.capacity());
            if room > 0 && cost > 0 {
                part.charge(now, quota, cost.min(room));
            }
        }
    }

    /// Gives back `cost` charged at `stamp` to every quota that still holds it, and says
    /// whether any did.
    pub(crate) fn refund(
        &mut self,
        policy: &Policy,
        now: Micros,
        stamp: Micros,
        cost: u32,
    ) -> bool {
        let now = now.min(LAST_INSTANT);
        let parts = self.parts_mut().iter_mut().zip(policy.quotas());
        parts.fold(false, |any, (part, quota)| {
            part.advance(now, quota);
            part.refund(now, quota, stamp, cost) || any
        })
    }

    /// When this state will be as if the subject had never been seen.
    pub(crate) fn empty_at(&self, policy: &Policy) -> Micros {
        let parts = self.parts().iter().zip(policy.quotas());
        parts.map(|(part, quota)| part.empty_at(quota)).max().unwrap_or(0)
    }

    /// How much of its tightest quota is used, in 1/65536; `None` if a request of `cost` would be
    /// refused at `now`.
    pub(crate) fn used_share(&mut self, policy: &Policy, now: Micros, cost: u32) -> Option<u64> {
        let mut parts = self.parts_mut().iter_mut().zip(policy.quotas());
        parts.try_fold(0, |most, (part, quota)| {
            part.advance(now, quota);
            if let Wait::For(_) = part.wait(now, quota, cost) {
                return None;
            }
            let share = (u64::from(part.used(now, quota)) << 16) / u64::from(quota.capacity());
            Some(most.max(share))
        })
    }

    /// Makes state that was kept under another form of the policy serve this one: quotas that
    /// were added start empty, and where the algorithm has changed, the units in use are
    /// charged by the new one.
    pub(crate) fn fit(&mut self, former: &Policy, policy: &Policy, now: Micros) {
        let now = now.min(LAST_INSTANT);
        let algorithm = policy.get_algorithm();
        let quotas = policy.quotas();
        let parts = self.parts_mut();
        if parts.len() == quotas.len() && parts.iter().all(|part| part.serves(algorithm)) {
            for ((part, former), quota) in parts.iter_mut().zip(former.quotas()).zip(quotas) {
                part.fit(now, former, quota);
            }
            return;
        }
        let mut fitted = Self::new(policy);
        let olds = parts.iter_mut().zip(former.quotas());
        for ((new, (old, former)), quota) in fitted.parts_mut().iter_mut().zip(olds).zip(quotas) {
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

    fn parts(&self) -> &[Part] {
        match self {
            Self::One(part) => std::slice::from_ref(part),
            Self::Several(parts) => parts,
        }
    }

    fn parts_mut(&mut self) -> &mut [Part] {
        match self {
            Self::One(part) => std::slice::from_mut(part),
            Self::Several(parts) => parts,
        }
    }
}

fn decide_all(
    parts: &mut [Part],
    quotas: &[Quota],
    now: Micros,
    cost: u32,
    charges: bool,
    verdict: &mut Verdict,
) {
    let mut waits = [Wait::None; MAX_QUOTAS];
    let mut longest = Wait::None;
    for ((part, quota), wait) in parts.iter_mut().zip(quotas).zip(&mut waits) {
        part.advance(now, quota);
        *wait = part.wait(now, quota, cost);
        longest = longest.max(*wait);
    }
    verdict.restart(longest.into(), now);
    for ((part, quota), wait) in parts.iter_mut().zip(quotas).zip(&waits) {
        if charges && longest == Wait::None {
            part.charge(now, quota, cost);
        }
        verdict.push(part.state(now, quota, *wait != Wait::None));
    }
}
