//! Whatever fails, no call takes longer than its deadline, the breaker opens, and service is back
//! with the first probe.

use std::future::pending;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;
use tollgate::stats::BreakerState;
use tollgate::testing::ManualClock;
use tollgate::{Limiter, Policy, Quota, RedisBackend};

use crate::timed::{PATIENCE, runtime};
use support::redis::{Fault, Proxy, RedisCluster, RedisServer};

const DEADLINE: Duration = Duration::from_millis(100);
const AMPLE: Policy = Policy::new("ample", Quota::new(1_000_000, Duration::from_secs(86_400)));
const CALLERS: usize = 4;

/// The slowest of many futures, one after the other in each of several tasks.
async fn slowest<F>(rounds: usize, make: impl Fn() -> F + Clone + Send + 'static) -> Duration
where
    F: Future<Output = ()> + Send,
{
    let callers: JoinSet<Duration> = (0..CALLERS)
        .map(|_| {
            let make = make.clone();
            async move {
                let mut slowest = Duration::ZERO;
                for _ in 0..rounds {
                    let since = Instant::now();
                    make().await;
                    slowest = slowest.max(since.elapsed());
                }
                slowest
            }
        })
        .collect();
    callers.join_all().await.into_iter().max().unwrap()
}

/// An outage, from one instant to the next: `fails` begins it and `ends` ends it; `seen` counts
/// what reaches the server, or what stands before it.
fn outage<S>(
    what: &str,
    url: &str,
    state: &mut S,
    fails: impl FnOnce(&mut S),
    ends: impl FnOnce(&mut S),
    seen: impl Fn(&S) -> u64,
) {
    // The breaker's time stands still, so that it is closed again only when it is due.
    let clock = ManualClock::new();
    let backend = RedisBackend::builder(url).deadline(PATIENCE).build().unwrap();
    // The limiter's deadline wins.
    let limiter = Limiter::builder(backend).clock(clock.clone()).deadline(DEADLINE).build();
    let breaker = {
        let limiter = limiter.clone();
        move || limiter.stats().breaker.unwrap()
    };
    let runtime = runtime();
    runtime.block_on(async {
        // Whoever connects may take longer than a check.
        limiter.initialize().await.unwrap();
        while limiter.check(&AMPLE, "s").await.is_err() {}
    });
    assert_eq!(breaker().state, BreakerState::Closed);
    fails(state);
    let [call, bare] = runtime.block_on(async {
        let check = {
            let limiter = limiter.clone();
            move || {
                let limiter = limiter.clone();
                async move {
                    let answer = limiter.check(&AMPLE, "s").await;
                    assert!(answer.is_err(), "{answer:?}");
                }
            }
        };
        let bare = || async {
            let _ = timeout(DEADLINE, pending::<()>()).await;
        };
        let bare = tokio::spawn(slowest(5, bare));
        [slowest(50, check).await, bare.await.unwrap()]
    });
    let ratio = |to: Duration| call.as_secs_f64() / to.as_secs_f64();
    println!(
        "{what}: the slowest call took {:.2} deadlines, {:.2} bare timers",
        ratio(DEADLINE),
        ratio(bare)
    );
    // A bare timer that is late by a third says that the machine is: 1.5 times as much is then
    // more than two deadlines.
    assert!(call < bare * 3 / 2, "{what}: {call:?} where a bare timer takes {bare:?}");
    let told = breaker();
    assert_eq!((told.state, told.opened, told.probes), (BreakerState::Open, 1, 0), "{what}");

    let before = seen(state);
    runtime.block_on(async {
        let since = Instant::now();
        for _ in 0..1_000 {
            assert!(limiter.check(&AMPLE, "s").await.is_err());
        }
        let each = since.elapsed() / 1_000;
        println!("{what}: while the breaker is open a call takes {each:?}");
        assert!(each < call / 20, "{what}: {each:?}, and {call:?} before it opened");
    });
    let reached = seen(state) - before;
    println!("{what}: {reached} of 1000 calls reached the server while the breaker was open");
    assert!(reached <= 2, "{what}: {reached}");

    ends(state);
    runtime.block_on(async {
        // Of a loaded machine's checks some miss their deadline, but not all of so many.
        let mut probes = 0;
        let answer = loop {
            clock.advance(Duration::from_secs(60));
            probes += 1;
            let answer = limiter.check(&AMPLE, "s").await;
            if answer.is_ok() || probes == 6 {
                break answer;
            }
        };
        assert!(answer.as_ref().is_ok_and(|decision| decision.is_allowed()), "{what}: {answer:?}");
        let told = breaker();
        assert_eq!((told.state, told.probes), (BreakerState::Closed, probes), "{what}");
        let mut failed = 0;
        for _ in 0..20 {
            failed += usize::from(limiter.check(&AMPLE, "s").await.is_err());
        }
        assert!(failed < 5, "{what}: {failed}");
    });
}

/// A fault of the network.
fn fault(fault: Fault) {
    let server = RedisServer::start();
    let mut proxy = Proxy::start(server.port);
    outage(
        &format!("{fault:?}"),
        &proxy.url(),
        &mut proxy,
        |proxy| proxy.set(fault),
        |proxy| proxy.set(Fault::None),
        Proxy::seen,
    );
}

#[test]
fn nobody_listens() {
    fault(Fault::Refuse);
}

#[test]
fn what_is_accepted_hangs() {
    fault(Fault::Hang);
}

#[test]
fn requests_are_dropped() {
    fault(Fault::DropRequest);
}

#[test]
fn replies_are_dropped() {
    fault(Fault::DropReply);
}

#[test]
fn replies_are_cut() {
    fault(Fault::CutReply);
}

#[test]
fn replies_are_late() {
    fault(Fault::Delay(DEADLINE * 3));
}

#[test]
fn replies_trickle() {
    fault(Fault::Trickle(DEADLINE / 5));
}

/// Of the network before all nodes of a cluster, one fault after the other.
#[test]
fn a_cluster_behind_such_networks() {
    let mut proxies: Vec<Proxy> = (0..6).map(|_| Proxy::start_alone()).collect();
    let cluster = RedisCluster::start_behind(&proxies);
    let set = |proxies: &[Proxy], fault| proxies.iter().for_each(|proxy| proxy.set(fault));
    for fault in [Fault::Refuse, Fault::Hang, Fault::DropReply, Fault::Delay(DEADLINE * 3)] {
        outage(
            &format!("cluster, {fault:?}"),
            &cluster.url(),
            &mut proxies,
            |proxies| set(proxies, fault),
            |proxies| set(proxies, Fault::None),
            // The nodes speak to each other through them, too.
            |_| cluster.calls("evalsha").iter().sum(),
        );
    }
}

/// A fault of the server, behind a proxy that only counts.
fn server_fault(
    what: &str,
    fails: impl FnOnce(&mut RedisServer),
    ends: impl FnOnce(&mut RedisServer),
) {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port);
    outage(
        what,
        &proxy.url(),
        &mut (server, &proxy),
        |(server, _)| fails(server),
        |(server, _)| ends(server),
        |(_, proxy)| proxy.seen(),
    );
}

#[test]
fn the_server_is_stopped() {
    server_fault("SIGSTOP", |server| server.freeze(true), |server| server.freeze(false));
}

#[test]
fn the_server_is_killed() {
    server_fault("kill", RedisServer::kill, |server| assert!(server.restart()));
}

#[test]
fn the_server_is_killed_and_there_is_nothing_between() {
    let mut server = RedisServer::start();
    let url = server.url();
    let restart = |server: &mut RedisServer| assert!(server.restart());
    // Nothing can reach it.
    outage("kill, no proxy", &url, &mut server, RedisServer::kill, restart, |_| 0);
}

#[test]
fn the_server_pauses_its_clients() {
    server_fault(
        "CLIENT PAUSE",
        |server| server.ask("CLIENT PAUSE 600000 WRITE"),
        |server| server.ask("CLIENT UNPAUSE"),
    );
}

#[test]
fn the_server_has_no_memory_left() {
    server_fault(
        "OOM",
        |server| server.ask("CONFIG SET maxmemory 1"),
        |server| server.ask("CONFIG SET maxmemory 0"),
    );
}

#[test]
fn the_servers_connection_table_is_full() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port);
    let mut control = server.connection();
    let ask = move |words: &str| support::redis::ask::<redis::Value>(&mut control, words);
    outage(
        "maxclients",
        &proxy.url(),
        &mut (ask, Vec::new()),
        |(ask, others)| {
            ask("CONFIG SET maxclients 20");
            // All but one who asks; then as many others as there is room for.
            ask("CLIENT KILL TYPE normal SKIPME yes");
            let client = redis::Client::open(server.url()).unwrap();
            while let Ok(other) = client.get_connection() {
                others.push(other);
            }
        },
        |(ask, others)| {
            ask("CONFIG SET maxclients 10000");
            others.clear();
        },
        |_| proxy.seen(),
    );
}
