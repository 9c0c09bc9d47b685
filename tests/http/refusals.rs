//! What clients see: the fields, the problem bodies, and what an outage does.

use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, Request, StatusCode};
use axum::routing::get;
use serde_json::json;
use support::{FailingBackend, header, limiter, local, send, status};
use tollgate::{Limiter, rate_limit};

#[rate_limit(2, per = "2500ms")]
async fn pair() -> &'static str {
    "admitted"
}

#[rate_limit(1, per = hour, key = global, name = "the \"one\"")]
async fn named() -> &'static str {
    "admitted"
}

#[rate_limit(1, per = hour, key = header("X-Api-Key"))]
async fn by_key() -> &'static str {
    "admitted"
}

#[rate_limit(100, per = 60)]
async fn closed() -> &'static str {
    "admitted"
}

#[rate_limit(100, per = 60, skip_on_error)]
async fn open() -> &'static str {
    "admitted"
}

fn app(limiter: &Limiter) -> Router {
    let routes = Router::new()
        .route("/pair", get(pair))
        .route("/named", get(named))
        .route("/by-key", get(by_key))
        .route("/closed", get(closed))
        .route("/open", get(open));
    local(routes, limiter)
}

#[tokio::test]
async fn success_tells_what_is_left() {
    let (limiter, clock) = limiter();
    let app = app(&limiter);
    let first = send(&app, support::get("/pair")).await;
    assert_eq!(first.status(), StatusCode::OK);
    // No window: the field has no fractions of seconds.
    assert_eq!(header(&first, "ratelimit-policy"), Some(r#""pair";q=2"#));
    assert_eq!(header(&first, "ratelimit"), Some(r#""pair";r=1;t=3"#));
    assert_eq!(header(&first, "retry-after"), None);
    clock.advance(Duration::from_millis(600));
    let second = send(&app, support::get("/pair")).await;
    assert_eq!(header(&second, "ratelimit"), Some(r#""pair";r=0;t=2"#));
}

#[tokio::test]
async fn a_refusal_says_what_when_and_why() {
    let (limiter, clock) = limiter();
    let app = app(&limiter);
    for _ in 0..2 {
        assert_eq!(status(&app, support::get("/pair")).await, StatusCode::OK);
    }
    clock.advance(Duration::from_micros(499_999));
    let refused = send(&app, support::get("/pair")).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&refused, "content-type"), Some("application/problem+json"));
    assert_eq!(header(&refused, "cache-control"), Some("no-store"));
    assert_eq!(header(&refused, "retry-after"), Some("3"));
    assert_eq!(header(&refused, "ratelimit-policy"), Some(r#""pair";q=2"#));
    assert_eq!(header(&refused, "ratelimit"), Some(r#""pair";r=0;t=3"#));
    let expected = json!({
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": 429,
        "detail": "Limit of 2 per 2.5s reached; retry in 3s.",
        "violated-policies": ["pair"],
    });
    assert_eq!(support::json(refused).await, expected);
}

#[tokio::test]
async fn retry_after_is_kept_and_never_zero() {
    let (limiter, clock) = limiter();
    let app = app(&limiter);
    for _ in 0..2 {
        assert_eq!(status(&app, support::get("/pair")).await, StatusCode::OK);
    }
    clock.advance(Duration::from_micros(2_499_999));
    let refused = send(&app, support::get("/pair")).await;
    assert_eq!(header(&refused, "retry-after"), Some("1"));
    clock.advance(Duration::from_micros(1));
    assert_eq!(status(&app, support::get("/pair")).await, StatusCode::OK);
}

#[tokio::test]
async fn a_name_is_shown_as_given_and_escaped() {
    let (limiter, _clock) = limiter();
    let response = send(&app(&limiter), support::get("/named")).await;
    assert_eq!(header(&response, "ratelimit-policy"), Some(r#""the \"one\"";q=1;w=3600"#));
}

#[tokio::test]
async fn keys_count_apart_and_a_missing_one_is_the_clients_mistake() {
    let (limiter, _clock) = limiter();
    let app = app(&limiter);
    let with_key = |key: &str| {
        let name = HeaderName::from_static("x-api-key");
        Request::get("/by-key").header(name, key).body(axum::body::Body::empty()).unwrap()
    };
    assert_eq!(status(&app, with_key("a")).await, StatusCode::OK);
    assert_eq!(status(&app, with_key("b")).await, StatusCode::OK);
    assert_eq!(status(&app, with_key("a")).await, StatusCode::TOO_MANY_REQUESTS);
    let missing = send(&app, support::get("/by-key")).await;
    assert_eq!(missing.status(), StatusCode::BAD_REQUEST);
    assert_eq!(header(&missing, "content-type"), Some("application/problem+json"));
    let body = support::json(missing).await;
    assert_eq!(
        body["detail"],
        "This request cannot be counted: the header `x-api-key` is required."
    );
}

#[tokio::test]
async fn an_unknown_address_says_nothing_of_the_server() {
    let (limiter, _clock) = limiter();
    let app = Router::new().route("/pair", get(pair)).layer(limiter.layer());
    let response = send(&app, support::get("/pair")).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = support::json(response).await;
    let expected = "This request cannot be counted: the server does not know the client's address.";
    assert_eq!(body["detail"], expected);
}

#[tokio::test]
async fn an_outage_refuses_with_503_unless_the_attribute_skips_on_error() {
    let app = app(&Limiter::new(FailingBackend));
    let closed = send(&app, support::get("/closed")).await;
    assert_eq!(closed.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(header(&closed, "content-type"), Some("application/problem+json"));
    assert_eq!(header(&closed, "retry-after"), Some("1"));
    assert_eq!(header(&closed, "ratelimit-policy"), Some(r#""closed";q=100;w=60"#));
    assert_eq!(header(&closed, "ratelimit"), None);
    let expected = json!({
        "type": "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
        "title": "Request cannot be satisfied due to temporary server capacity constraints",
        "status": 503,
        "detail": "The limit of this request cannot be checked; retry in 1s.",
        "violated-policies": ["closed"],
    });
    assert_eq!(support::json(closed).await, expected);

    let open = send(&app, support::get("/open")).await;
    assert_eq!(open.status(), StatusCode::OK);
    assert_eq!(header(&open, "ratelimit-policy"), Some(r#""open";q=100;w=60"#));
    assert_eq!(header(&open, "ratelimit"), None);
}

#[tokio::test]
async fn initialize_reports_a_backend_that_is_not_ready() {
    let error = Limiter::new(FailingBackend).initialize().await.unwrap_err();
    let expected =
        "the backend is not ready: connection refused: start it, or correct its settings";
    assert_eq!(error.to_string(), expected);
    let tollgate::StartError::Backend(failure) = error else { panic!("{error}") };
    assert_eq!(failure.to_string(), "the rate limit's backend did not act: connection refused");
}

/// A limit that no field describes: one by itself, and one behind another.
#[rate_limit(1, per = hour, headers = none, name = "hidden_7")]
async fn hidden() {}

#[rate_limit(1, per = hour, key = global, headers = none, name = "hidden_7_too")]
#[rate_limit(1, per = day, name = "hidden_7_as_well", headers = none)]
async fn both_hidden() {}

#[rate_limit(2, per = hour, cost = 2, headers = none, name = "hidden_7_closed", key = global)]
async fn hidden_and_closed() {}

#[tokio::test]
async fn without_fields_nothing_names_the_limit() {
    let (limiter, _clock) = limiter();
    let routes = || {
        Router::new()
            .route("/a", get(hidden))
            .route("/b", get(both_hidden))
            .route("/c", get(hidden_and_closed))
    };
    let (up, down) = (local(routes(), &limiter), local(routes(), &Limiter::new(FailingBackend)));
    for (router, expected) in [(up, 429), (down, 503)] {
        for path in ["/a", "/b", "/c"] {
            let _ = send(&router, support::get(path)).await;
            let refused = send(&router, support::get(path)).await;
            assert_eq!(refused.status().as_u16(), expected);
            assert!(refused.headers().contains_key("retry-after"));
            let fields = format!("{:?}", refused.headers());
            let body = support::text(refused).await;
            for said in ["hidden_7", "per 1h", "violated", "of 1"] {
                assert!(!fields.contains(said) && !body.contains(said), "{path} {said}: {body}");
            }
            assert!(body.contains("retry in"), "{body}");
        }
    }
}
