//! What a Redis backend shows of itself.

mod names;

use std::time::Duration;

use tokio::task::JoinSet;
use tollgate::{Limiter, Metrics, Policy, Quota, RedisBackend};

use support::exporter::Exporter;
use support::redis::{RedisCluster, RedisServer};

const HOUR: Duration = Duration::from_secs(3_600);
static POLICY: Policy = Policy::new("p", Quota::new(1, HOUR));

/// Lets others go on until it is so.
async fn until(is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
}

/// So many checks at once, each of a subject of its own.
async fn crowd(limiter: &Limiter, checks: usize) {
    let mut tasks = JoinSet::new();
    for number in 0..checks {
        let limiter = limiter.clone();
        tasks.spawn(async move {
            limiter.check(&POLICY, &format!("subject-{number}")).await.unwrap().is_allowed()
        });
    }
    assert!(tasks.join_all().await.into_iter().all(|admitted| admitted));
}

#[tokio::test]
async fn redis_shows_round_trips_batches_and_its_pool() {
    let exporter = Exporter::new();
    let _listening = exporter.listen();
    let server = RedisServer::start();
    let backend = RedisBackend::builder(&server.url()).pool_size(3).deadline(HOUR).build().unwrap();
    let limiter = Limiter::new(backend);
    limiter.initialize().await.unwrap();
    // The calls that look for missing rights are not counted.
    let before = server.calls("evalsha");
    crowd(&limiter, 200).await;
    limiter.record_metrics().await;
    let count = |name: &str| exporter.value(name, &[]).unwrap();
    let trips = (server.calls("evalsha") - before) as f64;
    assert!(trips < 100.0, "{trips}");
    assert_eq!(count("tollgate_redis_round_trips_total"), trips);
    assert_eq!(count("tollgate_redis_round_trip_seconds_count"), trips);
    assert_eq!(count("tollgate_redis_batch_size_count"), trips);
    assert_eq!(count("tollgate_redis_batch_size_sum"), 200.0);
    assert_eq!(count("tollgate_redis_checks_total"), 200.0);
    assert_eq!(count("tollgate_redis_connect_seconds_count"), 1.0);
    assert_eq!(count("tollgate_redis_pool_size"), 3.0);
    let connections = |state| exporter.value("tollgate_redis_connections", &[("state", state)]);
    assert_eq!([connections("used"), connections("idle")], [Some(1.0), Some(0.0)]);
    assert_eq!(count("tollgate_redis_pool_waiting"), 0.0);
    assert_eq!(count("tollgate_redis_queued"), 0.0);
    let timed = exporter.value("tollgate_check_seconds_count", &[("backend", "redis")]);
    assert_eq!(timed, Some(200.0));
    let stats = limiter.stats();
    assert_eq!((stats.backend, stats.redis.unwrap().checks), ("redis", 200));
}

#[tokio::test]
async fn what_waits_for_redis_is_shown() {
    let exporter = Exporter::new();
    let _listening = exporter.listen();
    let server = RedisServer::start();
    let backend = RedisBackend::builder(&server.url()).deadline(HOUR).build().unwrap();
    let limiter = Limiter::new(backend);
    limiter.initialize().await.unwrap();
    crowd(&limiter, 1).await;
    server.freeze(true);
    let waiting = async {
        // One call is under way; the others wait for it.
        until(|| limiter.stats().redis.unwrap().queued == 9).await;
        limiter.record_metrics().await;
        assert_eq!(exporter.value("tollgate_redis_queued", &[]), Some(9.0));
        server.freeze(false);
    };
    let one = |number: u32| {
        let limiter = limiter.clone();
        async move { limiter.check(&POLICY, &format!("waiter-{number}")).await }
    };
    let first = tokio::spawn(one(0));
    until(|| limiter.stats().redis.unwrap().round_trips == 2).await;
    let rest: Vec<_> = (1..10).map(|number| tokio::spawn(one(number))).collect();
    waiting.await;
    for check in rest.into_iter().chain([first]) {
        assert!(check.await.unwrap().unwrap().is_allowed());
    }
}

#[tokio::test]
async fn servers_are_asked_only_where_that_is_wanted() {
    let server = RedisServer::start_with(&["--maxmemory", "64mb"]);
    let address = format!("127.0.0.1:{}", server.port);
    for wanted in [false, true] {
        let exporter = Exporter::new();
        let _listening = exporter.listen();
        let metrics = if wanted { Metrics::new().servers() } else { Metrics::new() };
        let backend = RedisBackend::builder(&server.url()).deadline(HOUR).build().unwrap();
        let limiter = Limiter::builder(backend).metrics(metrics).build();
        crowd(&limiter, 1).await;
        server.ask::<()>("DEL tollgate:1:p:subject-0");
        let shown = |name: &str| exporter.value(name, &[("server", &address)]);
        // The first check has asked, in a task of its own.
        until(|| !wanted || shown("tollgate_redis_server_clients").is_some()).await;
        let asked = server.calls("info");
        limiter.record_metrics().await;
        // To count the calls is one.
        assert_eq!(server.calls("info") - asked, 1 + u64::from(wanted));
        if !wanted {
            assert_eq!(shown("tollgate_redis_server_memory_bytes"), None);
            continue;
        }
        let memory = shown("tollgate_redis_server_memory_bytes").unwrap();
        assert!((100_000.0..64_000_000.0).contains(&memory), "{memory}");
        assert_eq!(shown("tollgate_redis_server_max_memory_bytes"), Some(f64::from(64 << 20)));
        assert!(shown("tollgate_redis_server_clients").unwrap() >= 1.0);
        assert_eq!(shown("tollgate_redis_server_evicted_keys"), Some(0.0));
    }
}

#[tokio::test]
async fn each_node_of_a_cluster_is_shown() {
    let exporter = Exporter::new();
    let _listening = exporter.listen();
    let cluster = RedisCluster::start();
    let backend = RedisBackend::builder(&cluster.url()).deadline(HOUR).build().unwrap();
    let limiter = Limiter::builder(backend).metrics(Metrics::new().servers()).build();
    limiter.initialize().await.unwrap();
    crowd(&limiter, 100).await;
    limiter.record_metrics().await;
    let nodes = exporter.text().matches("tollgate_redis_server_clients{").count();
    assert_eq!(nodes, cluster.primaries().len());
    assert_eq!(exporter.value("tollgate_redis_batch_size_sum", &[]), Some(100.0));
    // A pool of four for each of them.
    assert_eq!(exporter.value("tollgate_redis_pool_size", &[]), Some(4.0 * nodes as f64));
}

/// A server that is gone keeps no last value, and gets one again when it answers again.
#[tokio::test]
async fn the_gauges_of_a_server_that_is_gone_end() {
    let exporter = Exporter::new();
    let _listening = exporter.listen();
    let mut cluster = RedisCluster::start();
    let backend = RedisBackend::builder(&cluster.url()).deadline(HOUR).build().unwrap();
    let limiter = Limiter::builder(backend).metrics(Metrics::new().servers()).build();
    limiter.initialize().await.unwrap();
    let gone = cluster.primaries()[0];
    let address = format!("127.0.0.1:{}", cluster.nodes[gone].port);
    let values = || {
        let names = ["memory_bytes", "max_memory_bytes", "clients", "evicted_keys"];
        names.map(|name| {
            let name = format!("tollgate_redis_server_{name}");
            exporter.value(&name, &[("server", &address)]).unwrap()
        })
    };
    limiter.record_metrics().await;
    assert!(values().iter().all(|value| value.is_finite()), "{:?}", values());
    cluster.nodes[gone].kill();
    limiter.record_metrics().await;
    assert!(values().iter().all(|value| value.is_nan()), "{:?}", values());
    let others = exporter.text();
    let others = others.lines().filter(|line| line.starts_with("tollgate_redis_server_clients{"));
    assert_eq!(others.filter(|line| !line.ends_with("NaN")).count(), 2);
    assert!(cluster.nodes[gone].restart());
    while values().iter().any(|value| value.is_nan()) {
        limiter.record_metrics().await;
        tokio::task::yield_now().await;
    }
}
