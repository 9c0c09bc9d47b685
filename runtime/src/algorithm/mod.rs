//! The algorithms: pure integer arithmetic over a subject's state, without I/O and without a clock.
//!
//! Each algorithm has its own file, with a type that implements [`Counter`]. [`QuotaCounter`] is
//! the state of one quota under any algorithm, and [`Counters`] combines the quotas of a policy
//! into one atomic decision.

mod ban_record;
mod counters;
mod fixed_window;
#[cfg(feature = "redis")]
mod from_store;
mod gcra;
mod in_flight;
mod in_use;
mod leaky_bucket;
mod log;
mod mode;
mod sliding_window;
mod sliding_window_counter;
mod small_form;
mod step_ring;
mod step_window;
mod token_bucket;
mod translation;

use smallvec::SmallVec;

pub(crate) use self::counters::Counters;
use self::fixed_window::FixedWindow;
#[cfg(feature = "redis")]
pub(crate) use self::from_store::verdict_from_raw;
use self::gcra::Gcra;
pub(crate) use self::gcra::PackedBucket;
pub(crate) use self::in_flight::{peek_permits, take_permit};
pub(crate) use self::in_use::InUse;
use self::leaky_bucket::LeakyBucket;
pub(crate) use self::leaky_bucket::spaced;
pub(crate) use self::mode::Mode;
use self::sliding_window::SlidingWindow;
use self::sliding_window_counter::SlidingWindowCounter;
pub(crate) use self::step_window::StepWindow;
use self::token_bucket::TokenBucket;
use crate::micros::{TimeSpan, Timestamp};
use crate::verdict::{Reading, Verdict};
use crate::{Algorithm, Outcome, Quota, QuotaState};

/// The latest time with which the algorithms compute, in the year 294,000. Later times are replaced
/// by it, so that adding a period cannot overflow.
const LAST_INSTANT: Timestamp = Timestamp::from_micros(i64::MAX as u64);

/// The longest step back of the clock that is taken for a disagreement of clocks, such as those of two
/// cores. After a longer step the clock is taken to have been set back.
const MAX_STEP_BACK: TimeSpan = TimeSpan::from_micros(100_000);

/// A request that one quota has to decide.
#[derive(Clone, Copy)]
struct QuotaCheck<'a> {
    now: Timestamp,
    quota: &'a Quota,
    cost: u32,
}

/// A charge to be settled at the units that the request came to; a refund settles it at none. The
/// two times are named fields, so that a caller cannot swap them.
#[derive(Clone, Copy)]
pub(crate) struct Settlement {
    pub(crate) now: Timestamp,
    pub(crate) charged_at: Timestamp,
    pub(crate) cost: u32,
    pub(crate) actual: u32,
}

impl Settlement {
    /// Returns the units to give back.
    pub(crate) fn back(&self) -> u32 {
        self.cost.saturating_sub(self.actual)
    }

    /// Returns the units to charge in addition.
    pub(crate) fn debt(&self) -> u32 {
        self.actual.saturating_sub(self.cost)
    }
}

/// Admissions, the oldest first: the time and the units of each. Only a log has more than two.
type Admissions = SmallVec<[(Timestamp, u32); 2]>;

/// The time until a quota admits a cost. The order is from the shortest wait to the longest, so
/// that the wait for several quotas is the maximum of their waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wait {
    None,
    For(TimeSpan),
    /// The quota can never admit the cost, because it exceeds the capacity.
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

/// The state of one quota for one subject, under one algorithm. The default is the state of a
/// subject without any charges.
///
/// Before the state is read or charged at some time, [`advance`](Self::advance) has to be called
/// with that time. Costs are at least 1 and at most the quota's capacity.
trait Counter: Default {
    /// Removes the admissions that are no longer in use at `now`. If the clock was set back, there
    /// can be admissions later than `now`. They are moved to `now`, so that they lock no subject
    /// out and the limit is not exceeded.
    fn advance(&mut self, now: Timestamp, quota: &Quota);

    /// Returns the time until the quota admits a request of `cost`, if no other request is admitted
    /// before; zero if the quota admits it now.
    fn wait(&self, now: Timestamp, quota: &Quota, cost: u32) -> TimeSpan;

    /// Returns the remaining units of the quota, and the times until more are available.
    fn read(&self, now: Timestamp, quota: &Quota) -> Reading;

    /// Charges `cost`, which the quota admits without a wait.
    fn charge(&mut self, now: Timestamp, quota: &Quota, cost: u32);

    /// Gives back what is too much of a charge, in so far as the quota then still never admits more
    /// than the algorithm's bound. Returns `true` if anything was given back; otherwise the state is
    /// unchanged.
    fn refund(&mut self, quota: &Quota, refund: Settlement) -> bool;

    /// Charges units that another quota has admitted, also beyond this one's limit. Returns `true`
    /// if the state could not take all of them.
    fn charge_beyond(&mut self, now: Timestamp, quota: &Quota, units: u32) -> bool;

    /// Charges units that a request took without having been admitted for them, also beyond the
    /// limit. What a state cannot hold at once is a debt that it works off later.
    fn charge_debt(&mut self, now: Timestamp, quota: &Quota, units: u32) {
        self.charge_beyond(now, quota, units);
    }

    /// Returns the admissions that are in use, as far as the state knows them: where it has only
    /// sums, their units are admitted at one time.
    fn admissions(&self, quota: &Quota) -> Admissions;

    /// Returns the time from which on no units are in use, so that this state equals that of a
    /// subject without any charges. That time may have passed already; it is the epoch if nothing
    /// is stored.
    fn empty_at(&self, quota: &Quota) -> Timestamp;

    /// Decides a request of any cost, even 0 or more than the capacity, and writes the result to
    /// `verdict`. Charges the cost if `charges` is `true` and the quota admits it.
    #[inline(always)]
    fn decide(&mut self, check: QuotaCheck<'_>, charges: bool, verdict: &mut Verdict) {
        decide_in_steps(self, check, charges, verdict);
    }
}

/// The state of one quota for one subject, under any algorithm.
#[derive(Clone, Debug)]
pub(crate) enum QuotaCounter {
    SlidingWindow(SlidingWindow),
    SlidingWindowCounter(SlidingWindowCounter),
    FixedWindow(FixedWindow),
    /// Token bucket, leaky bucket and GCRA, which have the same arithmetic: see [`gcra`].
    Bucket(Gcra),
}

/// Evaluates `$call`, in which `$counter` is the counter of the algorithm in use.
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

    /// Returns `true` if this is the kind of counter that `algorithm` uses.
    fn serves(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::SlidingWindow(_) => algorithm == Algorithm::SlidingWindow,
            Self::SlidingWindowCounter(_) => algorithm == Algorithm::SlidingWindowCounter,
            Self::FixedWindow(_) => algorithm == Algorithm::FixedWindow,
            Self::Bucket(_) => algorithm.has_bucket(),
        }
    }

    /// Decides a request under a policy with a single quota.
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

    /// Returns the quota's state after a decision in which it had the wait `decided`.
    fn state(&self, check: QuotaCheck<'_>, decided: Wait) -> QuotaState {
        let QuotaCheck { now, quota, cost } = check;
        let reading = dispatch!(self, counter => counter.read(now, quota));
        let wait = if decided == Wait::None && reading.lacks(cost) {
            dispatch!(self, counter => wait(counter, check))
        } else {
            decided
        };
        state(check, decided, wait, reading)
    }

    fn charge(&mut self, now: Timestamp, quota: &Quota, cost: u32) {
        dispatch!(self, counter => counter.charge(now, quota, cost));
    }

    fn refund(&mut self, quota: &Quota, refund: Settlement) -> bool {
        dispatch!(self, counter => counter.refund(quota, refund))
    }

    fn charge_debt(&mut self, now: Timestamp, quota: &Quota, units: u32) {
        dispatch!(self, counter => counter.charge_debt(now, quota, units));
    }

    fn empty_at(&self, quota: &Quota) -> Timestamp {
        dispatch!(self, counter => counter.empty_at(quota))
    }

    fn charge_beyond(&mut self, now: Timestamp, quota: &Quota, units: u32) -> bool {
        dispatch!(self, counter => counter.charge_beyond(now, quota, units))
    }

    fn admissions(&self, quota: &Quota) -> Admissions {
        dispatch!(self, counter => counter.admissions(quota))
    }

    /// Returns the longest time for which a charge can be in use, whatever else is charged.
    fn longest_use(&self, quota: &Quota) -> TimeSpan {
        match self {
            Self::SlidingWindow(_) => quota.period_span(),
            Self::FixedWindow(_) => quota.longest_span(),
            Self::SlidingWindowCounter(_) => quota.period_span() * 2,
            Self::Bucket(_) => TimeSpan::from_micros(quota.drain_of(quota.capacity()).ceil()),
        }
    }

    /// Returns the number of units in use at `now`.
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

/// Decides by the steps that all algorithms have in common: advance, wait, charge and read. It is
/// inlined for each algorithm, so that the compiler evaluates the common subexpressions of the
/// steps only once.
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
    let reading = counter.read(now, quota);
    if charges && wait == Wait::None && reading.lacks(cost) {
        return write_last_admission(verdict, check, counter, reading);
    }
    write_verdict(verdict, check, wait, reading);
}

/// Writes the verdict that admits a request after which too little is left for another one like it.
#[cold]
#[inline(never)]
fn write_last_admission(
    verdict: &mut Verdict,
    check: QuotaCheck<'_>,
    counter: &impl Counter,
    reading: Reading,
) {
    verdict.restart(Outcome::Allowed, check.now.micros());
    verdict.push(state(check, Wait::None, wait(counter, check), reading));
}

/// Writes the verdict on a request under a policy with a single quota.
#[inline]
fn write_verdict(verdict: &mut Verdict, check: QuotaCheck<'_>, wait: Wait, reading: Reading) {
    verdict.restart(wait.into(), check.now.micros());
    verdict.push(state(check, wait, wait, reading));
}

/// Returns the state of a quota that had the wait `decided` when it decided, and now has the wait
/// `again` for the same request.
#[inline]
fn state(check: QuotaCheck<'_>, decided: Wait, again: Wait, mut reading: Reading) -> QuotaState {
    let wait = match again {
        Wait::None => TimeSpan::ZERO,
        Wait::For(span) => span,
        Wait::Forever => TimeSpan::MAX,
    };
    reading.set_wait(check.cost, wait);
    QuotaState::read(decided != Wait::None, reading)
}
