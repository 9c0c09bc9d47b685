//! Two releases side by side: what is in use carries over, whatever they disagree about.

use std::time::Duration;

use proptest::prelude::*;
use tollgate::{Algorithm, Policy, Quota};

use crate::timed::Timed;
use support::reference::{START, cases};

const MINUTE: u64 = 60_000_000;

fn policy(algorithm: Algorithm, limit: u32, period: u64) -> Policy {
    Policy::new("rolling", Quota::new(limit, Duration::from_micros(period))).algorithm(algorithm)
}

/// A limit that goes up and down again: all that was admitted counts under both.
#[test]
fn limits_alternate() {
    let timed = Timed::start();
    for &algorithm in Algorithm::ALL {
        timed.clock.set_micros(START - START % MINUTE);
        let (small, large) = (policy(algorithm, 10, MINUTE), policy(algorithm, 100, MINUTE));
        let subject = timed.subject();
        assert!(timed.check(&large, &subject, 4).is_allowed());
        assert_eq!(timed.peek(&small, &subject, 1).remaining(), 6, "{algorithm:?}");
        assert!(timed.check(&small, &subject, 3).is_allowed());
        assert_eq!(timed.peek(&large, &subject, 1).remaining(), 93, "{algorithm:?}");
        assert!(timed.check(&large, &subject, 83).is_allowed());
        for _ in 0..20 {
            assert!(!timed.check(&small, &subject, 1).is_allowed(), "{algorithm:?}");
            assert_eq!(timed.peek(&large, &subject, 1).remaining(), 10, "{algorithm:?}");
        }
        assert!(timed.check(&large, &subject, 10).is_allowed());
        assert!(!timed.check(&large, &subject, 1).is_allowed(), "{algorithm:?}");
    }
}

/// From any algorithm to any other, and back.
#[test]
fn algorithms_change() {
    let timed = Timed::start();
    for &before in Algorithm::ALL {
        for &after in Algorithm::ALL {
            timed.clock.set_micros(START - START % MINUTE);
            let (old, new) = (policy(before, 10, MINUTE), policy(after, 10, MINUTE));
            let subject = timed.subject();
            assert!(timed.check(&old, &subject, 7).is_allowed());
            assert_eq!(timed.peek(&new, &subject, 1).remaining(), 3, "{before:?} to {after:?}");
            assert!(timed.check(&new, &subject, 2).is_allowed());
            assert_eq!(timed.peek(&old, &subject, 1).remaining(), 1, "{before:?} to {after:?}");
            assert!(!timed.check(&new, &subject, 2).is_allowed());
            assert!(timed.check(&old, &subject, 1).is_allowed());
            assert!(!timed.check(&new, &subject, 1).is_allowed(), "{before:?} to {after:?}");
            timed.clock.set_micros(START - START % MINUTE + 2 * MINUTE);
            assert_eq!(timed.peek(&new, &subject, 1).remaining(), 10, "{before:?} to {after:?}");
        }
    }
}

#[test]
fn quotas_come_and_go() {
    let timed = Timed::start();
    for &algorithm in Algorithm::ALL {
        timed.clock.set_micros(START - START % MINUTE);
        let subject = timed.subject();
        let minute = policy(algorithm, 10, MINUTE);
        let both = policy(algorithm, 3, MINUTE / 60).and(minute.quotas()[0]);
        assert!(timed.check(&minute, &subject, 4).is_allowed());
        assert_eq!(timed.peek(&both, &subject, 1).remaining(), 0, "{algorithm:?}");
        timed.clock.advance(Duration::from_secs(2));
        let states = timed.peek(&both, &subject, 1).quotas().to_vec();
        assert_eq!([states[0].remaining(), states[1].remaining()], [3, 6], "{algorithm:?}");
        assert!(timed.check(&both, &subject, 2).is_allowed());
        assert_eq!(timed.peek(&minute, &subject, 1).remaining(), 4, "{algorithm:?}");
    }
}

/// What a release with a shorter period no longer counts, another one still does.
#[test]
fn a_shorter_period_forgets_for_itself_alone() {
    let timed = Timed::start();
    for &before in Algorithm::ALL {
        for &after in Algorithm::ALL {
            let start = START - START % (1_440 * MINUTE);
            timed.clock.set_micros(start);
            let (old, new) = (policy(before, 1_000, 1_440 * MINUTE), policy(after, 10, MINUTE));
            let subject = timed.subject();
            assert!(timed.check(&old, &subject, 500).is_allowed());
            assert!(!timed.check(&new, &subject, 1).is_allowed(), "{before:?} to {after:?}");
            timed.clock.set_micros(start + 5 * MINUTE);
            assert!(timed.check(&new, &subject, 1).is_allowed(), "{before:?} to {after:?}");
            // In five minutes a bucket gets back four.
            let remaining = timed.peek(&old, &subject, 1).remaining();
            assert!((499..=503).contains(&remaining), "{before:?} to {after:?}: {remaining}");
            timed.clock.set_micros(start + 8 * MINUTE);
            assert!(timed.check(&new, &subject, 1).is_allowed(), "{before:?} to {after:?}");
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Release {
    algorithm: usize,
    limit: u32,
    period: u64,
}

fn release() -> impl Strategy<Value = Release> {
    (0_usize..6, 1_u32..=2_000, prop_oneof![Just(MINUTE), 1_000_000_u64..=100_000_000])
        .prop_map(|(algorithm, limit, period)| Release { algorithm, limit, period })
}

proptest! {
    #![proptest_config(cases(100, 2_000))]

    /// Whatever came before, nobody is locked out for longer than a full quota of the new
    /// release would: then all is as new, unless somebody was admitted meanwhile.
    #[test]
    fn nobody_is_locked_out(
        releases in prop::collection::vec(release(), 2..4),
        requests in prop::collection::vec((0_usize..3, 0_u32..=1_000, 0_u64..=3_000_000), 1..20),
    ) {
        SERVER.with(|timed| {
            timed.clock.set_micros(START);
            let mut now = START;
            let subject = timed.subject();
            let policies: Vec<Policy> = releases
                .iter()
                .map(|release| policy(Algorithm::ALL[release.algorithm], release.limit, release.period))
                .collect();
            for (index, share, gap) in requests {
                let policy = &policies[index % policies.len()];
                let cost = (policy.quotas()[0].limit() * share / 1_000).max(1);
                let _ = timed.check(policy, &subject, cost);
                now += gap;
                timed.clock.set_micros(now);
            }
            let policy = &policies[0];
            let full = policy.quotas()[0].period().as_micros() as u64;
            let told = timed.peek(policy, &subject, 1);
            if let Some(wait) = told.retry_after() {
                let wait = wait.as_micros() as u64;
                prop_assert!(wait <= 2 * full, "{:?}", told);
                timed.clock.set_micros(now + wait - 1);
                // What another form of the policy counts may be gone before that.
                let early = timed.peek(policy, &subject, 1);
                prop_assert!(!early.is_allowed() || releases.len() > 1, "{:?}", told);
                timed.clock.set_micros(now + wait);
                prop_assert!(timed.peek(policy, &subject, 1).is_allowed(), "{:?}", told);
            }
            Ok(())
        })?;
    }

    /// While releases that agree on the period take turns, no window holds more than the bound
    /// of the most generous of them. If their algorithms differ, what one has admitted may be admitted
    /// again under another: then no window holds more than the bounds of all together.
    #[test]
    fn taking_turns_admits_no_more(
        limits in prop::collection::vec(1_u32..=40, 2..4),
        algorithms in prop::collection::vec(0_usize..6, 3),
        requests in prop::collection::vec((0_usize..3, 0_u64..=8_000_000), 1..120),
    ) {
        SERVER.with(|timed| {
            let mut now = START;
            timed.clock.set_micros(now);
            let subject = timed.subject();
            let policies: Vec<Policy> = limits
                .iter()
                .zip(&algorithms)
                .map(|(limit, algorithm)| policy(Algorithm::ALL[*algorithm], *limit, MINUTE))
                .collect();
            let mut admitted = Vec::new();
            for (index, gap) in requests {
                if timed.check(&policies[index % policies.len()], &subject, 1).is_allowed() {
                    admitted.push(now);
                }
                now += gap;
                timed.clock.set_micros(now);
            }
            let bounds = limits.iter().map(|limit| 2 * *limit as usize - 1);
            let algorithms = &algorithms[..limits.len()];
            let agree = algorithms.iter().all(|algorithm| *algorithm == algorithms[0]);
            let bound: usize = if agree { bounds.max().unwrap() } else { bounds.sum() };
            for (index, start) in admitted.iter().enumerate() {
                let inside = admitted[index..].iter().filter(|at| **at < start + MINUTE).count();
                prop_assert!(inside <= bound, "{} in a minute, {:?}", inside, admitted);
            }
            Ok(())
        })?;
    }
}

thread_local! {
    static SERVER: Timed = Timed::start();
}
