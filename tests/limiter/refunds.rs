//! Refunds of calls that end without a result, on a store that has to be awaited: none is lost that
//! can be sent, and those that are lost leave the cost charged and are counted.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use proptest::prelude::*;
use support::far::{FarStore, limiter_on};
use tokio::runtime::{Builder, Runtime};
use tollgate::{Limiter, Policy, Quota, RateLimited, rate_limit};

const LIMIT: u32 = 1_000;
const POLICY: Policy = Policy::new("calls", Quota::per_hour(LIMIT));

/// What a call does once it is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Succeed,
    Fail,
    /// Waits, and is dropped meanwhile.
    Wait,
}

#[derive(Debug)]
struct Failed;

impl From<RateLimited> for Failed {
    fn from(_: RateLimited) -> Self {
        Self
    }
}

#[rate_limit(1_000, per = hour, key = args("s"), name = "calls", refund_if = failure)]
async fn call(what: Call) -> Result<(), Failed> {
    match what {
        Call::Succeed => Ok(()),
        Call::Fail => Err(Failed),
        Call::Wait => std::future::pending().await,
    }
}

/// Polls a future once, without a runtime unless one is entered, and drops it.
fn poll_once(future: impl Future) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

fn store() -> (FarStore, Limiter) {
    let store = FarStore::new();
    let clock = store.clock.clone();
    (store.clone(), limiter_on(store, &clock).build())
}

fn charged(store: &FarStore) -> u32 {
    LIMIT - store.peek(&POLICY, "s", 0).quotas()[0].remaining()
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

#[test]
fn without_a_runtime_the_next_call_or_close_sends_the_refunds() {
    for closes in [false, true] {
        let (store, limiter) = store();
        assert!(!poll_once(limiter.scope(call(Call::Wait))));
        assert!(!poll_once(limiter.scope(call(Call::Wait))));
        assert_eq!(charged(&store), 1, "the second call has sent the refund of the first");
        if closes {
            assert!(poll_once(limiter.close()));
            assert_eq!(charged(&store), 0);
        } else {
            assert!(poll_once(limiter.scope(call(Call::Succeed))));
            assert_eq!(charged(&store), 1, "only what has succeeded is charged");
        }
        assert_eq!(limiter.stats().lost_refunds, 0);
    }
}

#[test]
fn a_runtime_that_ends_hands_its_refunds_to_the_next_call() {
    let (store, limiter) = store();
    let first = runtime();
    {
        let _entered = first.enter();
        assert!(!poll_once(limiter.scope(call(Call::Wait))));
    }
    // The task was spawned, and never polled.
    drop(first);
    assert_eq!(charged(&store), 1);
    runtime().block_on(async {
        limiter.scope(call(Call::Succeed)).await.unwrap();
        limiter.close().await;
    });
    assert_eq!((charged(&store), limiter.stats().lost_refunds), (1, 0));
}

#[test]
fn a_refund_that_was_on_its_way_when_its_runtime_ended_is_lost_and_counted() {
    let (store, limiter) = store();
    let first = runtime();
    first.block_on(async {
        assert!(!poll_once(limiter.scope(call(Call::Wait))));
        // The refund does not reach the store.
        store.set_ways([1_000, 0]);
        support::far::settle().await;
    });
    drop(first);
    assert_eq!((charged(&store), limiter.stats().lost_refunds), (1, 1));
}

#[test]
fn a_store_that_is_down_loses_refunds_and_they_are_counted() {
    let (store, limiter) = store();
    runtime().block_on(async {
        for _ in 0..3 {
            assert!(!poll_once(limiter.scope(call(Call::Wait))));
            store.set_fails(true);
            support::far::settle().await;
            store.set_fails(false);
        }
        limiter.close().await;
    });
    assert_eq!((charged(&store), limiter.stats().lost_refunds), (3, 3));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A call, within the runtime or without one.
    Call(Call, bool),
    /// Lets the background tasks go on.
    Settle,
    /// Ends the runtime, and begins another one.
    EndRuntime,
}

fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![Just(Call::Succeed), Just(Call::Fail), Just(Call::Wait)];
    prop_oneof![
        8 => (what, any::<bool>()).prop_map(|(call, within)| Step::Call(call, within)),
        2 => Just(Step::Settle),
        1 => Just(Step::EndRuntime),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(support::scaled(300, 20_000)))]

    /// In the end exactly the calls that have succeeded are charged, and never less meanwhile.
    #[test]
    fn what_has_succeeded_is_charged_and_nothing_else(steps in prop::collection::vec(step(), 1..40)) {
        let (store, limiter) = store();
        let mut runtime = self::runtime();
        let mut succeeded = 0;
        for step in steps {
            match step {
                Step::Call(what, within) => {
                    let _entered = within.then(|| runtime.enter());
                    let is_ready = poll_once(limiter.scope(call(what)));
                    // Within a runtime, what fails waits for a task that refunds it.
                    prop_assert!(is_ready || what != Call::Succeed);
                    succeeded += u32::from(what == Call::Succeed);
                }
                Step::Settle => runtime.block_on(support::far::settle()),
                Step::EndRuntime => runtime = self::runtime(),
            }
            prop_assert!(charged(&store) >= succeeded);
        }
        runtime.block_on(limiter.close());
        prop_assert_eq!((charged(&store), limiter.stats().lost_refunds), (succeeded, 0));
    }
}
