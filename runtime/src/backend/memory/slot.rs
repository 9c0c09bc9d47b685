//! The slot: the state of one subject under one policy, in one cache line with its key.

use super::key::SlotKey;
use super::table::Keyed;
use crate::algorithm::{Counters, InUse, Mode, StepWindow};
use crate::micros::Timestamp;
use crate::verdict::Verdict;
use crate::{Check, Outcome, Policy};

/// The state of one subject under one policy. Its own policy, which the methods are given, is the one
/// with the number `form`: its quotas and its algorithm are those that the state follows.
#[repr(align(64))]
pub(super) struct Slot {
    key: SlotKey,
    /// The smallest cost that was refused since a cost at least as large was last admitted; 0 if
    /// there is none.
    refused: u32,
    form: u16,
    state: SlotState,
}

const _: () = assert!(size_of::<Slot>() == 64);

/// The state in its smallest form. What most subjects never have, such as a ban or a charge of
/// several units, they need no room for.
enum SlotState {
    Steps(StepWindow),
    Counters(Counters),
}

impl SlotState {
    const EMPTY: Self = Self::Steps(StepWindow::EMPTY);

    fn of(counters: Counters, policy: &Policy) -> Self {
        match counters.to_steps(policy) {
            Some(steps) => Self::Steps(steps),
            None => Self::Counters(counters),
        }
    }
}

impl Keyed for Slot {
    const NONE: Self = Self { key: SlotKey::NONE, refused: 0, form: 0, state: SlotState::EMPTY };

    #[inline(always)]
    fn key(&self) -> SlotKey {
        self.key
    }

    #[inline(always)]
    fn form(&self) -> u16 {
        self.form
    }
}

/// The result of a charge, beside the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charged {
    Decided,
    /// The check was refused by a policy that counts its refusals.
    Counted,
    /// Nothing is decided: it takes the state in the form that can hold anything.
    Unfit,
    /// The check was decided, and the state may now have a smaller form.
    Shrunk,
}

impl Slot {
    /// Creates the slot of a key. `policy` has the number `form`.
    pub(super) fn new(
        (key, form): (SlotKey, u16),
        refused: u32,
        counters: Counters,
        policy: &Policy,
    ) -> Self {
        Self { key, refused, form, state: SlotState::of(counters, policy) }
    }

    /// Decides about a check under a policy that is kept like this slot's own, and charges it if it is
    /// admitted.
    #[inline(always)]
    pub(super) fn charge(
        &mut self,
        check: &Check<'_>,
        now: Timestamp,
        verdict: &mut Verdict,
    ) -> Charged {
        match &mut self.state {
            SlotState::Steps(steps) => {
                if !steps.decide(check, now, Mode::Charge, verdict)
                    && !decide_otherwise(steps, check, now, (Mode::Charge, verdict))
                {
                    return Charged::Unfit;
                }
            }
            SlotState::Counters(counters) => {
                let was_extended = counters.is_extended();
                counters.decide_inline(check, now, Mode::Charge, verdict);
                if was_extended && !counters.is_extended() {
                    self.note(check, verdict);
                    return Charged::Shrunk;
                }
            }
        }
        self.note(check, verdict)
    }

    /// Notes the outcome of a charge, by which an eviction knows which keys refuse requests.
    #[inline(always)]
    pub(super) fn note(&mut self, check: &Check<'_>, verdict: &Verdict) -> Charged {
        match verdict.outcome() {
            Outcome::Allowed if self.refused > 0 && check.cost >= self.refused => self.refused = 0,
            Outcome::Refused { .. } => {
                if self.refused == 0 || check.cost < self.refused {
                    self.refused = check.cost;
                }
                if check.policy.counted_ban().is_some() {
                    return Charged::Counted;
                }
            }
            // A cost that can never be admitted is refused whatever the state of these counters.
            _ => {}
        }
        Charged::Decided
    }

    /// Looks at a check under a policy that is kept like this slot's own.
    pub(super) fn peek(&mut self, check: &Check<'_>, now: Timestamp, verdict: &mut Verdict) {
        match &mut self.state {
            SlotState::Steps(steps) => {
                _ = decide_otherwise(steps, check, now, (Mode::Peek, verdict));
            }
            SlotState::Counters(counters) => counters.decide(check, now, Mode::Peek, verdict),
        }
    }

    /// Returns the state of the slot as far as it is one of these forms.
    pub(super) fn steps(&mut self) -> Option<&mut StepWindow> {
        match &mut self.state {
            SlotState::Steps(steps) => Some(steps),
            SlotState::Counters(_) => None,
        }
    }

    pub(super) fn counters(&mut self) -> Option<&mut Counters> {
        match &mut self.state {
            SlotState::Steps(_) => None,
            SlotState::Counters(counters) => Some(counters),
        }
    }

    /// Takes the state out, in the form that can hold anything, with the smallest cost that was refused.
    /// [`put`](Self::put) brings it back.
    pub(super) fn take(&mut self) -> (Counters, u32) {
        let counters = match std::mem::replace(&mut self.state, SlotState::EMPTY) {
            SlotState::Steps(steps) => Counters::of_steps(steps),
            SlotState::Counters(counters) => counters,
        };
        (counters, self.refused)
    }

    /// Stores the state, which follows `policy`, the one with the number `form`.
    pub(super) fn put(&mut self, counters: Counters, form: u16, policy: &Policy) {
        self.form = form;
        self.state = SlotState::of(counters, policy);
    }

    /// Returns `true` if no units are in use at `now`, so that the slot can be removed and nothing
    /// is lost.
    pub(super) fn is_unused(&self, own: &Policy, now: Timestamp) -> bool {
        let empty_at = match (&self.state, own.quotas()) {
            (SlotState::Steps(steps), [quota]) => steps.empty_at(quota),
            (SlotState::Steps(_), _) => Timestamp::EPOCH,
            (SlotState::Counters(counters), _) => counters.empty_at(own),
        };
        empty_at <= now
    }

    /// Returns the units in use. A request of the cost `refused`, or of cost 1 if that is 0, counts
    /// as waiting.
    pub(super) fn usage(&mut self, own: &Policy, now: Timestamp) -> InUse {
        let waiting = self.refused.max(1);
        match (&mut self.state, own.quotas()) {
            (SlotState::Steps(steps), [quota]) => steps.usage(now, quota, waiting),
            (SlotState::Steps(_), _) => InUse::default(),
            (SlotState::Counters(counters), _) => counters.usage(own, now, waiting),
        }
    }
}

/// Decides about a check after the clock was set back, or after making room for one more entry. Returns
/// `false`, and has decided nothing, if it does not fit then either.
#[cold]
fn decide_otherwise(
    steps: &mut StepWindow,
    check: &Check<'_>,
    now: Timestamp,
    (mode, verdict): (Mode, &mut Verdict),
) -> bool {
    let [quota] = check.policy.quotas() else { return false };
    steps.step_back(now, quota);
    steps.decide(check, now, mode, verdict)
        || (check.cost == 1 && steps.grow(quota) && steps.decide(check, now, mode, verdict))
}
