//! The changes by the command: to a subject, in whatever form it is stored, and nothing else.

use std::time::Duration;

use serde_json::json;
use support::redis::RedisServer;
use tollgate::{Algorithm, Ban, Calendar, Outcome, Policy, Quota};

use crate::command::{done, object, runtime, says, service};

const HOUR: Duration = Duration::from_secs(3_600);
const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// Policies of every form that is stored.
fn policies() -> Vec<Policy> {
    let mut policies = Vec::new();
    for algorithm in Algorithm::ALL {
        let name = algorithm.as_str();
        let quotas = [
            Quota::new(5, HOUR),
            // The log has a form for few admissions, for long periods, and for granules.
            Quota::new(7, Duration::from_millis(4_200_500)),
            Quota::new(1_100, YEAR),
        ];
        for (at, quota) in quotas.into_iter().enumerate() {
            policies.push(Policy::named(format!("{name} {at}"), quota).algorithm(*algorithm));
        }
        let several = Policy::named(format!("{name} several"), Quota::new(5, HOUR))
            .and(Quota::new(900, Duration::from_secs(200 * 86_400)))
            .and(Quota::new(1_100, YEAR))
            .and(Quota::new(6, Duration::from_secs(4_000)));
        policies.push(several.algorithm(*algorithm));
    }
    let burst = Quota::new(5, HOUR).burst(11);
    policies.push(Policy::new("burst", burst).algorithm(Algorithm::TokenBucket));
    let zones = ["UTC", "America/Argentina/ComodRivadavia", "Asia/Kathmandu", "Europe/Berlin"];
    let mut calendars = Calendar::ALL.iter().zip(zones).map(|(unit, zone)| {
        let quota = Quota::calendar(5, *unit, zone);
        (quota, Policy::named(format!("{unit} in {zone}"), quota).algorithm(Algorithm::FixedWindow))
    });
    let (of_days, day) = calendars.next().unwrap();
    policies.push(day);
    let mixed = Policy::new("calendars and a period", of_days).and(Quota::new(7, HOUR));
    let mixed = calendars.fold(mixed, |mixed, (quota, policy)| {
        policies.push(policy);
        if mixed.quotas().len() < Policy::MAX_QUOTAS { mixed.and(quota) } else { mixed }
    });
    policies.push(mixed.algorithm(Algorithm::FixedWindow));
    policies
}

/// By the form in the state alone, the command sees what the service sees.
#[test]
fn it_looks_as_the_service_does() {
    let server = RedisServer::start();
    let limiter = service(&server.url()).build();
    let runtime = runtime();
    for policy in policies() {
        for costs in [&[1][..], &[1, 1, 1], &[3, 1]] {
            server.ask::<()>("FLUSHALL");
            for cost in costs {
                let charged = runtime.block_on(limiter.check_cost(&policy, "ann", *cost)).unwrap();
                assert!(charged.is_allowed(), "{policy:?}");
            }
            let found = object(&server.url(), &["peek", policy.name(), "--subject", "ann"]);
            let decision = runtime.block_on(limiter.peek(&policy, "ann", 1)).unwrap();
            let seen = found["quotas"].as_array().unwrap();
            assert_eq!(seen.len(), policy.quotas().len(), "{found}");
            for ((seen, quota), state) in seen.iter().zip(policy.quotas()).zip(decision.quotas()) {
                assert_eq!(seen["limit"], quota.limit(), "{found}");
                assert_eq!(seen["burst"], quota.capacity(), "{found}");
                assert_eq!(seen["period"], quota.period().as_secs_f64(), "{found}");
                let calendar =
                    quota.get_calendar().map(|(unit, zone)| json!([unit.as_str(), zone]));
                assert_eq!(seen["calendar"], json!(calendar), "{found}");
                assert_eq!(seen["remaining"], state.remaining(), "{found} {costs:?}");
            }
            let names = found["form"]["algorithms"].as_array().unwrap();
            assert!(names.iter().any(|name| *name == policy.get_algorithm().as_str()), "{found}");
            assert_eq!(found["banned_for"], serde_json::Value::Null);
        }
    }
}

/// A ban of a subject that nobody has counted yet refuses it, and leaves nothing behind.
#[test]
fn whoever_was_never_counted_can_be_banned() {
    let server = RedisServer::start();
    let limiter = service(&server.url()).build();
    let runtime = runtime();
    for policy in policies() {
        server.ask::<()>("FLUSHALL");
        let ban = ["ban", policy.name(), "--subject", "eve", "--for", "1h30m"];
        let said = done(&server.url(), &ban);
        assert_eq!(said.output, format!("{}, subject eve: banned for 1h30m.\n", policy.name()));
        let peek = ["peek", policy.name(), "--subject", "eve"];
        let peeked = done(&server.url(), &peek).output;
        let expected =
            format!("{}, subject eve, never counted\n  banned for 1h30m\n", policy.name());
        assert_eq!(peeked, expected);
        let object = object(&server.url(), &peek);
        assert!(object["form"].is_null() && object["quotas"].is_null(), "{object}");
        let keys = done(&server.url(), &["keys"]).output;
        assert!(keys.ends_with("  1  banned before they were counted\n"), "{keys}");
        let refused = runtime.block_on(limiter.check(&policy, "eve")).unwrap();
        let Outcome::Banned { retry_after } = refused.outcome() else { panic!("{refused:?}") };
        assert!(retry_after <= Duration::from_secs(5_400), "{retry_after:?}");
        let unban =
            crate::command::object(&server.url(), &["unban", policy.name(), "--subject", "eve"]);
        assert_eq!(unban["was_banned"], true);

        // The whole limit is there, and no more.
        let most = policy.quotas().iter().map(Quota::capacity).min().unwrap();
        let peeked = runtime.block_on(limiter.peek(&policy, "eve", 1)).unwrap();
        assert_eq!(peeked.remaining(), most, "{policy:?}");
        if most < 20 {
            for _ in 0..most {
                assert!(runtime.block_on(limiter.check(&policy, "eve")).unwrap().is_allowed());
            }
            assert!(!runtime.block_on(limiter.check(&policy, "eve")).unwrap().is_allowed());
        }
    }
}

/// The form of a subject and all that it has used stay as they are.
#[test]
fn a_ban_and_its_end_change_nothing_else() {
    let server = RedisServer::start();
    let limiter = service(&server.url()).build();
    let runtime = runtime();
    for policy in policies() {
        for subject in ["ann", "bob"] {
            let charged = runtime.block_on(limiter.check_cost(&policy, subject, 2)).unwrap();
            assert!(charged.is_allowed());
        }
        let look = || object(&server.url(), &["peek", policy.name(), "--subject", "ann"]);
        let remaining = |found: &serde_json::Value| {
            let quotas = found["quotas"].as_array().unwrap();
            quotas.iter().map(|quota| quota["remaining"].clone()).collect::<Vec<_>>()
        };
        let before = look();
        let ban = object(&server.url(), &["ban", policy.name(), "--subject", "ann", "--for", "2h"]);
        assert!(ban["banned_for"].as_f64().unwrap() > 7_190.0, "{ban}");
        // A shorter one replaces none that ends later.
        let said = done(&server.url(), &["ban", policy.name(), "--subject", "ann", "--for", "1m"]);
        assert!(
            said.output.contains("It was banned for longer before, and stays so."),
            "{}",
            said.output
        );
        let banned = look();
        assert!(banned["banned_for"].as_f64().unwrap() > 7_190.0, "{banned}");
        assert_eq!((&banned["form"], remaining(&banned)), (&before["form"], remaining(&before)));
        done(&server.url(), &["unban", policy.name(), "--subject", "ann"]);
        let after = look();
        assert_eq!(after["banned_for"], serde_json::Value::Null);
        assert_eq!((&after["form"], remaining(&after)), (&before["form"], remaining(&before)));
        let said = done(&server.url(), &["unban", policy.name(), "--subject", "ann"]);
        assert!(said.output.ends_with(": it was not banned.\n"), "{}", said.output);

        done(&server.url(), &["reset", policy.name(), "--subject", "ann"]);
        let said = says(&["peek", policy.name(), "--subject", "ann", "--redis", &server.url()]);
        assert!(said.error.contains("nothing is stored, so nothing is in use"), "{}", said.error);
        let bob = object(&server.url(), &["peek", policy.name(), "--subject", "bob"]);
        assert_eq!(remaining(&bob), remaining(&before));
    }
}

/// Earlier bans lengthen the next one after an unban, and not after a reset.
#[test]
fn a_reset_forgets_earlier_bans() {
    let server = RedisServer::start();
    let limiter = service(&server.url()).build();
    let policy = Policy::new("grows", Quota::new(1, HOUR)).ban(Ban::new(1, HOUR).grow(2));
    let runtime = runtime();
    let banned_for = || {
        for _ in 0..3 {
            let _ = runtime.block_on(limiter.check(&policy, "ann")).unwrap();
        }
        let found = object(&server.url(), &["peek", "grows", "--subject", "ann"]);
        (found["banned_for"].as_f64().unwrap() / 3_600.0).round()
    };
    assert_eq!(banned_for(), 1.0);
    done(&server.url(), &["unban", "grows", "--subject", "ann"]);
    assert_eq!(banned_for(), 2.0);
    let reset = object(&server.url(), &["reset", "grows", "--subject", "ann"]);
    assert!(reset["was_banned_for"].as_f64().unwrap() > 7_000.0, "{reset}");
    assert_eq!(banned_for(), 1.0);
}

/// A state of a later release is not touched, but for a reset.
#[test]
fn a_state_that_cannot_be_read_is_left_alone() {
    let server = RedisServer::start();
    let value = "\u{9}a later form of what is stored";
    for command in [
        &["peek", "p", "--subject", "ann"][..],
        &["unban", "p", "--subject", "ann"],
        &["ban", "p", "--subject", "ann", "--for", "1h"],
    ] {
        let mut connection = server.connection();
        let set = redis::cmd("SET").arg("tollgate:1:p:ann").arg(value).exec(&mut connection);
        set.unwrap();
        let said = says(&[command, &["--redis", &server.url()]].concat());
        assert_eq!(said.code, Some(1), "{command:?}: {}", said.output);
        assert!(said.error.contains("or delete it by `tollgate reset`"), "{}", said.error);
        let left: String =
            redis::cmd("GET").arg("tollgate:1:p:ann").query(&mut connection).unwrap();
        assert_eq!(left, value, "{command:?}");
    }
    done(&server.url(), &["reset", "p", "--subject", "ann"]);
    assert_eq!(server.ask::<u64>("DBSIZE"), 0);
}
