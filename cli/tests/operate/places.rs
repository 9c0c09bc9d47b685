//! Wherever the library counts: a single server, sentinels, a cluster, under any prefix.

use std::fs;
use std::time::Duration;

use support::redis::{RedisCluster, RedisServer, Sentinels};
use tollgate::{Policy, Quota, RedisBackend};

use crate::command::{done, object, runtime, says, service};

const POLICY: Policy = Policy::new("login", Quota::new(5, Duration::from_secs(3_600)));

/// All that the command does.
fn works(url: &str, more: &[&str]) {
    let limiter = service(url).build();
    let subjects = 60;
    let runtime = runtime();
    for number in 0..subjects {
        let _ = runtime.block_on(limiter.check(&POLICY, &format!("s{number}"))).unwrap();
    }
    let with = |arguments: &[&str]| done(url, &[arguments, more].concat());
    let keys = with(&["keys"]).output;
    assert!(keys.ends_with("\nlogin              60  sliding_window 5/1h\n"), "{url}: {keys}");
    assert_eq!(with(&["keys", "login"]).output.lines().count(), subjects, "{url}");
    for number in 0..subjects {
        let subject = format!("s{number}");
        let peek = object(url, &[&["peek", "login", "--subject", &subject], more].concat());
        assert_eq!(peek["quotas"][0]["remaining"], 4, "{url}: {peek}");
        if number % 20 != 0 {
            continue;
        }
        with(&["ban", "login", "--subject", &subject, "--for", "1h"]);
        assert!(!runtime.block_on(limiter.check(&POLICY, &subject)).unwrap().is_allowed());
        with(&["unban", "login", "--subject", &subject]);
        assert!(runtime.block_on(limiter.check(&POLICY, &subject)).unwrap().is_allowed());
        with(&["reset", "login", "--subject", &subject]);
        let full = runtime.block_on(limiter.peek(&POLICY, &subject, 1)).unwrap();
        assert_eq!(full.remaining(), 5);
    }
    with(&["ban", "login", "--subject", "s1", "--for", "1h"]);
    let banned = with(&["keys", "--banned"]).output;
    assert_eq!(banned, "1h  login  s1\n", "{url}");
}

#[test]
fn a_single_server_and_its_databases() {
    let server = RedisServer::start_with(&["--requirepass", "s3cret"]);
    works(&format!("redis://:s3cret@127.0.0.1:{}/3", server.port), &[]);
}

#[test]
fn a_socket() {
    let server = RedisServer::start();
    works(&format!("redis+unix://{}?db=2", server.socket().display()), &[]);
}

#[test]
fn sentinels() {
    let sentinels = Sentinels::start();
    works(&sentinels.url(), &[]);
}

#[test]
fn a_cluster() {
    let cluster = RedisCluster::start();
    works(&cluster.url(), &[]);
}

#[test]
fn a_prefix_is_that_of_the_url_or_the_option() {
    let server = RedisServer::start();
    works(&format!("{}?key_prefix=shop%2A:", server.url()), &[]);
    let limiter = tollgate::Limiter::new(
        RedisBackend::builder(&server.url()).key_prefix("mine?").build().unwrap(),
    );
    let _ = runtime().block_on(limiter.check(&POLICY, "ann")).unwrap();
    let keys = done(&server.url(), &["keys", "--prefix", "mine?"]).output;
    assert!(keys.ends_with("\nlogin               1  sliding_window 5/1h\n"), "{keys}");
    let nobody = done(&server.url(), &["keys"]);
    assert_eq!(nobody.output, "");
    assert!(nobody.error.contains("is it the right database and --prefix?"), "{}", nobody.error);
}

#[test]
fn a_configuration_names_the_redis() {
    let server = RedisServer::start_with(&["--requirepass", "s3cret"]);
    let folder = server.directory();
    fs::write(folder.join("password"), "s3cret\n").unwrap();
    let password = folder.join("password");
    let file = folder.join("tollgate.toml");
    let config = format!(
        "[backend]\nurl = \"{}?key_prefix=shop:\"\npassword_file = {password:?}\n\n[policies.login]\nlimit = 7\n",
        server.url()
    );
    fs::write(&file, config).unwrap();
    let url = format!("redis://:s3cret@127.0.0.1:{}?key_prefix=shop:", server.port);
    let _ = runtime().block_on(service(&url).build().check(&POLICY, "ann")).unwrap();
    let said = says(&["peek", "login", "--subject", "ann", "--config", file.to_str().unwrap()]);
    assert!(said.output.contains("5/1h: 4 left"), "{}{}", said.output, said.error);
}
