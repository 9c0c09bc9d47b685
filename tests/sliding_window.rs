//! The default algorithm does what its definition says, to the unit and the microsecond.

#![allow(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod support;

use std::time::Duration;

use proptest::prelude::*;
use support::scaled;
use tollgate::testing::ManualClock;
use tollgate::{Decision, Limiter, MemoryBackend, Outcome, Policy, Quota};

/// The definition, as naively as it can be put: a list of admissions and the rule.
///
/// An admission counts until one period after it. Above a limit of 1024, those that fall into
/// the same granule of ⌈period ÷ 1024⌉ count until one period after the newest of them.
#[derive(Default)]
struct Reference {
    admissions: Vec<Admission>,
}

#[derive(Clone, Copy)]
struct Admission {
    id: usize,
    at: u64,
    units: u64,
}

impl Reference {
    /// When the admission of `at` stops counting.
    fn leaves(&self, quota: &Quota, at: u64) -> u64 {
        let period = quota.period().as_micros() as u64;
        let granule = if quota.limit() <= 1024 { 1 } else { period.div_ceil(1024) };
        let mates = self.admissions.iter().filter(|other| other.at / granule == at / granule);
        mates.map(|mate| mate.at).max().unwrap() + period
    }

    fn used(&self, quota: &Quota, now: u64) -> u64 {
        let counting =
            self.admissions.iter().filter(|admission| self.leaves(quota, admission.at) > now);
        counting.map(|admission| admission.units).sum()
    }

    fn admits(&self, quota: &Quota, now: u64, cost: u32) -> bool {
        self.used(quota, now) + u64::from(cost) <= u64::from(quota.limit())
    }

    /// The first instant from now on, of those at which anything changes, that admits `cost`.
    fn retry_at(&self, quota: &Quota, now: u64, cost: u32) -> Option<u64> {
        let changes = self.admissions.iter().map(|admission| self.leaves(quota, admission.at));
        let candidates = std::iter::once(now).chain(changes).filter(|at| *at >= now);
        candidates.filter(|at| self.admits(quota, *at, cost)).min()
    }

    fn more_at(&self, quota: &Quota, now: u64) -> u64 {
        let leaving = self.admissions.iter().map(|admission| self.leaves(quota, admission.at));
        leaving.filter(|at| *at > now).min().unwrap_or(now)
    }

    fn reset_at(&self, quota: &Quota, now: u64) -> u64 {
        let leaving = self.admissions.iter().map(|admission| self.leaves(quota, admission.at));
        leaving.max().unwrap_or(now).max(now)
    }

    fn refund(&mut self, quota: &Quota, now: u64, id: usize) -> bool {
        let Some(index) = self.admissions.iter().position(|admission| admission.id == id) else {
            return false;
        };
        if self.leaves(quota, self.admissions[index].at) <= now {
            return false;
        }
        self.admissions[index].units = 0;
        // One that is given back keeps its mates as long as they would have stayed, and goes
        // with the last of them.
        let period = quota.period().as_micros() as u64;
        let granule = if quota.limit() <= 1024 { 1 } else { period.div_ceil(1024) };
        let at = self.admissions[index].at / granule;
        if self.admissions.iter().all(|mate| mate.at / granule != at || mate.units == 0) {
            self.admissions.retain(|mate| mate.at / granule != at);
        }
        true
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Check(u32),
    Peek(u32),
    /// Passes this many 1/1000 of the first period, and some microseconds.
    Pass(u64, u64),
    /// Gives back one of the decisions so far.
    Refund(usize),
}

fn step(limit: u32) -> impl Strategy<Value = Step> {
    let cost = prop_oneof![
        6 => Just(1_u32),
        2 => 0..=limit.min(8),
        1 => 0..=limit,
        1 => Just(limit.saturating_add(1)),
    ];
    prop_oneof![
        6 => cost.clone().prop_map(Step::Check),
        1 => cost.prop_map(Step::Peek),
        3 => (0_u64..400, 0_u64..3).prop_map(|(share, micros)| Step::Pass(share, micros)),
        1 => Just(Step::Pass(1_000, 0)),
        1 => (0_usize..64).prop_map(Step::Refund),
    ]
}

fn quota() -> impl Strategy<Value = Quota> {
    let day = 24 * 60 * 60 * 1_000_000_u64;
    let limit = prop_oneof![
        4 => 1_u32..=12,
        2 => 1_000_u32..=1_100,
        1 => 1_u32..=10_000_000,
        1 => Just(u32::MAX),
    ];
    let period = prop_oneof![
        2 => 1_000_u64..=100_000,
        2 => 1_000_u64..=10_000_000,
        1 => 1_000_u64..=366 * day,
        1 => Just(366 * day),
    ];
    (limit, period).prop_map(|(limit, period)| {
        // No more than a million per second.
        let limit = limit.min(u32::try_from(period).unwrap_or(u32::MAX));
        Quota::new(limit, Duration::from_micros(period))
    })
}

fn trace() -> impl Strategy<Value = (Vec<Quota>, Vec<Step>)> {
    prop::collection::vec(quota(), 1..=3).prop_flat_map(|quotas| {
        let limit = quotas.iter().map(Quota::limit).min().unwrap();
        let steps = prop::collection::vec(step(limit), 1..120);
        (Just(quotas), steps)
    })
}

fn policy(quotas: &[Quota]) -> Policy {
    let policy = Policy::new("policy", quotas[0]);
    quotas[1..].iter().fold(policy, |policy, quota| policy.and(*quota))
}

/// A limiter on a clock that starts at an instant without regard to any granule.
fn subject() -> (Limiter, ManualClock, u64) {
    let clock = ManualClock::new();
    let now = 1_767_268_812_345_679;
    clock.set_micros(now);
    (Limiter::new(MemoryBackend::builder().clock(clock.clone()).build()), clock, now)
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn compare(
    references: &[Reference],
    quotas: &[Quota],
    now: u64,
    cost: u32,
    before: &[(bool, Option<u64>)],
    decision: &Decision,
) -> Result<(), TestCaseError> {
    let expected = if before.iter().any(|(_, retry_at)| retry_at.is_none()) {
        Outcome::Never
    } else if before.iter().all(|(admits, _)| *admits) {
        Outcome::Allowed
    } else {
        let retry_at = before.iter().filter_map(|(_, retry_at)| *retry_at).max().unwrap();
        Outcome::Refused { retry_after: Duration::from_micros(retry_at - now) }
    };
    prop_assert_eq!(decision.outcome(), expected, "cost {} at {}", cost, now);
    prop_assert_eq!(decision.quotas().len(), quotas.len());
    for (((state, quota), reference), (admits, _)) in
        decision.quotas().iter().zip(quotas).zip(references).zip(before)
    {
        let remaining = u64::from(quota.limit()) - reference.used(quota, now);
        prop_assert_eq!(u64::from(state.remaining()), remaining);
        prop_assert_eq!(state.is_exceeded(), !admits);
        prop_assert_eq!(state.more_after().as_micros() as u64, reference.more_at(quota, now) - now);
        prop_assert_eq!(
            state.reset_after().as_micros() as u64,
            reference.reset_at(quota, now) - now
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        // Failures are printed with their smallest input; nothing is written beside the tests.
        failure_persistence: None,
        ..ProptestConfig::with_cases(scaled(1_000, 20_000))
    })]

    /// Same outcomes, remaining units, waits and refunds as the definition, for any costs,
    /// gaps, refunds and up to three quotas, over the whole range of quotas.
    #[test]
    fn decides_as_the_definition((quotas, steps) in trace()) {
        let (limiter, clock, mut now) = subject();
        let policy = policy(&quotas);
        let mut references: Vec<Reference> = quotas.iter().map(|_| Reference::default()).collect();
        let mut decisions: Vec<Option<(usize, Decision)>> = Vec::new();
        for (id, step) in steps.into_iter().enumerate() {
            match step {
                Step::Pass(share, micros) => {
                    now += quotas[0].period().as_micros() as u64 * share / 1_000 + micros;
                    clock.set_micros(now);
                }
                Step::Check(cost) | Step::Peek(cost) => {
                    let before: Vec<_> = quotas.iter().zip(&references).map(|(quota, reference)| {
                        (reference.admits(quota, now, cost), reference.retry_at(quota, now, cost))
                    }).collect();
                    let checks = matches!(step, Step::Check(_));
                    let decision = if checks {
                        limiter.check_now(&policy, "subject", cost).unwrap().unwrap()
                    } else {
                        block_on(limiter.peek(&policy, "subject", cost)).unwrap()
                    };
                    if checks && cost > 0 && before.iter().all(|(admits, _)| *admits) {
                        for reference in &mut references {
                            let units = cost.into();
                            reference.admissions.push(Admission { id, at: now, units });
                        }
                    }
                    compare(&references, &quotas, now, cost, &before, &decision)?;
                    decisions.push(Some((id, decision)));
                }
                Step::Refund(index) => {
                    let index = index % decisions.len().max(1);
                    let decision = decisions.get_mut(index).and_then(Option::take);
                    let Some((id, decision)) = decision else { continue };
                    let expected = references.iter_mut().zip(&quotas)
                        .fold(false, |any, (reference, quota)| reference.refund(quota, now, id) || any);
                    prop_assert_eq!(block_on(limiter.refund(decision)).unwrap(), expected);
                }
            }
        }
    }

    /// Whatever is asked, and whenever, no half-open window admits more than the limit.
    #[test]
    fn no_window_admits_more_than_the_limit(
        quota in quota(),
        steps in prop::collection::vec((0_u64..300, 1_u32..5), 1..300),
    ) {
        let (limiter, clock, mut now) = subject();
        let policy = policy(&[quota]);
        let period = quota.period().as_micros() as u64;
        let mut admitted: Vec<(u64, u64)> = Vec::new();
        for (gap, cost) in steps {
            now += period * gap / 1_000;
            clock.set_micros(now);
            if limiter.check_now(&policy, "subject", cost).unwrap().unwrap().is_allowed() {
                admitted.push((now, cost.into()));
            }
        }
        for (start, _) in &admitted {
            let window = *start..*start + period;
            let inside = admitted.iter().filter(|(at, _)| window.contains(at));
            prop_assert!(inside.map(|(_, units)| units).sum::<u64>() <= quota.limit().into());
        }
    }

    /// A refused request succeeds at its retry instant, and not a microsecond before.
    #[test]
    fn retry_after_is_exact(
        quota in quota(),
        gaps in prop::collection::vec(0_u64..200, 1..60),
        share in 1_u32..=4,
    ) {
        let (limiter, clock, mut now) = subject();
        let policy = policy(&[quota]);
        let cost = (quota.limit() / share).max(1);
        for gap in gaps {
            now += quota.period().as_micros() as u64 * gap / 1_000;
            clock.set_micros(now);
            let decision = limiter.check_now(&policy, "subject", cost).unwrap().unwrap();
            let Some(retry_after) = decision.retry_after() else { continue };
            clock.set_micros(now + retry_after.as_micros() as u64 - 1);
            let before = block_on(limiter.peek(&policy, "subject", 0)).unwrap();
            let early = limiter.check_now(&policy, "subject", cost).unwrap().unwrap();
            prop_assert_eq!(early.retry_after(), Some(Duration::from_micros(1)));
            let after = block_on(limiter.peek(&policy, "subject", 0)).unwrap();
            prop_assert_eq!(after.quotas(), before.quotas(), "a refusal left a trace");
            now += retry_after.as_micros() as u64;
            clock.set_micros(now);
            prop_assert!(block_on(limiter.peek(&policy, "subject", cost)).unwrap().is_allowed());
        }
    }

    /// Wherever the clock jumps, nobody waits longer than a period, and what was admitted
    /// before a jump back counts on: at most the limit is admitted anew.
    #[test]
    fn clock_jumps_lock_nobody_out(
        quota in quota(),
        jumps in prop::collection::vec((any::<u64>(), 1_u32..4), 1..60),
    ) {
        let (limiter, clock, start) = subject();
        let policy = policy(&[quota]);
        let period = quota.period();
        for (jump, cost) in jumps {
            clock.set_micros(jump);
            let cost = cost.min(quota.limit());
            let decision = limiter.check_now(&policy, "subject", cost).unwrap().unwrap();
            prop_assert!(decision.retry_after().unwrap_or_default() <= period);
            prop_assert!(decision.quotas()[0].reset_after() <= period);
        }
        // Back to an instant that all of it may be ahead of, and one period on.
        clock.set_micros(start);
        let _ = limiter.check_now(&policy, "subject", 1);
        clock.set_micros(start + period.as_micros() as u64);
        let decision = limiter.check_now(&policy, "subject", quota.limit()).unwrap().unwrap();
        prop_assert!(decision.is_allowed());
    }
}

#[test]
fn a_jump_back_admits_nothing_twice() {
    let (limiter, clock, now) = subject();
    let policy = policy(&[Quota::new(2, Duration::from_secs(60))]);
    let check = || limiter.check_now(&policy, "subject", 1).unwrap().unwrap();
    assert!(check().is_allowed());
    clock.set_micros(now + 30_000_000);
    assert!(check().is_allowed());
    clock.set_micros(now - 3_600_000_000);
    assert_eq!(check().retry_after(), Some(Duration::from_secs(60)));
    clock.advance(Duration::from_secs(60));
    assert!(check().is_allowed());
}

#[test]
fn a_cost_of_zero_is_admitted_and_leaves_no_trace() {
    let (limiter, _clock, _) = subject();
    let policy = policy(&[Quota::new(1, Duration::from_secs(60))]);
    let check = |cost| limiter.check_now(&policy, "subject", cost).unwrap().unwrap();
    assert!(check(0).is_allowed());
    assert_eq!(check(0).remaining(), 1);
    assert!(check(1).is_allowed());
    assert!(check(0).is_allowed(), "even when nothing is left");
    assert!(!block_on(limiter.refund(check(0))).unwrap());
}

#[test]
fn reset_forgets_one_subject_only() {
    let (limiter, _clock, _) = subject();
    let policy = policy(&[Quota::new(1, Duration::from_secs(60))]);
    let check = |subject| limiter.check_now(&policy, subject, 1).unwrap().unwrap().is_allowed();
    assert!(check("alice") && check("bob"));
    block_on(limiter.reset(&policy, "alice")).unwrap();
    assert!(check("alice") && !check("bob"));
}
