//! Checks that are given up at any poll: no permit that they were to bring is lost.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tollgate::backend::{Action, Answer, Operation};
use tollgate::{Algorithm, Backend, BackendError, Limiter, LocalTier, Policy, Quota};

use support::far::{FarStore, limiter_on, settle};
use support::scaled;

const LIMIT: u32 = 1_000;

/// A way to a far store that counts the units of charges whose answers nobody took. A lease is
/// brought by a task of its own, so these are the charges of single checks only.
#[derive(Clone)]
struct CountedWay {
    store: FarStore,
    abandoned: Arc<AtomicU32>,
}

struct Untaken<'a> {
    way: &'a CountedWay,
    units: u32,
}

impl Drop for Untaken<'_> {
    fn drop(&mut self) {
        self.way.abandoned.fetch_add(self.units, Ordering::SeqCst);
    }
}

impl Backend for CountedWay {
    async fn apply(&self, batch: &[Operation<'_>]) -> Vec<Result<Answer, BackendError>> {
        let mut untaken = Untaken { way: self, units: 0 };
        let charged = |operation: &Operation<'_>| match operation.action {
            Action::Charge => operation.check.cost,
            _ => 0,
        };
        let room = |operation: &Operation<'_>| {
            let check = operation.check;
            self.store.peek(check.policy, check.subject, 0).quotas()[0].remaining()
        };
        let fits = || batch.iter().filter(|one| charged(one) <= room(one)).map(charged).sum();
        let answers = self.store.apply_then(batch, || untaken.units = fits()).await;
        untaken.units = 0;
        answers
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many checks of this cost, one after the other.
    Checks(u32, u32),
    /// A check of this cost that is dropped after so many polls; with `true` when all that it
    /// waits for has gone on.
    GiveUp(u32, u32, bool),
    /// Another process uses so many units.
    Elsewhere(u32),
    Ways(u64, u64),
    /// Time that passes, in microseconds.
    Pass(u64),
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    let cost = || prop_oneof![3 => Just(1_u32), 1 => 2_u32..=5];
    prop_oneof![
        6 => (1_u32..=40, cost()).prop_map(|(times, cost)| Step::Checks(times, cost)),
        8 => (cost(), 0_u32..=8, any::<bool>())
            .prop_map(|(cost, polls, goes_on)| Step::GiveUp(cost, polls, goes_on)),
        1 => (1_u32..=300).prop_map(Step::Elsewhere),
        2 => (0_u64..=30, 0_u64..=30).prop_map(|(there, back)| Step::Ways(there, back)),
        1 => (0_u64..=1_200_000).prop_map(Step::Pass),
        1 => Just(Step::Reset),
    ]
}

/// Polls `future` up to so many times, and drops it. Returns its output if it ended.
async fn given_up<T>(
    store: &FarStore,
    mut future: Pin<&mut impl Future<Output = T>>,
    polls: u32,
    goes_on: bool,
) -> Option<T> {
    for poll in 1..=polls {
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        if poll < polls || goes_on {
            settle().await;
            store.clock.advance(Duration::from_micros(7));
            settle().await;
        }
    }
    None
}

async fn finish<T>(store: &FarStore, future: impl Future<Output = T>) -> T {
    given_up(store, pin!(future), 1_000, true).await.unwrap()
}

struct Seen {
    given_up: u32,
    abandoned: u32,
}

async fn adds_up(algorithm: Algorithm, steps: &[Step]) -> Result<Seen, TestCaseError> {
    let store = FarStore::new();
    let way = CountedWay { store: store.clone(), abandoned: Arc::default() };
    let tier = LocalTier::none().lease(50);
    let limiter = limiter_on(way.clone(), &store.clock).local_tier(tier).build();
    let elsewhere = limiter_on(store.clone(), &store.clock).local_tier(LocalTier::none()).build();
    let day = Duration::from_secs(86_400);
    let policy = Policy::new("p", Quota::new(LIMIT, day)).algorithm(algorithm);
    let (mut told, mut given) = (0, 0);
    for step in steps {
        match *step {
            Step::Checks(times, cost) => {
                for _ in 0..times {
                    let check = limiter.check_cost(&policy, "s", cost);
                    if finish(&store, check).await.unwrap().is_allowed() {
                        told += cost;
                    }
                }
            }
            Step::GiveUp(cost, polls, goes_on) => {
                let check = pin!(limiter.check_cost(&policy, "s", cost));
                match given_up(&store, check, polls, goes_on).await {
                    Some(decision) => told += cost * u32::from(decision.unwrap().is_allowed()),
                    None => given += 1,
                }
            }
            Step::Elsewhere(cost) => {
                let check = elsewhere.check_cost(&policy, "s", cost);
                told += cost * u32::from(finish(&store, check).await.unwrap().is_allowed());
            }
            Step::Ways(there, back) => store.set_ways([there, back]),
            Step::Pass(micros) => {
                store.clock.advance(Duration::from_micros(micros));
                settle().await;
            }
            Step::Reset => {
                // What was on its way has arrived, so that it is known what the reset removes.
                for _ in 0..20 {
                    store.clock.advance(Duration::from_micros(7));
                    settle().await;
                }
                finish(&store, limiter.reset(&policy, "s")).await.unwrap();
                way.abandoned.store(0, Ordering::SeqCst);
                told = 0;
            }
        }
    }
    finish(&store, limiter.close()).await;
    let used = LIMIT - store.peek(&policy, "s", 0).quotas()[0].remaining();
    let abandoned = way.abandoned.load(Ordering::SeqCst);
    prop_assert_eq!(used, told + abandoned, "told {}, abandoned {}", told, abandoned);
    Ok(Seen { given_up: given, abandoned })
}

/// When all permits are back, the store has charged what was told to be admitted, and nothing for
/// the checks that were given up while they brought permits.
#[test]
fn what_a_dropped_check_brings_is_kept_or_given_back() {
    let cases = scaled(600, 30_000);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let totals = std::cell::Cell::new((0, 0));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let algorithm = prop::sample::select(vec![Algorithm::SlidingWindow, Algorithm::FixedWindow]);
    let traces = (algorithm, prop::collection::vec(step(), 1..=30));
    let result = TestRunner::new(config).run(&traces, |(algorithm, steps)| {
        let seen = runtime.block_on(adds_up(algorithm, &steps))?;
        let (given_up, abandoned) = totals.get();
        totals.set((given_up + seen.given_up, abandoned + seen.abandoned));
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let (given_up, abandoned) = totals.get();
    println!("{cases} traces: {given_up} given up; {abandoned} units of single checks abandoned");
    assert!(given_up > cases && abandoned > 0);
}

/// Each place at which a check that brings permits can be dropped, also outside of its runtime.
#[test]
fn each_poll_of_a_check_that_brings_permits() {
    let limiter_of = |store: &FarStore| -> Limiter {
        limiter_on(store.clone(), &store.clock).local_tier(LocalTier::none().lease(50)).build()
    };
    for cost in [1, 2, 5] {
        for ways in [[0, 0], [0, 20], [20, 0]] {
            for polls in 0..6 {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let store = FarStore::new();
                let (limiter, policy) = (
                    limiter_of(&store),
                    Policy::new("p", Quota::new(100_000, Duration::from_secs(86_400))),
                );
                let mut told = 0;
                let mut dropped = Box::pin(limiter.check_cost(&policy, "s", cost));
                runtime.block_on(async {
                    while told < 40 || limiter.check_now(&policy, "s", cost).is_some() {
                        told += cost;
                        if told <= 40 {
                            let check = limiter.check_cost(&policy, "s", cost);
                            assert!(check.await.unwrap().is_allowed());
                        }
                    }
                    store.set_ways(ways);
                    let ended = given_up(&store, dropped.as_mut(), polls, true).await;
                    told += cost * u32::from(ended.is_some());
                });
                drop(dropped);
                runtime.block_on(finish(&store, limiter.close()));
                let used = 100_000 - store.peek(&policy, "s", 0).quotas()[0].remaining();
                assert_eq!(used, told, "cost {cost}, ways {ways:?}, polls {polls}");
            }
        }
    }
}
