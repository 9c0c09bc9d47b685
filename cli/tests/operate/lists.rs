//! Lists of what is counted, made in steps between which the server serves others.

use std::collections::HashMap;
use std::time::Duration;

use support::redis::RedisServer;
use support::scaled;
use tollgate::{Algorithm, Policy, Quota};

use crate::command::{done, runtime, says, service};

const HOUR: Duration = Duration::from_secs(3_600);

/// Fills a server with keys of these policies, and with as many of others.
fn fill(server: &RedisServer, policies: &[(&str, u32)]) {
    let limiter = service(&server.url()).build();
    let runtime = runtime();
    let mut pipe = redis::pipe();
    for (name, subjects) in policies {
        let policy = Policy::named(*name, Quota::new(5, HOUR));
        runtime.block_on(async {
            for number in 0..*subjects {
                let _ = limiter.check(&policy, &format!("s{number}")).await.unwrap();
            }
        });
        for number in 0..*subjects {
            pipe.cmd("SET").arg(format!("session:{name}:{number}")).arg(1).ignore();
        }
    }
    // These have the prefix, and are those of no subject.
    pipe.cmd("SET").arg("tollgate:").arg(1).ignore();
    pipe.cmd("SET").arg("tollgate:9:short").arg(1).ignore();
    pipe.exec(&mut server.connection()).unwrap();
}

#[test]
fn policies_with_their_subjects_and_quotas() {
    let server = RedisServer::start();
    fill(&server, &[("login", 40), ("shop::orders", 7), ("a*b[c]", 3), ("tollgate:5:x", 1)]);
    let runtime = runtime();
    let limiter = service(&server.url()).build();
    let many = Policy::new("many", Quota::new(9, HOUR).burst(20))
        .and(Quota::new(100, Duration::from_micros(86_400_000_001)))
        .algorithm(Algorithm::Gcra);
    let _ = runtime.block_on(limiter.check(&many, "ann")).unwrap();

    let listed = done(&server.url(), &["keys"]);
    assert_eq!(
        listed.output,
        "\
policy             subjects  form of one
a*b[c]                    3  sliding_window 5/1h
login                    40  sliding_window 5/1h
many                      1  token_bucket/leaky_bucket/gcra 9/1h with a burst of 20, 100/1d1us
shop::orders              7  sliding_window 5/1h
tollgate:5:x              1  sliding_window 5/1h
"
    );
    assert!(
        listed.error.contains("2 keys begin with the prefix and are those of no subject"),
        "{}",
        listed.error
    );
    let listed = done(&server.url(), &["keys", "--json"]).json();
    assert_eq!(listed.len(), 5);
    assert_eq!(listed[1]["policy"], "login");
    assert_eq!(listed[1]["keys"], 40);
    assert_eq!(listed[2]["form"]["quotas"][0]["burst"], 20);

    // Characters that mean something in a pattern mean themselves.
    for (policy, count) in [("login", 40), ("a*b[c]", 3), ("tollgate:5:x", 1)] {
        let listed = done(&server.url(), &["keys", policy]).output;
        let mut subjects: Vec<&str> = listed.lines().collect();
        subjects.sort_unstable();
        let mut expected: Vec<String> = (0..count).map(|number| format!("s{number}")).collect();
        expected.sort_unstable();
        assert_eq!(subjects, expected, "{policy}");
    }
    let listed = done(&server.url(), &["keys", "login", "--json"]).json();
    assert!(listed.iter().any(|line| line["subject"] == "s7"), "{listed:?}");
    let nobody = says(&["keys", "logi", "--redis", &server.url()]);
    assert_eq!(nobody.code, Some(1));
    assert!(
        nobody.error.contains("logi: nobody is counted; `tollgate keys` lists"),
        "{}",
        nobody.error
    );
}

#[test]
fn those_who_are_banned() {
    let server = RedisServer::start();
    fill(&server, &[("login", 100), ("search", 30)]);
    let (login, search) =
        (Policy::new("login", Quota::new(5, HOUR)), Policy::new("search", Quota::new(5, HOUR)));
    runtime().block_on(async {
        let limiter = service(&server.url()).build();
        limiter.ban(&login, "s7", 2 * HOUR).await.unwrap();
        limiter.ban(&search, "s9", 72 * HOUR).await.unwrap();
        limiter.ban(&search, "who was never counted", HOUR / 2).await.unwrap();
    });
    let listed = done(&server.url(), &["keys", "--banned"]);
    let mut lines: Vec<&str> = listed.output.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["2h  login  s7", "30m  search  who was never counted", "3d  search  s9"],);
    assert!(listed.error.contains("3 of 131 are banned"), "{}", listed.error);
    let listed = done(&server.url(), &["keys", "search", "--banned", "--json"]).json();
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|line| line["policy"] == "search"), "{listed:?}");
}

/// Steps are small, nothing is asked that holds the server, and no key is read but for its form.
#[test]
fn steps_are_small_and_few_keys_are_read() {
    let server = RedisServer::start();
    let subjects = scaled(1_000, 20_000);
    fill(&server, &[("login", subjects), ("search", subjects)]);
    server.ask::<()>("CONFIG RESETSTAT");
    let listed = done(&server.url(), &["keys", "--json"]).json();
    let counts: HashMap<&str, u64> = listed
        .iter()
        .map(|line| (line["policy"].as_str().unwrap(), line["keys"].as_u64().unwrap()))
        .collect();
    let all = u64::from(subjects);
    assert_eq!(counts, HashMap::from([("login", all), ("search", all)]));
    // Those of others are passed, too.
    let scans = server.calls("scan");
    assert!(scans >= 4 * all / 400, "{scans} steps for {} keys", 4 * all);
    assert_eq!(server.calls("getrange"), 2);
    for command in ["keys", "get", "mget", "evalsha", "eval", "script|load", "flushall"] {
        assert_eq!(server.calls(command), 0, "{command}");
    }
}

/// The output ends where its reader does.
#[test]
fn a_reader_that_has_seen_enough_ends_it() {
    let server = RedisServer::start();
    fill(&server, &[("login", 500)]);
    let mut keys = crate::command::command(&["keys", "login", "--redis", &server.url()]);
    let mut child = keys.stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
