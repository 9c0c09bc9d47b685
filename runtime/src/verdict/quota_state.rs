//! The state of one quota after a decision.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use super::Reading;
use crate::Quota;
use crate::micros::TimeSpan;

/// The state of one quota after a decision. Its times are exact to the microsecond.
#[derive(Clone, Copy, Debug)]
pub struct QuotaState(Reading);

impl QuotaState {
    /// Creates the state that a backend reports. `exceeded` is `true` if the quota refused the
    /// request. The other arguments are described at the methods of the same names. Times are
    /// rounded up to whole microseconds, so that a request that waits for them does not come too
    /// early.
    #[must_use]
    pub const fn new(
        exceeded: bool,
        remaining: u32,
        more_after: Duration,
        reset_after: Duration,
    ) -> Self {
        let [more_after, reset_after] = [micros(more_after), micros(reset_after)];
        let wait = if exceeded || remaining == 0 { more_after } else { TimeSpan::ZERO };
        Self(Reading::Known { exceeded, remaining, more_after, reset_after, wait })
    }

    /// Sets the time until this quota would admit the same request, if no other comes before then.
    /// Without it, [`retry_after`](Self::retry_after) is the time until one more unit is there,
    /// which is too short for a cost above 1. `None` if the quota can never admit the request.
    #[must_use]
    pub fn with_retry_after(self, retry_after: Option<Duration>) -> Self {
        Self(Reading::Known {
            exceeded: self.0.exceeded(),
            remaining: self.0.remaining(),
            more_after: self.0.more_after(),
            reset_after: self.0.reset_after(),
            wait: retry_after.map_or(TimeSpan::MAX, micros),
        })
    }

    #[inline]
    pub(crate) fn read(exceeded: bool, mut reading: Reading) -> Self {
        reading.set_exceeded(exceeded);
        Self(reading)
    }

    /// Returns the state after `elapsed` has passed, for a request of `cost`. The remaining units
    /// are a lower bound, because the times at which single units are replenished are not all
    /// known.
    pub(crate) fn aged(&self, elapsed: TimeSpan, quota: &Quota, cost: u32) -> Self {
        let mut reading = self.0.aged(elapsed, quota.capacity(), cost);
        reading.set_exceeded(cost > reading.remaining());
        Self(reading)
    }

    /// Returns the state with `units` added to the remaining units. A lease charged these units in
    /// advance and has not spent them.
    pub(crate) fn with_more(&self, units: u32) -> Self {
        let remaining = self.remaining().saturating_add(units);
        let (more_after, reset_after) = (self.0.more_after(), self.0.reset_after());
        let wait = if remaining == 0 { more_after } else { TimeSpan::ZERO };
        Self(Reading::Known { exceeded: false, remaining, more_after, reset_after, wait })
    }

    /// Returns the state with no time longer than `span`, but for that of a request that is never admitted.
    pub(super) fn ended_after(&self, span: TimeSpan) -> Self {
        let wait = self.wait();
        Self(Reading::Known {
            exceeded: self.0.exceeded(),
            remaining: self.0.remaining(),
            more_after: self.0.more_after().min(span),
            reset_after: self.0.reset_after().min(span),
            wait: if wait == TimeSpan::MAX { wait } else { wait.min(span) },
        })
    }

    /// Returns `true` if this quota refused the request.
    #[must_use]
    pub fn is_exceeded(&self) -> bool {
        self.0.exceeded()
    }

    /// Returns the number of units that the quota would still admit now.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.0.remaining()
    }

    /// Returns the time until the quota would admit more than [`remaining`](Self::remaining) units,
    /// if no request comes before then; zero if no units are in use.
    #[must_use]
    pub fn more_after(&self) -> Duration {
        self.0.more_after().to_duration()
    }

    /// Returns the time until this quota would admit the same request, and after an admission the
    /// same request once more, if no other comes before then: zero if it would now, `None` if it
    /// never can. The other quotas of the policy may take longer. If one of them never admits the
    /// request, this is an upper bound.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let wait = self.wait();
        (wait != TimeSpan::MAX).then(|| wait.to_duration())
    }

    /// Returns [`retry_after`](Self::retry_after), with [`TimeSpan::MAX`] for a request that can
    /// never be admitted.
    pub(crate) fn wait(&self) -> TimeSpan {
        self.0.wait()
    }

    /// Returns the time until the quota's full capacity is available again, if no request comes
    /// before then; zero if no units are in use.
    #[must_use]
    pub fn reset_after(&self) -> Duration {
        self.0.reset_after().to_duration()
    }
}

/// Compares the numbers that the methods return, because equal states can be stored in different
/// ways.
impl PartialEq for QuotaState {
    fn eq(&self, other: &Self) -> bool {
        let reported = |state: &Self| (state.is_exceeded(), state.remaining(), state.more_after());
        reported(self) == reported(other) && self.reset_after() == other.reset_after()
    }
}

impl Eq for QuotaState {}

impl Hash for QuotaState {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.is_exceeded(), self.remaining(), self.more_after()).hash(state);
        self.reset_after().hash(state);
    }
}

/// Converts a duration, rounded up to whole microseconds. A duration longer than [`TimeSpan::MAX`]
/// (half a million years) becomes `TimeSpan::MAX`.
const fn micros(span: Duration) -> TimeSpan {
    let micros = span.as_nanos().div_ceil(1_000);
    if micros > u64::MAX as u128 { TimeSpan::MAX } else { TimeSpan::from_micros(micros as u64) }
}
