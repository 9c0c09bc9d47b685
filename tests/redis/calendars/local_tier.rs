//! What a process decides without the server ends with the window: its leases, and the refusals that it
//! remembers.

use std::time::Duration;

use tollgate::testing::ManualClock;
use tollgate::{
    Algorithm, Calendar, Clock as _, Limiter, LocalTier, Outcome, Policy, RedisBackend, Source,
};

use crate::timed::{PATIENCE, runtime};
use support::almanac::Almanac;
use support::redis::RedisServer;
use support::reference::micros;

const AT: u64 = 1_750_000_000_000_000;
const MONTH: Almanac = Almanac { unit: Calendar::Month, zone: "America/Sao_Paulo" };
const HOUR: Duration = Duration::from_secs(3_600);

fn limiter(server: &RedisServer, clock: &ManualClock, tier: LocalTier) -> Limiter {
    let backend = RedisBackend::builder(&server.url()).virtual_time(clock.clone());
    let backend = backend.deadline(PATIENCE).build().unwrap();
    Limiter::builder(backend).clock(clock.clone()).local_tier(tier).build()
}

fn policy(limit: u32) -> Policy {
    Policy::new("policy", MONTH.quota(limit)).algorithm(Algorithm::FixedWindow)
}

/// The permits of a lease are units of one month, and those spent in the next are units of that.
#[test]
fn a_lease_ends_with_its_window() {
    let (server, clock) = (RedisServer::start(), ManualClock::new());
    let tier = LocalTier::none().lease(1_000).hold(HOUR);
    let (limiter, watcher) =
        (limiter(&server, &clock, tier), limiter(&server, &clock, LocalTier::none()));
    let (_, bound) = MONTH.window(AT);
    // A second before the month ends.
    clock.set_micros(bound - 1_000_000);
    let policy = policy(1_000_000);
    runtime().block_on(async {
        let used = async || 1_000_000 - watcher.peek(&policy, "s", 0).await.unwrap().remaining();
        let check = async || limiter.check(&policy, "s").await.unwrap().source();
        let mut leased = 0;
        for _ in 0..200 {
            leased += u32::from(check().await == Source::Lease);
            clock.advance(Duration::from_micros(1_000));
        }
        assert!(leased > 100, "{leased}");
        assert!(used().await > 200, "nothing is left of the last lease");
        clock.set_micros(bound - 1);
        assert_eq!(check().await, Source::Lease);
        clock.set_micros(bound);
        assert_eq!(used().await, 0);
        assert_eq!(check().await, Source::Store);
        for _ in 0..50 {
            check().await;
        }
        limiter.close().await;
        assert_eq!(used().await, 51);
    });
}

#[test]
fn a_remembered_refusal_ends_with_its_window() {
    let (server, clock) = (RedisServer::start(), ManualClock::new());
    let limiter = limiter(&server, &clock, LocalTier::deny_cache().max_age(400 * 24 * HOUR));
    clock.set_micros(AT);
    let (_, end) = MONTH.window(AT);
    let policy = policy(1);
    runtime().block_on(async {
        assert!(limiter.check(&policy, "s").await.unwrap().is_allowed());
        assert!(!limiter.check(&policy, "s").await.unwrap().is_allowed());
        let before = server.calls("evalsha");
        for instant in [AT, (AT + end) / 2, end - 1] {
            clock.set_micros(instant);
            let refused = limiter.check(&policy, "s").await.unwrap();
            assert_eq!(refused.source(), Source::DenyCache);
            let Outcome::Refused { retry_after } = refused.outcome() else { panic!("{refused:?}") };
            assert_eq!(clock.now_micros() + micros(retry_after), end);
        }
        assert_eq!(server.calls("evalsha"), before);
        clock.set_micros(end);
        assert!(limiter.check(&policy, "s").await.unwrap().is_allowed());
    });
}
