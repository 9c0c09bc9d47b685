//! The algorithms: pure integer arithmetic over a subject's state, no I/O and no clock.
//!
//! One file per algorithm. Each offers the same five steps — forget what has passed, read
//! what the quota says, charge, give back, say when nothing is left — and this module puts
//! the quotas of a policy together into one atomic decision.

mod sliding_window;

use std::time::Duration;

use smallvec::SmallVec;

use self::sliding_window::SlidingWindow;
use crate::backend::Verdict;
use crate::{Outcome, Policy, Quota, QuotaState};

/// Microseconds: since the epoch where it is an instant, otherwise a span.
pub(crate) type Micros = u64;

/// Instants beyond this are taken for this, so that adding a period cannot overflow. It is
/// the year 294,000.
const LAST_INSTANT: Micros = i64::MAX as u64;

/// How long until a quota would admit a cost.
/// Ordered from the best to the worst, so the wait of several quotas is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wait {
    None,
    For(Micros),
    /// The cost is more than the quota can ever admit.
    Forever,
}

impl From<Wait> for Outcome {
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::None => Self::Allowed,
            Wait::For(micros) => Self::Refused { retry_after: Duration::from_micros(micros) },
            Wait::Forever => Self::Never,
        }
    }
}

/// What one quota says at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) remaining: u32,
    pub(crate) wait: Wait,
    /// Until more than `remaining` could be admitted; 0 when nothing is used.
    pub(crate) more_after: Micros,
    /// Until all is as if nothing had been used.
    pub(crate) reset_after: Micros,
}

impl Reading {
    fn state(&self, exceeded: bool) -> QuotaState {
        let after = Duration::from_micros;
        QuotaState::new(exceeded, self.remaining, after(self.more_after), after(self.reset_after))
    }
}

/// Whether a decision takes what it decides about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Charge,
    Peek,
}

/// One subject's state under one policy: a part for each quota, in written order.
///
/// A part that is missing is that of a subject never seen, so state written under fewer
/// quotas serves a policy that has gained one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// The first part is inline: most policies have one quota.
    parts: SmallVec<[SlidingWindow; 1]>,
}

impl Counters {
    /// Decides about `cost` at `now`, and with [`Mode::Charge`] takes it if every quota
    /// admits it. A refusal changes nothing.
    pub(crate) fn decide(
        &mut self,
        policy: &Policy,
        now: Micros,
        cost: u32,
        mode: Mode,
    ) -> Verdict {
        let now = now.min(LAST_INSTANT);
        let wait = self
            .advanced(policy, now)
            .map(|(part, quota)| part.read(now, quota, cost).wait)
            .max()
            .unwrap_or(Wait::None);
        let charged = wait == Wait::None && mode == Mode::Charge;
        let mut verdict = Verdict::new(wait.into(), now);
        for (part, quota) in self.parts_of(policy) {
            let exceeded = part.read(now, quota, cost).wait != Wait::None;
            if charged {
                part.charge(now, quota, cost);
            }
            verdict.push(part.read(now, quota, 0).state(exceeded));
        }
        verdict
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
        self.advanced(policy, now.min(LAST_INSTANT))
            .fold(false, |any, (part, quota)| part.refund(stamp, quota, cost) || any)
    }

    /// Whether nothing is used: the state of a subject never seen.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.iter().all(SlidingWindow::is_empty)
    }

    /// When this state will be as if the subject had never been seen.
    pub(crate) fn empty_at(&self, policy: &Policy) -> Micros {
        let parts = self.parts.iter().zip(policy.quotas());
        parts.map(|(part, quota)| part.empty_at(quota)).max().unwrap_or(0)
    }

    fn advanced<'a>(
        &'a mut self,
        policy: &'a Policy,
        now: Micros,
    ) -> impl Iterator<Item = (&'a mut SlidingWindow, &'a Quota)> {
        self.parts_of(policy).map(move |(part, quota)| {
            part.advance(now, quota);
            (part, quota)
        })
    }

    fn parts_of<'a>(
        &'a mut self,
        policy: &'a Policy,
    ) -> impl Iterator<Item = (&'a mut SlidingWindow, &'a Quota)> {
        self.parts.resize_with(policy.quotas().len(), SlidingWindow::default);
        self.parts.iter_mut().zip(policy.quotas())
    }
}
