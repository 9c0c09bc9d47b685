//! Limits of handlers and of layers answer alike: one table of requests, each sent to a handler with
//! the attribute and to the same handler behind a layer with the same settings.

use axum::Router;
use axum::body::Body;
use axum::extract::Json;
use axum::http::request::Parts;
use axum::http::{HeaderName, Request, Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};
use support::far::FarStore;
use support::{FailingBackend, limiter, local, send};
use tollgate::http::{HeaderStyle, OnMissingKey, Refusal};
use tollgate::{Blocked, rate_limit};
use tollgate::{Key, Limiter, LocalTier, OnError, Policy, Quota, RateLimit, RateLimitLayer};

const QUOTA: Quota = Quota::per_minute(3);

fn policy(name: &'static str) -> Policy {
    Policy::new(name, QUOTA)
}

fn is_exempt(parts: &Parts) -> bool {
    parts.headers.contains_key("x-exempt")
}

fn cost(parts: &Parts) -> u32 {
    let cost = parts.headers.get("x-cost").and_then(|cost| cost.to_str().ok()?.parse().ok());
    cost.unwrap_or(1)
}

fn is_teapot(response: &Response<Body>) -> bool {
    response.status() == StatusCode::IM_A_TEAPOT
}

fn failure(response: &Response<Body>) -> bool {
    response.status().as_u16() >= 400
}

fn slow_down(refusal: &Refusal<'_>) -> (StatusCode, String) {
    (StatusCode::IM_A_TEAPOT, format!("slow down: {}", refusal.status()))
}

fn ignore(_: &Blocked<'_>) {}

/// The handler of all limits: it does as the request asks.
async fn answer(parts: Parts) -> Response<Body> {
    let asked = parts.headers.get("x-status").map(|status| status.to_str().unwrap().parse());
    let status: u16 = asked.map_or(200, Result::unwrap);
    (StatusCode::from_u16(status).unwrap(), "answered").into_response()
}

/// Two routers of a row: by the attribute, and by a layer.
struct Pair {
    name: &'static str,
    handler: MethodRouter,
    layered: MethodRouter,
}

macro_rules! pair {
    ($name:literal, [$($option:tt)*], $layer:expr) => {{
        #[rate_limit(3, per = minute, name = $name, $($option)*)]
        async fn handler(parts: Parts) -> Response<Body> {
            answer(parts).await
        }
        Pair { name: $name, handler: get(handler), layered: get(answer).layer($layer) }
    }};
}

fn pairs() -> Vec<Pair> {
    let layer = RateLimitLayer::new;
    let key = || Key::header("x-key");
    vec![
        pair!("plain", [], layer(policy("plain"))),
        pair!("both", [headers = both], layer(policy("both")).headers(HeaderStyle::Both)),
        pair!("legacy", [headers = legacy], layer(policy("legacy")).headers(HeaderStyle::Legacy)),
        pair!("none", [headers = none], layer(policy("none")).headers(HeaderStyle::None)),
        pair!("exempt", [exempt = self::is_exempt], layer(policy("exempt")).exempt(is_exempt)),
        pair!("cost", [cost = self::cost], layer(policy("cost")).cost_of(cost)),
        pair!("dear", [cost = 2], layer(policy("dear")).cost(2)),
        pair!("shadow", [shadow], layer(policy("shadow")).shadow()),
        pair!(
            "refund",
            [refund_if = self::is_teapot],
            layer(policy("refund")).refund_if(is_teapot)
        ),
        pair!("failures", [refund_if = failure], layer(policy("failures")).refund_if(failure)),
        pair!("refusal", [refusal = self::slow_down], layer(policy("refusal")).refusal(slow_down)),
        pair!("key", [key = header("x-key")], layer(policy("key")).key(key())),
        pair!(
            "missing",
            [key = header("x-key"), on_missing_key = exempt],
            layer(policy("missing")).key(key()).on_missing_key(OnMissingKey::Exempt)
        ),
        pair!(
            "shared",
            [key = header("x-key"), on_missing_key = shared],
            layer(policy("shared")).key(key()).on_missing_key(OnMissingKey::Shared)
        ),
        pair!("open", [skip_on_error], layer(policy("open").on_error(OnError::Open))),
        pair!("blocked", [on_blocked = self::ignore], layer(policy("blocked")).on_blocked(ignore)),
    ]
}

/// The requests that each pair is sent, in this order.
fn requests() -> Vec<Request<Body>> {
    let headers: [&[(&str, &str)]; 12] = [
        &[],
        &[("x-status", "418")],
        &[("x-exempt", "1")],
        &[("x-status", "404")],
        &[("x-cost", "2")],
        &[("x-cost", "9")],
        &[("x-key", "a")],
        &[("x-key", "a"), ("x-status", "500")],
        &[],
        &[("x-exempt", "1"), ("x-key", "a")],
        &[("x-key", "a"), ("x-status", "418")],
        &[("x-key", "b")],
    ];
    let requests = headers.iter().cycle().take(2 * headers.len()).map(|headers| {
        let mut request = Request::get("/");
        for (name, value) in *headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    });
    requests.collect()
}

/// All that a client sees: status, fields, body.
async fn seen(response: Response<Body>) -> String {
    let status = response.status();
    let mut fields: Vec<String> = response
        .headers()
        .iter()
        .filter(|(name, _)| *name != HeaderName::from_static("content-length"))
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    fields.sort_unstable();
    format!("{status}\n{}\n{}", fields.join("\n"), support::text(response).await)
}

async fn send_all(pair: MethodRouter, limiter: &Limiter) -> Vec<String> {
    let app = local(Router::new().route("/", pair), limiter);
    let mut all = Vec::new();
    for request in requests() {
        all.push(seen(send(&app, request).await).await);
    }
    all
}

/// Compares the two of each pair, each on a limiter of its own, which `limiter` makes. Returns the
/// number of different answers.
async fn compare(limiter: impl Fn() -> Limiter) -> usize {
    let mut different = std::collections::BTreeSet::new();
    for Pair { name, handler, layered } in pairs() {
        let by_attribute = send_all(handler, &limiter()).await;
        let by_layer = send_all(layered, &limiter()).await;
        for (number, (one, other)) in by_attribute.iter().zip(&by_layer).enumerate() {
            assert_eq!(one, other, "{name}, request {number}");
        }
        different.extend(by_attribute);
    }
    different.len()
}

#[tokio::test]
async fn a_table_of_requests_in_memory() {
    let different = compare(|| limiter().0).await;
    assert!(different > 60, "only {different} different answers");
}

#[tokio::test]
async fn a_table_of_requests_on_a_store_that_takes_waiting() {
    let different = compare(|| {
        let store = FarStore::new();
        let clock = store.clock.clone();
        let builder = Limiter::builder(store).clock(clock);
        builder.instances(1).local_tier(LocalTier::none()).build()
    });
    let different = different.await;
    assert!(different > 60, "only {different} different answers");
}

#[tokio::test]
async fn a_table_of_requests_while_the_store_is_down() {
    let different = compare(|| Limiter::builder(FailingBackend).breaker(None).build()).await;
    assert!(different > 5, "only {different} different answers");
}

#[rate_limit(3, per = minute, name = "first")]
#[rate_limit(2, per = minute, name = "second", key = header("x-key"), shadow)]
#[rate_limit(4, per = minute, name = "third", key = global)]
async fn several(limit: RateLimit) -> String {
    shown(&limit)
}

async fn under_several(limit: RateLimit) -> String {
    shown(&limit)
}

fn shown(limit: &RateLimit) -> String {
    let shown = limit.decisions().iter().map(|decision| {
        format!("{} {} {:?}", decision.policy(), decision.outcome(), decision.remaining())
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Several limits, one after the other: the attribute's in written order, a stack of layers from the
/// outside to the inside. They show handlers the same decisions and clients the same fields. (After
/// a refusal, only the attribute refunds the earlier ones: a layer does not know what is inside it.)
#[tokio::test]
async fn several_limits_show_the_same() {
    let layer =
        |name, limit| RateLimitLayer::new(Policy::new(name, Quota::per_minute(limit))).show();
    let second = Policy::new("second", Quota::per_minute(2));
    let layered = Router::new()
        .route("/", get(under_several))
        .layer(layer("third", 4).key(Key::global()))
        .layer(RateLimitLayer::new(second).shadow().key(Key::header("x-key")).show())
        .layer(layer("first", 3));
    let by_attribute = local(Router::new().route("/", get(several)), &limiter().0);
    let by_layer = local(layered, &limiter().0);
    for number in 0..3 {
        let mut answers = Vec::new();
        for app in [&by_attribute, &by_layer] {
            let request = Request::get("/").header("x-key", "a").body(Body::empty()).unwrap();
            answers.push(seen(send(app, request).await).await);
        }
        assert_eq!(answers[0], answers[1], "request {number}");
        assert!(answers[0].starts_with("200"), "{}", answers[0]);
    }
}

#[rate_limit(2, per = minute, name = "rejected", refund_if = failure)]
async fn rejecting(Json(body): Json<u32>) -> String {
    body.to_string()
}

/// What an extractor rejects is a response for both, and refunded by both.
#[tokio::test]
async fn rejections_of_extractors() {
    let plain = async |Json(body): Json<u32>| body.to_string();
    let layer = RateLimitLayer::new(Policy::new("rejected", Quota::per_minute(2)));
    let layered = post(plain).layer(layer.refund_if(failure));
    let by_attribute = local(Router::new().route("/", post(rejecting)), &limiter().0);
    let by_layer = local(Router::new().route("/", layered), &limiter().0);
    for (number, body) in ["1", "x", "", "x", "2", "3"].into_iter().enumerate() {
        let mut answers = Vec::new();
        for app in [&by_attribute, &by_layer] {
            let request = support::post("/", "application/json", body);
            answers.push(seen(send(app, request).await).await);
        }
        assert_eq!(answers[0], answers[1], "request {number}");
        let expected = ["200", "400", "400", "400", "200", "429"][number];
        assert!(answers[0].starts_with(expected), "request {number}: {}", answers[0]);
    }
}
