//! Waiting for a permit: first come, first served, and whoever leaves takes none along.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use support::scaled;
use tollgate::testing::ManualClock;
use tollgate::{
    Decision, InFlight, Limiter, LocalTier, MemoryBackend, Override, Overrides, Policy,
    RedisBackend, Unavailable,
};

const PATIENCE: Duration = Duration::from_secs(10);

type Waiting<'a> = Pin<Box<dyn Future<Output = Result<Decision, Unavailable>> + 'a>>;

#[derive(Clone, Debug)]
enum Step {
    Comes,
    /// A request without patience.
    ComesByThe,
    /// One that waits hangs up.
    HangsUp(usize),
    /// One that is in flight ends.
    Ends(usize),
    /// One ends, and before those who wait have noticed, a request without patience comes.
    EndsAsOneComes(usize),
    Time(u64),
    IsOverridden(u32),
    /// One is polled without a reason.
    IsPolled(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Comes),
        2 => Just(Step::ComesByThe),
        2 => any::<usize>().prop_map(Step::HangsUp),
        5 => any::<usize>().prop_map(Step::Ends),
        1 => any::<usize>().prop_map(Step::EndsAsOneComes),
        1 => (1..4_000_000_u64).prop_map(Step::Time),
        1 => (1..5_u32).prop_map(Step::IsOverridden),
        2 => any::<usize>().prop_map(Step::IsPolled),
    ]
}

fn is_ready(waiting: &mut Waiting<'_>) -> Option<Decision> {
    match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(decision) => Some(decision.unwrap()),
        Poll::Pending => None,
    }
}

/// Those who wait by a list: each has a number, and the time at which its patience ends.
fn check(steps: &[Step]) {
    static POLICY: Policy = Policy::in_flight_only("line", InFlight::new(2));
    let clock = ManualClock::new();
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    let limiter = Limiter::builder(backend).clock(clock.clone()).declare(POLICY.clone()).build();
    let now = || tollgate::Clock::now_micros(&clock);
    let mut limit = 2_usize;
    let mut line: Vec<(u64, Waiting<'_>)> = Vec::new();
    let mut held: Vec<Decision> = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let say = format!("step {number}, {step:?}");
        match step {
            Step::Comes => {
                let waiting = Box::pin(limiter.wait(&POLICY, "s", 1, PATIENCE));
                line.push((now() + 10_000_000, waiting));
            }
            Step::ComesByThe | Step::EndsAsOneComes(_) => {
                if let Step::EndsAsOneComes(index) = step
                    && !held.is_empty()
                {
                    drop(held.swap_remove(index % held.len()));
                }
                let decision = limiter.check_now(&POLICY, "s", 1).unwrap().unwrap();
                // It is admitted only if all who wait would be, and it as well.
                let admitted = held.len() + line.len() < limit;
                assert_eq!(decision.is_allowed(), admitted, "{say}");
                if admitted {
                    held.push(decision);
                }
            }
            Step::HangsUp(index) if !line.is_empty() => {
                let _ = line.remove(index % line.len());
            }
            Step::Ends(index) if !held.is_empty() => {
                drop(held.swap_remove(index % held.len()));
            }
            Step::Time(micros) => clock.advance(Duration::from_micros(*micros)),
            Step::IsOverridden(to) => {
                let changes = Overrides::new().with("line", Override::new().in_flight(*to));
                limiter.set_overrides(changes).unwrap();
                limit = *to as usize;
            }
            Step::IsPolled(index) if !line.is_empty() => {
                let index = index % line.len();
                if let Some(decision) = is_ready(&mut line[index].1) {
                    panic!("{say}: {decision:?}");
                }
            }
            _ => {}
        }
        // The definition: those whose patience has ended leave, and those in front get what is free.
        let free = limit.saturating_sub(held.len());
        let mut expected: Vec<Option<bool>> = Vec::new();
        let mut given = 0;
        for (until, _) in &line {
            expected.push(if given < free {
                given += 1;
                Some(true)
            } else {
                (*until <= now()).then_some(false)
            });
        }
        // The last are polled first, and all again until nothing happens any more.
        let mut found: Vec<Option<Decision>> = line.iter().map(|_| None).collect();
        let mut goes_on = true;
        while goes_on {
            goes_on = false;
            for (found, (_, waiting)) in found.iter_mut().zip(&mut line).rev() {
                if found.is_none()
                    && let Some(decision) = is_ready(waiting)
                {
                    *found = Some(decision);
                    goes_on = true;
                }
            }
        }
        let admitted: Vec<_> =
            found.iter().map(|it| it.as_ref().map(Decision::is_allowed)).collect();
        assert_eq!(admitted, expected, "{say}: {} of {limit} are held", held.len());
        let mut decisions = found.into_iter();
        let mut rest = Vec::new();
        for waiter in line {
            match decisions.next().unwrap() {
                Some(decision) if decision.is_allowed() => held.push(decision),
                Some(_) => {}
                None => rest.push(waiter),
            }
        }
        line = rest;
        assert_eq!(limiter.stats().in_flight, held.len() as u64, "{say}");
    }
    drop((line, held));
    assert_eq!(limiter.stats().in_flight, 0);
}

#[test]
fn first_come_is_first_served_whatever_happens() {
    let config = Config { cases: scaled(300, 20_000), ..Config::default() };
    let steps = prop::collection::vec(step(), 1..150);
    TestRunner::new(config)
        .run(&steps, |steps| {
            check(&steps);
            Ok(())
        })
        .unwrap();
}

/// A thousand wait, and every second of them hangs up at one of the points at which it can be polled:
/// before the first poll, in the line, as the first of it, and when it has been told of a permit.
#[test]
fn of_a_thousand_in_line_any_may_leave_at_any_point() {
    static POLICY: Policy = Policy::in_flight_only("line", InFlight::new(3));
    let clock = ManualClock::new();
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    let limiter = Limiter::builder(backend).clock(clock).build();
    for point in 0..4 {
        let mut held: Vec<(usize, Decision)> = Vec::new();
        let wait = |_| Box::pin(limiter.wait(&POLICY, "s", 1, PATIENCE)) as Waiting<'_>;
        let mut line: Vec<Option<Waiting<'_>>> = (0..1_000).map(wait).map(Some).collect();
        let leaves = |index: usize| index % 2 == 1;
        if point == 0 {
            (0..1_000).filter(|it| leaves(*it)).for_each(|index| line[index] = None);
        }
        let mut served = Vec::new();
        for round in 0..2_000 {
            for (index, place) in line.iter_mut().enumerate() {
                let Some(waiting) = place else { continue };
                if let Some(decision) = is_ready(waiting) {
                    assert!(decision.is_allowed());
                    served.push(index);
                    held.push((index, decision));
                    *place = None;
                }
            }
            if point == 1 && round == 0 {
                (0..1_000).filter(|it| leaves(*it)).for_each(|index| line[index] = None);
            }
            let first = line.iter().position(Option::is_some);
            if point == 2
                && let Some(first) = first.filter(|first| leaves(*first))
            {
                line[first] = None;
            }
            if held.is_empty() {
                break;
            }
            drop(held.remove(0));
            // The first has been told, and does not come to take it.
            if point == 3
                && let Some(first) = first.filter(|first| leaves(*first))
            {
                line[first] = None;
            }
        }
        assert!(line.iter().all(Option::is_none), "somebody waits for ever, point {point}");
        assert!(served.is_sorted(), "{served:?}");
        assert!((0..1_000).step_by(2).all(|it| served.binary_search(&it).is_ok()), "point {point}");
        assert_eq!(limiter.stats().in_flight, 0);
    }
}

/// On a server that others share, the first in line asks again, and gets what another process releases.
#[tokio::test]
async fn on_redis_the_first_asks_again() {
    static POLICY: Policy = Policy::in_flight_only("line", InFlight::new(1));
    let server = support::redis::RedisServer::start();
    let limiter = || {
        let backend = RedisBackend::builder(&server.url()).deadline(Duration::from_secs(20));
        Limiter::builder(backend.build().unwrap()).local_tier(LocalTier::none()).build()
    };
    let (one, other) = (limiter(), limiter());
    let held = one.check(&POLICY, "s").await.unwrap();
    assert!(held.is_allowed());
    let mut waiting = Box::pin(other.wait(&POLICY, "s", 1, Duration::from_secs(3_600)));
    let asked = || other.stats().redis.unwrap().checks;
    let asks_again = poll_fn(|context| {
        assert!(waiting.as_mut().poll(context).is_pending());
        context.waker().wake_by_ref();
        if asked() < 3 { Poll::Pending } else { Poll::Ready(()) }
    });
    tokio::time::timeout(Duration::from_secs(60), asks_again).await.unwrap();
    drop(held);
    assert!(waiting.await.unwrap().is_allowed());
    // In one process the next in line is told, and nobody waits for a pause.
    let held = one.check(&POLICY, "t").await.unwrap();
    let mut line: Vec<_> =
        (0..5).map(|_| Box::pin(one.wait(&POLICY, "t", 1, Duration::from_secs(3_600)))).collect();
    let mut held = Some(held);
    for waiting in &mut line {
        drop(held.take());
        held = Some(waiting.await.unwrap());
    }
    drop(held);
    one.close().await;
    other.close().await;
}
