//! Stacked limits: on one key they are one atomic decision; on differing keys, what was charged
//! before a refusal is given back.

use std::collections::HashMap;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use proptest::prelude::*;
use support::{header, limiter, local, scaled, send};
use tollgate::{Limiter, Policy, Quota, RegisteredPolicy, rate_limit};

#[rate_limit(2, per = "1s", key = header("x-user"))]
#[rate_limit(3, per = "5s", key = header("x-user"))]
#[rate_limit(5, per = minute, key = header("x-user"), name = "one-key")]
async fn one_key() {}

#[rate_limit(2, per = "5s", key = header("x-user"), cost = 2)]
#[rate_limit(3, per = "7s", key = header("x-team"))]
#[rate_limit(4, per = "1s", key = header("x-user"))]
#[rate_limit(4, per = "11s", key = global)]
async fn three_keys() {}

fn policy(name: &str) -> &'static RegisteredPolicy {
    Limiter::policies().find(|policy| policy.name() == name).unwrap()
}

#[test]
fn one_key_makes_one_policy_and_each_other_key_one_of_its_own() {
    let limits = |name| policy(name).quotas().iter().map(Quota::limit).collect::<Vec<_>>();
    assert_eq!(limits("one-key"), [2, 3, 5]);
    assert_eq!(limits("attribute::stacks::three_keys"), [2, 4]);
    assert_eq!(limits("attribute::stacks::three_keys+header(\"x-team\")"), [3]);
    assert_eq!(limits("attribute::stacks::three_keys+global"), [4]);
}

fn request(path: &str, user: u8, team: u8) -> Request<Body> {
    let request =
        Request::get(path).header("x-user", u16::from(user)).header("x-team", u16::from(team));
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_refusal_names_every_quota_that_was_exceeded() {
    let (limiter, clock) = limiter();
    let app = local(Router::new().route("/", get(one_key)), &limiter);
    for _ in 0..2 {
        let response = send(&app, request("/", 1, 1)).await;
        assert_eq!(response.status(), 200);
    }
    clock.advance(Duration::from_secs(1));
    let third = send(&app, request("/", 1, 1)).await;
    assert_eq!(
        header(&third, "ratelimit-policy"),
        Some(r#""one-key-1s";q=2;w=1, "one-key-5s";q=3;w=5, "one-key-60s";q=5;w=60"#)
    );
    assert_eq!(
        header(&third, "ratelimit"),
        Some(r#""one-key-1s";r=1;t=1, "one-key-5s";r=0;t=4, "one-key-60s";r=2;t=59"#)
    );
    let refused = send(&app, request("/", 1, 1)).await;
    assert_eq!(header(&refused, "retry-after"), Some("4"));
    let body = support::json(refused).await;
    assert_eq!(body["violated-policies"], serde_json::json!(["one-key-5s"]));
    assert_eq!(body["detail"], "Limit of 3 per 5s reached; retry in 4s.");
    clock.advance(Duration::from_secs(4));
    for status in [200, 200, 429] {
        assert_eq!(send(&app, request("/", 1, 1)).await.status(), status);
    }
    // The third and the two since fill all three.
    let body = support::json(send(&app, request("/", 1, 1)).await).await;
    assert_eq!(
        body["violated-policies"],
        serde_json::json!(["one-key-1s", "one-key-5s", "one-key-60s"])
    );
}

/// The rule, naively: what each (policy, subject) has admitted, as (when, cost).
#[derive(Default)]
struct Model {
    admitted: HashMap<(usize, u8), Vec<(u64, u64)>>,
}

/// The policies of `three_keys` in written order: quotas as (limit, period in ms), and cost.
const POLICIES: [(&[(u64, u64)], u64); 3] =
    [(&[(2, 5_000), (4, 1_000)], 2), (&[(3, 7_000)], 1), (&[(4, 11_000)], 1)];

impl Model {
    /// Whether all policies admit; if so, all are charged, otherwise none.
    fn admit(&mut self, now: u64, subjects: [u8; 3]) -> bool {
        let admits = (0..3).all(|index| {
            let (quotas, cost) = POLICIES[index];
            quotas.iter().all(|(limit, period)| {
                let admitted = self.admitted.get(&(index, subjects[index]));
                let counting = admitted.into_iter().flatten().filter(|(at, _)| at + period > now);
                counting.map(|(_, cost)| cost).sum::<u64>() + cost <= *limit
            })
        });
        if admits {
            for (index, subject) in subjects.into_iter().enumerate() {
                let cost = POLICIES[index].1;
                self.admitted.entry((index, subject)).or_default().push((now, cost));
            }
        }
        admits
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(scaled(60, 1_000))
    })]

    /// Were anything left charged by a refusal, a later request would be refused that the model
    /// admits.
    #[test]
    fn differing_keys_net_no_charge_when_one_refuses(
        steps in prop::collection::vec((0_u64..3, 0_u8..3, 0_u8..3), 1..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (limiter, clock) = limiter();
            let app = local(Router::new().route("/", get(three_keys)), &limiter);
            let (mut model, mut now) = (Model::default(), 0);
            for (wait, user, team) in steps {
                // A whole number of thirds of a second, so that instants differ.
                let wait = wait * 333 + 1;
                now += wait;
                clock.advance(Duration::from_millis(wait));
                let admitted = send(&app, request("/", user, team)).await.status() == 200;
                prop_assert_eq!(admitted, model.admit(now, [user, team, 0]));
            }
            Ok(())
        })?;
    }

    /// Any stack of quotas on one key: a refusal by any of them charges none.
    #[test]
    fn one_key_charges_nothing_when_any_quota_refuses(
        quotas in prop::collection::vec((1_u32..6, 1_u64..10), 1..=4),
        steps in prop::collection::vec((0_u64..4, 0_u32..4), 1..80),
    ) {
        let quotas: Vec<Quota> = quotas
            .into_iter()
            .map(|(limit, seconds)| Quota::new(limit, Duration::from_secs(seconds)))
            .collect();
        let policy = Policy::new("stack", quotas[0]);
        let policy = quotas[1..].iter().fold(policy, |policy, quota| policy.and(*quota));
        let (limiter, clock) = limiter();
        for (seconds, cost) in steps {
            clock.advance(Duration::from_secs(seconds));
            let remaining = || -> Vec<u32> {
                let decision = limiter.check_now(&policy, "subject", 0).unwrap().unwrap();
                decision.quotas().iter().map(tollgate::QuotaState::remaining).collect()
            };
            let before = remaining();
            let decision = limiter.check_now(&policy, "subject", cost).unwrap().unwrap();
            let admits = before.iter().all(|remaining| cost <= *remaining);
            prop_assert_eq!(decision.is_allowed(), admits);
            let charged = if admits { cost } else { 0 };
            let expected: Vec<u32> = before.iter().map(|remaining| remaining - charged).collect();
            prop_assert_eq!(remaining(), expected);
            for ((state, remaining), quota) in decision.quotas().iter().zip(&before).zip(&quotas) {
                prop_assert_eq!(state.is_exceeded(), cost > *remaining || cost > quota.limit());
            }
        }
    }
}
