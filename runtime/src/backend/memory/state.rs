//! The state of one subject under one policy in the form that can hold anything, for all that happens to
//! it seldom.

use crate::algorithm::{Counters, Mode, Settlement};
use crate::micros::Timestamp;
use crate::verdict::Verdict;
use crate::{Check, Policy, Settled};

/// The state of one subject, taken out of its slot.
pub(super) struct KeyState<'a> {
    /// The policy whose quotas and algorithm these counters follow, unless the operation has given them
    /// the form of its own.
    pub(super) own: &'a Policy,
    pub(super) counters: Counters,
    /// `true` if the counters follow the policy of the operation.
    pub(super) is_translated: bool,
}

impl KeyState<'_> {
    /// Charges a check whose policy may have another form than these counters. They follow it only if the
    /// check is admitted and charged.
    pub(super) fn charge(&mut self, check: &Check<'_>, now: Timestamp, verdict: &mut Verdict) {
        if self.own.is_kept_like(check.policy) {
            self.counters.decide(check, now, Mode::Charge, verdict);
            return;
        }
        let mut counters = self.translated(check.policy, now);
        counters.decide(check, now, Mode::Charge, verdict);
        if verdict.is_allowed() && check.cost > 0 {
            (self.counters, self.is_translated) = (counters, true);
        } else {
            self.end(verdict, now);
        }
    }

    /// Looks at a check whose policy may have another form than these counters.
    pub(super) fn peek(&mut self, check: &Check<'_>, now: Timestamp, verdict: &mut Verdict) {
        if self.own.is_kept_like(check.policy) {
            self.counters.decide(check, now, Mode::Peek, verdict);
        } else {
            self.translated(check.policy, now).decide(check, now, Mode::Peek, verdict);
            self.end(verdict, now);
        }
    }

    /// Shortens the times of a verdict by a translation that is not kept: once the state is empty in its
    /// own form, it is forgotten.
    fn end(&self, verdict: &mut Verdict, now: Timestamp) {
        verdict.end_at(self.counters.no_units_from(self.own), now);
    }

    /// Returns the counters in the form of `policy`, which is another than theirs.
    fn translated(&mut self, policy: &Policy, now: Timestamp) -> Counters {
        self.counters.step_back_ban(now);
        self.counters.translated(self.own, policy, now)
    }

    /// Records a charge that another store has admitted, as far as the quotas can still admit it.
    pub(super) fn record(&mut self, check: &Check<'_>, now: Timestamp) {
        if !self.own.is_kept_like(check.policy) {
            self.counters = self.counters.translated(self.own, check.policy, now);
            self.is_translated = true;
        }
        self.counters.record(check.policy, now, check.cost);
    }

    /// Settles a charge that the form `charged_under` of the policy has admitted.
    pub(super) fn settle(&mut self, charged_under: &Policy, settlement: Settlement) -> Settled {
        let mut own = self.own;
        if settlement.debt() > 0
            && !own.is_kept_like(charged_under)
            && self.counters.no_units_from(own) <= settlement.now
        {
            // Without units in use, the form is of no account.
            self.counters.renew(charged_under);
            self.is_translated = true;
            own = charged_under;
        }
        self.counters.settle(own, charged_under, settlement)
    }
}
