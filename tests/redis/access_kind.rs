//! The kind of a single host is found out: a server, a node of a cluster, a sentinel.

use std::error::Error as _;
use std::time::Duration;

use tollgate::{Limiter, Policy, Quota, RedisBackend};

use crate::access::{builder, start_error, works};
use crate::rights::set_user;
use crate::timed::{PATIENCE, runtime};
use support::redis::{Fault, Proxy, RedisCluster, RedisServer, Sentinels};

const POLICY: Policy = Policy::new("kind", Quota::new(5, Duration::from_secs(3600)));

#[test]
fn a_node_of_a_cluster_is_recognized() {
    let cluster = RedisCluster::start();
    // One of them is a replica.
    for node in [&cluster.nodes[0], &cluster.nodes[5]] {
        works(builder(&node.url()));
        works(builder(&format!("{}/0", node.url())));
        works(builder(&format!("redis://127.0.0.1:{}?cluster=true", node.port)));
    }
    // Without a start, and by many checks at once, of keys of all nodes.
    let limiter = Limiter::new(builder(&cluster.nodes[1].url()).build().unwrap());
    runtime().block_on(async {
        let checks: Vec<_> = (0..60)
            .map(|n| {
                let limiter = limiter.clone();
                tokio::spawn(async move { limiter.check(&POLICY, &format!("s{n}")).await })
            })
            .collect();
        for check in checks {
            assert_eq!(check.await.unwrap().unwrap().remaining(), 4);
        }
    });
    // It is one budget with those who name the cluster.
    let whole = Limiter::new(builder(&cluster.url()).build().unwrap());
    let decision = runtime().block_on(whole.check(&POLICY, "s7")).unwrap();
    assert_eq!(decision.remaining(), 3);
    assert!(cluster.primaries().iter().all(|node| cluster.nodes[*node].calls("evalsha") > 0));
    // Who says that it is none is told.
    let error = start_error(builder(&format!("{}?cluster=false", cluster.nodes[0].url())));
    println!("{error}");
    let form = format!("`redis://127.0.0.1:{}?cluster=true`", cluster.nodes[0].port);
    assert!(error.contains(&form) && error.contains("correct its settings"), "{error}");
    let error = start_error(builder(&cluster.nodes[0].url()).cluster(false));
    assert!(error.contains(&form), "{error}");
    let socket = format!("redis+unix://{}", cluster.nodes[0].socket().display());
    assert!(start_error(builder(&socket)).contains("`cluster=true`"));
    // A cluster has no other database.
    let error = start_error(builder(&format!("{}/1", cluster.nodes[0].url())));
    println!("{error}");
    assert!(error.contains("`cluster=true`") && error.contains("database 0"), "{error}");
    // The documented user, who may not use `INFO`, and then may not ask for the nodes, either.
    for node in &cluster.nodes {
        set_user(node, &["+cluster|slots", "+asking"]);
    }
    let user = cluster.nodes[0].url().replace("redis://", "redis://tollgate:password@");
    works(builder(&user));
    set_user(&cluster.nodes[0], &[]);
    let error = start_error(builder(&user));
    println!("{error}");
    assert!(error.contains("cluster|slots") && !error.contains("password@"), "{error}");
}

/// At the start a server is asked what it is once, beside the `HELLO` of its connection.
#[test]
fn a_single_server_is_asked_once() {
    let server = RedisServer::start();
    let limiter = Limiter::new(builder(&server.url()).build().unwrap());
    for _ in 0..2 {
        runtime().block_on(limiter.initialize()).unwrap();
        assert_eq!(server.calls("hello"), 2);
    }
}

#[test]
fn a_sentinel_is_told() {
    let sentinels = Sentinels::start();
    let port = sentinels.ports()[0];
    let url = format!("redis://127.0.0.1:{port}");
    let error = start_error(builder(&url));
    assert!(error.contains(&format!("`redis://127.0.0.1:{port}?sentinel_master=")), "{error}");
    works(builder(&format!("{url}?sentinel_master=mymaster")));
    // Without a start, too, and at once.
    let limiter = Limiter::new(builder(&url).build().unwrap());
    let error = runtime().block_on(limiter.check(&POLICY, "s")).unwrap_err();
    assert!(error.source().unwrap().to_string().contains("is a sentinel"), "{error:?}");
}

/// A host that cannot be asked yet is asked until the deadline, and by later checks again.
#[test]
fn a_host_that_is_away_is_asked_again() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port);
    let limiter = |deadline| {
        let backend = RedisBackend::builder(&proxy.url()).deadline(deadline).build().unwrap();
        Limiter::builder(backend).breaker(None).build()
    };
    for fault in [Fault::Refuse, Fault::Hang] {
        proxy.set(fault);
        let short = limiter(Duration::from_millis(100));
        let patient = limiter(PATIENCE);
        runtime().block_on(async {
            for _ in 0..3 {
                let error = short.check(&POLICY, "s").await.unwrap_err();
                let cause = error.source().unwrap().to_string();
                assert!(cause.contains("did not act"), "{cause}");
                if fault == Fault::Refuse {
                    assert!(cause.contains("refused"), "the reason is told: {cause}");
                }
            }
            let waiting = tokio::spawn({
                let patient = patient.clone();
                async move { patient.check(&POLICY, "s").await }
            });
            tokio::task::yield_now().await;
            tokio::task::block_in_place(|| proxy.set(Fault::None));
            assert!(waiting.await.unwrap().is_ok());
            let mut checks = 0;
            while short.check(&POLICY, "s").await.is_err() {
                checks += 1;
                assert!(checks < 200, "it does not heal");
            }
        });
    }
}
