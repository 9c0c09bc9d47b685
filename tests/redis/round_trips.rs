//! How often the servers are called, by their own counts.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tollgate::{Limiter, Policy, Quota};

use crate::timed::{limiter_at, runtime};
use support::redis::{RedisCluster, RedisServer};

/// Runs them all at once, and counts those that say yes.
async fn all(futures: Vec<impl Future<Output = bool> + Send + 'static>) -> usize {
    let set: JoinSet<bool> = futures.into_iter().collect();
    set.join_all().await.into_iter().filter(|yes| *yes).count()
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn three_stacked_quotas_are_one_call() {
    let server = RedisServer::start();
    let policy = Policy::new("p", Quota::new(5, HOUR))
        .and(Quota::new(50, HOUR * 24))
        .and(Quota::new(500, HOUR * 48));
    let limiter = limiter_at(&server.url());
    runtime().block_on(async {
        limiter.initialize().await.unwrap();
        let before = server.calls("evalsha");
        for _ in 0..7 {
            let _ = limiter.check(&policy, "s").await.unwrap();
        }
        assert_eq!(server.calls("evalsha") - before, 7);
        assert_eq!(server.calls("script|load"), 1);
        assert_eq!(server.calls("eval"), 0);
    });
}

/// Checks on 256 keys at once.
async fn storm(limiter: &Limiter) {
    let policy = Arc::new(Policy::new("p", Quota::new(50, HOUR)));
    let checks = (0..256).map(|key| {
        let (limiter, policy) = (limiter.clone(), Arc::clone(&policy));
        async move { limiter.check(&policy, &key.to_string()).await.unwrap().is_allowed() }
    });
    assert_eq!(all(checks.collect()).await, 256);
}

#[test]
fn concurrent_checks_share_calls() {
    let server = RedisServer::start();
    let limiter = limiter_at(&server.url());
    runtime().block_on(async {
        limiter.initialize().await.unwrap();
        // A server that answers faster than the checks come has fewer of them in a call, so the best
        // of a few storms tells.
        let mut fewest = u64::MAX;
        for _ in 0..10 {
            let before = server.calls("evalsha");
            storm(&limiter).await;
            fewest = fewest.min(server.calls("evalsha") - before);
        }
        println!("256 checks took {fewest} calls");
        assert!(fewest <= 16, "{fewest}");
    });
}

#[test]
fn a_cluster_gets_one_write_for_many_checks() {
    let cluster = RedisCluster::start();
    let limiter = limiter_at(&cluster.url());
    runtime().block_on(async {
        limiter.initialize().await.unwrap();
        storm(&limiter).await;
        // What a node reads and answers in one turn of its loop.
        let turns = || -> Vec<u64> {
            let reads = |node: &RedisServer| {
                let info: String = node.ask("INFO stats");
                let field = "total_reads_processed:";
                let line = info.lines().find_map(|line| line.strip_prefix(field));
                line.unwrap().trim().parse::<u64>().unwrap()
            };
            cluster.primaries().into_iter().map(|node| reads(&cluster.nodes[node])).collect()
        };
        let quiet = turns();
        // What the asking itself takes, and the cluster's own messages.
        let idle: Vec<u64> =
            turns().iter().zip(&quiet).map(|(after, before)| after - before).collect();
        let mut fewest = vec![u64::MAX; idle.len()];
        for _ in 0..10 {
            let before = turns();
            storm(&limiter).await;
            let after = turns();
            for (((after, before), idle), fewest) in
                after.iter().zip(&before).zip(&idle).zip(&mut fewest)
            {
                *fewest = (after - before).saturating_sub(*idle).min(*fewest);
            }
        }
        for (turns, idle) in fewest.into_iter().zip(idle) {
            println!("a node took {turns} reads for its share of 256 checks ({idle} when idle)");
            assert!(turns <= 16, "{turns}");
        }
    });
}
