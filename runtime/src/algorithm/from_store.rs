//! Conversion of the raw state with which a store answers to a verdict, by the same arithmetic that
//! decides in this process.

use smallvec::SmallVec;

use super::{
    FixedWindow, Gcra, MAX_STEP_BACK, QuotaCheck, QuotaCounter, SlidingWindow,
    SlidingWindowCounter, Wait,
};
use crate::micros::Timestamp;
use crate::policy::MAX_QUOTAS;
use crate::verdict::Verdict;
use crate::{Algorithm, Check, Outcome, Quota};

/// Returns the verdict on a check at `now`, from the store's decision and from `raw`,
/// the numbers of the state after it, one quota after the other. Returns `None` if the numbers are
/// invalid or contradict the decision. `floor` is the time of a bucket's last charge, if the
/// store's clock is behind it, and otherwise `now`.
pub(crate) fn verdict_from_raw(
    check: &Check<'_>,
    [now, floor]: [Timestamp; 2],
    admitted: bool,
    mut raw: impl Iterator<Item = u64>,
) -> Option<Verdict> {
    let Check { policy, cost, .. } = *check;
    let mut counters = [const { None }; MAX_QUOTAS];
    let mut longest = Wait::None;
    for (slot, quota) in counters.iter_mut().zip(policy.quotas()) {
        let counter = counter_from_raw(policy.get_algorithm(), [now, floor], quota, &mut raw)?;
        let wait = if admitted { Wait::None } else { counter.wait(now, quota, cost) };
        longest = longest.max(wait);
        *slot = Some((counter, wait));
    }
    if raw.next().is_some() || admitted != (longest == Wait::None) {
        return None;
    }
    let outcome = if admitted { Outcome::Allowed } else { longest.into() };
    let mut verdict = Verdict::new(outcome, now.micros());
    for ((counter, wait), quota) in counters.iter().flatten().zip(policy.quotas()) {
        verdict.push(counter.state(QuotaCheck { now, quota, cost }, *wait));
    }
    Some(verdict)
}

/// Returns the counter of a quota with the state given by the numbers `raw`. Returns `None` if they
/// cannot be its state at `now`, because a server is not trusted with numbers that would make the
/// arithmetic overflow.
fn counter_from_raw(
    algorithm: Algorithm,
    [now, floor]: [Timestamp; 2],
    quota: &Quota,
    raw: &mut impl Iterator<Item = u64>,
) -> Option<QuotaCounter> {
    let counts = |newest: Timestamp| newest <= now && now - newest < quota.period_span();
    Some(match algorithm {
        Algorithm::SlidingWindow => {
            let (used, count) = (units(raw)?, units(raw)?);
            let mut entries = SmallVec::<[(Timestamp, u32); 4]>::new();
            for _ in 0..count {
                entries.push((timestamp(raw)?, units(raw)?));
            }
            let sum: u64 = entries.iter().map(|(_, units)| u64::from(*units)).sum();
            if sum != u64::from(used) || !entries.iter().all(|(newest, _)| counts(*newest)) {
                return None;
            }
            QuotaCounter::SlidingWindow(SlidingWindow::from_raw(entries.into_iter()))
        }
        Algorithm::SlidingWindowCounter => {
            let start = timestamp(raw).filter(|start| counts(*start))?;
            let counter = SlidingWindowCounter::from_raw(start, units(raw)?, units(raw)?);
            QuotaCounter::SlidingWindowCounter(counter)
        }
        Algorithm::FixedWindow => {
            let (start, used) = (timestamp(raw)?, raw.next()?);
            let (used, owes) = (used & !OWES, used & OWES > 0);
            let (used, opening) = (u32::try_from(used).ok()?, units(raw)?);
            let owed = if owes { units(raw)? } else { 0 };
            let is_in_window = || match quota.calendar_period() {
                None => counts(start),
                // The window of a bound at which clocks disagree begins soon.
                Some(_) => start <= now + MAX_STEP_BACK && quota.window_end(start) > now,
            };
            if (used > 0 && !is_in_window()) || (used == 0 && owes) {
                return None;
            }
            QuotaCounter::FixedWindow(FixedWindow::from_raw(start, [used, opening, owed]))
        }
        Algorithm::TokenBucket | Algorithm::LeakyBucket | Algorithm::Gcra => {
            let (tat, fraction) = (timestamp(raw)?, units(raw)?);
            let ahead =
                u128::from(tat.saturating_since(floor).micros()) * u128::from(quota.limit());
            // A debt raises the level beyond the capacity.
            let most = u128::from(Quota::MAX_FILL_MICROS) * u128::from(quota.limit());
            if fraction >= quota.limit() || (tat >= floor && ahead + u128::from(fraction) > most) {
                return None;
            }
            QuotaCounter::Bucket(Gcra::from_raw(tat, fraction, floor))
        }
    })
}

/// The bit in the number of a fixed window's units that says that the units which it owes follow.
const OWES: u64 = 1 << 32;

fn timestamp(raw: &mut impl Iterator<Item = u64>) -> Option<Timestamp> {
    raw.next().map(Timestamp::from_micros)
}

fn units(raw: &mut impl Iterator<Item = u64>) -> Option<u32> {
    u32::try_from(raw.next()?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::micros::TimeSpan;

    const NOW: u64 = 1_000_000_000_000;
    const PERIOD: u64 = 60_000_000;

    /// Returns the wait for one unit under 10 per minute with this state; `None` if it is no state.
    fn wait(algorithm: Algorithm, raw: &[u64]) -> Option<Wait> {
        let (now, quota) = (Timestamp::from_micros(NOW), Quota::new(10, Duration::from_secs(60)));
        let mut raw = raw.iter().copied();
        let counter = counter_from_raw(algorithm, [now, now], &quota, &mut raw)?;
        assert_eq!(raw.next(), None, "all numbers are read");
        Some(counter.wait(now, &quota, 1))
    }

    fn of(micros: u64) -> Option<Wait> {
        Some(Wait::For(TimeSpan::from_micros(micros)))
    }

    #[test]
    fn a_fixed_window_is_open_and_owes_by_its_bit() {
        let wait = |raw: &[u64]| wait(Algorithm::FixedWindow, raw);
        assert_eq!(wait(&[NOW, 3, 1]), Some(Wait::None));
        assert_eq!(wait(&[NOW, 10, 1]), of(PERIOD));
        assert_eq!(wait(&[NOW, 10 | OWES, 1, 10]), of(2 * PERIOD));
        assert_eq!(wait(&[NOW - PERIOD + 1, 10, 1]), of(1));
        assert_eq!(wait(&[0, 0, 0]), Some(Wait::None), "nothing is used");
        for raw in [
            [NOW - PERIOD, 10, 1, 0],
            [NOW + 1, 10, 1, 0],
            [NOW, OWES, 0, 1],
            [NOW, 2 * OWES, 0, 0],
        ] {
            assert_eq!(wait(&raw), None, "{raw:?}");
        }
    }

    #[test]
    fn a_bucket_holds_at_most_what_a_debt_may_fill() {
        let wait = |raw: &[u64]| wait(Algorithm::Gcra, raw);
        let most = NOW + Quota::MAX_FILL_MICROS;
        assert_eq!(wait(&[0, 0]), Some(Wait::None));
        assert_eq!(wait(&[NOW + PERIOD, 0]), of(PERIOD / 10));
        assert_eq!(wait(&[NOW - 1, 9]), Some(Wait::None));
        assert!(wait(&[most, 0]).is_some());
        assert!(wait(&[most - 1, 9]).is_some());
        for raw in [[NOW, 10], [most, 1], [most + 1, 0]] {
            assert_eq!(wait(&raw), None, "{raw:?}");
        }
    }
}
