//! Decisions of a store that keeps the state itself, put into words by the same arithmetic.

use super::counters::outcome;
use super::{
    FixedWindow, Gcra, Micros, Part, SlidingWindow, SlidingWindowCounter, Wait,
};
use crate::backend::Verdict;
use crate::policy::MAX_QUOTAS;
use crate::{Algorithm, Outcome, Policy, Quota};

/// The verdict on a request of `cost` at `now`, of whether the store admitted it and of the raw
/// state after that, one quota after the other. `None` if the two do not go together.
pub(crate) fn told(
    policy: &Policy,
    now: Micros,
    cost: u32,
    admitted: bool,
    mut raw: impl Iterator<Item = u64>,
) -> Option<Verdict> {
    let mut parts = [const { None }; MAX_QUOTAS];
    let mut longest = Wait::None;
    for (slot, quota) in parts.iter_mut().zip(policy.quotas()) {
        let part = part(policy.get_algorithm(), &mut raw)?;
        let wait = if admitted { Wait::None } else { part.wait(now, quota, cost) };
        longest = longest.max(wait);
        *slot = Some((part, wait));
    }
    if raw.next().is_some() || admitted != (longest == Wait::None) {
        return None;
    }
    let outcome = if admitted { Outcome::Allowed } else { outcome(longest) };
    let mut verdict = Verdict::new(outcome, now);
    let told = |((part, wait), quota): (&(Part, Wait), &Quota)| {
        part.state(now, quota, *wait != Wait::None)
    };
    for state in parts.iter().flatten().zip(policy.quotas()).map(told) {
        verdict.push(state);
    }
    Some(verdict)
}

fn part(algorithm: Algorithm, raw: &mut impl Iterator<Item = u64>) -> Option<Part> {
    let mut units = || u32::try_from(raw.next()?).ok();
    Some(match algorithm {
        Algorithm::SlidingWindow => {
            let (used, count) = (units()?, units()?);
            let mut entries = Vec::with_capacity(count.min(8) as usize);
            for _ in 0..count {
                entries.push((raw.next()?, u32::try_from(raw.next()?).ok()?));
            }
            Part::SlidingWindow(SlidingWindow::from_raw(used, entries.into_iter()))
        }
        Algorithm::SlidingWindowCounter => {
            let start = raw.next()?;
            let mut units = || u32::try_from(raw.next()?).ok();
            let part = SlidingWindowCounter::from_raw(start, units()?, units()?);
            Part::SlidingWindowCounter(part)
        }
        Algorithm::FixedWindow => {
            let start = raw.next()?;
            let mut units = || u32::try_from(raw.next()?).ok();
            Part::FixedWindow(FixedWindow::from_raw(start, units()?, units()?))
        }
        Algorithm::TokenBucket | Algorithm::LeakyBucket | Algorithm::Gcra => {
            let tat = raw.next()?;
            Part::Bucket(Gcra::from_raw(tat, u32::try_from(raw.next()?).ok()?))
        }
    })
}
