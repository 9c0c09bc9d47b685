//! The state of one subject under one policy.

use std::sync::Arc;

use crate::algorithm::{Counters, InUse, Mode, Settlement};
use crate::micros::{TimeSpan, Timestamp};
use crate::verdict::Verdict;
use crate::{Check, Outcome, Policy, Settled};

/// The state of one subject under one policy, in one cache line.
#[repr(align(64))]
pub(super) struct Slot {
    /// The policy whose quotas and algorithm these counters follow.
    policy: Arc<Policy>,
    subject: SubjectText,
    counters: Counters,
    hash: u32,
    /// The smallest cost that was refused since a cost at least as large was last admitted; 0 if
    /// there is none.
    refused: u32,
}

const _: () = assert!(size_of::<Slot>() == 64);

impl Slot {
    /// Creates the slot of a check's subject. `policy` is that of the check, as the keys share it.
    pub(super) fn new(
        hash: u32,
        check: &Check<'_>,
        policy: Arc<Policy>,
        counters: Counters,
    ) -> Self {
        Self { policy, subject: SubjectText::new(check.subject), counters, hash, refused: 0 }
    }

    #[inline]
    pub(super) fn hash(&self) -> u32 {
        self.hash
    }

    #[inline(always)]
    pub(super) fn is_of(&self, check: &Check<'_>) -> bool {
        self.subject.is(check.subject) && self.policy.has_name_of(check.policy)
    }

    /// Decides about a check, and charges it if it is admitted. Returns `true` if its refusal begins
    /// a ban.
    #[inline(always)]
    pub(super) fn charge(
        &mut self,
        check: &Check<'_>,
        now: Timestamp,
        verdict: &mut Verdict,
    ) -> bool {
        let cost = check.cost;
        if self.policy.is_kept_like(check.policy) {
            self.counters.decide_inline(check, now, Mode::Charge, verdict);
        } else {
            self.charge_translated(check, now, verdict);
        }
        match verdict.outcome() {
            Outcome::Allowed if self.refused > 0 && cost >= self.refused => self.refused = 0,
            Outcome::Refused { .. } => {
                if self.refused == 0 || cost < self.refused {
                    self.refused = cost;
                }
                if check.policy.get_ban().is_some() {
                    return self.counters.count_refusal(check.policy, now, verdict);
                }
            }
            // A cost that can never be admitted is refused whatever the state of these counters.
            _ => {}
        }
        false
    }

    /// Charges a check whose policy has another form than these counters. They follow it only if
    /// the check is admitted and charged.
    #[cold]
    fn charge_translated(&mut self, check: &Check<'_>, now: Timestamp, verdict: &mut Verdict) {
        let mut counters = self.translated(check.policy, now);
        counters.decide(check, now, Mode::Charge, verdict);
        if verdict.is_allowed() && check.cost > 0 {
            self.counters = counters;
            self.policy = Arc::new(check.policy.clone());
        }
    }

    /// Returns the counters in the form of `policy`, which is another than theirs.
    fn translated(&mut self, policy: &Policy, now: Timestamp) -> Counters {
        self.counters.step_back_ban(now);
        self.counters.translated(&self.policy, policy, now)
    }

    pub(super) fn peek(&mut self, check: &Check<'_>, now: Timestamp, verdict: &mut Verdict) {
        if self.policy.is_kept_like(check.policy) {
            self.counters.decide(check, now, Mode::Peek, verdict);
        } else {
            let mut counters = self.translated(check.policy, now);
            counters.decide(check, now, Mode::Peek, verdict);
        }
    }

    /// Records a charge that another store has admitted, as far as the quotas can still admit it.
    pub(super) fn record(&mut self, policy: &Policy, now: Timestamp, cost: u32) {
        if cost > 0 && !self.policy.is_kept_like(policy) {
            self.counters = self.counters.translated(&self.policy, policy, now);
            self.policy = Arc::new(policy.clone());
        }
        self.counters.record(policy, now, cost);
    }

    /// Settles a charge that the form `charged_under` of the policy has admitted.
    pub(super) fn settle(&mut self, charged_under: &Policy, settlement: Settlement) -> Settled {
        if settlement.debt() > 0
            && !self.policy.is_kept_like(charged_under)
            && self.counters.no_units_from(&self.policy) <= settlement.now
        {
            // Without units in use, the form is of no account.
            self.counters.renew(charged_under);
            self.policy = Arc::new(charged_under.clone());
        }
        self.counters.settle(&self.policy, charged_under, settlement)
    }

    /// Forgets the refusals that are counted, and the bans before the one in force.
    pub(super) fn forgive(&mut self, now: Timestamp) {
        self.counters.forgive(now);
    }

    /// Bans the subject. Returns the end of the ban.
    pub(super) fn ban(&mut self, now: Timestamp, span: TimeSpan) -> Timestamp {
        self.counters.set_ban(now, span)
    }

    /// Ends the ban of the subject. Returns `true` if there was one.
    pub(super) fn lift_ban(&mut self, now: Timestamp) -> bool {
        self.counters.lift_ban(now)
    }

    /// Returns the end of the ban in force; `None` if there is none.
    pub(super) fn banned_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.counters.banned_until(now)
    }

    /// Returns `true` if no units are in use at `now`, so that the slot can be removed and nothing
    /// is lost.
    pub(super) fn is_unused(&self, now: Timestamp) -> bool {
        self.counters.empty_at(&self.policy) <= now
    }

    /// Returns the units in use. A request of the cost `refused`, or of cost 1 if that is 0, counts
    /// as waiting.
    pub(super) fn usage(&mut self, now: Timestamp) -> InUse {
        self.counters.usage(&self.policy, now, self.refused.max(1))
    }
}

/// The maximum length, in bytes, of a subject that is stored within its slot.
const SHORT: usize = 22;

/// The text of a subject.
enum SubjectText {
    Short { len: u8, bytes: [u8; SHORT] },
    Long(Box<[u8]>),
}

impl SubjectText {
    fn new(text: &str) -> Self {
        let text = text.as_bytes();
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..text.len()) {
            Some(part) => {
                part.copy_from_slice(text);
                // The length is at most 22, which fits into `u8`.
                Self::Short { len: text.len() as u8, bytes }
            }
            None => Self::Long(text.into()),
        }
    }

    #[inline(always)]
    fn is(&self, text: &str) -> bool {
        let text = text.as_bytes();
        match self {
            Self::Short { len, bytes } => {
                usize::from(*len) == text.len()
                    && bytes.get(..text.len()).is_some_and(|bytes| is_same(bytes, text))
            }
            Self::Long(bytes) => **bytes == *text,
        }
    }
}

/// Returns `true` if two texts of equal length are the same. Texts of 8 to 16 bytes are frequent.
/// They are compared as two words, the first and the last 8 bytes, which is faster than the call
/// that compares texts of any length.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    match (one.first_chunk::<8>(), other.first_chunk(), one.last_chunk::<8>(), other.last_chunk()) {
        (Some(first), Some(other_first), Some(last), Some(other_last)) if one.len() <= 16 => {
            first == other_first && last == other_last
        }
        _ => one == other,
    }
}
