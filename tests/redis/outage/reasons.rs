//! The reason why a check fails is told, whatever it is: in the error, and while the breaker is open.

use std::error::Error as _;
use std::time::Duration;

use tollgate::stats::BreakerState;
use tollgate::{Limiter, Policy, Quota, RedisBackend};

use crate::rights::set_user;
use crate::timed::{PATIENCE, runtime};
use support::redis::{Certificates, Proxy, RedisCluster, RedisServer};

const POLICY: Policy = Policy::new("reasons", Quota::new(1_000, Duration::from_secs(60)));
/// The subject and the passwords of these tests, which no text may repeat.
const SUBJECT: &str = "s3cret-subject";

/// The texts of so many checks that the breaker opens, and one more.
fn texts(url: &str, deadline: Duration) -> Vec<String> {
    let backend = RedisBackend::builder(url).deadline(deadline).build().unwrap();
    let limiter = Limiter::new(backend);
    let texts = runtime().block_on(async {
        let mut texts = Vec::new();
        while limiter.stats().breaker.unwrap().state == BreakerState::Closed && texts.len() < 50 {
            let error = limiter.check(&POLICY, SUBJECT).await.unwrap_err();
            texts.push(error.source().unwrap().to_string());
        }
        let error = limiter.check(&POLICY, SUBJECT).await.unwrap_err();
        texts.push(error.source().unwrap().to_string());
        texts
    });
    println!("{}", texts.join("\n"));
    texts
}

fn assert_told(texts: &[String], reason: &str) {
    let behind_breaker = texts.last().unwrap();
    assert!(behind_breaker.contains("it has failed too often"), "{behind_breaker}");
    for text in texts {
        assert!(text.contains(reason), "{reason}: {text}");
        // What was sent again just before the deadline may have been executed.
        let is_certain = text.contains("did not act");
        assert!(is_certain || text.contains("no answer before the deadline"), "{text}");
        assert!(!text.contains("s3cret") && !text.contains("local "), "{text}");
    }
}

/// What may pass is waited for until the deadline.
fn passing(url: &str, reason: &str) {
    let texts = texts(url, Duration::from_millis(60));
    assert_told(&texts, reason);
    assert!(texts[0].contains("no answer before the deadline; last: "), "{texts:?}");
}

/// What waiting cannot heal is told at once: the deadline is one that no test would outlast.
fn lasting(url: &str, reason: &str) {
    let texts = texts(url, PATIENCE * 10);
    assert_told(&texts, reason);
    assert!(!texts[0].contains("deadline"), "{texts:?}");
}

#[test]
fn nobody_listens() {
    let mut server = RedisServer::start();
    server.kill();
    passing(&server.url(), "onnection refused");
}

#[test]
fn nothing_is_answered() {
    let server = RedisServer::start();
    server.freeze(true);
    let told = texts(&server.url(), Duration::from_millis(60));
    assert!(told.iter().all(|text| text.contains("connecting, without an answer")), "{told:?}");
}

#[test]
fn no_memory_no_replicas_and_a_replica() {
    let server = RedisServer::start();
    server.ask::<()>("CONFIG SET maxmemory 1");
    passing(&server.url(), "OOM");
    server.ask::<()>("CONFIG SET maxmemory 0");
    server.ask::<()>("CONFIG SET min-replicas-to-write 1");
    passing(&server.url(), "NOREPLICAS");
    server.ask::<()>("CONFIG SET min-replicas-to-write 0");
    server.ask::<()>("REPLICAOF 127.0.0.1 1");
    passing(&server.url(), "READONLY");
    server.ask::<()>("CONFIG SET replica-serve-stale-data no");
    passing(&server.url(), "MASTERDOWN");
}

#[test]
fn a_script_that_does_not_end() {
    let server = RedisServer::start();
    server.ask::<()>("CONFIG SET busy-reply-threshold 1");
    let mut connection = server.connection();
    let endless = std::thread::spawn(move || {
        let _ = redis::cmd("EVAL").arg("while true do end").arg(0).exec(&mut connection);
    });
    support::redis::eventually("the server is busy", || {
        redis::cmd("PING").exec(&mut server.connection()).is_err()
    });
    // A server that is busy answers late, so the last of several calls may be without an answer.
    let told = texts(&server.url(), Duration::from_millis(500));
    assert!(told.iter().any(|text| text.contains("; last: BUSY")), "{told:?}");
    server.ask::<()>("SCRIPT KILL");
    endless.join().unwrap();
}

#[test]
fn a_save_that_failed() {
    let server = RedisServer::start_with(&["--dbfilename", "taken"]);
    std::fs::create_dir(server.directory().join("taken")).unwrap();
    redis::cmd("CONFIG").arg(&["SET", "save", "3600 1"]).exec(&mut server.connection()).unwrap();
    server.ask::<String>("BGSAVE");
    support::redis::eventually("the save has failed", || {
        server.ask::<String>("INFO persistence").contains("rdb_last_bgsave_status:err")
    });
    lasting(&server.url(), "MISCONF");
}

#[test]
fn passwords() {
    let server = RedisServer::start_with(&["--requirepass", "s3cret"]);
    lasting(&server.url(), "NOAUTH");
    lasting(&format!("redis://:s3cret-wrong@127.0.0.1:{}", server.port), "WRONGPASS");
}

/// The password is changed while the program runs.
#[test]
fn a_password_that_is_changed() {
    let server = RedisServer::start();
    server.ask::<()>("ACL SETUSER app on >s3cret ~* +@all");
    let url = format!("redis://app:s3cret@127.0.0.1:{}", server.port);
    let limiter = Limiter::new(RedisBackend::builder(&url).deadline(PATIENCE).build().unwrap());
    let runtime = runtime();
    assert!(runtime.block_on(limiter.check(&POLICY, SUBJECT)).unwrap().is_allowed());
    server.ask::<()>("ACL SETUSER app resetpass >other");
    server.ask::<u64>("CLIENT KILL USER app");
    let mut told = Vec::new();
    for _ in 0..3 {
        let error = runtime.block_on(limiter.check(&POLICY, SUBJECT)).unwrap_err();
        told.push(error.source().unwrap().to_string());
    }
    println!("{told:?}");
    assert!(told[1..].iter().all(|text| text.contains("WRONGPASS")), "{told:?}");
}

#[test]
fn commands_that_are_missing() {
    for (command, reason) in [
        ("HELLO", "unknown command 'HELLO'"),
        ("EVALSHA", "unknown command 'EVALSHA'"),
        ("SCRIPT", "unknown command 'SCRIPT'"),
        ("TIME", "nknown"),
    ] {
        let server = RedisServer::start_with(&["--rename-command", command, ""]);
        lasting(&server.url(), reason);
    }
}

/// A script that may not ask for the time has done nothing. This does not open the breaker.
#[test]
fn a_right_that_is_missing_before_the_first_check() {
    let server = RedisServer::start();
    set_user(&server, &["-time"]);
    let url = format!("redis://tollgate:password@127.0.0.1:{}", server.port);
    let limiter = Limiter::new(RedisBackend::builder(&url).deadline(PATIENCE).build().unwrap());
    let error = runtime().block_on(limiter.check(&POLICY, SUBJECT)).unwrap_err();
    let text = error.source().unwrap().to_string();
    println!("{text}");
    assert!(text.contains("did not act") && text.contains("can't run this command"), "{text}");
}

#[test]
fn a_certificate_that_nobody_vouches_for() {
    let server = RedisServer::start_tls(&Certificates::new());
    lasting(&format!("rediss://127.0.0.1:{}", server.tls_port()), "invalid peer certificate");
}

/// A node of a cluster that the URL names as a single server serves some keys.
#[test]
fn a_node_of_a_cluster() {
    let cluster = RedisCluster::start();
    let served = cluster.nodes.iter().map(RedisServer::url).any(|url| {
        let limiter = Limiter::new(RedisBackend::builder(&url).deadline(PATIENCE).build().unwrap());
        let answer = runtime().block_on(limiter.check(&POLICY, SUBJECT));
        let Err(error) = answer else { return true };
        let text = error.source().unwrap().to_string();
        println!("{text}");
        assert!(text.contains("did not act") && text.contains("`cluster=true`"), "{text}");
        false
    });
    assert!(served);
}

/// A slot is served by a node that cannot be reached.
#[test]
fn a_node_of_a_cluster_that_is_away() {
    let proxies: Vec<Proxy> = (0..6).map(|_| Proxy::start_alone()).collect();
    let mut cluster = RedisCluster::start_behind(&proxies);
    let url = cluster.url();
    let backend = RedisBackend::builder(&url).deadline(Duration::from_millis(300)).build().unwrap();
    let limiter = Limiter::builder(backend).breaker(None).build();
    let runtime = runtime();
    runtime.block_on(limiter.initialize()).unwrap();
    cluster.nodes.iter_mut().for_each(RedisServer::kill);
    // The first may be sent before the connection is found to be closed.
    let _ = runtime.block_on(limiter.check(&POLICY, SUBJECT));
    let error = runtime.block_on(limiter.check(&POLICY, SUBJECT)).unwrap_err();
    println!("{error:?}");
    let text = error.source().unwrap().to_string();
    assert!(text.contains("last: ") && text.contains("cannot connect to"), "{text}");
    // The same for who has only their addresses.
    assert_told(&texts(&url, Duration::from_millis(100)), "onnection refused");
}
