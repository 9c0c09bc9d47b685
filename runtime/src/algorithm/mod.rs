//! The algorithms: pure integer arithmetic over a subject's state, no I/O and no clock.
//!
//! One file per algorithm, each a [`Core`]. [`Part`] is the state of one quota by whichever
//! algorithm, and [`Counters`] puts the quotas of a policy together into one atomic decision.

use std::time::Duration;

mod counters;
mod fixed_window;
mod gcra;
mod leaky_bucket;
mod log;
mod sliding_window;
mod sliding_window_counter;
mod token_bucket;
#[cfg(feature = "redis")]
mod told;

pub(crate) use self::counters::{Counters, Mode};
use self::fixed_window::FixedWindow;
use self::gcra::Gcra;
use self::leaky_bucket::LeakyBucket;
pub(crate) use self::leaky_bucket::spaced;
use self::sliding_window::SlidingWindow;
use self::sliding_window_counter::SlidingWindowCounter;
use self::token_bucket::TokenBucket;
#[cfg(feature = "redis")]
pub(crate) use self::told::told;
use crate::Verdict;
use crate::verdict::Reading;
use crate::{Algorithm, Outcome, Quota, QuotaState};

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
    #[inline]
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::None => Self::Allowed,
            Wait::For(micros) => Self::Refused { retry_after: Duration::from_micros(micros) },
            Wait::Forever => Self::Never,
        }
    }
}

/// One quota's state for one subject, by one algorithm. The default is the state of a subject
/// never seen.
///
/// What is read and charged at an instant is only right once the state was brought to it by
/// [`advance`](Self::advance). Costs are at least 1 and at most the quota's capacity.
trait Core: Default {
    /// Forgets what has passed by `now`, and takes what lies ahead of it, after a clock went
    /// back, for something of now: it locks nobody out, and nothing is admitted twice.
    fn advance(&mut self, now: Micros, quota: &Quota);

    /// How long a request of `cost` would have to wait, if nobody else came.
    fn wait(&self, now: Micros, quota: &Quota, cost: u32) -> Micros;

    /// How the quota stands.
    fn read(&self, now: Micros, quota: &Quota) -> Reading;

    /// Records an admission of `cost`, for which there is no wait.
    fn charge(&mut self, now: Micros, quota: &Quota, cost: u32);

    /// Gives back what was charged at `stamp`, as far as that never admits more than the
    /// algorithm's bound. Says whether it gave anything back; if not, nothing changes.
    fn refund(&mut self, now: Micros, quota: &Quota, stamp: Micros, cost: u32) -> bool;

    /// When this state will be as if the subject had never been seen; 0 if it is so already.
    fn empty_at(&self, quota: &Quota) -> Micros;

    /// A whole decision about any cost.
    #[inline]
    fn decide(
        &mut self,
        now: Micros,
        quota: &Quota,
        cost: u32,
        charges: bool,
        verdict: &mut Verdict,
    ) {
        decide_in_steps(self, now, quota, cost, charges, verdict);
    }
}

/// The state of one quota for one subject.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    SlidingWindow(SlidingWindow),
    SlidingWindowCounter(SlidingWindowCounter),
    FixedWindow(FixedWindow),
    /// Three algorithms, one arithmetic: see [`gcra`].
    Bucket(Gcra),
}

/// Calls a method of whichever core this is.
macro_rules! core {
    ($part:expr, $core:ident => $call:expr) => {
        match $part {
            Part::SlidingWindow($core) => $call,
            Part::SlidingWindowCounter($core) => $call,
            Part::FixedWindow($core) => $call,
            Part::Bucket($core) => $call,
        }
    };
}

impl Part {
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

    fn serves(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::SlidingWindow(_) => algorithm == Algorithm::SlidingWindow,
            Self::SlidingWindowCounter(_) => algorithm == Algorithm::SlidingWindowCounter,
            Self::FixedWindow(_) => algorithm == Algorithm::FixedWindow,
            Self::Bucket(_) => algorithm.has_bucket(),
        }
    }

    /// Makes state that was kept under another quota serve this one.
    fn fit(&mut self, now: Micros, former: &Quota, quota: &Quota) {
        if let Self::Bucket(bucket) = self {
            bucket.fit(now, former, quota);
        }
    }

    /// A whole decision, for a policy of one quota.
    #[inline]
    fn decide(
        &mut self,
        now: Micros,
        quota: &Quota,
        cost: u32,
        charges: bool,
        verdict: &mut Verdict,
    ) {
        core!(self, core => core.decide(now, quota, cost, charges, verdict));
    }

    fn advance(&mut self, now: Micros, quota: &Quota) {
        core!(self, core => core.advance(now, quota));
    }

    fn wait(&self, now: Micros, quota: &Quota, cost: u32) -> Wait {
        core!(self, core => wait(core, now, quota, cost))
    }

    fn state(&self, now: Micros, quota: &Quota, exceeded: bool) -> QuotaState {
        QuotaState::read(exceeded, core!(self, core => core.read(now, quota)))
    }

    fn charge(&mut self, now: Micros, quota: &Quota, cost: u32) {
        core!(self, core => core.charge(now, quota, cost));
    }

    fn refund(&mut self, now: Micros, quota: &Quota, stamp: Micros, cost: u32) -> bool {
        core!(self, core => core.refund(now, quota, stamp, cost))
    }

    fn empty_at(&self, quota: &Quota) -> Micros {
        core!(self, core => core.empty_at(quota))
    }

    /// The units in use.
    fn used(&self, now: Micros, quota: &Quota) -> u32 {
        let quota = quota.using(quota.capacity());
        let reading = core!(self, core => core.read(now, &quota));
        quota.capacity().saturating_sub(reading.remaining())
    }
}

#[inline]
fn wait(core: &impl Core, now: Micros, quota: &Quota, cost: u32) -> Wait {
    if cost == 0 {
        return Wait::None;
    }
    if cost > quota.capacity() {
        return Wait::Forever;
    }
    match core.wait(now, quota, cost) {
        0 => Wait::None,
        micros => Wait::For(micros),
    }
}

/// Compiled for each core as a whole, so that what its steps have in common is done once.
#[inline]
fn decide_in_steps(
    core: &mut impl Core,
    now: Micros,
    quota: &Quota,
    cost: u32,
    charges: bool,
    verdict: &mut Verdict,
) {
    core.advance(now, quota);
    let wait = wait(core, now, quota, cost);
    if charges && wait == Wait::None {
        core.charge(now, quota, cost);
    }
    say(verdict, now, wait, core.read(now, quota));
}

/// What a policy's only quota says.
#[inline]
fn say(verdict: &mut Verdict, now: Micros, wait: Wait, reading: Reading) {
    verdict.restart(wait.into(), now);
    verdict.push(QuotaState::read(wait != Wait::None, reading));
}
