//! `RateLimitLayer` in front of routers and of any other tower service, and what a handler is
//! shown of its limits.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{Method, Request, Response, StatusCode};
use axum::routing::get;
use support::{FailingBackend, header, limiter, local, send, status};
use tollgate::http::HeaderStyle;
use tollgate::{
    IntoSubject, Key, KeyExtractor, Limiter, Outcome, Policy, Quota, RateLimit, RateLimitLayer,
    Subject, rate_limit,
};
use tower::{Layer as _, Service as _, ServiceBuilder, ServiceExt as _, service_fn};

const fn per_minute(name: &'static str, limit: u32) -> Policy {
    Policy::new(name, Quota::new(limit, Duration::from_secs(60)))
}

async fn statuses(app: &Router, requests: &[(Method, &str)]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for (method, path) in requests {
        let request = Request::builder().method(method).uri(*path).body(Body::empty()).unwrap();
        statuses.push(status(app, request).await.as_u16());
    }
    statuses
}

async fn gets(app: &Router, paths: &[&str]) -> Vec<u16> {
    let requests: Vec<_> = paths.iter().map(|path| (Method::GET, *path)).collect();
    statuses(app, &requests).await
}

/// A body that is neither axum's nor a `Bytes`.
#[derive(Default)]
struct Words(Vec<&'static str>);

impl axum::body::HttpBody for Words {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        let word = self
            .0
            .pop()
            .map(|word| Ok(http_body::Frame::data(Bytes::from_static(word.as_bytes()))));
        std::task::Poll::Ready(word)
    }
}

#[tokio::test]
async fn any_tower_service_of_http_requests() {
    let (limiter, clock) = limiter();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    // Its requests carry no axum body, its responses a body of its own, its error is any.
    let inner = service_fn(move |request: Request<String>| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            if request.body().is_empty() {
                Err("zero")
            } else {
                Ok(Response::new(Words(vec!["b", "a"])))
            }
        }
    });
    let layer =
        RateLimitLayer::new(per_minute("any", 2)).key(Key::global()).limiter(limiter.clone());
    let mut service = ServiceBuilder::new().layer(layer).service(inner);
    let mut call =
        async |body: &str| service.ready().await.unwrap().call(Request::new(body.to_owned())).await;
    let admitted = call("1").await.unwrap();
    assert_eq!(header(&admitted, "ratelimit"), Some(r#""any";r=1;t=60"#));
    assert_eq!(support::text(admitted).await, "ab");
    assert_eq!(call("").await.unwrap_err(), "zero");
    let refused = call("1").await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&refused, "retry-after"), Some("60"));
    assert_eq!(support::json(refused).await["violated-policies"][0], "any");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    clock.advance(Duration::from_secs(60));
    assert_eq!(call("1").await.unwrap().status(), StatusCode::OK);
}

fn routes() -> Router {
    Router::new().route("/a", get(async || "a")).route("/b", get(async || "b"))
}

#[tokio::test]
async fn a_router_has_one_budget_for_its_routes_and_its_404s() {
    let layered = routes().layer(RateLimitLayer::new(per_minute("layer", 3)));
    let app = local(layered, &limiter().0);
    assert_eq!(gets(&app, &["/a", "/b", "/none", "/a"]).await, [200, 200, 404, 429]);
    let layered = routes().route_layer(RateLimitLayer::new(per_minute("route_layer", 2)));
    let app = local(layered, &limiter().0);
    assert_eq!(gets(&app, &["/none", "/a", "/none", "/b", "/b"]).await, [404, 200, 404, 200, 429]);
}

#[tokio::test]
async fn nested_and_merged_routers_keep_their_own() {
    let limited = |name, limit| routes().layer(RateLimitLayer::new(per_minute(name, limit)));
    let app = Router::new().nest("/x", limited("x", 1)).nest("/y", limited("y", 1));
    let app = local(app, &limiter().0);
    assert_eq!(gets(&app, &["/x/a", "/x/b", "/y/a", "/y/a"]).await, [200, 429, 200, 429]);
    let other = Router::new().route("/c", get(async || "c"));
    let app = local(limited("merged", 1).merge(other), &limiter().0);
    assert_eq!(gets(&app, &["/a", "/b", "/c", "/c"]).await, [200, 429, 200, 200]);
    // One in front of all, and one of one's own, on one response.
    let outer = RateLimitLayer::new(per_minute("outer", 3));
    let app = local(Router::new().nest("/x", limited("inner", 2)).layer(outer), &limiter().0);
    let response = send(&app, support::get("/x/a")).await;
    let fields: Vec<_> = response.headers().get_all("ratelimit").iter().collect();
    assert_eq!(fields, [r#""inner";r=1;t=60"#, r#""outer";r=2;t=60"#]);
    assert_eq!(gets(&app, &["/x/a", "/x/a", "/x/a"]).await, [200, 429, 429]);
}

#[tokio::test]
async fn skipped_paths_and_methods_are_not_counted() {
    let layer = RateLimitLayer::new(per_minute("skip", 1))
        .skip_path("/health")
        .skip_path("/static/*")
        .skip_method(Method::OPTIONS)
        .exempt(|parts| parts.uri.query() == Some("free"));
    let app = Router::new().fallback(async || ()).layer(layer);
    let app = local(app, &limiter().0);
    let free = ["/health", "/health?x", "/static/a.css", "/a?free"];
    assert_eq!(gets(&app, &free).await, [200; 4]);
    assert_eq!(statuses(&app, &[(Method::OPTIONS, "/a"), (Method::OPTIONS, "/b")]).await, [200; 2]);
    assert_eq!(header(&send(&app, support::get("/health")).await, "ratelimit-policy"), None);
    assert_eq!(gets(&app, &["/a", "/a"]).await, [200, 429]);
    assert_eq!(gets(&app, &["/healthy", "/static/../a", "/b?freed"]).await, [429; 3]);
    assert_eq!(gets(&app, &free).await, [200; 4]);
}

struct Tenant;

impl KeyExtractor for Tenant {
    async fn subject(&self, parts: &Parts) -> Option<Subject> {
        tokio::task::yield_now().await;
        parts.uri.query()?.into_subject()
    }
}

#[tokio::test]
async fn keys_that_take_waiting() {
    let layer = RateLimitLayer::new(per_minute("tenant", 1)).key(Key::extractor(Tenant));
    let app = local(routes().layer(layer), &limiter().0);
    assert_eq!(gets(&app, &["/a?x", "/a?y", "/b?x", "/a"]).await, [200, 200, 429, 400]);
    let layer = RateLimitLayer::new(per_minute("param", 1)).key(Key::path_param("id"));
    let app = Router::new().route("/{id}", get(async || ())).route_layer(layer);
    let app = local(app, &limiter().0);
    assert_eq!(gets(&app, &["/1", "/2", "/1"]).await, [200, 200, 429]);
}

/// Answers only after it has been waited for.
struct Slow;

impl tollgate::Backend for Slow {
    async fn apply(
        &self,
        batch: &[tollgate::backend::Operation<'_>],
    ) -> Vec<Result<tollgate::backend::Answer, tollgate::BackendError>> {
        tokio::task::yield_now().await;
        let refused = Outcome::Refused { retry_after: Duration::from_millis(1_500) };
        let verdict = || tollgate::backend::Verdict::new(refused, 0);
        batch.iter().map(|_| Ok(tollgate::backend::Answer::Verdict(verdict()))).collect()
    }
}

#[tokio::test]
async fn stores_that_take_waiting_and_stores_that_fail() {
    let layer = || RateLimitLayer::new(per_minute("store", 1));
    let app = local(routes().layer(layer()), &Limiter::new(Slow));
    let refused = send(&app, support::get("/a")).await;
    assert_eq!((refused.status().as_u16(), header(&refused, "retry-after")), (429, Some("2")));
    let app = local(routes().layer(layer()), &Limiter::new(FailingBackend));
    assert_eq!(gets(&app, &["/a"]).await, [503]);
    let app = local(routes().layer(layer().shadow()), &Limiter::new(FailingBackend));
    assert_eq!(gets(&app, &["/a"]).await, [200]);
}

#[tokio::test]
async fn costs_refunds_shadow_and_styles() {
    let blocked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&blocked);
    let layer = RateLimitLayer::new(per_minute("costly", 5))
        .cost(2)
        .headers(HeaderStyle::Legacy)
        .refund_if(|response| response.status().is_client_error())
        .on_blocked(move |blocked| noted.lock().unwrap().push(blocked.subject().to_owned()));
    let app = local(routes().layer(layer.clone()), &limiter().0);
    let paths = ["/none", "/none", "/none", "/a", "/a", "/a"];
    assert_eq!(gets(&app, &paths).await, [404, 404, 404, 200, 200, 429]);
    let refused = send(&app, support::get("/a")).await;
    assert_eq!(header(&refused, "x-ratelimit-remaining"), Some("1"));
    assert_eq!(header(&refused, "ratelimit"), None);
    assert_eq!(*blocked.lock().unwrap(), ["192.0.2.1", "192.0.2.1"]);
    // A clone that is changed is another layer, and the first stays what it was.
    let heavy = layer.clone().cost_of(|_| 5).shadow();
    let app = local(routes().layer(heavy), &limiter().0);
    assert_eq!(gets(&app, &["/a", "/a"]).await, [200, 200]);
    assert_eq!(header(&send(&app, support::get("/a")).await, "x-ratelimit-limit"), None);
    // What is said of the cost last holds.
    let app = local(routes().layer(layer.clone().cost_of(|_| 5).cost(2)), &limiter().0);
    assert_eq!(gets(&app, &["/a", "/a", "/a"]).await, [200, 200, 429]);
    let app = local(routes().layer(layer), &limiter().0);
    assert_eq!(gets(&app, &["/a", "/a", "/a"]).await, [200, 200, 429]);
}

/// Backpressure: the service that was found ready is the one that is called.
#[tokio::test]
async fn the_inner_services_readiness_is_kept() {
    let (limiter, _clock) = limiter();
    for key in [Key::global(), Key::all([Key::global(), Key::extractor(Always)])] {
        let layer = RateLimitLayer::new(per_minute("ready", 100)).key(key).limiter(limiter.clone());
        let inner =
            service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
        let inner = tower::limit::ConcurrencyLimit::new(inner, 1);
        let mut service = layer.layer(inner);
        for _ in 0..3 {
            let response = service.ready().await.unwrap().call(Request::new(Body::empty())).await;
            assert_eq!(response.unwrap().status(), StatusCode::OK);
        }
    }
}

struct Always;

impl KeyExtractor for Always {
    async fn subject(&self, _: &Parts) -> Option<Subject> {
        "always".into_subject()
    }
}

#[rate_limit(5, per = minute, name = "own", cost = 2)]
#[rate_limit(1, per = minute, key = header("x-trial"), name = "trial", shadow, on_missing_key = exempt)]
async fn shown(limit: RateLimit) -> String {
    let decisions = limit.decisions().iter().map(|decision| {
        let name = decision.policy();
        format!("{name} {} {:?}", decision.is_allowed(), decision.remaining())
    });
    decisions.collect::<Vec<_>>().join(", ") + &format!(" {:?}", limit.remaining())
}

#[tokio::test]
async fn a_handler_is_shown_its_own_decisions() {
    let layer = RateLimitLayer::new(per_minute("layer", 9)).show();
    let app = local(Router::new().route("/", get(shown)).layer(layer), &limiter().0);
    let said = async |request| support::text(send(&app, request).await).await;
    let trial = || Request::get("/").header("x-trial", "1").body(Body::empty()).unwrap();
    assert_eq!(said(support::get("/")).await, "layer true Some(8), own true Some(3) Some(3)");
    let expected = "layer true Some(7), own true Some(1), trial true Some(0) Some(0)";
    assert_eq!(said(trial()).await, expected);
    // Without any limit, or if it is not counted, there is none to be shown.
    let unlimited = async |limit: RateLimit| {
        format!("{} {:?}", limit.decisions().len(), limit.of("x").is_some())
    };
    let app = Router::new().route("/", get(unlimited));
    assert_eq!(support::text(send(&app, support::get("/")).await).await, "0 false");
}
