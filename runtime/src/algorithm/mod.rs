//! The algorithms: pure integer arithmetic over a subject's state, without I/O and without a clock.
//!
//! There is one file per algorithm, each a [`Counter`]. [`QuotaCounter`] is the state of one quota by
//! any of them, and [`Counters`] combines the quotas of a policy into one atomic decision.

mod counters;
mod fixed_window;
#[cfg(feature = "redis")]
mod from_store;
mod gcra;
mod leaky_bucket;
mod log;
mod sliding_window;
mod sliding_window_counter;
mod token_bucket;

pub(crate) use self::counters::{Counters, Mode};
use self::fixed_window::FixedWindow;
#[cfg(feature = "redis")]
pub(crate) use self::from_store::verdict_from_raw;
use self::gcra::Gcra;
use self::leaky_bucket::LeakyBucket;
pub(crate) use self::leaky_bucket::spaced;
use self::sliding_window::SlidingWindow;
use self::sliding_window_counter::SlidingWindowCounter;
use self::token_bucket::TokenBucket;
use crate::micros::{TimeSpan, Timestamp};
use crate::verdict::{Reading, Verdict};
use crate::{Algorithm, Outcome, Quota, QuotaState};

/// The latest instant that is reckoned with, in the year 294,000. Later ones are replaced by it, so
/// that adding a period cannot overflow.
const LAST_INSTANT: Timestamp = Timestamp::from_micros(i64::MAX as u64);

/// A request as one quota sees it.
#[derive(Clone, Copy)]
struct QuotaCheck<'a> {
    now: Timestamp,
    quota: &'a Quota,
    cost: u32,
}

/// A charge that is to be given back. Its two instants are fields, so that they cannot be swapped.
#[derive(Clone, Copy)]
pub(crate) struct Refund {
    pub(crate) now: Timestamp,
    pub(crate) charged_at: Timestamp,
    pub(crate) cost: u32,
}

/// The time until a quota admits a cost. Ordered from the best to the worst, so that the wait of
/// several quotas is the maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wait {
    None,
    For(TimeSpan),
    /// The cost is more than the quota can ever admit.
    Forever,
}

impl From<Wait> for Outcome {
    #[inline]
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::None => Self::Allowed,
            Wait::For(span) => Self::Refused { retry_after: span.to_duration() },
            Wait::Forever => Self::Never,
        }
    }
}

/// The state of one quota for one subject, by one algorithm. The default is the state of a subject
/// that was never seen.
///
/// [`advance`](Self::advance) has to bring the state to an instant before anything is read or
/// charged at it. Costs are at least 1 and at most the quota's capacity.
trait Counter: Default {
    /// Removes the admissions that no longer count at `now`. Admissions later than `now`, which
    /// appear when a clock was set back, are moved to `now`: so they lock no subject out, and
    /// nothing is admitted twice.
    fn advance(&mut self, now: Timestamp, quota: &Quota);

    /// Returns the time until a request of `cost` is admitted, if no other comes before; zero if
    /// it is admitted now.
    fn wait(&self, now: Timestamp, quota: &Quota, cost: u32) -> TimeSpan;

    /// Returns the state of the quota.
    fn read(&self, now: Timestamp, quota: &Quota) -> Reading;

    /// Records an admission of `cost`, for which there is no wait.
    fn charge(&mut self, now: Timestamp, quota: &Quota, cost: u32);

    /// Gives back a charge, as far as that never admits more than the algorithm's bound. Returns
    /// `true` if it gave anything back; otherwise nothing changes.
    fn refund(&mut self, quota: &Quota, refund: Refund) -> bool;

    /// Returns the instant from which on this state equals that of a subject that was never seen;
    /// the epoch if it does already.
    fn empty_at(&self, quota: &Quota) -> Timestamp;

    /// Decides about any cost, and charges it if `charges` is set and the quota admits it.
    #[inline(always)]
    fn decide(&mut self, check: QuotaCheck<'_>, charges: bool, verdict: &mut Verdict) {
        decide_in_steps(self, check, charges, verdict);
    }
}

/// The state of one quota for one subject, by any algorithm.
#[derive(Clone, Debug)]
pub(crate) enum QuotaCounter {
    SlidingWindow(SlidingWindow),
    SlidingWindowCounter(SlidingWindowCounter),
    FixedWindow(FixedWindow),
    /// Three algorithms with the same arithmetic: see [`gcra`].
    Bucket(Gcra),
}

/// Calls a method of the counter of whichever algorithm it is.
macro_rules! dispatch {
    ($quota_counter:expr, $counter:ident => $call:expr) => {
        match $quota_counter {
            QuotaCounter::SlidingWindow($counter) => $call,
            QuotaCounter::SlidingWindowCounter($counter) => $call,
            QuotaCounter::FixedWindow($counter) => $call,
            QuotaCounter::Bucket($counter) => $call,
        }
    };
}

impl QuotaCounter {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::SlidingWindow => Self::SlidingWindow(SlidingWindow::default()),
            Algorithm::SlidingWindowCounter => {
                Self::SlidingWindowCounter(SlidingWindowCounter::default())
            }
            Algorithm::FixedWindow => Self::FixedWindow(FixedWindow::default()),
            Algorithm::TokenBucket => Self::Bucket(TokenBucket::default()),
            Algorithm::LeakyBucket => Self::Bucket(LeakyBucket::default()),
            Algorithm::Gcra => Self::Bucket(Gcra::default()),
        }
    }

    /// Returns `true` if this state is of a form that `algorithm` uses.
    fn serves(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::SlidingWindow(_) => algorithm == Algorithm::SlidingWindow,
            Self::SlidingWindowCounter(_) => algorithm == Algorithm::SlidingWindowCounter,
            Self::FixedWindow(_) => algorithm == Algorithm::FixedWindow,
            Self::Bucket(_) => algorithm.has_bucket(),
        }
    }

    /// Converts state that was counted by the quota `former` so that it serves `quota`.
    fn fit(&mut self, now: Timestamp, former: &Quota, quota: &Quota) {
        if let Self::Bucket(bucket) = self {
            bucket.fit(now, former, quota);
        }
    }

    /// Makes the whole decision for a policy of one quota.
    #[inline(always)]
    fn decide(&mut self, check: QuotaCheck<'_>, charges: bool, verdict: &mut Verdict) {
        dispatch!(self, counter => counter.decide(check, charges, verdict));
    }

    fn advance(&mut self, now: Timestamp, quota: &Quota) {
        dispatch!(self, counter => counter.advance(now, quota));
    }

    fn wait(&self, now: Timestamp, quota: &Quota, cost: u32) -> Wait {
        dispatch!(self, counter => wait(counter, QuotaCheck { now, quota, cost }))
    }

    fn state(&self, now: Timestamp, quota: &Quota, exceeded: bool) -> QuotaState {
        QuotaState::read(exceeded, dispatch!(self, counter => counter.read(now, quota)))
    }

    fn charge(&mut self, now: Timestamp, quota: &Quota, cost: u32) {
        dispatch!(self, counter => counter.charge(now, quota, cost));
    }

    fn refund(&mut self, quota: &Quota, refund: Refund) -> bool {
        dispatch!(self, counter => counter.refund(quota, refund))
    }

    fn empty_at(&self, quota: &Quota) -> Timestamp {
        dispatch!(self, counter => counter.empty_at(quota))
    }

    /// Returns the units in use.
    fn used(&self, now: Timestamp, quota: &Quota) -> u32 {
        let quota = quota.using(quota.capacity());
        let reading = dispatch!(self, counter => counter.read(now, &quota));
        quota.capacity().saturating_sub(reading.remaining())
    }
}

#[inline]
fn wait(counter: &impl Counter, QuotaCheck { now, quota, cost }: QuotaCheck<'_>) -> Wait {
    if cost == 0 {
        return Wait::None;
    }
    if cost > quota.capacity() {
        return Wait::Forever;
    }
    match counter.wait(now, quota, cost) {
        TimeSpan::ZERO => Wait::None,
        span => Wait::For(span),
    }
}

/// Decides by the steps that all algorithms have in common. It is compiled for each of them as a
/// whole, so that their shared subexpressions are evaluated once.
#[inline(always)]
fn decide_in_steps(
    counter: &mut impl Counter,
    check: QuotaCheck<'_>,
    charges: bool,
    verdict: &mut Verdict,
) {
    let QuotaCheck { now, quota, cost } = check;
    counter.advance(now, quota);
    let wait = wait(counter, check);
    if charges && wait == Wait::None {
        counter.charge(now, quota, cost);
    }
    write_verdict(verdict, now, wait, counter.read(now, quota));
}

/// Writes the verdict of a policy's only quota.
#[inline]
fn write_verdict(verdict: &mut Verdict, now: Timestamp, wait: Wait, reading: Reading) {
    verdict.restart(wait.into(), now.micros());
    verdict.push(QuotaState::read(wait != Wait::None, reading));
}
