//! Examples that end by themselves.

use crate::example::Example;
use support::redis::{RedisCluster, RedisServer, Sentinels};

/// Returns the first line that a page of the documentation shows of what an example prints.
fn shown(page: &str, example: &str) -> String {
    let page = std::path::Path::new(support::ROOT).join("runtime/src/docs").join(page);
    let page = std::fs::read_to_string(page).unwrap();
    let (_, after) = page.split_once(&format!("`cargo run -p {example}`")).unwrap();
    let (_, block) = after.split_once("```text\n").unwrap();
    block.lines().next().unwrap().to_owned()
}

#[test]
fn functions_refuse_or_wait() {
    let printed = Example::new("functions").run();
    assert_eq!(printed.lines().filter(|line| line.contains(" after ")).count(), 10, "{printed}");
    assert!(printed.contains("is reached; retry in 3600.0s"), "{printed}");
}

#[test]
fn distributed_admits_exactly_the_limit() {
    assert_eq!(shown("guide/distributed.md", "distributed"), "Successes: 100, Rate limited: 50");
    assert!(Example::new("distributed").run().contains("Successes: 100, Rate limited: 50"));
    let server = RedisServer::start();
    let printed = Example::new("distributed").variable("REDIS_URL", &server.url()).run();
    assert!(printed.contains("Successes: 100, Rate limited: 50"), "{printed}");
    assert!(server.calls("evalsha") > 0, "it counted elsewhere");
}

#[test]
fn sentinel_finds_the_primary() {
    let sentinels = Sentinels::start();
    let printed =
        Example::new("sentinel").argument("2").variable("REDIS_URL", &sentinels.url()).run();
    assert!(printed.contains("0 s: allowed, 19 remain"), "{printed}");
    assert!(printed.contains("1 s: allowed, 18 remain"), "{printed}");
}

#[test]
fn cluster_counts_each_subject_on_its_node() {
    let cluster = RedisCluster::start();
    let printed = Example::new("cluster").variable("REDIS_URL", &cluster.url()).run();
    assert!(printed.contains("750 allowed, 250 refused"), "{printed}");
}

#[test]
fn outage_is_survived() {
    let printed = Example::new("outage").argument("1").run();
    assert!(printed.contains("Requests were answered all the time"), "{printed}");
    assert!(printed.contains(&shown("outages.md", "outage")), "{printed}");
    for state in ["killed", "hangs", "local (local)", "open (open)"] {
        assert!(printed.contains(state), "{state}: {printed}");
    }
}

#[test]
fn config_is_followed() {
    let printed = Example::new("config").run();
    assert!(printed.contains(&shown("configuration.md", "config")), "{printed}");
    for said in [
        "of 20 searches 5 pass, of 20 exports 20",
        "the limit is 8 now: of 20 more searches 3 pass",
        "did you mean `limit`?",
    ] {
        assert!(printed.contains(said), "{said}: {printed}");
    }
}

#[test]
fn two_tiers_save_calls() {
    let printed = Example::new("two_tier").run();
    assert!(printed.contains(&shown("local_tier.md", "two_tier")), "{printed}");
    let calls = |line: &str| {
        let of = printed.lines().find_map(|it| it.strip_prefix(line)).unwrap();
        of.split_whitespace().nth(1).unwrap().parse::<u32>().unwrap()
    };
    assert_eq!(calls("every decision is the store's, login"), 5_000);
    assert!(calls("deny_cache(), login") < 50, "{printed}");
    assert!(calls("deny_cache().lease(100), search") < 500, "{printed}");
}

#[test]
fn monitoring_shows_what_was_decided() {
    let printed = Example::new("monitoring").argument("1").run();
    let decisions = "tollgate_decisions_total{policy=\"monitoring::search\"";
    assert!(printed.contains(decisions), "{printed}");
    let server = RedisServer::start();
    let printed =
        Example::new("monitoring").argument("1").variable("REDIS_URL", &server.url()).run();
    assert!(printed.contains("backend=\"redis\""), "{printed}");
}

#[test]
fn a_token_budget_is_settled_at_what_the_answers_came_to() {
    let printed = Example::new("token-budget").run();
    assert_eq!(
        printed,
        [
            "alice has 10000 tokens a minute",
            " 1 words: 200 OK, 9900 left",
            " 5 words: 200 OK, 9400 left",
            "90 words: 200 OK, 400 left; again in 60s",
            "60 words: 429 Too Many Requests, 400 left; again in 60s",
            " 1 words: 429 Too Many Requests, 400 left; again in 60s",
        ]
        .join("\n")
            + "\n"
    );
}

#[test]
fn a_sign_in_is_refused_banned_and_unlocked() {
    let printed = Example::new("sign-in").run();
    let refused = |span: &str| format!("/sign-in: 429 Too Many Requests, again in {span} s\n");
    assert_eq!(printed.matches("/sign-in: 401 Unauthorized\n").count(), 5, "{printed}");
    assert_eq!(printed.matches(&refused("900")).count(), 9, "{printed}");
    assert!(printed.contains(&refused("3600")), "{printed}");
    assert!(printed.ends_with("/unlock: 204 No Content\n/sign-in: 200 OK\n"), "{printed}");
}
