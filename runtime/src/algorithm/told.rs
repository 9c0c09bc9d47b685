//! Decisions of a store that keeps the state itself, put into words by the same arithmetic.

use smallvec::SmallVec;

use super::{FixedWindow, Gcra, Micros, Part, SlidingWindow, SlidingWindowCounter, Wait};
use crate::Verdict;
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
        let part = part(policy.get_algorithm(), now, quota, &mut raw)?;
        let wait = if admitted { Wait::None } else { part.wait(now, quota, cost) };
        longest = longest.max(wait);
        *slot = Some((part, wait));
    }
    if raw.next().is_some() || admitted != (longest == Wait::None) {
        return None;
    }
    let outcome = if admitted { Outcome::Allowed } else { longest.into() };
    let mut verdict = Verdict::new(outcome, now);
    let told = |((part, wait), quota): (&(Part, Wait), &Quota)| {
        part.state(now, quota, *wait != Wait::None)
    };
    for state in parts.iter().flatten().zip(policy.quotas()).map(told) {
        verdict.push(state);
    }
    Some(verdict)
}

/// A quota's part, if what was told can be the state at `now`: a server's word is not taken for
/// arithmetic that could not be done with it.
fn part(
    algorithm: Algorithm,
    now: Micros,
    quota: &Quota,
    raw: &mut impl Iterator<Item = u64>,
) -> Option<Part> {
    let counts = |newest: Micros| newest <= now && now - newest < quota.period_micros();
    Some(match algorithm {
        Algorithm::SlidingWindow => {
            let (used, count) = (units(raw)?, units(raw)?);
            let mut entries = SmallVec::<[(Micros, u32); 4]>::new();
            for _ in 0..count {
                entries.push((raw.next()?, units(raw)?));
            }
            let sum: u64 = entries.iter().map(|(_, units)| u64::from(*units)).sum();
            if sum != u64::from(used) || !entries.iter().all(|(newest, _)| counts(*newest)) {
                return None;
            }
            Part::SlidingWindow(SlidingWindow::from_raw(entries.into_iter()))
        }
        Algorithm::SlidingWindowCounter => {
            let start = raw.next().filter(|start| counts(*start))?;
            let part = SlidingWindowCounter::from_raw(start, units(raw)?, units(raw)?);
            Part::SlidingWindowCounter(part)
        }
        Algorithm::FixedWindow => {
            let (start, used, opening) = (raw.next()?, units(raw)?, units(raw)?);
            if used > 0 && !counts(start) {
                return None;
            }
            Part::FixedWindow(FixedWindow::from_raw(start, used, opening))
        }
        Algorithm::TokenBucket | Algorithm::LeakyBucket | Algorithm::Gcra => {
            let (tat, fraction) = (raw.next()?, units(raw)?);
            let ahead = u128::from(tat.saturating_sub(now)) * u128::from(quota.limit());
            let full = u128::from(quota.capacity()) * u128::from(quota.period_micros());
            if fraction >= quota.limit() || (tat >= now && ahead + u128::from(fraction) > full) {
                return None;
            }
            Part::Bucket(Gcra::from_raw(tat, fraction))
        }
    })
}

fn units(raw: &mut impl Iterator<Item = u64>) -> Option<u32> {
    u32::try_from(raw.next()?).ok()
}
