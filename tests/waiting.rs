//! Waiting for a turn: first come first served, given up for nothing, refused when hopeless.

#![deny(warnings)]
#![allow(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod support;

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use support::scaled;
use tollgate::testing::{self, ManualClock};
use tollgate::{
    Decision, Limiter, MemoryBackend, Policy, Quota, RateLimited, Unavailable, rate_limit,
};

const SECOND: Duration = Duration::from_secs(1);

/// The backend and those who wait have the same clock.
fn limiter() -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    (Limiter::builder(backend).clock(clock.clone()).build(), clock)
}

type Waiter<'a> = Pin<Box<dyn Future<Output = Result<Decision, Unavailable>> + 'a>>;

/// Polls all that have not ended until none of them makes progress, and says which have ended
/// now and whether they were admitted.
fn run(waiters: &mut [Option<Waiter<'_>>]) -> Vec<(usize, bool)> {
    let mut ended = Vec::new();
    loop {
        let before = ended.len();
        for (index, slot) in waiters.iter_mut().enumerate() {
            let Some(waiter) = slot else { continue };
            if let Poll::Ready(decision) = poll(waiter.as_mut()) {
                ended.push((index, decision.unwrap().is_allowed()));
                *slot = None;
            }
        }
        if ended.len() == before {
            return ended;
        }
    }
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_hundred_on_ten_per_second_leave_in_the_order_of_arrival() {
    let (limiter, clock) = limiter();
    let policy = Policy::new("ten", Quota::new(10, SECOND));
    let mut waiters: Vec<Option<Waiter<'_>>> = (0..100)
        .map(|_| Some(Box::pin(limiter.wait(&policy, "s", 1, 60 * SECOND)) as Waiter<'_>))
        .collect();
    for second in 0..10 {
        let expected: Vec<_> =
            (second * 10..(second + 1) * 10).map(|index| (index, true)).collect();
        assert_eq!(run(&mut waiters), expected, "in second {second}");
        clock.advance(SECOND - Duration::from_micros(1));
        assert_eq!(run(&mut waiters), [], "just before second {}", second + 1);
        clock.advance(Duration::from_micros(1));
    }
}

#[tokio::test]
async fn real_tasks_wake_when_the_clock_moves() {
    let (limiter, clock) = limiter();
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..100 {
        let (limiter, sender) = (limiter.clone(), sender.clone());
        tasks.spawn(async move {
            let policy = Policy::new("ten", Quota::new(10, SECOND));
            let decision = limiter.wait(&policy, "s", 1, 60 * SECOND).await.unwrap();
            sender.send((index, decision.is_allowed())).unwrap();
        });
        // Lets it line up before the next one does.
        tokio::task::yield_now().await;
    }
    drop(sender);
    let mut left = Vec::new();
    while left.len() < 100 {
        for _ in 0..10 {
            left.push(receiver.recv().await.unwrap());
        }
        assert!(receiver.try_recv().is_err(), "more than ten in a second");
        clock.advance(SECOND);
    }
    assert_eq!(left, (0..100).map(|index| (index, true)).collect::<Vec<_>>());
    tasks.join_all().await;
}

#[test]
fn who_gives_up_frees_the_place_and_costs_nothing() {
    let (limiter, clock) = limiter();
    let policy = Policy::new("one", Quota::new(1, SECOND));
    let mut waiters: Vec<Option<Waiter<'_>>> = (0..5)
        .map(|_| Some(Box::pin(limiter.wait(&policy, "s", 1, 4 * SECOND)) as Waiter<'_>))
        .collect();
    assert_eq!(run(&mut waiters), [(0, true)]);
    // The head of the line and one in its midst give up.
    (waiters[1], waiters[3]) = (None, None);
    clock.advance(SECOND);
    assert_eq!(run(&mut waiters), [(2, true)]);
    clock.advance(SECOND);
    assert_eq!(run(&mut waiters), [(4, true)]);
    clock.advance(SECOND);
    // Nothing of them is left: a newcomer goes at once.
    let decision = poll(pin!(limiter.wait(&policy, "s", 1, Duration::ZERO)).as_mut());
    assert!(matches!(decision, Poll::Ready(Ok(decision)) if decision.is_allowed()));
}

#[test]
fn a_full_line_refuses_at_once_and_the_head_when_its_turn_comes_too_late() {
    let (limiter, clock) = limiter();
    let policy = Policy::new("two", Quota::new(2, SECOND));
    let admitted = limiter.check_now(&policy, "s", 2).unwrap().unwrap();
    assert!(admitted.is_allowed());
    // In 1.5 s two windows admit four at the most; only the first two of them in time, in fact.
    let patience = Duration::from_millis(1_500);
    let mut waiters: Vec<Option<Waiter<'_>>> = (0..6)
        .map(|_| Some(Box::pin(limiter.wait(&policy, "s", 1, patience)) as Waiter<'_>))
        .collect();
    assert_eq!(run(&mut waiters), [(4, false), (5, false)]);
    clock.advance(SECOND);
    // The third gets to the head and its turn is in a second: too late. So for the fourth.
    assert_eq!(run(&mut waiters), [(0, true), (1, true), (2, false), (3, false)]);
}

#[test]
fn who_stands_in_line_too_long_is_refused_and_told_when() {
    let (limiter, clock) = limiter();
    let policy = Policy::new("one", Quota::new(1, 10 * SECOND));
    let _ = limiter.check_now(&policy, "s", 1);
    let mut head = pin!(limiter.wait(&policy, "s", 1, 60 * SECOND));
    assert!(poll(head.as_mut()).is_pending());
    let mut second = pin!(limiter.wait(&policy, "s", 1, 12 * SECOND));
    assert!(poll(second.as_mut()).is_pending());
    clock.advance(9 * SECOND);
    assert!(poll(second.as_mut()).is_pending());
    clock.advance(3 * SECOND);
    // The head has not been polled: it has not taken its turn, but the turn is still its own.
    let Poll::Ready(Ok(decision)) = poll(second.as_mut()) else { panic!("still waiting") };
    assert!(!decision.is_allowed());
    assert!(matches!(poll(head.as_mut()), Poll::Ready(Ok(decision)) if decision.is_allowed()));
}

#[test]
fn patience_may_be_without_end() {
    let (limiter, clock) = limiter();
    let policy = Policy::new("one", Quota::new(1, SECOND));
    let _ = limiter.check_now(&policy, "s", 1);
    for patience in [Duration::MAX, Duration::from_secs(1 << 58)] {
        let mut waiting = pin!(limiter.wait(&policy, "s", 1, patience));
        assert!(poll(waiting.as_mut()).is_pending());
        clock.advance(SECOND);
        let decision = poll(waiting.as_mut());
        assert!(matches!(decision, Poll::Ready(Ok(decision)) if decision.is_allowed()));
    }
}

#[test]
fn subjects_and_policies_have_lines_of_their_own() {
    let (limiter, _clock) = limiter();
    let a = Policy::new("a", Quota::new(1, SECOND));
    let b = Policy::new("b", Quota::new(1, SECOND));
    for (policy, subject) in [(&a, "s"), (&a, "t"), (&b, "s")] {
        let mut first = pin!(limiter.wait(policy, subject, 1, SECOND));
        assert!(poll(first.as_mut()).is_ready());
    }
}

#[test]
fn what_can_never_be_and_what_costs_nothing_does_not_wait() {
    let (limiter, _clock) = limiter();
    let policy = Policy::new("one", Quota::new(1, SECOND));
    let _ = limiter.check_now(&policy, "s", 1);
    let mut waiting = pin!(limiter.wait(&policy, "s", 1, SECOND));
    assert!(poll(waiting.as_mut()).is_pending());
    for (cost, allowed) in [(0, true), (2, false)] {
        let decision = poll(pin!(limiter.wait(&policy, "s", cost, SECOND)).as_mut());
        assert!(matches!(decision, Poll::Ready(Ok(decision)) if decision.is_allowed() == allowed));
    }
}

#[rate_limit(1, per = second, wait = "2s", key = args(name))]
async fn greet(name: &str) -> Result<String, RateLimited> {
    Ok(format!("hello {name}"))
}

#[tokio::test]
async fn the_attribute_waits() {
    let (limiter, clock) = limiter();
    testing::scope(limiter, async {
        assert!(greet("a").await.is_ok());
        let mut second = pin!(greet("a"));
        assert!(poll(second.as_mut()).is_pending());
        assert!(greet("b").await.is_ok());
        clock.advance(SECOND);
        assert_eq!(second.await.unwrap(), "hello a");
    })
    .await;
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(scaled(200, 5_000))
    })]

    /// Whoever arrives, gives up and however time passes: admissions come in the order of
    /// arrival, and no window admits more than the limit.
    #[test]
    fn order_and_limit_hold_whatever_happens(
        limit in 1_u32..4,
        steps in prop::collection::vec((0_u8..4, 0_usize..8), 1..100),
    ) {
        let (limiter, clock) = limiter();
        let policy = Policy::new("p", Quota::new(limit, SECOND));
        let mut waiters: Vec<Option<Waiter<'_>>> = Vec::new();
        let (mut admitted, mut now) = (Vec::new(), 0_u64);
        for (kind, number) in steps {
            match kind {
                0 | 1 => waiters.push(Some(Box::pin(limiter.wait(&policy, "s", 1, 30 * SECOND)))),
                2 => {
                    if let Some(waiter) = waiters.get_mut(number) {
                        *waiter = None;
                    }
                }
                _ => {
                    now += number as u64 * 150;
                    clock.advance(Duration::from_millis(number as u64 * 150));
                }
            }
            for (index, is_admitted) in run(&mut waiters) {
                if is_admitted {
                    admitted.push((index, now));
                }
            }
        }
        prop_assert!(admitted.is_sorted());
        for (_, start) in &admitted {
            let window = *start..*start + 1_000;
            let inside = admitted.iter().filter(|(_, at)| window.contains(at)).count();
            prop_assert!(inside <= limit as usize);
        }
    }
}
