//! The rights of the documented Redis user: they suffice for every check, each that is missing is
//! told at start, and a missing one lifts no limit.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use tollgate::stats::BreakerState;
use tollgate::testing::ManualClock;
use tollgate::{
    Algorithm, Limiter, LocalTier, MemoryBackend, OnError, Policy, Quota, RedisBackend, Source,
};

use crate::timed::{PATIENCE, limiter_on, runtime};
use support::redis::{RedisCluster, RedisServer};
use support::reference::START;

/// The user of the documentation.
fn documented_user() -> Vec<String> {
    let docs = include_str!("../../runtime/src/docs/redis.md");
    let text = docs.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    text.split_ascii_whitespace().skip(2).map(str::to_owned).collect()
}

/// Creates the documented user anew, and changes it by `more`.
pub(crate) fn set_user(server: &RedisServer, more: &[&str]) {
    let mut command = redis::cmd("ACL");
    command.arg("SETUSER").arg("tollgate").arg("reset");
    // A right is left out instead of taken away: Redis 6 takes whole commands away alone.
    let (less, more): (Vec<&str>, Vec<&str>) = more.iter().partition(|word| word.starts_with('-'));
    let is_kept = |word: &&String| !less.iter().any(|right| right[1..] == word[1..]);
    command.arg(documented_user()[1..].iter().filter(is_kept).collect::<Vec<_>>()).arg(more);
    command.exec(&mut server.connection()).unwrap();
}

fn url(server: &RedisServer) -> String {
    format!("redis://tollgate:password@127.0.0.1:{}", server.port)
}

fn limiter(server: &RedisServer) -> Limiter {
    Limiter::new(RedisBackend::builder(&url(server)).deadline(PATIENCE).build().unwrap())
}

fn policy(algorithm: Algorithm, quotas: u64) -> Policy {
    let quota = |n: u64| Quota::new(2 + n as u32, Duration::from_secs(60 * n));
    let policy = Policy::new("rights", quota(1)).algorithm(algorithm);
    (2..=quotas).fold(policy, |policy, n| policy.and(quota(n)))
}

/// Does everything that a limiter can do with a subject, and returns what it answers.
async fn all_actions(limiter: &Limiter, clock: &ManualClock, policy: &Policy) -> Vec<String> {
    let subject = format!("{:?}{}", policy.get_algorithm(), policy.quotas().len());
    let mut told = Vec::new();
    for round in 0..4 {
        for cost in [1, 0, 2, 1, 9] {
            let charged = limiter.check_cost(policy, &subject, cost).await.unwrap();
            assert_eq!(charged.source(), Source::Store);
            told.push(format!("{:?} {}", charged.outcome(), charged.remaining()));
            let peeked = limiter.peek(policy, &subject, 1).await.unwrap();
            told.push(format!("{:?} {}", peeked.outcome(), peeked.remaining()));
            if (round + cost) % 2 == 0 {
                told.push(format!("{:?}", limiter.refund(charged).await.unwrap()));
            }
            clock.advance(Duration::from_secs(7));
        }
        if round == 2 {
            limiter.reset(policy, &subject).await.unwrap();
        }
    }
    told
}

#[test]
fn the_documented_rights_suffice_for_every_algorithm_quota_and_action() {
    let server = RedisServer::start();
    set_user(&server, &[]);
    runtime().block_on(async {
        let real = limiter(&server);
        real.initialize().await.unwrap();
        for &algorithm in Algorithm::ALL {
            for quotas in 1..=4 {
                let policy = policy(algorithm, quotas);
                // The script reads the server's time only without a clock of the test's.
                let subject = format!("{algorithm:?} {quotas}, in real time");
                assert!(real.check(&policy, &subject).await.unwrap().is_allowed());
                let clocks = [ManualClock::new(), ManualClock::new()];
                clocks.iter().for_each(|clock| clock.set_micros(START));
                let redis = limiter_on(&url(&server), &clocks[0]);
                let memory = MemoryBackend::builder().clock(clocks[1].clone()).build();
                let memory = Limiter::new(memory);
                assert_eq!(
                    all_actions(&redis, &clocks[0], &policy).await,
                    all_actions(&memory, &clocks[1], &policy).await,
                    "{algorithm:?}, {quotas} quotas"
                );
            }
        }
    });
}

/// The documented rights without which no check works, each as the name of its command.
fn needed_rights() -> Vec<String> {
    let rights = documented_user().into_iter().filter_map(|word| {
        let right = word.strip_prefix('+')?;
        (!["hello", "ping", "unwatch"].contains(&right)).then(|| right.to_owned())
    });
    rights.collect()
}

/// The names by which servers tell a right: before Redis 7 that of the whole command.
fn names_of(right: &str) -> impl Iterator<Item = &str> {
    [Some(right), right.split('|').next()].into_iter().flatten()
}

fn start_error(limiter: &Limiter) -> String {
    runtime().block_on(limiter.initialize()).unwrap_err().to_string()
}

#[test]
fn each_right_that_is_missing_is_told_at_start() {
    let server = RedisServer::start();
    assert!(needed_rights().len() >= 9);
    for right in needed_rights() {
        set_user(&server, &[&format!("-{right}")]);
        let error = start_error(&limiter(&server));
        assert!(error.contains("does not permit"), "{error}");
        let is_told = names_of(&right).any(|right| {
            error.contains(&format!("lacks the right to `{right}`."))
                && error.ends_with(&format!("ACL SETUSER tollgate +{right}"))
        });
        assert!(is_told, "{error}");
    }
    set_user(&server, &["-get", "-set"]);
    let error = start_error(&limiter(&server));
    assert!(error.ends_with("ACL SETUSER tollgate +get +set"), "{error}");
    set_user(&server, &["resetkeys", "~other:*"]);
    let error = start_error(&limiter(&server));
    assert!(error.ends_with("ACL SETUSER tollgate ~tollgate:*"), "{error}");
    // The right is enough.
    set_user(&server, &[]);
    runtime().block_on(limiter(&server).initialize()).unwrap();
    let mut connection = server.connection();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    for key in keys {
        let ttl: i64 = redis::cmd("PTTL").arg(&key).query(&mut connection).unwrap();
        assert!(ttl >= 0 || ttl == -2, "{key} would stay");
    }
}

/// The arguments of a line of MONITOR, each in quotes and with escapes.
fn arguments(line: &str) -> Vec<Vec<u8>> {
    let (mut arguments, mut bytes) = (Vec::new(), line.bytes());
    while bytes.any(|byte| byte == b'"') {
        let mut argument = Vec::new();
        while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
            let plain = match (byte, byte == b'\\') {
                (_, true) => match bytes.next().unwrap() {
                    b'x' => {
                        let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                        u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                    }
                    escaped => match b"nrtab".iter().position(|letter| *letter == escaped) {
                        Some(index) => b"\n\r\t\x07\x08"[index],
                        None => escaped,
                    },
                },
                (byte, false) => byte,
            };
            argument.push(plain);
        }
        arguments.push(argument);
    }
    arguments
}

/// The start runs the script until it has called each of its commands, and has stored each form of
/// state: of every algorithm, with one to four quotas, and one that was converted.
#[test]
fn the_start_runs_every_path_of_the_script() {
    let server = RedisServer::start();
    set_user(&server, &[]);
    let mut monitor = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    monitor.write_all(b"MONITOR\r\n").unwrap();
    let mut lines = BufReader::new(monitor).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "+OK");
    runtime().block_on(limiter(&server).initialize()).unwrap();
    let _: () = server.ask("PING done");
    let calls: Vec<_> = lines
        .take_while(|line| !line.contains("\"PING\" \"done\""))
        .filter(|line| line.contains(" lua]"))
        .map(|line| arguments(&line))
        .collect();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase();
    let called: BTreeSet<_> = calls.iter().map(|call| text(&call[0])).collect();
    let of_script = |right: &String| !["evalsha", "script|load"].contains(&&**right);
    assert_eq!(called, needed_rights().into_iter().filter(of_script).collect());
    let sets = || calls.iter().filter(|call| call[0] == b"SET").map(|call| &call[2]);
    // The version, the algorithm, the number of quotas and the mark of a change.
    let stored: BTreeSet<_> = sets().map(|value| (value[1], value[2])).collect();
    let long = (1..=4).flat_map(|family| (1..=4).map(move |quotas| (family, quotas)));
    let short = (5, 1);
    assert_eq!(stored, long.chain([short]).collect());
    let converted: BTreeSet<_> =
        sets().filter(|value| value[3] % 128 > 0).map(|it| it[1]).collect();
    assert_eq!(converted, BTreeSet::from([1, 2, 3, 4]));
    // The tails of debts, and of bans without and with them.
    let tails: BTreeSet<_> = sets().filter(|value| value[3] >= 128).map(|it| it[1]).collect();
    assert_eq!(tails, BTreeSet::from([1, 2, 3, 4]));
    let ranges = |name: &[u8]| {
        let ranges = calls.iter().filter(|call| call[0] == name);
        ranges.map(|call| text(&call[2])).collect::<BTreeSet<_>>().len()
    };
    assert!(ranges(b"GETRANGE") > 1 && ranges(b"SETRANGE") > 1, "also the rings of logs");
    assert!(calls.iter().any(|call| call[0] == b"GETRANGE" && call[3] == b"1023"));
}

#[test]
fn a_right_that_one_node_of_a_cluster_lacks_is_told_at_start() {
    let cluster = RedisCluster::start();
    let url = cluster.url().replace("redis://", "redis://tollgate:password@");
    let limiter = || Limiter::new(RedisBackend::builder(&url).deadline(PATIENCE).build().unwrap());
    cluster.nodes.iter().for_each(|node| set_user(node, &["+cluster|slots", "+asking"]));
    runtime().block_on(limiter().initialize()).unwrap();
    // Masters and replicas alike, because the test does not ask which one is which.
    for node in &cluster.nodes {
        set_user(node, &["+cluster|slots", "+asking", "-get"]);
    }
    let error = start_error(&limiter());
    assert!(error.ends_with("ACL SETUSER tollgate +get"), "{error}");
    cluster.nodes.iter().for_each(|node| set_user(node, &["+asking"]));
    let error = start_error(&limiter());
    let is_told = names_of("cluster|slots").any(|right| error.contains(&format!("'{right}'")));
    assert!(error.contains("does not permit") && is_told, "{error}");
}

#[test]
fn a_missing_right_lifts_no_limit_and_is_no_outage() {
    let server = RedisServer::start();
    for right in needed_rights() {
        // The server forgets the script, so that it has to be loaded.
        redis::cmd("SCRIPT").arg("FLUSH").exec(&mut server.connection()).unwrap();
        set_user(&server, &[&format!("-{right}")]);
        let backend = RedisBackend::builder(&url(&server)).deadline(PATIENCE).build().unwrap();
        let builder = Limiter::builder(backend).instances(2).local_tier(LocalTier::none());
        let limiter = builder.build();
        runtime().block_on(async {
            let mut failures = 0;
            for on_error in [OnError::Open, OnError::Local, OnError::Closed] {
                for algorithm in [Algorithm::SlidingWindow, Algorithm::FixedWindow] {
                    let policy = policy(algorithm, 1).on_error(on_error);
                    let subject = format!("{right} {on_error:?} {algorithm:?}");
                    // More checks than it takes to open the circuit breaker.
                    for _ in 0..7 {
                        match limiter.check(&policy, &subject).await {
                            Ok(decision) => {
                                assert_eq!(decision.source(), Source::Store, "{subject}");
                            }
                            Err(error) => {
                                let cause = error.source().unwrap().to_string();
                                let is_told = cause.contains("NOPERM")
                                    || cause.contains("can't run")
                                    || cause.contains("ACL failure in script");
                                assert!(is_told, "{subject}: {cause}");
                                failures += 1;
                            }
                        }
                    }
                }
            }
            let expected = match &*right {
                // Only a reset needs it.
                "del" => 0..=0,
                // Only checks of fixed windows with one quota need it, and only those of sliding
                // windows need the other.
                "get" | "getrange" => 21..=21,
                // Only those of many admissions need them.
                "setrange" | "pexpire" => 0..=0,
                _ => 42..=42,
            };
            assert!(expected.contains(&failures), "{right}: {failures}");
            let breaker = limiter.stats().breaker.unwrap();
            assert_eq!((breaker.state, breaker.opened), (BreakerState::Closed, 0), "{right}");
            set_user(&server, &[]);
            for &algorithm in Algorithm::ALL {
                let policy = policy(algorithm, 1).on_error(OnError::Open);
                let subject = format!("{right} {algorithm:?}");
                let decision = limiter.check(&policy, &subject).await.unwrap();
                assert_eq!(decision.source(), Source::Store, "{right}");
            }
        });
    }
}
