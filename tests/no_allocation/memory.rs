//! A warm check in memory allocates nothing, allowed or refused, by whichever algorithm, and
//! whether or not a dashboard counts it. Only the copy of a long subject does, which is the receipt
//! for a refund.

use std::sync::Arc;
use std::time::Duration;

use tollgate::testing::ManualClock;
use tollgate::{
    Algorithm, Ban, Dashboard, Limiter, MemoryBackend, Outcome, Override, Overrides, Policy, Quota,
};

use crate::allocations;

const SUBJECTS: [&str; 3] = ["192.0.2.1", "2001:db8:1:2/64", "2bb80d537b1da3e38bd30361aa855686"];

fn admits(limiter: &Limiter, policy: &Policy, subject: &str) -> bool {
    limiter.check_now(policy, subject, 1).unwrap().unwrap().is_allowed()
}

#[test]
fn warm_checks_allocate_nothing() {
    let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
    for &algorithm in Algorithm::ALL {
        let one = Policy::new("one", Quota::new(128, minute)).algorithm(algorithm);
        let several = Policy::new("several", Quota::new(128, minute))
            .and(Quota::new(1_000, day))
            .algorithm(algorithm);
        for (policy, is_seen) in [(&one, false), (&several, false), (&one, true), (&several, true)]
        {
            let limiter = Limiter::new(MemoryBackend::new());
            let _dashboard = is_seen.then(|| Dashboard::new(limiter.clone()));
            // The log of a window grows as it fills, to a size that it keeps: 63 entries leave
            // room for nearly as many again.
            for subject in SUBJECTS {
                (0..63).for_each(|_| assert!(admits(&limiter, policy, subject)));
            }
            let allowed = SUBJECTS.map(|subject| {
                allocations(|| (0..25).for_each(|_| assert!(admits(&limiter, policy, subject))))
            });
            let refused = SUBJECTS.map(|subject| {
                while admits(&limiter, policy, subject) {}
                allocations(|| (0..25).for_each(|_| assert!(!admits(&limiter, policy, subject))))
            });
            // A subject of up to 23 bytes is copied without an allocation.
            assert_eq!((allowed, refused), ([0, 0, 25], [0; 3]), "{algorithm:?} {policy:?}");
        }
    }
    assert_eq!(allocations_of_hours(), 0);
    assert_eq!(allocations_of_mixed_costs(), 0);
}

/// Costs above 1 take another form of the log than others. It is not left and taken again with each.
fn allocations_of_mixed_costs() -> u64 {
    let clock = Arc::new(ManualClock::new());
    let limiter = Limiter::new(MemoryBackend::builder().clock(Arc::clone(&clock)).build());
    let mixed = Policy::new("mixed", Quota::new(1_000, Duration::from_secs(60)));
    let pass = |checks: u32| {
        for check in 0..checks {
            // All that was charged before has expired at every fifth check.
            clock.advance(Duration::from_secs(if check % 5 == 0 { 60 } else { 1 }));
            let decision = limiter.check_now(&mixed, SUBJECTS[0], 1 + check % 2).unwrap().unwrap();
            assert!(decision.is_allowed());
        }
    };
    pass(70);
    allocations(|| pass(300))
}

/// In shadow mode nobody is banned, so refusals are not counted for that.
#[test]
fn refusals_in_shadow_mode_allocate_nothing() {
    for &algorithm in Algorithm::ALL {
        let ban = Ban::new(5, Duration::from_secs(900));
        let policy = Policy::new("shadow", Quota::new(63, Duration::from_secs(3_600))).ban(ban);
        let policy = policy.algorithm(algorithm);
        let limiter = Limiter::builder(MemoryBackend::new()).declare(policy.clone()).build();
        let changes = Overrides::new().with("shadow", Override::new().shadow(true));
        limiter.set_overrides(changes).unwrap();
        let is_refused = || {
            let decision = limiter.check_now(&policy, SUBJECTS[0], 1).unwrap().unwrap();
            matches!(decision.outcome(), Outcome::Refused { .. })
        };
        while !is_refused() {}
        let refused = allocations(|| (0..25).for_each(|_| assert!(is_refused())));
        assert_eq!(refused, 0, "{algorithm}");
    }
}

/// Nor do checks whose decisions are kept for a while, unless a thread keeps more at once than ever.
#[test]
fn decisions_at_once_allocate_nothing() {
    let limiter = Limiter::new(MemoryBackend::new());
    let policy = Policy::new("kept", Quota::new(1 << 20, Duration::from_secs(60)));
    let policy = policy.algorithm(Algorithm::Gcra);
    let mut kept = Vec::with_capacity(32);
    let mut check = |at_once: usize| {
        for _ in 0..at_once {
            kept.push(limiter.check_now(&policy, SUBJECTS[0], 1).unwrap().unwrap());
        }
        assert!(kept.drain(..).all(|decision| decision.is_allowed()));
    };
    check(32);
    assert_eq!(allocations(|| (1..=32).for_each(&mut check)), 0);
}

/// A log counts time from an instant that is moved on before it is too long ago. There is one
/// admission a minute, and an hour's fit.
fn allocations_of_hours() -> u64 {
    let clock = Arc::new(ManualClock::new());
    let limiter = Limiter::new(MemoryBackend::builder().clock(Arc::clone(&clock)).build());
    let hourly = Policy::new("hourly", Quota::new(60, Duration::from_secs(3_600)));
    let pass = |minutes: u32| {
        for _ in 0..minutes {
            clock.advance(Duration::from_secs(60));
            assert!(admits(&limiter, &hourly, SUBJECTS[0]));
        }
    };
    pass(60);
    allocations(|| pass(300))
}
