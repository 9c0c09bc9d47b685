//! Everything that a request does asks the same limiter: that of the layer or of the test's client.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::get;
use http_body::Frame;
use support::{limiter, local};
use tollgate::http::{HeaderStyle, Refusal};
use tollgate::{
    HttpOptions, Key, Limiter, MemoryBackend, Policy, Quota, RateLimitLayer, RateLimited,
    get_limiter, rate_limit, testing,
};

#[rate_limit(2, per = minute, key = args(recipient), name = "mails")]
async fn send_mail(recipient: &str) -> Result<String, RateLimited> {
    Ok(recipient.to_owned())
}

#[rate_limit(2, per = minute, key = args(), name = "words")]
fn next_word() -> Result<&'static str, RateLimited> {
    Ok("word ")
}

#[rate_limit(2, per = minute, name = "handlers")]
async fn handler() {}

#[rate_limit(2, per = minute, key = args("anybody"), name = "arguments")]
async fn by_arguments() -> Result<(), RateLimited> {
    Ok(())
}

async fn calls() -> Result<String, RateLimited> {
    send_mail("ann").await
}

async fn within() -> Result<(), RateLimited> {
    tokio::task::yield_now().await;
    calls().await?;
    Ok(())
}

const DIRECT: Policy = Policy::new("direct", Quota::per_minute(2));

async fn asks_itself() -> Response<Body> {
    let decision = get_limiter().check(&DIRECT, "any").await.unwrap();
    let status = if decision.is_allowed() { 200 } else { 429 };
    Response::builder().status(status).body(Body::empty()).unwrap()
}

/// A body that asks the limiter for each of its words, and once more when it is dropped.
struct Words(u8);

impl HttpBody for Words {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0 += 1;
        let word = if self.0 <= 3 { next_word().ok() } else { None };
        Poll::Ready(word.map(|word| Ok(Frame::data(Bytes::from_static(word.as_bytes())))))
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        let _ = get_limiter().check_now(&DIRECT, "dropped", 1);
    }
}

async fn streams() -> Body {
    Body::new(Words(0))
}

fn router() -> Router {
    Router::new()
        .route("/handler", get(handler))
        .route("/arguments", get(by_arguments))
        .route("/calls", get(calls))
        .route("/within", get(within))
        .route("/direct", get(asks_itself))
        .route("/streams", get(streams))
        .route(
            "/layer",
            get(async || "").layer(RateLimitLayer::new(Policy::new("l", Quota::per_minute(2)))),
        )
}

/// Asks everything until it is refused, by a client of its own limiter.
async fn ask_everything(own_refusals: bool) {
    let mut options = HttpOptions::new();
    if own_refusals {
        options = options.headers(HeaderStyle::None).refusal(|refusal: &Refusal<'_>| {
            (axum::http::StatusCode::IM_A_TEAPOT, refusal.policy().name().to_owned())
        });
    }
    let limiter = Limiter::builder(MemoryBackend::new()).http(options).build();
    let client = testing::Client::new(router(), &limiter);
    let refused = if own_refusals { 418 } else { 429 };
    for path in ["/handler", "/arguments", "/layer", "/calls"] {
        let mut statuses = Vec::new();
        for _ in 0..3 {
            let response = client.get(path).await;
            tokio::task::yield_now().await;
            statuses.push(response.status().as_u16());
            let fields = response.headers().contains_key("ratelimit-policy");
            if response.status() != 200 {
                assert_eq!(fields, !own_refusals, "{path}");
            }
        }
        assert_eq!(statuses, [200, 200, refused], "{path}");
    }
    assert_eq!(client.get("/within").await.status(), refused, "it shares the budget of /calls");
    for expected in [200, 200, 429] {
        assert_eq!(client.get("/direct").await.status(), expected);
    }
    let text = support::text(client.get("/streams").await).await;
    assert_eq!(text, "word word ", "the third word is refused");
    let dropped = limiter.peek(&DIRECT, "dropped", 0).await.unwrap();
    assert_eq!(dropped.remaining(), 1, "what a body does at its end asks the same limiter");
    drop(client.get("/streams").await);
    let dropped = limiter.peek(&DIRECT, "dropped", 0).await.unwrap();
    assert_eq!(dropped.remaining(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_clients_at_once_share_nothing() {
    let clients = (0..10).map(|number| tokio::spawn(ask_everything(number % 2 == 0)));
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

/// The limiter that `path` asks, by the number of units left of `name` on each.
async fn left(limiter: &Limiter, name: &'static str, subject: &str) -> u32 {
    let policy = Policy::new(name, Quota::per_minute(2));
    limiter.peek(&policy, subject, 0).await.unwrap().remaining()
}

#[tokio::test]
async fn the_layers_limiter_is_asked_inside_a_scope_and_around_one() {
    let (outer, inner) = (limiter().0, limiter().0);
    let app = local(router(), &inner);
    // Inside a scope: the layer is the inner one of the two.
    outer.scope(support::send(&app, support::get("/calls"))).await;
    assert_eq!((left(&outer, "mails", "ann").await, left(&inner, "mails", "ann").await), (2, 1));
    outer.scope(support::send(&app, support::get("/handler"))).await;
    let handlers = |limiter| async move { left(&limiter, "handlers", "192.0.2.1").await };
    assert_eq!((handlers(outer.clone()).await, handlers(inner.clone()).await), (2, 1));
    // Around a scope: within it a function asks the scope's, as it says.
    let (layer, scope) = (limiter().0, limiter().0);
    let own = scope.clone();
    let in_scope = move || {
        let own = own.clone();
        async move { own.scope(async { send_mail("ann").await.is_ok() }).await.to_string() }
    };
    let app = local(Router::new().route("/", get(in_scope)), &layer);
    support::send(&app, support::get("/")).await;
    assert_eq!((left(&layer, "mails", "ann").await, left(&scope, "mails", "ann").await), (2, 1));
    // A handler's own limit asks the request's limiter, also if a scope is in between.
    let (layer, scope) = (limiter().0, limiter().0);
    let own = scope.clone();
    let between = middleware::from_fn(move |request: Request<Body>, next: Next| {
        let own = own.clone();
        async move { own.scope(next.run(request)).await }
    });
    let app = local(router().layer(between), &layer);
    support::send(&app, support::get("/handler")).await;
    assert_eq!((handlers(layer.clone()).await, handlers(scope.clone()).await), (1, 2));
}

/// The layer's own limiter comes before the request's; the handlers behind it ask the request's.
#[tokio::test]
async fn a_layers_own_limiter_comes_first() {
    let (request, own) = (limiter().0, limiter().0);
    let layer = RateLimitLayer::new(Policy::new("own", Quota::per_minute(2)))
        .key(Key::global())
        .limiter(own.clone());
    let app = local(router().layer(layer), &request);
    assert_eq!(support::send(&app, support::get("/calls")).await.status(), 200);
    assert_eq!((left(&own, "own", "*").await, left(&request, "own", "*").await), (1, 2));
    assert_eq!((left(&own, "mails", "ann").await, left(&request, "mails", "ann").await), (2, 1));
}

/// A service between the layer and the routes may move the request to another task.
#[tokio::test]
async fn a_request_on_another_task_keeps_its_limiter() {
    let spawned = middleware::from_fn(|request: Request<Body>, next: Next| async move {
        tokio::spawn(next.run(request)).await.unwrap()
    });
    let limiter = limiter().0;
    let app = local(router().layer(spawned), &limiter);
    for expected in [200, 200, 429] {
        assert_eq!(support::send(&app, support::get("/handler")).await.status(), expected);
        assert_eq!(support::send(&app, support::get("/layer")).await.status(), expected);
    }
}

/// What is spawned falls out of the request, and is taken along by `Limiter::scope`.
#[tokio::test]
async fn a_spawned_task_takes_its_limiter_along() {
    async fn spawns() -> Response<Body> {
        let limiter = get_limiter();
        let task = tokio::spawn(async move { limiter.scope(send_mail("bob")).await.is_ok() });
        task.await.unwrap().to_string().into_response()
    }
    let limiter = limiter().0;
    let app = local(Router::new().route("/", get(spawns)), &limiter);
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(support::text(support::send(&app, support::get("/")).await).await);
    }
    assert_eq!(answers, ["true", "true", "false"]);
}
