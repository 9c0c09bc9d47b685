//! A warm check in memory allocates nothing, allowed or refused, by whichever algorithm, and
//! whether or not a dashboard counts it.

use std::sync::Arc;
use std::time::Duration;

use tollgate::__private::decide_now;
use tollgate::testing::ManualClock;
use tollgate::{Algorithm, Check, Dashboard, Limiter, MemoryBackend, Outcome, Policy, Quota};

const SUBJECTS: [&str; 3] = ["192.0.2.1", "2001:db8:1:2/64", "2bb80d537b1da3e38bd30361aa855686"];

/// As many allocations as `checks` make.
fn allocations(checks: impl FnOnce()) -> u64 {
    let before = dhat::HeapStats::get().total_blocks;
    checks();
    dhat::HeapStats::get().total_blocks - before
}

/// Asks as a handler's limit does.
fn admits(limiter: &Limiter, policy: &Policy, subject: &str) -> bool {
    decide_now(limiter, &Check::new(policy, subject, 1)).unwrap().unwrap() == Outcome::Allowed
}

#[test]
fn warm_checks_allocate_nothing() {
    if support::is_left_to_a_process_of_its_own(module_path!(), "warm_checks_allocate_nothing") {
        return;
    }
    let _profiler = dhat::Profiler::builder().testing().build();
    // It can count.
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);

    let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
    for &algorithm in Algorithm::ALL {
        let one = Policy::new("one", Quota::new(128, minute)).algorithm(algorithm);
        let several = Policy::new("several", Quota::new(128, minute))
            .and(Quota::new(1_000, day))
            .algorithm(algorithm);
        for (policy, is_seen) in [(&one, false), (&several, false), (&one, true), (&several, true)]
        {
            let limiter = Limiter::new(MemoryBackend::new());
            let _dashboard = is_seen.then(|| Dashboard::new(&limiter));
            // The log of a window grows as it fills, to a size that it keeps: 63 entries leave
            // room for nearly as many again. Short subjects are spared the public answer's copy.
            for subject in SUBJECTS {
                (0..63).for_each(|_| assert!(admits(&limiter, policy, subject)));
            }
            let allowed = allocations(|| {
                for subject in SUBJECTS {
                    (0..25).for_each(|_| assert!(admits(&limiter, policy, subject)));
                }
            });
            while admits(&limiter, policy, SUBJECTS[0]) {}
            let refused = allocations(|| {
                (0..25).for_each(|_| assert!(!admits(&limiter, policy, SUBJECTS[0])));
            });
            let public = allocations(|| {
                for _ in 0..5 {
                    let decision = limiter.check_now(policy, SUBJECTS[1], 1).unwrap().unwrap();
                    assert!(decision.is_allowed());
                }
            });
            assert_eq!((allowed, refused, public), (0, 0, 0), "{} {policy:?}", algorithm.name());
        }
    }
    assert_eq!(allocations_of_hours(), 0);
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
