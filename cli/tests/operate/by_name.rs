//! Subjects by name: the command finds what the service has counted, for each kind of key and each
//! setting on which a subject's text depends.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use support::redis::RedisServer;
use tollgate::{HttpOptions, Limiter, NamedSubject, Policy, Quota, Subject};

use crate::command::{command, runtime, says, says_to, service};

const NAME: &str = "shop::orders::list";
const POLICY: Policy = Policy::new(NAME, Quota::new(9, Duration::from_secs(3_600)));
const PEPPER: &str = "a pepper of more than sixteen bytes";

/// The options, and the subject that they name.
fn cases() -> Vec<(&'static [&'static str], NamedSubject)> {
    let ip = |text: &str| Subject::ip(text.parse::<IpAddr>().unwrap());
    vec![
        (&["--ip", "192.0.2.1"], ip("192.0.2.1")),
        (&["--ip", "::ffff:192.0.2.2"], ip("192.0.2.2")),
        (&["--ip", "2001:db8:1:2:3::4"], ip("2001:db8:1:2::9")),
        (&["--header", "x-api-key=k-1=2"], Subject::header("x-api-key", "k-1=2")),
        (&["--header", "Authorization=bearer  t"], Subject::header("authorization", "Bearer t")),
        (&["--cookie", "sid=a b"], Subject::cookie("sid", "a b")),
        (&["--query", "q=ann"], Subject::query("q", "ann")),
        (&["--query", "q=192.0.2.1"], Subject::query("q", "192.0.2.1")),
        (&["--path-param", "id=7"], Subject::path_param("id", "7")),
        (&["--arg", "7", "--arg", "a|b"], Subject::args(["7", "a|b"])),
        (&["--value", "plan: ü"], "plan: ü".into()),
        (&["--global"], Subject::global()),
        (&["--missing"], Subject::without_key()),
        (&["--subject", "ann|192.0.2.9"], Subject::counted("ann|192.0.2.9")),
        (&["--value", "{curly}"], "{curly}".into()),
        (
            &["--query", "user=ann", "--ip", "192.0.2.1"],
            Subject::all([Subject::query("user", "ann"), ip("192.0.2.1")]),
        ),
        (
            &["--ip", "192.0.2.1", "--query", "user=ann"],
            Subject::all([ip("192.0.2.1"), Subject::query("user", "ann")]),
        ),
        (
            &["--arg", "a", "--missing", "--header", "k=v"],
            Subject::all([Subject::args(["a"]), Subject::without_key(), Subject::header("k", "v")]),
        ),
    ]
}

/// Charges each subject once more than the one before, and lets the command look.
fn finds(server: &RedisServer, limiter: &Limiter, config: &[&str]) {
    let runtime = runtime();
    let url = server.url();
    for (options, subject) in cases() {
        server.ask::<()>("FLUSHALL");
        let peek = [&["peek", NAME, "--json", "--redis", &url][..], config, options].concat();
        let said = says(&peek);
        assert_eq!(said.code, Some(1), "{options:?}: {}", said.output);
        assert!(said.error.contains("nothing is stored"), "{options:?}: {}", said.error);
        let charged = runtime.block_on(limiter.check_cost(&POLICY, &subject, 4)).unwrap();
        assert!(charged.is_allowed());
        let said = says(&peek);
        let [found] = &said.json()[..] else { panic!("{options:?}: {}", said.error) };
        assert_eq!(found["quotas"][0]["remaining"], 5, "{options:?}: {found}");
        assert_eq!(found["subject"], limiter.subject_text(&subject), "{options:?}");
        assert!(!said.output.contains("k-1"), "{options:?}");
    }
}

#[test]
fn each_kind_of_key() {
    let server = RedisServer::start();
    finds(&server, &service(&server.url()).build(), &[]);
}

#[test]
fn by_the_settings_of_the_service() {
    let server = RedisServer::start();
    let file = server.directory().join("tollgate.toml");
    for (settings, options) in [
        ("ipv6_prefix = 48", HttpOptions::new().ipv6_prefix(48).unwrap()),
        ("hash_subjects = true", HttpOptions::new().hash_subjects(true)),
        (
            "hash_subjects = true\npepper = \"a pepper of more than sixteen bytes\"",
            HttpOptions::new().hash_subjects(true).pepper(PEPPER).unwrap(),
        ),
    ] {
        fs::write(&file, format!("[http]\n{settings}\n")).unwrap();
        let limiter = service(&server.url()).http(options).build();
        finds(&server, &limiter, &["--config", file.to_str().unwrap()]);
    }
}

#[test]
fn credentials_come_from_standard_input() {
    let server = RedisServer::start();
    let limiter = service(&server.url()).build();
    let subject =
        Subject::all([Subject::header("x-api-key", "s3cret="), Subject::cookie("sid", "c")]);
    assert!(runtime().block_on(limiter.check(&POLICY, &subject)).unwrap().is_allowed());
    let peek = ["peek", NAME, "--header", "x-api-key", "--cookie", "sid"];
    let said = says_to("s3cret=\r\nc\n", &[&peek[..], &["--redis", &server.url()]].concat());
    assert!(said.output.contains("9/1h: 8 left"), "{}{}", said.output, said.error);
    let said = says_to("s3cret=\n", &[&peek[..], &["--redis", &server.url()]].concat());
    assert_eq!(said.code, Some(2));
    assert!(
        said.error.contains("the value of `sid` is missing: write it to standard input"),
        "{}",
        said.error
    );
}

/// The environment is that of the service: the URL, and the pepper.
#[test]
fn by_the_environment_of_the_service() {
    let server = RedisServer::start();
    let options = HttpOptions::new().pepper(PEPPER).unwrap();
    let limiter = service(&server.url()).http(options).build();
    let subject = Subject::header("x-api-key", "k");
    assert!(runtime().block_on(limiter.check(&POLICY, &subject)).unwrap().is_allowed());
    for name in ["REDIS_URL", "TOLLGATE_BACKEND__URL"] {
        let mut peek = command(&["peek", NAME, "--header", "x-api-key=k"]);
        let output = peek.env(name, server.url()).env("TOLLGATE_HTTP__PEPPER", PEPPER).output();
        assert!(output.unwrap().status.success(), "{name}");
    }
}
