//! Settings: what is wrong does not start, and what an operator changes counts from then on.

use std::time::Duration;

use support::FailingBackend;
use tollgate::{
    Ban, InFlight, Limiter, MemoryBackend, OnError, Outcome, Override, Overrides, Policy, Quota,
    StartError,
};

static POLICY: Policy = Policy::in_flight_only("settings", InFlight::new(2));

fn limiter() -> Limiter {
    Limiter::builder(MemoryBackend::new()).declare(POLICY.clone()).build()
}

#[tokio::test]
async fn a_store_without_permits_is_found_at_start() {
    let limiter = Limiter::builder(FailingBackend).declare(POLICY.clone()).build();
    let error = limiter.initialize().await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, StartError::Unsupported { .. }), "{text}");
    assert!(text.contains("use the memory or the Redis backend"), "{text}");
    let open = POLICY.clone().on_error(OnError::Open);
    let error = limiter.check(&open, "s").await.unwrap_err();
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(format!("{error} {cause}").contains("use the memory"), "{error}: {cause}");
}

#[tokio::test]
async fn a_ban_needs_a_quota() {
    let banning = POLICY.clone().ban(Ban::new(3, Duration::from_secs(60)));
    let limiter = Limiter::builder(MemoryBackend::new()).declare(banning.clone()).build();
    assert!(limiter.initialize().await.is_err());
    let error = limiter.ban(&POLICY, "s", Duration::from_secs(1)).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("give it a quota"), "{cause}");
    assert!(!limiter.unban(&POLICY, "s").await.unwrap());
    limiter.reset(&POLICY, "s").await.unwrap();
}

#[tokio::test]
async fn an_override_changes_the_number_and_no_permit_is_lost() {
    let limiter = limiter();
    let set = |changes: Override| limiter.set_overrides(Overrides::new().with("settings", changes));
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(limiter.check(&POLICY, "s").await.unwrap());
    }
    set(Override::new().in_flight(1)).unwrap();
    held.pop();
    let refused = limiter.check(&POLICY, "s").await.unwrap();
    assert_eq!((refused.is_allowed(), refused.remaining()), (false, 0));
    held.pop();
    held.push(limiter.check(&POLICY, "s").await.unwrap());
    assert!(held[0].is_allowed());
    set(Override::new().in_flight(3)).unwrap();
    held.push(limiter.check(&POLICY, "s").await.unwrap());
    assert_eq!((held[1].is_allowed(), held[1].remaining()), (true, 1));
    set(Override::new().block(true)).unwrap();
    assert_eq!(limiter.check(&POLICY, "s").await.unwrap().outcome(), Outcome::Blocked);
    set(Override::new().enabled(false)).unwrap();
    assert!(limiter.check(&POLICY, "s").await.unwrap().is_allowed());
    assert_eq!(limiter.stats().in_flight, 2);
    set(Override::new().shadow(true)).unwrap();
    for _ in 0..3 {
        held.push(limiter.check(&POLICY, "s").await.unwrap().into_result().unwrap());
    }
    assert_eq!(limiter.stats().in_flight, 2);
    drop(held);
    assert_eq!(limiter.stats().in_flight, 0);
}

#[tokio::test]
async fn what_cannot_be_changed_is_told() {
    let limiter = Limiter::builder(MemoryBackend::new())
        .declare(POLICY.clone())
        .declare(Policy::new("a rate", Quota::per_minute(5)))
        .build();
    for (policy, changes, expected) in [
        ("settings", Override::new().in_flight(0), "at least 1 request"),
        ("settings", Override::new().limit(5), "has no quota"),
        ("settings", Override::new().per(Duration::from_secs(1)), "has no quota"),
        ("settings", Override::new().ban(Ban::new(1, Duration::from_secs(1))), "give it a quota"),
        ("a rate", Override::new().in_flight(5), "without a limit on requests in flight"),
    ] {
        let error = limiter.set_overrides(Overrides::new().with(policy, changes)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    // A quota may be added, and then both count.
    let quota = Override::new().quotas([Quota::per_minute(1)]);
    limiter.set_overrides(Overrides::new().with("settings", quota)).unwrap();
    let first = limiter.check(&POLICY, "s").await.unwrap();
    assert_eq!((first.is_allowed(), first.quotas().len()), (true, 2));
    drop(first);
    assert!(!limiter.check(&POLICY, "s").await.unwrap().is_allowed());
}

#[tokio::test]
async fn four_quotas_and_a_limit_in_flight_are_one_decision() {
    let limiter = Limiter::new(MemoryBackend::new());
    let mut policy = Policy::new("many", Quota::per_second(9)).in_flight(InFlight::new(1));
    for period in [60, 3_600, 86_400] {
        policy = policy.and(Quota::new(9, Duration::from_secs(period)));
    }
    let first = limiter.check(&policy, "s").await.unwrap();
    assert_eq!((first.is_allowed(), first.quotas().len()), (true, 5));
    let refused = limiter.check(&policy, "s").await.unwrap();
    let exceeded: Vec<_> = refused.quotas().iter().map(tollgate::QuotaState::is_exceeded).collect();
    assert_eq!(exceeded, [false, false, false, false, true]);
    assert!(limiter.refund(first).await.unwrap());
    assert_eq!(limiter.peek(&policy, "s", 1).await.unwrap().remaining(), 1);
}
