//! One event is one failure, however many wait for it, and no check depends on the runtime of
//! another.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tollgate::stats::BreakerState;
use tollgate::{Config, Limiter, Policy, Quota, RedisBackend};

use crate::timed::{PATIENCE, runtime};
use support::redis::{Proxy, RedisCluster, RedisServer};
use support::scaled;

const AMPLE: Policy = Policy::new("ample", Quota::new(1_000_000, Duration::from_secs(86_400)));

/// The network forgets the connection, and five checks come at once, from one thread or many.
#[test]
fn a_forgotten_connection_costs_at_most_the_check_that_was_sent() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port);
    let backend = RedisBackend::builder(&proxy.url()).deadline(Duration::from_secs(1));
    let limiter = Limiter::new(backend.build().unwrap());
    let threads = runtime();
    let one = Builder::new_current_thread().enable_all().build().unwrap();
    for round in 0..scaled(4, 20) {
        let runtime = if round % 2 == 0 { &threads } else { &one };
        assert!(runtime.block_on(limiter.check(&AMPLE, "s")).unwrap().is_allowed());
        // The connection is idle for a moment, as those are that networks forget.
        std::thread::sleep(Duration::from_millis(20));
        proxy.forget_open();
        let failed = runtime.block_on(async {
            let checks: JoinSet<_> = (0..5)
                .map(|number| {
                    let limiter = limiter.clone();
                    async move { limiter.check(&AMPLE, &format!("s{number}")).await.is_err() }
                })
                .collect();
            checks.join_all().await.into_iter().filter(|failed| *failed).count()
        });
        println!("round {round}: {failed} of 5 failed");
        assert!(failed <= 1, "{failed}");
        let breaker = limiter.stats().breaker.unwrap();
        assert_eq!((breaker.state, breaker.opened), (BreakerState::Closed, 0));
    }
}

/// All that wait for one call fail by one event.
#[test]
fn many_that_wait_for_one_call_are_one_failure() {
    let server = RedisServer::start();
    let backend = RedisBackend::builder(&server.url()).deadline(Duration::from_millis(200));
    let limiter = Limiter::new(backend.build().unwrap());
    let runtime = runtime();
    runtime.block_on(async {
        assert!(limiter.check(&AMPLE, "s").await.unwrap().is_allowed());
        server.freeze(true);
        let checks: JoinSet<_> = (0..50)
            .map(|number| {
                let limiter = limiter.clone();
                async move { limiter.check(&AMPLE, &format!("s{number}")).await.is_err() }
            })
            .collect();
        assert!(checks.join_all().await.into_iter().all(|failed| failed));
        server.freeze(false);
        let breaker = limiter.stats().breaker.unwrap();
        println!("{} failures", breaker.failures);
        assert_eq!(breaker.state, BreakerState::Closed);
        assert!((1..5).contains(&breaker.failures), "{}", breaker.failures);
    });
}

/// One of three nodes does not answer: keys of the others are checked, and the breaker of theirs
/// stays closed.
#[test]
fn a_frozen_node_of_a_cluster_is_no_affair_of_the_others() {
    let cluster = RedisCluster::start();
    let backend = RedisBackend::builder(&cluster.url()).deadline(Duration::from_millis(100));
    let limiter = Limiter::new(backend.build().unwrap());
    runtime().block_on(async {
        limiter.initialize().await.unwrap();
        let before = cluster.calls("evalsha");
        assert!(limiter.check(&AMPLE, "frozen").await.unwrap().is_allowed());
        let calls = cluster.calls("evalsha");
        let node = (0..6).find(|node| calls[*node] > before[*node]).unwrap();
        let mut others = Vec::new();
        for number in 0..200 {
            let subject = format!("other-{number}");
            let before = calls_of(&cluster, node);
            assert!(limiter.check(&AMPLE, &subject).await.unwrap().is_allowed());
            if calls_of(&cluster, node) == before {
                others.push(subject);
            }
        }
        assert!(others.len() > 50, "{}", others.len());
        cluster.nodes[node].freeze(true);
        let mut checked = 0;
        while limiter.stats().breaker.unwrap().state == BreakerState::Closed && checked < 20 {
            let _ = limiter.check(&AMPLE, "frozen").await;
            checked += 1;
        }
        let breaker = limiter.stats().breaker.unwrap();
        println!("{breaker:?}");
        assert_eq!(breaker.opened, 1);
        let stopped = limiter.check(&AMPLE, "frozen").await.is_err();
        for subject in &others {
            assert!(limiter.check(&AMPLE, subject).await.unwrap().is_allowed(), "{stopped}");
        }
        cluster.nodes[node].freeze(false);
    });
}

fn calls_of(cluster: &RedisCluster, node: usize) -> u64 {
    cluster.nodes[node].calls("evalsha")
}

/// A node that does not know its own address says `ASK slot :port` while a slot moves: the host is
/// that of the node.
#[test]
fn a_node_without_an_address_sends_to_itself_at_another_port() {
    let options = ["--cluster-preferred-endpoint-type", "unknown-endpoint"];
    let cluster = RedisCluster::start_with(&options);
    let backend = RedisBackend::builder(&cluster.url()).deadline(PATIENCE);
    let limiter = Limiter::new(backend.build().unwrap());
    let runtime = runtime();
    runtime.block_on(limiter.initialize()).unwrap();
    let before = cluster.calls("evalsha");
    assert!(runtime.block_on(limiter.check(&AMPLE, "moving")).unwrap().is_allowed());
    let calls = cluster.calls("evalsha");
    let from = (0..6).find(|node| calls[*node] > before[*node]).unwrap();
    let to = cluster.primaries().into_iter().find(|node| *node != from).unwrap();
    let (from, to) = (&cluster.nodes[from], &cluster.nodes[to]);
    let key = "tollgate:5:ample:moving";
    let slot: u32 = from.ask(&format!("CLUSTER KEYSLOT {key}"));
    let [source, target]: [String; 2] = [from, to].map(|node| node.ask("CLUSTER MYID"));
    to.ask::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {source}"));
    from.ask::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {target}"));
    from.ask::<String>(&format!("MIGRATE 127.0.0.1 {} {key} 0 5000", to.port));
    let decision = runtime.block_on(limiter.check(&AMPLE, "moving")).unwrap();
    assert_eq!(decision.remaining(), 999_998, "the count has moved");
    for node in [to, from] {
        node.ask::<()>(&format!("CLUSTER SETSLOT {slot} NODE {target}"));
    }
    let decision = runtime.block_on(limiter.check(&AMPLE, "moving")).unwrap();
    assert_eq!(decision.remaining(), 999_997);
}

/// Eight threads make a runtime, check three times and drop it, again and again.
#[test]
fn runtimes_that_come_and_go_lose_no_check() {
    let server = RedisServer::start();
    let backend = RedisBackend::builder(&server.url()).deadline(PATIENCE).build().unwrap();
    let limiter = Limiter::new(backend);
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let limiter = limiter.clone();
            std::thread::spawn(move || {
                let mut failed = 0;
                for _ in 0..scaled(30, 60) {
                    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(async {
                        for number in 0..3 {
                            let subject = format!("{thread}-{number}");
                            failed += u32::from(limiter.check(&AMPLE, &subject).await.is_err());
                        }
                    });
                }
                failed
            })
        })
        .collect();
    let failed: u32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    let connections = limiter.stats().redis.unwrap().connections;
    println!("{failed} failed, over {connections} connections");
    assert_eq!(failed, 0);
    assert!(connections <= 4, "{connections}");
}

/// A connection that a network has forgotten is found also while nobody checks: the system's table
/// shows the timer of keepalive, which is number 2.
#[cfg(target_os = "linux")]
#[test]
fn connections_are_kept_alive() {
    let server = RedisServer::start();
    let limiter = Limiter::new(RedisBackend::builder(&server.url()).build().unwrap());
    let runtime = runtime();
    support::redis::eventually("it connects", || {
        runtime.block_on(limiter.check(&AMPLE, "s")).is_ok()
    });
    let port = format!(":{:04X}", server.port);
    support::redis::eventually("the timer runs", || {
        let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let rows = table.lines().map(|row| row.split_ascii_whitespace().collect::<Vec<_>>());
        let timers: Vec<String> =
            rows.filter(|row| row[2].ends_with(&port)).map(|row| row[5].to_owned()).collect();
        !timers.is_empty() && timers.iter().all(|timer| timer.starts_with("02:"))
    });
}

/// A name, or an address, that leads to another server is followed once the connection is old.
#[test]
fn an_old_connection_is_replaced() {
    let by_url = |proxy: &Proxy, _: &RedisServer| {
        let url = format!("{}?max_age=50ms", proxy.url());
        Limiter::new(RedisBackend::builder(&url).deadline(PATIENCE).build().unwrap())
    };
    let by_configuration = |proxy: &Proxy, server: &RedisServer| {
        let settings = [
            ("REDIS_URL", proxy.url()),
            ("TOLLGATE_BACKEND__MAX_AGE", "50ms".to_owned()),
            ("TOLLGATE_BACKEND__DEADLINE", "20s".to_owned()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value));
        let file = server.directory().join("tollgate.toml");
        std::fs::write(&file, "").unwrap();
        Limiter::from_config(&Config::load_with(file, settings).unwrap()).unwrap()
    };
    let makes: [fn(&Proxy, &RedisServer) -> Limiter; 2] = [by_url, by_configuration];
    for make in makes {
        let (first, second) = (RedisServer::start(), RedisServer::start());
        let proxy = Proxy::start(first.port);
        let (limiter, runtime) = (make(&proxy, &first), runtime());
        assert!(runtime.block_on(limiter.check(&AMPLE, "s")).unwrap().is_allowed());
        proxy.leads_to(second.port);
        support::redis::eventually("the second server is asked", || {
            assert!(runtime.block_on(limiter.check(&AMPLE, "s")).unwrap().is_allowed());
            second.calls("evalsha") > 0
        });
    }
}
