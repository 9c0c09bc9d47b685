//! Who may connect, and how: URLs, users, TLS, sockets.

use std::time::Duration;

use tollgate::backend::RedisBackendBuilder;
use tollgate::{Limiter, Policy, Quota, RedisBackend};

use crate::rights::set_user;
use crate::timed::{PATIENCE, runtime};
use support::redis::{Passwords, RedisCluster, RedisServer, SENTINEL_USER, Sentinels, ask};

const POLICY: Policy = Policy::new("access", Quota::new(2, Duration::from_secs(3600)))
    .and(Quota::new(9, Duration::from_secs(7200)));

pub(crate) fn builder(url: &str) -> RedisBackendBuilder {
    RedisBackend::builder(url).deadline(PATIENCE)
}

/// All that a limiter asks of a server.
pub(crate) fn works(backend: RedisBackendBuilder) {
    let limiter = Limiter::new(backend.build().unwrap());
    runtime().block_on(async {
        limiter.initialize().await.unwrap();
        let first = limiter.check(&POLICY, "s").await.unwrap();
        assert_eq!(first.remaining(), 1);
        assert!(limiter.refund(first).await.unwrap());
        assert_eq!(limiter.peek(&POLICY, "s", 1).await.unwrap().remaining(), 2);
        assert!(limiter.check_cost(&POLICY, "s", 2).await.unwrap().is_allowed());
        assert!(!limiter.check(&POLICY, "s").await.unwrap().is_allowed());
        limiter.reset(&POLICY, "s").await.unwrap();
        assert!(limiter.check(&POLICY, "s").await.unwrap().is_allowed());
        limiter.reset(&POLICY, "s").await.unwrap();
        limiter.close().await;
        assert!(limiter.check(&POLICY, "s").await.is_err(), "it is closed");
    });
}

pub(crate) fn start_error(backend: RedisBackendBuilder) -> String {
    let limiter = Limiter::new(backend.build().unwrap());
    let error = runtime().block_on(limiter.initialize()).unwrap_err();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn hosts_databases_prefixes_and_sockets() {
    let server = RedisServer::start();
    works(builder(&format!("redis://127.0.0.1:{}", server.port)));
    works(builder(&format!("redis://localhost:{}/3?key_prefix=x:&pool_size=1", server.port)));
    works(builder(&format!("redis+unix://{}?db=2", server.socket().display())));
    works(builder(&format!("redis://127.0.0.1:{}", server.port)).key_prefix("mine:"));
    let limiter =
        Limiter::new(builder(&format!("{}/5?key_prefix=p%3A", server.url())).build().unwrap());
    let _ = runtime().block_on(limiter.check(&POLICY, "s:t")).unwrap();
    let mut connection = support::redis::connection(format!("{}/5", server.url()).as_str());
    assert_eq!(ask::<Vec<String>>(&mut connection, "KEYS *"), ["p:6:access:s:t"]);
    let ttl: i64 = redis::cmd("TTL").arg("p:6:access:s:t").query(&mut connection).unwrap();
    assert!((7199..=7201).contains(&ttl), "{ttl}");
}

#[test]
fn a_password_and_a_user() {
    let server = RedisServer::start_with(&["--requirepass", "s3cret/@"]);
    works(builder(&format!("redis://:s3cret%2F%40@127.0.0.1:{}", server.port)));
    let error = start_error(builder(&format!("redis://:wrong@127.0.0.1:{}", server.port)));
    assert!(error.contains("uthent") || error.contains("WRONGPASS"), "{error}");
    assert!(!error.contains("wrong@"), "{error}");
    let error = start_error(builder(&server.url()));
    assert!(error.contains("NOAUTH") || error.contains("uthent"), "{error}");
}

#[test]
fn the_documented_user_suffices() {
    let server = RedisServer::start();
    set_user(&server, &[]);
    works(builder(&format!("redis://tollgate:password@127.0.0.1:{}", server.port)));
    let error =
        start_error(builder(&format!("redis://tollgate:password@127.0.0.1:{}/1", server.port)));
    assert!(error.contains("select"), "{error}");
    set_user(&server, &["+select", "+info"]);
    works(builder(&format!("redis://tollgate:password@127.0.0.1:{}/1", server.port)));
    // It may do nothing else.
    let url = format!("redis://tollgate:password@127.0.0.1:{}", server.port);
    let mut connection = support::redis::connection(url.as_str());
    for forbidden in ["FLUSHALL", "KEYS *", "GET other:x", "CONFIG GET *"] {
        let mut words = forbidden.split(' ');
        let refused =
            redis::cmd(words.next().unwrap()).arg(words.collect::<Vec<_>>()).exec(&mut connection);
        assert_eq!(refused.unwrap_err().code(), Some("NOPERM"), "{forbidden}");
    }
    // Keys of others are none of its.
    let limiter = Limiter::new(builder(&url).key_prefix("other:").build().unwrap());
    let error = runtime().block_on(limiter.check(&POLICY, "s")).unwrap_err();
    assert!(
        std::error::Error::source(&error).is_some_and(|error| error.to_string().contains("NOPERM")
            || error.to_string().contains("permission")),
        "{error:?}"
    );
}

#[test]
fn the_documented_user_suffices_in_a_cluster_and_with_sentinels() {
    let cluster = RedisCluster::start();
    for node in &cluster.nodes {
        set_user(node, &["+cluster|slots", "+asking"]);
    }
    works(builder(&cluster.url().replace("redis://", "redis://tollgate:password@")));
    let sentinels = Sentinels::start();
    for server in &sentinels.servers {
        set_user(server, &["+role"]);
    }
    works(builder(&sentinels.url().replace("redis://", "redis://tollgate:password@")));
}

#[test]
fn sentinels_and_clusters_are_found() {
    let cluster = RedisCluster::start();
    works(builder(&cluster.url()));
    works(builder(&format!("redis://127.0.0.1:{}?cluster=true", cluster.nodes[5].port)));
    let single = RedisServer::start();
    let error = start_error(builder(&format!("{}?cluster=true", single.url())));
    assert!(error.contains("cluster"), "{error}");
    let sentinels = Sentinels::start();
    works(builder(&sentinels.url()));
    let error = start_error(builder(&sentinels.url().replace("mymaster", "other")));
    assert!(error.contains("no sentinel names a master `other`"), "{error}");
}

/// Adds credentials to the URL of sentinels: the server's before `@`, and those of the sentinels.
fn with_passwords(sentinels: &Sentinels, servers: &str, more: &str) -> String {
    let hosts = sentinels.url().replace("redis://", "");
    match servers {
        "" => format!("redis://{hosts}{more}"),
        servers => format!("redis://:{servers}@{hosts}{more}"),
    }
}

#[test]
fn passwords_of_servers_alone() {
    let sentinels =
        Sentinels::start_with_passwords(Passwords { servers: "pw-servers", sentinels: "" });
    works(builder(&with_passwords(&sentinels, "pw-servers", "")));
    for wrong in ["", "pw-wrong"] {
        let error = start_error(builder(&with_passwords(&sentinels, wrong, "")));
        assert!(error.contains("before `@`"), "{error}");
        assert!(!error.contains("pw-"), "{error}");
    }
}

#[test]
fn passwords_of_sentinels_alone() {
    let sentinels =
        Sentinels::start_with_passwords(Passwords { servers: "", sentinels: "pw-sentinels" });
    let url = with_passwords(&sentinels, "", "");
    works(builder(&format!("{url}&sentinel_password=pw-sentinels")));
    works(builder(&url).sentinel_password("pw-sentinels"));
    // The builder takes precedence.
    works(builder(&format!("{url}&sentinel_password=no")).sentinel_password("pw-sentinels"));
    works(builder(&format!(
        "{url}&sentinel_username={SENTINEL_USER}&sentinel_password=pw-sentinels"
    )));
    works(builder(&url).sentinel_username(SENTINEL_USER).sentinel_password("pw-sentinels"));
    for wrong in ["", "&sentinel_password=pw-wrong"] {
        let error = start_error(builder(&format!("{url}{wrong}")));
        assert!(error.contains("`sentinel_password`"), "{error}");
        assert!(!error.contains("pw-"), "{error}");
    }
    let error =
        start_error(builder(&url).sentinel_username("nobody").sentinel_password("pw-sentinels"));
    assert!(error.contains("`sentinel_username`") && !error.contains("pw-"), "{error}");
}

#[test]
fn passwords_of_servers_and_sentinels_that_differ() {
    let passwords = Passwords { servers: "pw-servers", sentinels: "pw-sentinels" };
    let sentinels = Sentinels::start_with_passwords(passwords);
    let url = with_passwords(&sentinels, "pw-servers", "");
    works(builder(&format!("{url}&sentinel_password=pw-sentinels")));
    works(builder(&url).sentinel_password("pw-sentinels"));
    for (servers, more) in [
        ("pw-servers", ""),
        ("pw-servers", "&sentinel_password=pw-servers"),
        ("pw-sentinels", "&sentinel_password=pw-sentinels"),
        ("", "&sentinel_password=pw-sentinels"),
    ] {
        let error = start_error(builder(&with_passwords(&sentinels, servers, more)));
        assert!(error.contains("`sentinel_password`"), "{error}");
        assert!(!error.contains("pw-"), "{error}");
    }
}

/// The sentinels get the server's password, whichever of them cannot be reached.
#[test]
fn one_password_of_servers_and_sentinels() {
    let sentinels =
        Sentinels::start_with_passwords(Passwords { servers: "pw-both", sentinels: "pw-both" });
    works(builder(&with_passwords(&sentinels, "pw-both", "")));
    works(builder(&with_passwords(&sentinels, "pw-both", "&sentinel_password=pw-both")));
    let nobody = "127.0.0.1:1";
    let url = with_passwords(&sentinels, "pw-both", "");
    works(builder(&url.replace('@', &format!("@{nobody},"))));
    works(builder(&url.replace("/0?", &format!(",{nobody}/0?"))));
}

/// The text with which a limiter does not start, on a server with these options.
fn start_error_with(options: &[&str], user: &str) -> String {
    let server = RedisServer::start_with(options);
    let error = start_error(builder(&format!("redis://{user}127.0.0.1:{}", server.port)));
    assert!(error.contains(&server.port.to_string()), "{error}");
    error
}

/// Nothing is waited for, and the cause is told with what to do.
#[test]
fn waiting_cannot_heal_and_the_start_tells() {
    let password = ["--requirepass", "pw-right"];
    let no_hello = ["--rename-command", "HELLO", ""];
    let no_scripts = ["--rename-command", "SCRIPT", ""];
    let both = [password, ["--rename-command", "HELLO"]].concat();
    let both = [both.as_slice(), &[""]].concat();
    for (options, user, cause, remedy) in [
        (&password[..], "", "NOAUTH", "`redis://:password@host`"),
        (&password, ":pw-wrong@", "WRONGPASS", "percent-encoded"),
        (&password, "nobody:pw-right@", "WRONGPASS", "percent-encoded"),
        (&no_hello, "", "HELLO", "RESP3"),
        (&both, ":pw-right@", "HELLO", "RESP3"),
        (&both, "default:pw-right@", "HELLO", "RESP3"),
        (&no_scripts, "", "SCRIPT", "Lua"),
    ] {
        let error = start_error_with(options, user);
        println!("{error}");
        assert!(error.contains(cause) && error.contains(remedy), "{error}");
        assert!(!error.contains("pw-") && !error.contains("local "), "{error}");
    }
}

#[test]
fn a_server_that_is_not_there_is_an_error_in_time() {
    let mut server = RedisServer::start();
    server.kill();
    let backend = RedisBackend::builder(&server.url()).deadline(Duration::from_millis(50));
    let limiter = Limiter::new(backend.build().unwrap());
    runtime().block_on(async {
        let error = limiter.check(&POLICY, "s").await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("did not act"), "{cause}");
    });
    let error = start_error(builder(&server.url()));
    assert!(error.contains("onnection refused"), "{error}");
}
