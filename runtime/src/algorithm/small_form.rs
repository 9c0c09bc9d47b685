//! The smallest forms of a subject's state, between which and [`Counters`] the memory backend translates.

use super::QuotaCounter;
use super::counters::Counters;
use super::gcra::Gcra;
use super::step_window::StepWindow;
use crate::Policy;

impl Counters {
    /// Returns the state of a subject whose only log was stored in its smallest form.
    pub(crate) fn of_steps(steps: StepWindow) -> Self {
        Self::One(QuotaCounter::SlidingWindow(steps.expand()))
    }

    /// Returns the state in the smallest form of a log; `None` if it is no such log.
    pub(crate) fn to_steps(&self, policy: &Policy) -> Option<StepWindow> {
        match (self, policy.quotas()) {
            (Self::One(QuotaCounter::SlidingWindow(log)), [quota]) => StepWindow::of(log, quota),
            _ => None,
        }
    }

    /// Returns the state of a subject whose only bucket was stored in its smallest form.
    pub(crate) fn of_bucket(bucket: Gcra) -> Self {
        Self::One(QuotaCounter::Bucket(bucket))
    }

    /// Returns the only bucket; `None` if there is more than that.
    pub(crate) fn bucket(&self) -> Option<Gcra> {
        match self {
            Self::One(QuotaCounter::Bucket(bucket)) => Some(*bucket),
            _ => None,
        }
    }

    /// Returns `true` if more than counters is known of the subject.
    #[inline]
    pub(crate) fn is_extended(&self) -> bool {
        matches!(self, Self::Extended(_))
    }
}
