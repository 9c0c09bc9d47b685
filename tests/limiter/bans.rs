//! Bans, as far as the random traces of `settle.rs` do not reach: which refusals count, how many keys
//! may be banned, and what stands before a far store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tollgate::testing::ManualClock;
use tollgate::{
    Ban, Clock as _, Decision, Limiter, LocalTier, MemoryBackend, OnError, Outcome, Override,
    Overrides, PerSubject, Policy, Quota, Settled, Source,
};

use support::far::{FarStore, limiter_on, settle};

pub(super) const SECOND: Duration = Duration::from_secs(1);
const MICROSECOND: Duration = Duration::from_micros(1);
pub(super) const HOUR: Duration = Duration::from_secs(3_600);

pub(super) fn memory(max_keys: usize) -> (Limiter, Arc<MemoryBackend>, ManualClock) {
    let clock = ManualClock::new();
    let builder = MemoryBackend::builder().max_keys(max_keys).clock(clock.clone());
    let backend = Arc::new(builder.build());
    (Limiter::new(Arc::clone(&backend)), backend, clock)
}

/// One request an hour, and the refusal number `after` begins a ban of ten seconds.
fn strict(after: u32) -> Policy {
    Policy::new("strict", Quota::per_hour(1)).ban(Ban::new(after, 10 * SECOND))
}

pub(super) fn check(limiter: &Limiter, policy: &Policy, subject: &str) -> Decision {
    limiter.check_now(policy, subject, 1).unwrap().unwrap()
}

pub(super) fn is_banned(decision: &Decision) -> bool {
    matches!(decision.outcome(), Outcome::Banned { .. })
}

pub(super) fn banned_for(span: Duration) -> Outcome {
    Outcome::Banned { retry_after: span }
}

#[test]
fn bans_grow_and_are_forgotten() {
    let (limiter, _backend, clock) = memory(10);
    let ban = Ban::new(3, 10 * SECOND).grow(2).most(35 * SECOND);
    let policy = Policy::new("grow", Quota::per_second(1)).ban(ban);
    let outcome = || check(&limiter, &policy, "s").outcome();
    let is_refused = || matches!(outcome(), Outcome::Refused { .. });
    let begin_ban = |length: Duration| {
        assert_eq!(outcome(), Outcome::Allowed);
        assert!(is_refused() && is_refused());
        assert_eq!(outcome(), banned_for(length));
        // Coming back early changes nothing.
        for _ in 0..10 {
            clock.advance(length / 20);
            assert!(matches!(outcome(), Outcome::Banned { .. }));
        }
        clock.advance(length / 2 - MICROSECOND);
        assert_eq!(outcome(), banned_for(MICROSECOND));
        clock.advance(MICROSECOND);
    };
    for length in [10, 20, 35, 35] {
        begin_ban(length * SECOND);
    }
    // The refusals of a window that is over do not count in the next one.
    for _ in 0..3 {
        assert_eq!(outcome(), Outcome::Allowed);
        assert!(is_refused() && is_refused());
        clock.advance(SECOND);
    }
    clock.advance(32 * SECOND - MICROSECOND);
    begin_ban(35 * SECOND);
    clock.advance(35 * SECOND);
    begin_ban(10 * SECOND);
}

#[tokio::test]
async fn an_absent_key_is_banned_by_hand() {
    let (limiter, backend, clock) = memory(1);
    let policy = Policy::new("plain", Quota::per_minute(10));
    limiter.ban(&policy, "s", SECOND).await.unwrap();
    let said = check(&limiter, &policy, "s");
    assert_eq!((said.outcome(), said.remaining()), (banned_for(SECOND), 10));
    assert_eq!(check(&limiter, &policy, "other").outcome(), Outcome::Allowed);
    assert_eq!(backend.stats().overflowed, 1, "the banned key stays");
    // One that ends sooner replaces nothing.
    limiter.ban(&policy, "s", SECOND / 2).await.unwrap();
    assert_eq!(check(&limiter, &policy, "s").outcome(), banned_for(SECOND));
    assert!(limiter.unban(&policy, "s").await.unwrap());
    assert!(!limiter.unban(&policy, "s").await.unwrap());
    assert!(!limiter.unban(&policy, "nobody").await.unwrap());
    assert_eq!(check(&limiter, &policy, "s").outcome(), Outcome::Allowed);
    limiter.ban(&policy, "s", SECOND).await.unwrap();
    limiter.reset(&policy, "s").await.unwrap();
    assert_eq!(check(&limiter, &policy, "s").outcome(), Outcome::Allowed);
    limiter.ban(&policy, "s", SECOND).await.unwrap();
    clock.advance(60 * SECOND);
    assert_eq!(check(&limiter, &policy, "third").outcome(), Outcome::Allowed);
    assert_eq!((backend.stats().overflowed, backend.stats().keys), (1, 1), "the ban is over");
}

#[tokio::test]
async fn a_ban_by_hand_is_of_a_valid_length() {
    let (limiter, _backend, _clock) = memory(10);
    let ten_years = 3_660 * 24 * HOUR;
    for (length, is_valid) in [
        (Duration::ZERO, false),
        (Duration::from_micros(999), false),
        (Duration::from_millis(1), true),
        (Duration::from_nanos(1_000_001), false),
        (ten_years, true),
        (ten_years + MICROSECOND, false),
        (Duration::MAX, false),
    ] {
        let banned = limiter.ban(&strict(1), "s", length).await;
        assert_eq!(banned.is_ok(), is_valid, "{length:?}");
        assert_eq!(limiter.unban(&strict(1), "s").await.unwrap(), is_valid, "{length:?}");
    }
}

/// The clock is set back: by a tenth of a second it is another core's, and beyond that the ban moves
/// along, with what is counted for the next one.
#[test]
fn a_ban_moves_with_a_clock_that_is_set_back() {
    for (back, longer) in [(100_000, 100_000), (100_001, 0), (5_000_000_000_000, 0)] {
        let (limiter, _backend, clock) = memory(10);
        let ban = Ban::new(2, 10 * SECOND).grow(3).most(30 * SECOND);
        let policy = Policy::new("strict", Quota::per_second(1)).ban(ban);
        let outcome = || check(&limiter, &policy, "s").outcome();
        let begin_ban = || {
            assert_eq!(outcome(), Outcome::Allowed);
            assert!(matches!(outcome(), Outcome::Refused { .. }));
            outcome()
        };
        assert_eq!(begin_ban(), banned_for(10 * SECOND));
        clock.set_micros(clock.now_micros() - back);
        let left = 10 * SECOND + Duration::from_micros(longer);
        assert_eq!(outcome(), banned_for(left), "{back}");
        clock.advance(left - MICROSECOND);
        assert_eq!(outcome(), banned_for(MICROSECOND), "{back}");
        clock.advance(MICROSECOND);
        assert_eq!(begin_ban(), banned_for(30 * SECOND), "{back}");
        // Nothing that is remembered lasts longer than it would have.
        clock.set_micros(clock.now_micros() - back);
        assert_eq!(outcome(), banned_for(30 * SECOND + Duration::from_micros(longer)), "{back}");
        clock.advance(60 * SECOND + Duration::from_micros(longer));
        assert_eq!(begin_ban(), banned_for(10 * SECOND), "{back}");
    }
}

#[tokio::test]
async fn shadow_counts_nothing_and_shows_a_ban() {
    let (_, backend, _clock) = memory(10);
    let limiter = Limiter::builder(backend).declare(strict(2)).build();
    let shadow = Overrides::new().with("strict", Override::new().shadow(true));
    limiter.set_overrides(shadow).unwrap();
    assert!(check(&limiter, &strict(2), "s").is_allowed());
    for _ in 0..10 {
        assert!(!is_banned(&check(&limiter, &strict(2), "s")));
    }
    limiter.ban(&strict(2), "s", SECOND).await.unwrap();
    assert_eq!(check(&limiter, &strict(2), "s").outcome(), banned_for(SECOND));
    assert!(limiter.unban(&strict(2), "s").await.unwrap());
    limiter.set_overrides(Overrides::new()).unwrap();
    assert!(!is_banned(&check(&limiter, &strict(2), "s")), "nothing was counted before");
    assert!(is_banned(&check(&limiter, &strict(2), "s")));
}

#[tokio::test]
async fn only_a_refusal_of_a_request_counts() {
    let (limiter, _backend, _clock) = memory(10);
    let policy = Policy::new("both", Quota::per_hour(1)).and(Quota::per_day(1));
    let policy = policy.ban(Ban::new(2, SECOND));
    assert!(check(&limiter, &policy, "s").is_allowed());
    for _ in 0..5 {
        assert!(!is_banned(&limiter.peek(&policy, "s", 1).await.unwrap()));
        let free = limiter.check_now(&policy, "s", 0).unwrap().unwrap();
        assert!(free.is_allowed());
        let never = limiter.check_now(&policy, "s", 2).unwrap().unwrap();
        assert_eq!(never.outcome(), Outcome::Never);
    }
    // Both quotas refuse it, and it is one refusal.
    let refused = check(&limiter, &policy, "s");
    assert!(refused.quotas().iter().all(|quota| quota.is_exceeded()) && !is_banned(&refused));
    // A peek says what it would say of a request whose refusal does not count.
    assert!(!is_banned(&limiter.peek(&policy, "s", 1).await.unwrap()));
    assert_eq!(check(&limiter, &policy, "s").outcome(), banned_for(SECOND));
    assert_eq!(limiter.peek(&policy, "s", 1).await.unwrap().outcome(), banned_for(SECOND));
}

/// A subject that is blocked is refused whatever the store knows of it, and that stays as it was.
#[tokio::test]
async fn a_block_changes_nothing_that_is_known() {
    let (_, backend, clock) = memory(10);
    let blocks = Arc::new(AtomicBool::new(false));
    let is_blocked = Arc::clone(&blocks);
    // A limit of 0 blocks the subject.
    let changes = move |_: &Policy, _: &str| {
        is_blocked.load(Ordering::SeqCst).then(|| Override::new().limit(0))
    };
    let changes = PerSubject::new(changes).max_age(MICROSECOND);
    let limiter = Limiter::builder(backend).clock(clock.clone()).per_subject(changes).build();
    let set_blocked = |is_blocked| {
        blocks.store(is_blocked, Ordering::SeqCst);
        clock.advance(MICROSECOND);
    };
    let policy = Policy::new("two", Quota::per_hour(2)).ban(Ban::new(2, 10 * SECOND));
    let [first, second] = [0, 1].map(|_| check(&limiter, &policy, "s"));
    assert!(first.is_allowed() && second.is_allowed());
    assert!(!is_banned(&check(&limiter, &policy, "s")));
    set_blocked(true);
    for _ in 0..10 {
        assert_eq!(check(&limiter, &policy, "s").outcome(), Outcome::Blocked);
    }
    assert_eq!(limiter.settle(first, 0).await.unwrap(), Settled::Refunded);
    assert_eq!(limiter.settle(second, 2).await.unwrap(), Settled::Charged);
    assert_eq!(check(&limiter, &policy, "s").outcome(), Outcome::Blocked);
    set_blocked(false);
    // The second refusal, since those of the block do not count.
    assert_eq!(check(&limiter, &policy, "s").outcome(), banned_for(10 * SECOND));
    set_blocked(true);
    assert_eq!(check(&limiter, &policy, "s").outcome(), Outcome::Blocked);
    assert!(limiter.unban(&policy, "s").await.unwrap());
    set_blocked(false);
    let said = check(&limiter, &policy, "s");
    assert!(matches!(said.outcome(), Outcome::Refused { .. }) && said.remaining() == 0);
    set_blocked(true);
    limiter.reset(&policy, "s").await.unwrap();
    set_blocked(false);
    assert_eq!(check(&limiter, &policy, "s").remaining(), 1);
}

/// The first in line asks again and again, and its request is refused once.
#[tokio::test]
async fn a_request_that_waits_is_refused_once() {
    let (_, backend, clock) = memory(10);
    let limiter = Limiter::builder(backend).clock(clock.clone()).build();
    let policy = strict(3);
    assert!(check(&limiter, &policy, "s").is_allowed());
    let waits = {
        let (limiter, policy) = (limiter.clone(), policy.clone());
        tokio::spawn(async move { limiter.wait(&policy, "s", 1, 2 * HOUR).await.unwrap() })
    };
    settle().await;
    for _ in 0..10 {
        // It is woken by that, and asks again.
        assert!(!limiter.unban(&policy, "s").await.unwrap());
        settle().await;
        assert!(!waits.is_finished());
    }
    waits.abort();
    settle().await;
    // The second and the third refusal: of one that does not wait, and of one that cannot wait long
    // enough.
    assert!(!is_banned(&check(&limiter, &policy, "s")));
    let third = limiter.wait(&policy, "s", 1, SECOND).await.unwrap();
    assert_eq!(third.outcome(), banned_for(10 * SECOND));
    // Nobody waits for the end of a ban, unless there is time.
    let fourth = limiter.wait(&policy, "s", 1, SECOND).await.unwrap();
    assert_eq!(fourth.outcome(), banned_for(10 * SECOND));
}

fn far(tier: LocalTier) -> (FarStore, Limiter) {
    let store = FarStore::new();
    let limiter = limiter_on(store.clone(), &store.clock).local_tier(tier);
    (store, limiter.on_error(OnError::Local).build())
}

async fn ask(limiter: &Limiter, policy: &Policy) -> (Outcome, Source) {
    let said = limiter.check(policy, "s").await.unwrap();
    (said.outcome(), said.source())
}

/// The store has to see each refusal, or it could not count them. A ban it need not see again.
#[tokio::test]
async fn the_deny_cache_keeps_bans_only() {
    let (store, limiter) = far(LocalTier::deny_cache().max_age(5 * SECOND));
    let policy = strict(4);
    assert_eq!(ask(&limiter, &policy).await, (Outcome::Allowed, Source::Store));
    for _ in 0..3 {
        let (outcome, source) = ask(&limiter, &policy).await;
        assert!(matches!(outcome, Outcome::Refused { .. }));
        assert_eq!(source, Source::Store);
    }
    assert_eq!(ask(&limiter, &policy).await, (banned_for(10 * SECOND), Source::Store));
    let calls = store.calls();
    for cost in [0, 1, 2] {
        let said = limiter.check_cost(&policy, "s", cost).await.unwrap();
        assert_eq!((said.outcome(), said.source()), (banned_for(10 * SECOND), Source::DenyCache));
    }
    store.clock.advance(5 * SECOND - MICROSECOND);
    let left = 5 * SECOND + MICROSECOND;
    assert_eq!(ask(&limiter, &policy).await, (banned_for(left), Source::DenyCache));
    assert_eq!(store.calls(), calls);
    store.clock.advance(MICROSECOND);
    assert_eq!(ask(&limiter, &policy).await, (banned_for(5 * SECOND), Source::Store));
    assert_eq!(ask(&limiter, &policy).await.1, Source::DenyCache);
    // Of a policy that leaves its refusals to the store, bans are kept as well.
    let careful = policy.clone().deny_cache(false);
    assert_eq!(ask(&limiter, &careful).await.1, Source::DenyCache);
    assert!(limiter.unban(&policy, "s").await.unwrap());
    assert_eq!(ask(&limiter, &policy).await.1, Source::Store);
    limiter.ban(&policy, "s", SECOND).await.unwrap();
    assert_eq!(ask(&limiter, &policy).await, (banned_for(SECOND), Source::Store));
    limiter.reset(&policy, "s").await.unwrap();
    assert_eq!(ask(&limiter, &policy).await, (Outcome::Allowed, Source::Store));
}

#[tokio::test]
async fn nothing_is_leased_under_a_policy_that_bans() {
    for (bans, leases) in [(false, true), (true, false)] {
        let (store, limiter) = far(LocalTier::deny_cache().lease(50));
        let policy = Policy::new("hot", Quota::per_hour(100_000));
        let policy = if bans { policy.ban(Ban::new(3, SECOND)) } else { policy };
        for _ in 0..200 {
            assert!(limiter.check(&policy, "s").await.unwrap().is_allowed());
            store.clock.advance(Duration::from_micros(200));
        }
        assert_eq!(store.calls() < 200, leases, "{} calls", store.calls());
    }
}

/// A ban by hand ends a lease, however many units are left of it.
#[tokio::test]
async fn a_ban_by_hand_ends_a_lease() {
    let mut leased = 0;
    for checks in 100..160 {
        let (store, limiter) = far(LocalTier::deny_cache().lease(50));
        let policy = Policy::new("hot", Quota::per_hour(100_000));
        for _ in 0..checks {
            leased += u32::from(ask(&limiter, &policy).await.1 == Source::Lease);
            store.clock.advance(Duration::from_micros(200));
        }
        limiter.ban(&policy, "s", SECOND).await.unwrap();
        assert_eq!(ask(&limiter, &policy).await.0, banned_for(SECOND), "after {checks}");
    }
    assert!(leased > 60 * 50, "only {leased} are leased");
}

#[tokio::test]
async fn an_outage_knows_the_bans_before_it() {
    for by_hand in [true, false] {
        let (store, limiter) = far(LocalTier::none());
        let policy = strict(2);
        if by_hand {
            limiter.ban(&policy, "s", 10 * SECOND).await.unwrap();
        } else {
            for _ in 0..3 {
                let _ = ask(&limiter, &policy).await;
            }
        }
        store.clock.advance(4 * SECOND);
        store.set_fails(true);
        assert_eq!(ask(&limiter, &policy).await, (banned_for(6 * SECOND), Source::Local));
        store.clock.advance(6 * SECOND - MICROSECOND);
        assert_eq!(ask(&limiter, &policy).await, (banned_for(MICROSECOND), Source::Local));
        store.clock.advance(MICROSECOND);
        assert!(!matches!(ask(&limiter, &policy).await.0, Outcome::Banned { .. }));
    }
    // One that was ended before the outage is over in it, too.
    let (store, limiter) = far(LocalTier::none());
    limiter.ban(&strict(2), "s", 10 * SECOND).await.unwrap();
    assert!(limiter.unban(&strict(2), "s").await.unwrap());
    store.set_fails(true);
    assert_eq!(ask(&limiter, &strict(2)).await, (Outcome::Allowed, Source::Local));
}

/// A charge that was admitted in an outage, and finds the quota used up when it is reported, is no
/// request that is refused.
#[tokio::test]
async fn a_report_of_local_charges_is_no_refusal() {
    let (store, limiter) = far(LocalTier::none());
    let policy = strict(1);
    store.set_fails(true);
    assert_eq!(ask(&limiter, &policy).await, (Outcome::Allowed, Source::Local));
    store.set_fails(false);
    let other = limiter_on(store.clone(), &store.clock).build();
    assert_eq!(ask(&other, &policy).await, (Outcome::Allowed, Source::Store));
    let calls = store.calls();
    // With the answer to this, it begins to report.
    assert!(!limiter.peek(&policy, "s", 1).await.unwrap().is_allowed());
    settle().await;
    assert!(store.calls() > calls + 1, "nothing was reported");
    assert!(matches!(store.peek(&policy, "s", 1).outcome(), Outcome::Refused { .. }));
    // The next request is the first that is refused.
    assert_eq!(ask(&other, &policy).await, (banned_for(10 * SECOND), Source::Store));
}
