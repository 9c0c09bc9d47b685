//! The reason why a check fails is told, whatever it is: in the error, in the log, and while the
//! breaker is open.

use std::error::Error as _;
use std::time::Duration;

use tollgate::stats::BreakerState;
use tollgate::{Limiter, Policy, Quota, RedisBackend};

use crate::rights::set_user;
use crate::timed::{PATIENCE, runtime};
use support::log::Log;
use support::redis::{
    Certificates, Passwords, Proxy, RedisCluster, RedisServer, Sentinels, eventually,
};
use tracing::Level;

const POLICY: Policy = Policy::new("reasons", Quota::new(1_000, Duration::from_secs(60)));
/// The subject and the passwords of these tests, which no text may repeat.
const SUBJECT: &str = "s3cret-subject";

/// The texts of so many checks that the breaker opens, and one more.
fn texts(url: &str, deadline: Duration) -> Vec<String> {
    told(url, deadline).0
}

/// These texts, and what is logged meanwhile.
fn told(url: &str, deadline: Duration) -> (Vec<String>, String) {
    let backend = RedisBackend::builder(url).deadline(deadline).build().unwrap();
    let limiter = Limiter::new(backend);
    let (log, _guard) = Log::of_this_thread(Level::WARN);
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
    let log = log.text();
    println!("{}\n{log}", texts.join("\n"));
    (texts, log)
}

/// A reason that servers word differently is told in one of the wordings, with `|` between them.
fn assert_told((texts, log): &(Vec<String>, String), reason: &str) {
    let is_told = |text: &str| reason.split('|').any(|words| text.contains(words));
    let behind_breaker = texts.last().unwrap();
    assert!(behind_breaker.contains("it has failed too often"), "{behind_breaker}");
    for text in texts {
        assert!(is_told(text), "{reason}: {text}");
        // What was sent again just before the deadline may have been executed.
        let is_certain = text.contains("did not act");
        assert!(is_certain || text.contains("no answer before the deadline"), "{text}");
    }
    for event in ["backend fails", "circuit breaker has opened"] {
        let line = log.lines().find(|line| line.contains(event)).unwrap_or_else(|| panic!("{log}"));
        assert!(is_told(line), "{reason}: {line}");
    }
    for text in texts.iter().chain([log]) {
        assert!(!text.contains("s3cret") && !text.contains("local "), "{text}");
    }
}

/// What may pass is waited for until the deadline.
fn passing(url: &str, reason: &str) {
    let told = told(url, Duration::from_millis(150));
    assert_told(&told, reason);
    let (texts, _) = told;
    assert!(texts[0].contains("no answer before the deadline; last: "), "{texts:?}");
}

/// What waiting cannot heal is told at once: the deadline is one that no test would outlast.
fn lasting(url: &str, reason: &str) {
    let told = told(url, PATIENCE * 10);
    assert_told(&told, reason);
    let (texts, _) = told;
    assert!(!texts[0].contains("deadline"), "{texts:?}");
}

#[test]
fn nobody_listens() {
    let mut server = RedisServer::start();
    server.kill();
    passing(&server.url(), "onnection refused");
}

/// Neither label nor name exists, and no resolver has to be asked about the first.
#[test]
fn a_host_that_nobody_knows() {
    let label = "x".repeat(64);
    passing(&format!("redis://{label}.invalid"), "failed to lookup address");
    let told = texts("redis://nobody.invalid", Duration::from_millis(300));
    // A resolver that is away takes its time.
    let reasons = ["failed to lookup address", "connecting, without an answer"];
    let is_told = |text: &String| reasons.iter().any(|reason| text.contains(reason));
    assert!(told.iter().all(is_told), "{told:?}");
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

/// A replica gets the data of its primary, and takes long to load them.
#[test]
fn a_server_that_loads_its_data() {
    let source = RedisServer::start_with(&["--repl-diskless-sync-delay", "0"]);
    let mut connection = source.connection();
    let mut keys = redis::pipe();
    for key in 0..30_000 {
        keys.cmd("SET").arg(key).arg("x".repeat(64)).ignore();
    }
    keys.exec(&mut connection).unwrap();
    let server = RedisServer::start_with(&[
        "--key-load-delay",
        "200",
        "--loading-process-events-interval-bytes",
        "1024",
    ]);
    server.ask::<()>(&format!("REPLICAOF 127.0.0.1 {}", source.port));
    let mut connection = server.connection();
    eventually("it loads", || {
        let info: redis::RedisResult<String> =
            redis::cmd("INFO").arg("persistence").query(&mut connection);
        info.is_ok_and(|info| info.contains("\nloading:1"))
    });
    let told = told(&server.url(), Duration::from_millis(300));
    assert_told(&told, "LOADING");
}

/// No node of the cluster serves the slot of the subject.
#[test]
fn a_slot_that_no_node_serves() {
    let cluster = RedisCluster::start();
    let key = format!("tollgate:{}:{}:{SUBJECT}", POLICY.name().len(), POLICY.name());
    let slot: u32 = cluster.nodes[0].ask(&format!("CLUSTER KEYSLOT {key}"));
    for node in &cluster.nodes {
        node.ask::<()>(&format!("CLUSTER DELSLOTS {slot}"));
    }
    eventually("the cluster is down", || {
        cluster
            .nodes
            .iter()
            .all(|node| node.ask::<String>("CLUSTER INFO").contains("cluster_state:fail"))
    });
    passing(&cluster.url(), "CLUSTERDOWN");
}

#[test]
fn sentinels_that_refuse() {
    let passwords = Passwords { servers: "", sentinels: "s3cret" };
    let sentinels = Sentinels::start_with_passwords(passwords);
    lasting(&sentinels.url(), "NOAUTH");
    let url = format!("{}&sentinel_password=s3cret-wrong", sentinels.url());
    lasting(&url, "WRONGPASS|uthentication failed");
    let url = format!("{}&sentinel_password=s3cret", sentinels.url());
    lasting(&url.replace("mymaster", "other"), "it knows no master of this name");
}

#[test]
fn a_script_that_does_not_end() {
    let server = RedisServer::start();
    server.ask::<()>("CONFIG SET lua-time-limit 1");
    let mut connection = server.connection();
    let endless = std::thread::spawn(move || {
        let _ = redis::cmd("EVAL").arg("while true do end").arg(0).exec(&mut connection);
    });
    eventually("the server is busy", || redis::cmd("PING").exec(&mut server.connection()).is_err());
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
    eventually("the save has failed", || {
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
        // Servers before Redis 7 quote the name in another way, by which the driver knows `HELLO`.
        ("HELLO", "unknown command 'HELLO'|RESP3NotSupported"),
        ("EVALSHA", "unknown command 'EVALSHA'|unknown command `EVALSHA`"),
        ("SCRIPT", "unknown command 'SCRIPT'|unknown command `SCRIPT`"),
        ("TIME", "Unknown Redis command|Unknown command called"),
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
    let is_told = text.contains("can't run this command") || text.contains("the 'time' command");
    assert!(text.contains("did not act") && is_told, "{text}");
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
    assert_told(&told(&url, Duration::from_millis(100)), "onnection refused");
}
