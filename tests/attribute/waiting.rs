//! Waiting for a turn: first come first served, given up for nothing, refused when hopeless.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use support::scaled;
use tollgate::testing::{self, ManualClock};
use tollgate::{
    Algorithm, Decision, Limiter, MemoryBackend, Policy, Quota, RateLimited, Unavailable,
    rate_limit,
};

const SECOND: Duration = Duration::from_secs(1);

/// The backend and those who wait have the same clock.
fn limiter() -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    (Limiter::builder(backend).clock(clock.clone()).build(), clock)
}

type Waiter<'a> = Pin<Box<dyn Future<Output = Result<Decision, Unavailable>> + 'a>>;

/// Those who wait, in the order of arrival.
#[derive(Default)]
struct Crowd<'a> {
    waiters: Vec<Option<Waiter<'a>>>,
    /// Who has left, and whether admitted.
    left: Vec<(usize, bool)>,
}

impl<'a> Crowd<'a> {
    fn of(waiters: impl IntoIterator<Item = Waiter<'a>>) -> Self {
        let mut crowd = Self::default();
        waiters.into_iter().for_each(|waiter| crowd.join(waiter));
        crowd
    }

    fn join(&mut self, waiter: Waiter<'a>) {
        self.waiters.push(Some(waiter));
        self.poll(self.waiters.len() - 1);
    }

    fn give_up(&mut self, index: usize) {
        if let Some(waiter) = self.waiters.get_mut(index) {
            *waiter = None;
        }
    }

    fn poll(&mut self, index: usize) {
        let Some(waiter) = &mut self.waiters[index] else { return };
        if let Poll::Ready(decision) = poll(waiter.as_mut()) {
            self.left.push((index, decision.unwrap().is_allowed()));
            self.waiters[index] = None;
        }
    }

    /// Polls all until none of them makes progress, and says who has left since the last time.
    /// The last to arrive is polled first: were there no line, it would leave first.
    fn run(&mut self) -> Vec<(usize, bool)> {
        loop {
            let before = self.left.len();
            (0..self.waiters.len()).rev().for_each(|index| self.poll(index));
            if self.left.len() == before {
                return std::mem::take(&mut self.left);
            }
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
    let waiter = |_| Box::pin(limiter.wait(&policy, "s", 1, 60 * SECOND)) as Waiter<'_>;
    let mut crowd = Crowd::of((0..100).map(waiter));
    for second in 0..10 {
        let expected: Vec<_> =
            (second * 10..(second + 1) * 10).map(|index| (index, true)).collect();
        assert_eq!(crowd.run(), expected, "in second {second}");
        clock.advance(SECOND - Duration::from_micros(1));
        assert_eq!(crowd.run(), [], "just before second {}", second + 1);
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
    let waiter = |_| Box::pin(limiter.wait(&policy, "s", 1, 4 * SECOND)) as Waiter<'_>;
    let mut crowd = Crowd::of((0..5).map(waiter));
    assert_eq!(crowd.run(), [(0, true)]);
    // The head of the line and one in its midst give up.
    crowd.give_up(1);
    crowd.give_up(3);
    clock.advance(SECOND);
    assert_eq!(crowd.run(), [(2, true)]);
    clock.advance(SECOND);
    assert_eq!(crowd.run(), [(4, true)]);
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
    let waiter = |_| Box::pin(limiter.wait(&policy, "s", 1, patience)) as Waiter<'_>;
    let mut crowd = Crowd::of((0..6).map(waiter));
    assert_eq!(crowd.run(), [(4, false), (5, false)]);
    clock.advance(SECOND);
    // The third gets to the head and its turn is in a second: too late. So for the fourth.
    assert_eq!(crowd.run(), [(0, true), (1, true), (2, false), (3, false)]);
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

/// With a leaky bucket calls leave spaced, once what others have taken at once is gone.
#[test]
fn a_hopeless_wait_leaves_the_bucket_as_it_is() {
    let (limiter, clock) = limiter();
    let policy = Policy::new("leaky", Quota::new(3, 3 * SECOND)).algorithm(Algorithm::LeakyBucket);
    let check = || limiter.check_now(&policy, "s", 1).unwrap().unwrap();
    (0..3).for_each(|_| assert!(check().is_allowed()));
    for patience in [Duration::ZERO, SECOND] {
        let Poll::Ready(decision) = poll(pin!(limiter.wait(&policy, "s", 1, patience))) else {
            panic!("there is no turn in time, which is known at once")
        };
        let decision = decision.unwrap();
        assert_eq!((decision.retry_after(), decision.remaining()), (Some(3 * SECOND), 0));
        assert_eq!(check().retry_after(), Some(SECOND));
    }
    clock.advance(3 * SECOND);
    assert!(check().is_allowed());
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
        let mut crowd = Crowd::default();
        let (mut admitted, mut now) = (Vec::new(), 0_u64);
        for (kind, number) in steps {
            match kind {
                0 | 1 => crowd.join(Box::pin(limiter.wait(&policy, "s", 1, 30 * SECOND))),
                2 => crowd.give_up(number),
                _ => {
                    now += number as u64 * 150;
                    clock.advance(Duration::from_millis(number as u64 * 150));
                }
            }
            for (index, is_admitted) in crowd.run() {
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
