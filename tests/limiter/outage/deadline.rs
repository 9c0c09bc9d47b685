//! The deadline before a store that keeps none itself. Time is tokio's, and paused.

use std::time::Duration;

use tokio::time::Instant;
use tollgate::testing::ManualClock;
use tollgate::{Limiter, LimiterBuilder, Policy, Quota};

use super::store::{Health, Store};

const LIMIT: u32 = 100;
const POLICY: Policy = Policy::new("p", Quota::new(LIMIT, Duration::from_secs(60)));

fn store() -> Store {
    Store::new(&ManualClock::new())
}

async fn takes(builder: LimiterBuilder) -> Duration {
    let limiter = builder.instances(1).breaker(None).build();
    let since = Instant::now();
    let error = limiter.check(&POLICY, "s").await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("deadline"), "{cause}");
    since.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_given_up() {
    let store = store();
    store.is(Health::Hangs);
    // To the timer's millisecond.
    let about = |span: u64| Duration::from_millis(span)..=Duration::from_millis(span + 1);
    let took = takes(Limiter::builder(store.clone())).await;
    assert!(about(100).contains(&took), "{took:?}");
    let took = takes(Limiter::builder(store).deadline(Duration::from_millis(7))).await;
    assert!(about(7).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_limiters_clock_counts_it() {
    let clock = ManualClock::new();
    let store = Store::new(&clock);
    store.is(Health::Hangs);
    let limiter = Limiter::builder(store).clock(clock.clone()).instances(1).build();
    let check = tokio::spawn(async move { limiter.check(&POLICY, "s").await.is_err() });
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!(!check.is_finished());
    clock.advance(Duration::from_millis(100));
    assert!(check.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn who_starts_or_answers_in_time_is_not_hurried() {
    let store = store();
    let builder = Limiter::builder(store.clone()).deadline(Duration::from_millis(50));
    let limiter = builder.instances(1).build();
    store.is(Health::Hangs);
    let check = tokio::spawn({
        let limiter = limiter.clone();
        async move { limiter.check(&POLICY, "s").await.unwrap().remaining() }
    });
    tokio::time::sleep(Duration::from_millis(49)).await;
    store.is(Health::Well);
    assert_eq!(check.await.unwrap(), LIMIT - 1);
}
