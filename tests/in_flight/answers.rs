//! What clients are told: how many are left, that they are to come again, and no instant.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use support::{get as request, header, json, limiter, local, send};
use tollgate::http::{HeaderStyle, LegacyReset};
use tollgate::{HttpOptions, InFlight, Limiter, MemoryBackend, Outcome, Policy, Quota, rate_limit};

#[rate_limit(in_flight = 2, name = "exports")]
async fn alone() -> &'static str {
    "a body"
}

#[rate_limit(10, per = minute, in_flight = 2, name = "answers")]
async fn beside() -> &'static str {
    "a body"
}

fn app(limiter: &Limiter) -> Router {
    local(Router::new().route("/alone", get(alone)).route("/beside", get(beside)), limiter)
}

#[tokio::test]
async fn each_answer_tells_what_is_left_and_a_refusal_when_to_come_again() {
    let (limiter, _) = limiter();
    let app = app(&limiter);
    let first = send(&app, request("/alone")).await;
    let policy = r#""exports";q=2;qu="concurrent-requests""#;
    assert_eq!(header(&first, "ratelimit-policy"), Some(policy));
    assert_eq!(header(&first, "ratelimit"), Some(r#""exports";r=1"#));
    let second = send(&app, request("/alone")).await;
    assert_eq!(header(&second, "ratelimit"), Some(r#""exports";r=0"#));
    let refused = send(&app, request("/alone")).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&refused, "retry-after"), Some("1"));
    assert_eq!(header(&refused, "ratelimit-policy"), Some(policy));
    assert_eq!(header(&refused, "ratelimit"), Some(r#""exports";r=0"#));
    let problem = json(refused).await;
    assert_eq!(problem["violated-policies"], serde_json::json!(["exports"]));
    assert!(problem["detail"].as_str().unwrap().contains("2 at a time"), "{problem}");
    drop((first, second));
    let next = send(&app, request("/alone")).await;
    assert_eq!(header(&next, "ratelimit"), Some(r#""exports";r=1"#));
}

#[tokio::test]
async fn beside_a_rate_each_limit_has_an_item() {
    let (limiter, _) = limiter();
    let app = app(&limiter);
    let first = send(&app, request("/beside")).await;
    let policy = r#""answers-60s";q=10;w=60, "answers-in-flight";q=2;qu="concurrent-requests""#;
    assert_eq!(header(&first, "ratelimit-policy"), Some(policy));
    let items = r#""answers-60s";r=9;t=60, "answers-in-flight";r=1"#;
    assert_eq!(header(&first, "ratelimit"), Some(items));
    let second = send(&app, request("/beside")).await;
    let refused = send(&app, request("/beside")).await;
    // It has charged nothing.
    let items = r#""answers-in-flight";r=0, "answers-60s";r=8"#;
    assert_eq!(header(&refused, "ratelimit"), Some(items));
    assert_eq!(json(refused).await["violated-policies"], serde_json::json!(["answers-in-flight"]));
    drop((first, second));
    for _ in 0..8 {
        let response = send(&app, request("/beside")).await;
        assert_eq!(response.status(), StatusCode::OK);
    }
    let refused = send(&app, request("/beside")).await;
    assert_eq!(json(refused).await["violated-policies"], serde_json::json!(["answers-60s"]));
    assert_eq!(limiter.stats().in_flight, 0);
}

#[tokio::test]
async fn the_older_fields_tell_the_limit_with_least_left() {
    let options = HttpOptions::new().headers(HeaderStyle::Legacy).legacy_reset(LegacyReset::Delta);
    let limiter = Limiter::builder(MemoryBackend::new()).http(options).build();
    let app = app(&limiter);
    let first = send(&app, request("/beside")).await;
    let told = ["limit", "remaining", "reset"];
    let told = told.map(|it| header(&first, &format!("x-ratelimit-{it}")).unwrap());
    assert_eq!(told, ["2", "1", "0"]);
}

#[tokio::test]
async fn the_hint_is_the_policys_own_and_the_longer_wait_counts() {
    let (limiter, _) = limiter();
    let second = std::time::Duration::from_secs(1);
    let in_flight = InFlight::new(1).retry_after(5 * second);
    for (quota, expected) in [(Quota::new(1, 60 * second), 60), (Quota::new(9, 60 * second), 5)] {
        let policy = Policy::named(format!("hint {expected}"), quota).in_flight(in_flight);
        let held = limiter.check(&policy, "a").await.unwrap();
        let refused = limiter.check(&policy, "a").await.unwrap();
        assert_eq!(refused.outcome(), Outcome::Refused { retry_after: expected * second });
        drop(held);
    }
}
