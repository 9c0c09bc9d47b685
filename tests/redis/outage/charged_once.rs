//! A check whose reply is lost may have been charged; it is never charged twice.

use std::time::Duration;

use tokio::task::JoinSet;
use tollgate::{Limiter, Policy, Quota, RedisBackend};

use crate::timed::{PATIENCE, runtime};
use support::redis::{Fault, Proxy, RedisCluster, RedisServer, Sentinels};
use support::scaled;

const LIMIT: u32 = 1_000_000;
const QUOTA: Quota = Quota::new(LIMIT, Duration::from_secs(86_400));
const KEYS: u32 = 40;

/// Asks about many keys while replies are lost, and afterwards how often each was charged.
fn charges(url: &str, set: impl Fn(Fault), fault: Fault) -> (u32, u32) {
    let rounds = scaled(6, 100);
    let policy = Policy::named(format!("{fault:?}"), QUOTA);
    let backend = RedisBackend::builder(url).deadline(PATIENCE).build().unwrap();
    let limiter = Limiter::builder(backend).breaker(None).build();
    runtime().block_on(async {
        limiter.initialize().await.unwrap();
        let (mut lost, mut answered) = (0, 0);
        for round in 0..rounds {
            // Sometimes it has begun, sometimes it begins while they are under way or have landed.
            set(if round % 2 == 0 { fault } else { Fault::None });
            let checks: JoinSet<bool> = (0..KEYS)
                .map(|key| {
                    let (limiter, policy) = (limiter.clone(), policy.clone());
                    async move { limiter.check(&policy, &key.to_string()).await.is_ok() }
                })
                .collect();
            if round % 2 == 1 {
                tokio::time::sleep(Duration::from_micros(700 * u64::from(round % 8))).await;
                set(fault);
            }
            for is_answered in checks.join_all().await {
                if is_answered { answered += 1 } else { lost += 1 }
            }
        }
        set(Fault::None);
        let mut charged = 0;
        for key in 0..KEYS {
            let used =
                LIMIT - limiter.peek(&policy, &key.to_string(), 0).await.unwrap().remaining();
            assert!(used <= rounds, "{fault:?}: key {key} was charged {used} times in {rounds}");
            charged += used;
        }
        println!("{fault:?}: {answered} answered, {lost} lost, {charged} charged");
        assert!(lost > 0);
        assert!(charged >= answered && charged <= answered + lost);
        (charged, answered + lost)
    })
}

/// Each check reached the server, which worked: it was charged once, not never.
fn charged_exactly(url: &str, set: impl Fn(Fault)) {
    for fault in [Fault::DropReply, Fault::CutReply] {
        let (charged, asked) = charges(url, &set, fault);
        assert_eq!(charged, asked, "{fault:?}");
    }
}

#[test]
fn by_a_single_server() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port);
    charged_exactly(&proxy.url(), |fault| proxy.set(fault));
    let before = server.calls("evalsha");
    // A limiter's start takes calls of its own.
    runtime().block_on(async {
        let backend = RedisBackend::builder(&server.url()).deadline(PATIENCE).build().unwrap();
        Limiter::new(backend).initialize().await.unwrap();
    });
    let start = server.calls("evalsha") - before;
    let (charged, _) = charges(&proxy.url(), |fault| proxy.set(fault), Fault::DropRequest);
    let (calls, peeks) = (server.calls("evalsha") - before - 2 * start, u64::from(KEYS));
    assert!(calls <= u64::from(charged) + peeks, "{calls} calls, {start} at the start");
}

#[test]
fn by_the_primary_that_sentinels_name() {
    let proxy = Proxy::start_alone();
    let sentinels = Sentinels::start_behind(Some(&proxy));
    assert_eq!(sentinels.primary(), proxy.port);
    charged_exactly(&sentinels.url(), |fault| proxy.set(fault));
}

#[test]
fn by_a_cluster() {
    let proxies: Vec<Proxy> = (0..6).map(|_| Proxy::start_alone()).collect();
    let cluster = RedisCluster::start_behind(&proxies);
    let set = |fault| proxies.iter().for_each(|proxy| proxy.set(fault));
    charged_exactly(&cluster.url(), set);
    // They were reached through the proxies, not past them.
    assert!(proxies.iter().filter(|proxy| proxy.seen() > 50).count() >= 3);
}
