//! Whoever waits is woken by what happens in this process, and goes before those who come later.
//! Nobody is polled unwoken.

use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use support::at_once;
use support::line::Waiter;
use support::reference::{for_all_six, has_bucket};
use support::scaled;
use tollgate::testing::ManualClock;
use tollgate::{
    Algorithm, Decision, Limiter, LimiterBuilder, MemoryBackend, Outcome, Override, Overrides,
    PerSubject, Policy, Quota,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn builder() -> (LimiterBuilder, ManualClock) {
    let clock = ManualClock::new();
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    (Limiter::builder(backend).clock(clock.clone()), clock)
}

fn check(limiter: &Limiter, policy: &Policy, cost: u32) -> Decision {
    limiter.check_now(policy, "s", cost).unwrap().unwrap()
}

/// Those who wait, in the order of arrival; `None` has left.
struct Line<'a>(Vec<Option<Waiter<'a>>>);

impl<'a> Line<'a> {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn of(waiters: impl IntoIterator<Item = Waiter<'a>>) -> Self {
        let mut line = Self(waiters.into_iter().map(Some).collect());
        assert_eq!(line.run(), [], "all wait");
        line
    }

    /// Polls whoever is woken until nobody is, and returns who has left, and if it was admitted.
    fn run(&mut self) -> Vec<(usize, bool)> {
        let mut left = Vec::new();
        let is_woken = |waiter: &Option<Waiter<'_>>| waiter.as_ref().is_some_and(Waiter::is_woken);
        while self.0.iter().any(is_woken) {
            for (index, place) in self.0.iter_mut().enumerate() {
                if is_woken(place)
                    && let Some(waiter) = place
                    && let Poll::Ready(decision) = waiter.poll()
                {
                    left.push((index, decision.is_allowed()));
                    *place = None;
                }
            }
        }
        left
    }
}

type Happening = Box<dyn Fn(&Limiter, &Policy, Vec<Decision>, &Mutex<Option<Override>>)>;

/// What happens, and who has left after it.
type HappeningCase = (&'static str, Happening, Vec<(usize, bool)>);

/// What happens to a key for which two wait, by ways that this process knows of, and who then goes.
#[test]
fn the_line_moves_when_something_happens_to_its_key() {
    let raised = || Override::new().limit(1_000).per(MINUTE);
    let off = || Override::new().enabled(false);
    let overridden = |changes: Override| {
        move |limiter: &Limiter, _: &Policy, _: Vec<Decision>, _: &Mutex<Option<Override>>| {
            limiter.set_overrides(Overrides::new().with("line", changes.clone())).unwrap();
        }
    };
    let planned = |changes: Override| {
        move |_: &Limiter, _: &Policy, _: Vec<Decision>, plan: &Mutex<Option<Override>>| {
            *plan.lock().unwrap() = Some(changes.clone());
        }
    };
    let both = vec![(0, true), (1, true)];
    let cases: Vec<HappeningCase> = vec![
        (
            "one refund: the second is the first now, and has no time until its turn",
            Box::new(|limiter, _, mut decisions, _| {
                assert!(at_once(limiter.refund(decisions.pop().unwrap())).unwrap());
            }),
            vec![(0, true), (1, false)],
        ),
        (
            "three refunds",
            Box::new(|limiter, _, decisions, _| {
                for decision in decisions.into_iter().rev().take(3) {
                    assert!(at_once(limiter.refund(decision)).unwrap());
                }
            }),
            both.clone(),
        ),
        (
            "reset",
            Box::new(|limiter, policy, _, _| at_once(limiter.reset(policy, "s")).unwrap()),
            both.clone(),
        ),
        ("the limit raised", Box::new(overridden(raised())), both.clone()),
        ("switched off", Box::new(overridden(off())), both.clone()),
        ("a plan with a higher limit", Box::new(planned(raised())), both.clone()),
        ("a plan without the limit", Box::new(planned(off())), both),
    ];
    for (algorithm, name) in Algorithm::ALL.iter().zip(["sw", "swc", "fw", "tb", "lb", "gcra"]) {
        let policy = Policy::new("line", Quota::new(10, MINUTE)).algorithm(*algorithm);
        for (what, happens, expected) in &cases {
            let (builder, clock) = builder();
            let plan = Arc::new(Mutex::new(None));
            let plans = Arc::clone(&plan);
            let plans = PerSubject::new(move |_, _| plans.lock().unwrap().clone());
            let builder = builder.declare(policy.clone()).per_subject(plans.max_age(SECOND));
            let limiter = builder.build();
            let decisions = (0..10).map(|_| check(&limiter, &policy, 1)).collect();
            let mut line = Line::of(
                [120, 30]
                    .map(|patience| Waiter::new(limiter.wait(&policy, "s", 1, patience * SECOND))),
            );
            clock.advance(SECOND);
            assert_eq!(line.run(), [], "{name}, {what}");
            happens(&limiter, &policy, decisions, &plan);
            // A plan is asked for again when the cached one is too old.
            if plan.lock().unwrap().is_some() {
                clock.advance(SECOND);
            }
            let mut left = line.run();
            let is_bucket = matches!(algorithm, Algorithm::TokenBucket | Algorithm::Gcra);
            if *algorithm == Algorithm::LeakyBucket {
                if what.contains("refund") {
                    assert_eq!(left, [], "{name}, {what}: not all is back");
                    continue;
                }
                // One leaves after the other, when the bucket is empty.
                clock.advance(MINUTE / 10);
                left.extend(line.run());
            } else if is_bucket && what.starts_with("one refund") {
                // A bucket gives the second its turn after an interval of six seconds.
                assert_eq!(left, [(0, true)], "{name}, {what}");
                continue;
            }
            assert_eq!(&left, expected, "{name}, {what}");
        }
    }
}

/// An override that makes it hopeless refuses those behind the first at once, too.
#[test]
fn whoever_has_no_prospect_any_more_is_refused() {
    let policy = Policy::new("line", Quota::new(10, SECOND));
    let (builder, _clock) = builder();
    let limiter = builder.declare(policy.clone()).build();
    assert!(check(&limiter, &policy, 10).is_allowed());
    let wait = |patience| Waiter::new(limiter.wait(&policy, "s", 1, patience));
    let mut line = Line::of([wait(2 * MINUTE), wait(2 * MINUTE), wait(30 * SECOND)]);
    let slower = Override::new().limit(1).per(MINUTE);
    limiter.set_overrides(Overrides::new().with("line", slower)).unwrap();
    assert_eq!(line.run(), [(2, false)]);
}

/// The first in line takes its whole cost at once: the second has time enough for the rest.
#[test]
fn the_length_of_a_line_is_counted_by_its_costs() {
    let quota = Quota::new(5, SECOND).burst(50);
    let policy = Policy::new("leaky", quota).algorithm(Algorithm::LeakyBucket);
    let (builder, clock) = builder();
    let limiter = builder.build();
    assert!(check(&limiter, &policy, 1).is_allowed());
    let patience = [10_000, 1_220].map(Duration::from_millis);
    let mut line =
        Line::of(patience.map(|patience| Waiter::new(limiter.wait(&policy, "s", 4, patience))));
    clock.advance(SECOND / 5);
    assert_eq!(line.run(), [(0, true)]);
    clock.advance(4 * SECOND / 5 - Duration::from_micros(1));
    assert_eq!(line.run(), []);
    clock.advance(Duration::from_micros(1));
    assert_eq!(line.run(), [(1, true)]);
}

/// Checks at twice the rate keep nobody out who waits.
fn a_line_does_not_starve(algorithm: Algorithm) {
    let quota = Quota::new(10, SECOND);
    let quota = if has_bucket(algorithm) { quota.burst(20) } else { quota };
    let policy = Policy::new("line", quota).algorithm(algorithm);
    let (builder, clock) = builder();
    let limiter = builder.build();
    let (mut line, mut admitted, mut passed) = (Line::new(), 0, 0);
    // A check each 50 ms, and somebody who waits each second.
    for tick in 0..120 * 20 + 200 {
        if tick % 20 == 0 && tick < 120 * 20 {
            line.0.push(Some(Waiter::new(limiter.wait(&policy, "s", 1, 5 * SECOND))));
        }
        for (index, is_admitted) in line.run() {
            assert!(is_admitted, "{index} is refused");
            admitted += 1;
        }
        passed += u32::from(check(&limiter, &policy, 1).is_allowed());
        clock.advance(SECOND / 20);
    }
    assert_eq!(admitted, 120);
    // What the line leaves is not lost.
    assert!(passed > 300, "{passed}");
}

for_all_six!(a_line_does_not_starve);

/// Nobody overtakes: what comes back is the line's, by whatever way it is asked for.
#[test]
fn checks_do_not_overtake() {
    for algorithm in Algorithm::ALL {
        let policy = Policy::new("line", Quota::new(10, MINUTE)).algorithm(*algorithm);
        let (builder, clock) = builder();
        let limiter = builder.build();
        let mut decisions: Vec<_> = (0..10).map(|_| check(&limiter, &policy, 1)).collect();
        let mut line = Line::of([Waiter::new(limiter.wait(&policy, "s", 2, 2 * MINUTE))]);
        for _ in 0..2 {
            assert!(at_once(limiter.refund(decisions.pop().unwrap())).unwrap());
            assert!(!check(&limiter, &policy, 1).is_allowed(), "{algorithm}");
            assert!(!at_once(limiter.check(&policy, "s")).unwrap().is_allowed(), "{algorithm}");
            let peeked = at_once(limiter.peek(&policy, "s", 1)).unwrap();
            assert_eq!(peeked.outcome(), check(&limiter, &policy, 1).outcome(), "{algorithm}");
            // Others, and what costs nothing, are not concerned.
            assert!(limiter.check_now(&policy, "other", 1).unwrap().unwrap().is_allowed());
            assert!(check(&limiter, &policy, 0).is_allowed());
            assert_eq!(check(&limiter, &policy, 11).outcome(), Outcome::Never);
        }
        if *algorithm != Algorithm::LeakyBucket {
            // Two were for the one in line, and the third is for the check behind it.
            assert!(at_once(limiter.refund(decisions.pop().unwrap())).unwrap());
            assert!(check(&limiter, &policy, 1).is_allowed(), "{algorithm}");
            assert!(!check(&limiter, &policy, 1).is_allowed(), "{algorithm}");
            assert_eq!(line.run(), [(0, true)], "{algorithm}");
        }
        drop(line);
        clock.advance(2 * MINUTE);
        assert!(check(&limiter, &policy, 10).is_allowed(), "{algorithm}: the line is gone");
    }
}

/// A refusal behind the line says when the same check passes, if nobody else comes.
#[test]
fn a_refusal_behind_the_line_tells_the_time_behind_the_line() {
    for algorithm in Algorithm::ALL {
        for costs in [vec![1], vec![2, 1], vec![1, 3, 2]] {
            let policy = Policy::new("line", Quota::new(10, MINUTE)).algorithm(*algorithm);
            let (builder, clock) = builder();
            let limiter = builder.build();
            for _ in 0..10 {
                assert!(check(&limiter, &policy, 1).is_allowed());
                clock.advance(SECOND / 2);
            }
            let wait = |cost: &u32| {
                Waiter::new(limiter.wait(&policy, "s", *cost, Duration::from_secs(600)))
            };
            let mut line = Line::of(costs.iter().map(wait));
            let told = check(&limiter, &policy, 2).retry_after().unwrap();
            // Each turn in line is at a multiple of half a second, if it is exact.
            let mut left = told - Duration::from_micros(1);
            while !left.is_zero() {
                let span = left.min(SECOND / 2);
                clock.advance(span);
                left -= span;
                line.run();
            }
            let early = check(&limiter, &policy, 2).is_allowed();
            clock.advance(Duration::from_micros(1));
            line.run();
            assert!(line.0.iter().all(Option::is_none), "{algorithm}, {costs:?}");
            assert!(check(&limiter, &policy, 2).is_allowed(), "{algorithm}, {costs:?}");
            // What a window counts only in part, it admits earlier at times.
            let may_be_early = *algorithm == Algorithm::SlidingWindowCounter;
            assert!(!early || may_be_early, "{algorithm}, {costs:?}");
        }
    }
}

/// Hundreds in line, with costs of all kinds, of whom each seventh is given up: in order, and
/// nothing is left of them.
#[test]
fn hundreds_leave_in_order_and_leave_nothing() {
    for algorithm in Algorithm::ALL {
        let quota = Quota::new(10, SECOND);
        let quota = if has_bucket(*algorithm) { quota.burst(5_000) } else { quota };
        let policy = Policy::new("line", quota).algorithm(*algorithm);
        let (builder, clock) = builder();
        let limiter = builder.build();
        assert!(check(&limiter, &policy, quota.capacity()).is_allowed());
        let wait = |index: u32| limiter.wait(&policy, "s", index % 3 + 1, Duration::MAX);
        let mut line = Line::of((0..scaled(150, 1_000)).map(|index| Waiter::new(wait(index))));
        let (mut last, mut steps) = (None, 0_u64);
        while let Some(first) = line.0.iter().position(Option::is_some) {
            steps += 1;
            assert!(steps < 20_000, "{algorithm}: {first} is left pending");
            if steps % 7 == 0 {
                line.0[first] = None;
            }
            clock.advance(SECOND / 5);
            for (index, is_admitted) in line.run() {
                assert!(is_admitted && last < Some(index), "{algorithm}: {index}");
                last = Some(index);
            }
        }
        clock.advance(1_000 * SECOND);
        assert!(check(&limiter, &policy, quota.capacity()).is_allowed(), "{algorithm}");
    }
}
