//! The prospect of those who wait: what a policy can admit at best, and when their turn comes.
//! Pure arithmetic over a policy and the units in line.

use std::time::Duration;

use smallvec::SmallVec;

use crate::algorithm::spaced;
use crate::calendar::CalendarPeriod;
use crate::micros::{TimeSpan, Timestamp};
use crate::verdict::Verdict;
use crate::{Algorithm, Check, Policy, Quota, QuotaState};

/// The places before a caller in line, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ahead {
    /// Their total cost.
    pub(super) units: u64,
    /// Their number.
    pub(super) callers: usize,
    /// The cost of the last of them.
    pub(super) last: u32,
}

/// Returns `true` if the policy can admit the units ahead and then the check within `span`, whatever
/// is in use now. The first in line takes its whole cost at once.
pub(super) fn can_pass(check: &Check<'_>, ahead: Ahead, span: Duration) -> bool {
    let total = ahead.units + u64::from(check.cost);
    let span = span.as_micros();
    check.policy.quotas().iter().all(|quota| {
        let [limit, burst] = [quota.limit(), quota.capacity()].map(u128::from);
        let period = u128::from(quota.shortest_micros());
        let most = match check.policy.get_algorithm() {
            Algorithm::SlidingWindow => limit.saturating_mul(span / period + 1),
            // Counts the windows that begin during the wait, and the present window.
            Algorithm::SlidingWindowCounter | Algorithm::FixedWindow => {
                limit.saturating_mul(span / period + 2)
            }
            Algorithm::TokenBucket | Algorithm::Gcra => {
                burst.saturating_add(limit.saturating_mul(span) / period)
            }
            Algorithm::LeakyBucket => {
                // Each leaves when all units before it have leaked. The line may not be longer than
                // the bucket is large.
                let leaks = limit.saturating_mul(span) / period;
                if u128::from(ahead.units) <= leaks { burst } else { 0 }
            }
        };
        u128::from(total) <= most
    })
}

/// The question to the store by which a check behind a line is decided.
pub(super) struct Turn {
    /// The policy to ask by, if that is not the one in effect.
    policy: Option<Policy>,
    /// The cost to ask for.
    cost: u32,
    /// The time that passes between the instant which the store tells and that of the turn.
    further: Duration,
    /// The numbers of windows of calendars that pass, too.
    windows: SmallVec<[(CalendarPeriod, u64); 1]>,
    /// `true` if the check may be admitted at once.
    may_pass: bool,
    /// The number of callers ahead. Each takes a permit, if the policy limits requests in flight.
    callers: usize,
}

impl Turn {
    /// Returns the question for a check that does not wait. It is admitted if the store admits all
    /// who wait, and the check with them: then it makes nobody in line later.
    pub(super) fn of_plain(check: &Check<'_>, ahead: Ahead) -> Self {
        if check.policy.get_algorithm() != Algorithm::LeakyBucket {
            return Self::of_units(check, ahead);
        }
        // Who waits leaves when the bucket is empty, so any other unit would make them later.
        // When the last of them has poured its cost in, the check needs room beside it.
        let further = longest(check.policy, |quota| {
            let beside = u64::from(ahead.last) + u64::from(check.cost);
            let room = beside.saturating_sub(quota.capacity().into());
            refill(quota, ahead.units - u64::from(ahead.last) + room)
        });
        Self::spaced(check, ahead, further)
    }

    /// Returns the question for a check that leaves the line because its patience has ended or does
    /// not suffice.
    pub(super) fn of_waiter(check: &Check<'_>, ahead: Ahead) -> Self {
        if check.policy.get_algorithm() != Algorithm::LeakyBucket {
            return Self::of_units(check, ahead);
        }
        Self::spaced(check, ahead, longest(check.policy, |quota| refill(quota, ahead.units)))
    }

    fn spaced(check: &Check<'_>, ahead: Ahead, further: Duration) -> Self {
        let (policy, callers) = (Some(spaced(check.policy, check.cost)), ahead.callers);
        let windows = SmallVec::new();
        Self { policy, cost: check.cost, further, windows, may_pass: false, callers }
    }

    fn of_units(check: &Check<'_>, ahead: Ahead) -> Self {
        let total = ahead.units + u64::from(check.cost);
        let capacity = check.policy.quotas().iter().map(Quota::capacity).min().unwrap_or(u32::MAX);
        let cost = u32::try_from(total).unwrap_or(u32::MAX).min(capacity);
        let rest = |quota: &Quota| total.saturating_sub(quota.capacity().into());
        let windows_of = |quota: &Quota| rest(quota).div_ceil(quota.limit().into());
        let calendars = check.policy.quotas().iter().filter_map(|quota| {
            let windows = windows_of(quota);
            quota.calendar_period().filter(|_| windows > 0).map(|calendar| (calendar, windows))
        });
        let further = longest(check.policy, |quota| {
            if quota.calendar_period().is_some() {
                return Duration::ZERO;
            }
            match check.policy.get_algorithm() {
                Algorithm::TokenBucket | Algorithm::Gcra => refill(quota, rest(quota)),
                _ => Duration::from_micros(windows_of(quota).saturating_mul(quota.period_micros())),
            }
        });
        let windows = calendars.collect();
        let may_pass = check.policy.quotas().is_empty() || total <= capacity.into();
        Self { policy: None, cost, further, windows, may_pass, callers: ahead.callers }
    }

    /// Returns the check to peek at.
    pub(super) fn question<'a>(&'a self, check: &Check<'a>) -> Check<'a> {
        check.with_policy(self.policy.as_ref().unwrap_or(check.policy)).with_cost(self.cost)
    }

    /// Returns the time after which the check may be asked again if no permit is free for it, because
    /// those ahead take as many as are; `None` if one is, or if it needs none.
    pub(super) fn wait_for_permit(&self, check: &Check<'_>, verdict: &Verdict) -> Option<Duration> {
        let in_flight = check.policy.get_in_flight()?;
        let free = verdict.quotas().last().map_or(0, QuotaState::remaining);
        (u64::from(free) <= self.callers as u64).then(|| in_flight.get_retry_after())
    }

    /// Returns the time from `now` until the check's turn, if the store admits the question after
    /// `told`; `None` if the check may pass.
    pub(super) fn wait(&self, now: Timestamp, told: Duration) -> Option<Duration> {
        let admitted_at = now.saturating_add(TimeSpan::from_duration(told));
        let span = |(calendar, windows): &(CalendarPeriod, u64)| {
            calendar.end_after(admitted_at, windows - 1).saturating_since(admitted_at).to_duration()
        };
        let further = self.windows.iter().map(span).max().unwrap_or_default().max(self.further);
        let wait = told.saturating_add(further);
        // A refusal says to come later, be it only after those who are about to go.
        (!self.may_pass || !wait.is_zero()).then(|| wait.max(Duration::from_micros(1)))
    }
}

/// Returns the time in which the bucket leaks so many units, rounded up to microseconds.
fn refill(quota: &Quota, units: u64) -> Duration {
    let micros = u128::from(units) * u128::from(quota.period_micros());
    let micros = micros.div_ceil(quota.limit().max(1).into());
    Duration::from_micros(micros.try_into().unwrap_or(u64::MAX))
}

fn longest(policy: &Policy, time: impl Fn(&Quota) -> Duration) -> Duration {
    policy.quotas().iter().map(time).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ahead(units: u64) -> Ahead {
        Ahead { units, callers: units as usize, last: 1 }
    }

    /// The least span within which the policy can admit so many, found by trying each millisecond.
    fn least(policy: &Policy, cost: u32, units: u64) -> Option<u64> {
        let check = Check::new(policy, "s", cost);
        (0..10_000).find(|millis| can_pass(&check, ahead(units), Duration::from_millis(*millis)))
    }

    #[test]
    fn each_algorithm_admits_in_a_span_what_it_does_at_best() {
        let five = |algorithm| Policy::new("p", Quota::new(5, SECOND)).algorithm(algorithm);
        let cases = [
            (Algorithm::SlidingWindow, [Some(0), Some(1_000), Some(2_000)]),
            (Algorithm::SlidingWindowCounter, [Some(0), Some(0), Some(1_000)]),
            (Algorithm::FixedWindow, [Some(0), Some(0), Some(1_000)]),
            (Algorithm::TokenBucket, [Some(0), Some(1_000), Some(1_200)]),
            (Algorithm::Gcra, [Some(0), Some(1_000), Some(1_200)]),
            // No more than five may stand in line.
            (Algorithm::LeakyBucket, [Some(800), None, None]),
        ];
        for (algorithm, spans) in cases {
            let policy = five(algorithm);
            let found = [4, 9, 10].map(|units| least(&policy, 1, units));
            assert_eq!(found, spans, "{algorithm}");
        }
    }

    #[test]
    fn the_first_in_line_takes_its_whole_cost_at_once() {
        let policy = Policy::new("p", Quota::new(5, SECOND).burst(50));
        let policy = policy.algorithm(Algorithm::LeakyBucket);
        assert_eq!(least(&policy, 4, 4), Some(800));
        assert_eq!(least(&policy, 46, 4), Some(800));
        assert_eq!(least(&policy, 47, 4), None);
    }

    #[test]
    fn of_several_quotas_the_slowest_counts() {
        let policy = Policy::new("p", Quota::new(5, SECOND)).and(Quota::new(6, 2 * SECOND));
        assert_eq!([4, 5, 6].map(|units| least(&policy, 1, units)), [0, 1_000, 2_000].map(Some));
    }

    #[test]
    fn no_number_overflows() {
        let quota = Quota::new(u32::MAX, Duration::from_secs(366 * 24 * 3_600));
        for algorithm in Algorithm::ALL {
            let policy = Policy::new("p", quota).algorithm(*algorithm);
            let check = Check::new(&policy, "s", u32::MAX);
            let ahead = Ahead { units: 1 << 62, callers: 1, last: u32::MAX };
            assert_eq!(
                can_pass(&check, ahead, Duration::MAX),
                *algorithm != Algorithm::LeakyBucket
            );
            for turn in [Turn::of_plain(&check, ahead), Turn::of_waiter(&check, ahead)] {
                assert!(turn.wait(Timestamp::EPOCH, Duration::MAX) > Some(SECOND));
            }
        }
    }
}
