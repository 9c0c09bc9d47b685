//! Decisions that are refunded at another limiter than the one that made them: one of the same Redis,
//! or of another one.

use std::time::Duration;

use tollgate::{Algorithm, Limiter, LocalTier, MemoryBackend, Policy, Quota, RedisBackend};

use crate::timed::PATIENCE;
use support::redis::{RedisCluster, RedisServer};

/// A bucket gives back what was charged at any time, so only the store can tell whose a charge is.
const POLICY: Policy =
    Policy::new("p", Quota::new(100, Duration::from_secs(3_600))).algorithm(Algorithm::Gcra);

fn limiter(url: &str, prefix: &str) -> Limiter {
    let backend = RedisBackend::builder(url).key_prefix(prefix).deadline(PATIENCE).build().unwrap();
    Limiter::builder(backend).local_tier(LocalTier::none()).build()
}

/// Asserts that decisions of one of these limiters are refunded by those of the same name alone.
async fn assert_apart(limiters: &[(&str, Limiter)]) {
    for (place, limiter) in limiters {
        for (other, refunding) in limiters {
            // So that there is something to refund, whoever asks.
            let _ = refunding.check(&POLICY, "s").await.unwrap();
            let decision = limiter.check(&POLICY, "s").await.unwrap();
            assert!(decision.is_allowed());
            let before = refunding.peek(&POLICY, "s", 0).await.unwrap().remaining();
            let refunded = refunding.refund(decision).await.unwrap();
            assert_eq!(refunded, place == other, "{place}, by {other}");
            let after = refunding.peek(&POLICY, "s", 0).await.unwrap().remaining();
            assert_eq!(after - before, u32::from(refunded), "{place}, by {other}");
        }
    }
}

#[tokio::test]
async fn a_decision_is_known_by_server_database_and_prefix() {
    let [one, other] = [0, 1].map(|_| RedisServer::start());
    let url = one.url();
    let second = format!("{url}/2");
    let tuned = format!("{url}?pool_size=2&cluster=false");
    assert_apart(&[
        ("one", limiter(&url, "a:")),
        ("one", limiter(&url, "a:")),
        ("one", limiter(&tuned, "a:")),
        ("another prefix", limiter(&url, "b:")),
        ("another database", limiter(&second, "a:")),
        ("another server", limiter(&other.url(), "a:")),
        ("a memory", Limiter::new(MemoryBackend::new())),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_a_cluster_may_stand_in_any_order() {
    let cluster = tokio::task::spawn_blocking(RedisCluster::start).await.unwrap();
    let url = cluster.url();
    let hosts = url.strip_prefix("redis://").unwrap().strip_suffix("/0").unwrap();
    let mut turned: Vec<&str> = hosts.split(',').collect();
    turned.reverse();
    let turned = format!("redis://{}", turned.join(","));
    assert_ne!(url, turned);
    assert_apart(&[("one", limiter(&url, "a:")), ("one", limiter(&turned, "a:"))]).await;
}
