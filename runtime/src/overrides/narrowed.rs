//! The policy of a subject whose override cannot be applied.
//!
//! Such an override comes from data that the program reads while it runs, so there is nobody to whom
//! an error could be returned. Neither the policy alone nor the override can be in effect: the policy
//! may admit more than the override could mean, and the override may admit more than the policy. So
//! the subject gets what both admit.

use std::time::Duration;

use super::Override;
use crate::calendar::{Calendar, CalendarPeriod};
use crate::policy::MAX_QUOTAS;
use crate::{Algorithm, OnError, Policy, Quota};

/// Returns a policy that admits at most as much as `base`, and at most as much as the invalid
/// override `changes` could mean. A limit or a burst of 0 admits nothing. `is_supported` returns
/// `false` for a policy that the limiter cannot apply.
pub(super) fn narrowed(
    base: &Policy,
    changes: &Override,
    is_supported: impl Fn(&Policy) -> bool,
) -> Policy {
    let mut policy = base.clone();
    if changes.shadow == Some(false) {
        policy.set_shadow(false);
    }
    match meant_by(base, changes) {
        Some(meant) if changes.block != Some(true) => {
            let quotas = base.quotas().iter().copied().chain(meant).collect();
            policy = policy.with_quotas(&stacked(quotas));
            if !base.has_calendar() && policy.has_calendar() && !is_supported(&policy) {
                // The store has no calendars.
                policy = match lengths_of(&policy) {
                    Some(quotas) => policy.with_quotas(&stacked(quotas)),
                    None => policy,
                };
            }
        }
        _ => policy.set_blocked(true),
    }
    if let Some(declared) = base.get_in_flight() {
        // Without a quota, a limit can only have been meant for the requests in flight.
        let limit = changes.limit.filter(|_| base.quotas().is_empty());
        let meant = [changes.in_flight, limit].into_iter().flatten().min().unwrap_or(u32::MAX);
        match meant.min(declared.limit()) {
            0 => policy.set_blocked(true),
            least => policy.set_in_flight(Some(declared.with_limit(least))),
        }
    }
    if let Some(Some(rule)) = changes.ban {
        let mut banning = policy.clone();
        banning.set_ban(Some(base.get_ban().map_or(rule, |own| own.stricter(rule))));
        if is_supported(&banning) {
            policy = banning;
        }
    }
    let Some(mode) = changes.on_error else { return policy };
    match (mode, base.get_on_error()) {
        (OnError::Open, _) => policy,
        (OnError::Local, Some(OnError::Open | OnError::Local)) => {
            let local = policy.clone().on_error(OnError::Local);
            if is_supported(&local) { local } else { policy.on_error(OnError::Closed) }
        }
        _ => policy.on_error(OnError::Closed),
    }
}

/// Returns the quotas that the override could mean, or `None` if it means that nothing is admitted.
/// A setting for one quota could mean each quota of the policy.
fn meant_by(base: &Policy, changes: &Override) -> Option<Vec<Quota>> {
    let Override { limit, per, burst, quotas, calendar, .. } = changes;
    let algorithm = base.get_algorithm();
    let mut meant = quotas.clone().unwrap_or_default();
    if base.quotas().iter().chain(&meant).any(Quota::is_blocked) {
        return None;
    }
    if limit.is_some() || per.is_some() || burst.is_some() || calendar.is_some() {
        for quota in base.quotas() {
            let own = (quota.capacity() != quota.limit()).then_some(quota.capacity());
            let limit = limit.unwrap_or(quota.limit());
            let burst = burst.or(own);
            let known = match calendar {
                Some((unit, zone)) => CalendarPeriod::parse(*unit, zone).ok(),
                None => quota.calendar_period().filter(|_| per.is_none()),
            };
            meant.push(match (known, calendar) {
                (Some(known), _) => of_calendar(limit.min(burst.unwrap_or(limit)), known)?,
                // The zone is not known, so it could be any.
                (None, Some((unit, _))) => {
                    without_calendar(algorithm, limit.min(burst.unwrap_or(limit)), *unit)?
                }
                (None, None) => valid(limit, per.unwrap_or(quota.period()), burst)?,
            });
        }
    }
    let meant = meant.into_iter().map(|quota| match quota.calendar_period() {
        Some(calendar) => {
            let limit = quota.limit().min(quota.capacity());
            match algorithm {
                Algorithm::FixedWindow => of_calendar(limit, calendar),
                _ => without_calendar(algorithm, limit, calendar.calendar()),
            }
        }
        // Without a bucket, a burst bounds the limit.
        None if !algorithm.has_bucket() => {
            valid(quota.limit().min(quota.capacity()), quota.period(), None)
        }
        None => Some(quota),
    });
    meant.collect()
}

fn of_calendar(limit: u32, calendar: CalendarPeriod) -> Option<Quota> {
    Quota::try_of_calendar(limit, calendar).ok()
}

/// Returns the policy's quotas, each calendar replaced by a length; `None` if one admits nothing then.
fn lengths_of(policy: &Policy) -> Option<Vec<Quota>> {
    let quotas = policy.quotas().iter().map(|quota| match quota.calendar_period() {
        Some(calendar) => {
            without_calendar(policy.get_algorithm(), quota.limit(), calendar.calendar())
        }
        None => Some(*quota),
    });
    quotas.collect()
}

/// Returns a quota whose period has a length, and that admits at most `limit` in each window of any
/// calendar of this unit; `None` if it admits nothing. By the bounds of the algorithms, which are
/// those of any window of one period.
fn without_calendar(algorithm: Algorithm, limit: u32, calendar: Calendar) -> Option<Quota> {
    let period = Duration::from_micros(calendar.longest_micros());
    match algorithm {
        Algorithm::SlidingWindow => valid(limit, period, None),
        Algorithm::SlidingWindowCounter | Algorithm::FixedWindow => {
            valid(limit.div_ceil(2), period, None)
        }
        Algorithm::TokenBucket | Algorithm::LeakyBucket | Algorithm::Gcra => {
            valid(limit, period, Some(limit.min(1)))
        }
    }
}

/// Returns the largest valid quota that admits at most as much as these numbers would; `None` if
/// they admit nothing.
fn valid(limit: u32, period: Duration, burst: Option<u32>) -> Option<Quota> {
    let period = micros(period).max(Quota::MIN_PERIOD_MICROS.into());
    // Of a period that is too long, only a part of the limit is for the longest valid period.
    let parts = period.div_ceil(Quota::MAX_PERIOD_MICROS.into());
    let period = u64::try_from(period).unwrap_or(u64::MAX).min(Quota::MAX_PERIOD_MICROS);
    let limit = u128::from(limit) / parts;
    // The quotient is at most the limit, and so is the smaller of the two numbers.
    let limit = limit.min(period.into()) as u32;
    let mut quota = Quota::try_new(limit, Duration::from_micros(period)).ok()?;
    let burst = burst.unwrap_or(limit).min(quota.max_burst());
    quota.set_burst(burst).ok()?;
    Some(quota)
}

/// Returns the microseconds of a duration, rounded up.
fn micros(span: Duration) -> u128 {
    span.as_nanos().div_ceil(1_000)
}

/// Returns at most [`MAX_QUOTAS`] quotas that admit at most as much as all of these together. No two
/// of them have the same period.
fn stacked(quotas: Vec<Quota>) -> Vec<Quota> {
    let mut stacked = Vec::<Quota>::new();
    for quota in quotas {
        match stacked.iter_mut().find(|it| it.has_period_of(&quota)) {
            Some(same) => *same = narrower(same, &quota),
            None => stacked.push(quota),
        }
    }
    while stacked.len() > MAX_QUOTAS {
        let (Some(one), Some(other)) = (stacked.pop(), stacked.pop()) else { break };
        stacked.push(narrower(&one, &other));
    }
    stacked
}

/// Returns a quota that admits at most as much as each of the two.
fn narrower(one: &Quota, other: &Quota) -> Quota {
    let limit = one.limit().min(other.limit());
    match [one, other].map(Quota::calendar_period) {
        [None, None] => {}
        [Some(calendar), _] if one.has_period_of(other) => {
            return of_calendar(limit, calendar).unwrap_or(*one);
        }
        // Windows that do not open together: half of the limit is for each of two.
        _ => {
            let quota = valid(limit.div_ceil(2), one.period().max(other.period()), None);
            return quota.unwrap_or(*one);
        }
    }
    let burst = one.capacity().min(other.capacity());
    let quota = valid(limit, one.period().max(other.period()), Some(burst));
    // Numbers of valid quotas are valid.
    quota.unwrap_or(*one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_an_outage_both_have_to_admit() {
        let [closed, open, local] = [OnError::Closed, OnError::Open, OnError::Local];
        // The policy's mode, the override's, and the result if `local` is supported and if it is
        // not.
        for (own, mode, supported, unsupported) in [
            (None, None, None, None),
            (None, Some(open), None, None),
            (None, Some(local), Some(closed), Some(closed)),
            (None, Some(closed), Some(closed), Some(closed)),
            (Some(open), None, Some(open), Some(open)),
            (Some(open), Some(open), Some(open), Some(open)),
            (Some(open), Some(local), Some(local), Some(closed)),
            (Some(open), Some(closed), Some(closed), Some(closed)),
            (Some(local), Some(open), Some(local), Some(local)),
            (Some(local), Some(local), Some(local), Some(closed)),
            (Some(local), Some(closed), Some(closed), Some(closed)),
            (Some(closed), Some(open), Some(closed), Some(closed)),
            (Some(closed), Some(local), Some(closed), Some(closed)),
            (Some(closed), Some(closed), Some(closed), Some(closed)),
        ] {
            let policy = Policy::new("p", Quota::per_second(1));
            let policy = own.map_or(policy.clone(), |mode| policy.on_error(mode));
            let changes = mode.map_or(Override::new(), |mode| Override::new().on_error(mode));
            for (is_supported, expected) in [(true, supported), (false, unsupported)] {
                let is_supported =
                    |policy: &Policy| is_supported || policy.get_on_error() != Some(local);
                let found = narrowed(&policy, &changes, is_supported).get_on_error();
                assert_eq!(found, expected, "{own:?} {mode:?}");
            }
        }
    }
}
