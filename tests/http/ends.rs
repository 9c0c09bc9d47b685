//! The end of a request: one table of all ends, doors and refunds. A door is a way in which a limit
//! stands before a handler. Each cell says what is charged afterwards, and what the client is told.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{Request, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use http_body::Frame;
use serde::Deserialize;
use support::redis::RedisServer;
use support::{Server, header, local, send};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tollgate::testing::ManualClock;
use tollgate::{
    Limiter, LocalTier, MemoryBackend, Policy, Quota, RateLimitLayer, RateLimited, RedisBackend,
    rate_limit,
};
use tower_http::catch_panic::CatchPanicLayer;

const LIMIT: u32 = 5;

/// Rejects requests without credentials.
struct Auth;

impl<S: Sync> FromRequestParts<S> for Auth {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.headers.contains_key("authorization").then_some(Self).ok_or(StatusCode::UNAUTHORIZED)
    }
}

#[derive(Deserialize)]
struct Page {
    number: u32,
}

#[derive(Deserialize)]
struct Item {
    id: u32,
}

/// What a handler does at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Respond(u16),
    Panic,
    Wait,
    BreakBody,
}

/// What a test and the handler tell each other.
#[derive(Clone, Default)]
struct Signals {
    waits: Arc<Notify>,
    is_dropped: Arc<Notify>,
}

/// Tells when it is dropped.
struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A body that fails after its first word.
struct Broken {
    has_begun: bool,
}

impl HttpBody for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if std::mem::replace(&mut self.has_begun, true) {
            return Poll::Ready(Some(Err(std::io::Error::other("the source has gone"))));
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"some")))))
    }
}

/// The error of the limited functions.
#[derive(Debug)]
enum Failure {
    Status(StatusCode),
    Limited(RateLimited),
}

impl From<RateLimited> for Failure {
    fn from(limited: RateLimited) -> Self {
        Self::Limited(limited)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Status(status) => status.into_response(),
            Self::Limited(limited) => limited.into_response(),
        }
    }
}

async fn work(last: Last, signals: Signals) -> Result<Response, Failure> {
    match last {
        Last::Respond(200) => Ok("done".into_response()),
        Last::Respond(status) => Err(Failure::Status(StatusCode::from_u16(status).unwrap())),
        Last::Panic => panic!("as the test asks"),
        Last::Wait => {
            let _dropped = Dropped(signals.is_dropped);
            signals.waits.notify_one();
            std::future::pending().await
        }
        Last::BreakBody => Ok(Body::new(Broken { has_begun: false }).into_response()),
    }
}

type Arguments = (Extension<Last>, Extension<Signals>, Auth, Query<Page>, Json<Item>);

fn is_server_error(response: &Response) -> bool {
    response.status().is_server_error()
}

fn is_server_failure(result: &Result<Response, Failure>) -> bool {
    matches!(result, Err(Failure::Status(status)) if status.is_server_error())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Attribute,
    /// The attribute with `key = args(…)` on a handler.
    Arguments,
    /// The attribute with a tuple of `args(…)` and `ip`, which is checked after the extractors.
    Tuple,
    Layer,
    /// A limited function that a handler calls.
    Function,
}

const DOORS: [Door; 5] =
    [Door::Attribute, Door::Arguments, Door::Tuple, Door::Layer, Door::Function];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refund {
    None,
    Failure,
    Success,
    /// By a function of the user: after errors of the server.
    Own,
}

const REFUNDS: [Refund; 4] = [Refund::None, Refund::Failure, Refund::Success, Refund::Own];

/// The five doors with one refund.
macro_rules! doors {
    ($door:expr, [$($option:tt)*], [$($of_result:tt)*], $layer:expr) => {{
        #[rate_limit(5, per = minute, group = "the limit", $($option)*)]
        async fn attribute(
            Extension(last): Extension<Last>,
            Extension(signals): Extension<Signals>,
            _: Auth,
            Query(page): Query<Page>,
            Json(item): Json<Item>,
        ) -> Result<Response, Failure> {
            assert_eq!(page.number, item.id);
            work(last, signals).await
        }

        #[rate_limit(5, per = minute, group = "the limit", key = args("192.0.2.1"), $($of_result)*)]
        async fn arguments(
            Extension(last): Extension<Last>,
            Extension(signals): Extension<Signals>,
            _: Auth,
            Query(page): Query<Page>,
            Json(item): Json<Item>,
        ) -> Result<Response, Failure> {
            assert_eq!(page.number, item.id);
            work(last, signals).await
        }

        #[rate_limit(5, per = minute, group = "the limit", key = (args(), ip), $($option)*)]
        async fn tuple(
            Extension(last): Extension<Last>,
            Extension(signals): Extension<Signals>,
            _: Auth,
            Query(page): Query<Page>,
            Json(item): Json<Item>,
        ) -> Result<Response, Failure> {
            assert_eq!(page.number, item.id);
            work(last, signals).await
        }

        #[rate_limit(5, per = minute, group = "the limit", key = args("192.0.2.1"), $($of_result)*)]
        async fn limited_work(last: Last, signals: Signals) -> Result<Response, Failure> {
            work(last, signals).await
        }

        async fn calls((last, signals, _, _, _): Arguments) -> Result<Response, Failure> {
            limited_work(last.0, signals.0).await
        }

        async fn plain((last, signals, _, _, _): Arguments) -> Result<Response, Failure> {
            work(last.0, signals.0).await
        }

        match $door {
            Door::Attribute => post(attribute),
            Door::Arguments => post(arguments),
            Door::Tuple => post(tuple),
            Door::Layer => {
                let layer = RateLimitLayer::new(policy());
                let with_refund: fn(RateLimitLayer) -> RateLimitLayer = $layer;
                post(plain).layer(with_refund(layer))
            }
            Door::Function => post(calls),
        }
    }};
}

fn policy() -> Policy {
    Policy::new("the limit", Quota::per_minute(LIMIT))
}

fn router(door: Door, refund: Refund) -> Router {
    let route = match refund {
        Refund::None => doors!(door, [], [], |layer| layer),
        Refund::Failure => doors!(
            door,
            [refund_if = failure],
            [refund_if = failure],
            RateLimitLayer::refund_if_failure
        ),
        Refund::Success => doors!(
            door,
            [refund_if = success],
            [refund_if = success],
            RateLimitLayer::refund_if_success
        ),
        Refund::Own => doors!(
            door,
            [refund_if = self::is_server_error],
            [refund_if = self::is_server_failure],
            |layer| layer.refund_if(is_server_error)
        ),
    };
    Router::new().route("/", route)
}

/// A way in which a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The handler responds with this status.
    Responds(u16),
    /// An extractor rejects the request with this status.
    Rejects(u16),
    /// The handler panics, and a layer outside of the limit catches that.
    Panics,
    /// A layer outside of the limit stops waiting.
    TimesOut,
    /// The client closes its connection while the handler waits.
    ClientGoes,
    /// The response's body fails after its head was sent.
    BodyBreaks,
    /// Whoever has called the router drops the future.
    IsDropped,
}

const ENDS: [End; 12] = [
    End::Responds(200),
    End::Responds(404),
    End::Responds(500),
    End::Rejects(401),
    End::Rejects(400),
    End::Rejects(415),
    End::Rejects(422),
    End::Panics,
    End::TimesOut,
    End::ClientGoes,
    End::BodyBreaks,
    End::IsDropped,
];

impl End {
    fn last(self) -> Last {
        match self {
            Self::Responds(status) => Last::Respond(status),
            Self::Rejects(_) => Last::Respond(200),
            Self::Panics => Last::Panic,
            Self::BodyBreaks => Last::BreakBody,
            Self::TimesOut | Self::ClientGoes | Self::IsDropped => Last::Wait,
        }
    }

    fn request(self) -> Request<Body> {
        let path = if self == Self::Rejects(400) { "/?number=x" } else { "/?number=1" };
        let mut request = Request::post(path);
        if self != Self::Rejects(401) {
            request = request.header("authorization", "any");
        }
        if self != Self::Rejects(415) {
            request = request.header("content-type", "application/json");
        }
        let body = if self == Self::Rejects(422) { r#"{"id":-1}"# } else { r#"{"id":1}"# };
        request.body(body.into()).unwrap()
    }
}

/// The table: the units that are charged afterwards.
fn charged(door: Door, refund: Refund, end: End) -> u32 {
    let of_call = matches!(door, Door::Arguments | Door::Function);
    let is_refunded = match (refund, end) {
        // An extractor that rejects comes before the call of a function, which is not charged, and
        // before a check that needs arguments.
        (_, End::Rejects(_)) if of_call || door == Door::Tuple => true,
        (Refund::None, _) => false,
        (Refund::Failure, End::Responds(status) | End::Rejects(status)) => status >= 400,
        // A call has returned its result when a body breaks.
        (Refund::Failure, End::BodyBreaks) => !of_call,
        // No response is a failure.
        (Refund::Failure, _) => true,
        // The head has said that this is a success.
        (Refund::Success, End::BodyBreaks) => true,
        (Refund::Success, end) => end == End::Responds(200),
        // A function of the user is not called without a response.
        (Refund::Own, end) => end == End::Responds(500),
    };
    u32::from(!is_refunded)
}

/// The table: what the client is told to have left; `None` if it is told nothing.
fn told(door: Door, refund: Refund, end: End) -> Option<u32> {
    match (door, end) {
        // Limits of functions are told only when they refuse.
        (Door::Arguments | Door::Function, _) => None,
        (Door::Tuple, End::Rejects(_)) => None,
        // What answers is outside of the limit, or nothing answers.
        (_, End::Panics | End::TimesOut | End::ClientGoes | End::IsDropped) => None,
        // The head was sent before the body broke.
        (_, End::BodyBreaks) => Some(LIMIT - u32::from(refund != Refund::Success)),
        _ => Some(LIMIT - charged(door, refund, end)),
    }
}

/// Answers in place of a handler that waits.
async fn time_out(State(signals): State<Signals>, request: Request<Body>, next: Next) -> Response {
    tokio::select! {
        response = next.run(request) => response,
        () = signals.waits.notified() => StatusCode::GATEWAY_TIMEOUT.into_response(),
    }
}

/// Sends a request that ends in this way. Returns the response, if there is one.
async fn run(door: Door, refund: Refund, end: End, limiter: &Limiter) -> Option<Response> {
    let signals = Signals::default();
    let mut app = router(door, refund)
        .layer(Extension(end.last()))
        .layer(Extension(signals.clone()))
        .layer(CatchPanicLayer::new());
    if end == End::TimesOut {
        app = app.layer(middleware::from_fn_with_state(signals.clone(), time_out));
    }
    if end == End::ClientGoes {
        // The limit counts the client that the table names.
        let peer = std::net::SocketAddr::from(([192, 0, 2, 1], 4711));
        let app = app.layer(Extension(axum::extract::ConnectInfo(peer)));
        let server = Server::start(app, limiter).await;
        let mut client = TcpStream::connect(server.address).await.unwrap();
        let head = "POST /?number=1 HTTP/1.1\r\nhost: a\r\nauthorization: any\r\n\
                    content-type: application/json\r\ncontent-length: 8\r\n\r\n{\"id\":1}";
        client.write_all(head.as_bytes()).await.unwrap();
        signals.waits.notified().await;
        drop(client);
        signals.is_dropped.notified().await;
        server.stop().await;
        return None;
    }
    let app = local(app, limiter);
    let response = send(&app, end.request());
    if end == End::IsDropped {
        tokio::select! {
            _ = response => panic!("it has responded"),
            () = signals.waits.notified() => return None,
        }
    }
    Some(response.await)
}

/// Checks a cell of the table. `other` is a limiter on the same store.
async fn check(door: Door, refund: Refund, end: End, limiter: Limiter, other: &Limiter) {
    let cell = format!("{door:?}, {refund:?}, {end:?}");
    let response = run(door, refund, end, &limiter).await;
    let expected = match end {
        End::Responds(status) | End::Rejects(status) => Some(status),
        End::Panics => Some(500),
        End::TimesOut => Some(504),
        End::BodyBreaks => Some(200),
        End::ClientGoes | End::IsDropped => None,
    };
    assert_eq!(response.as_ref().map(|response| response.status().as_u16()), expected, "{cell}");
    let field = response.as_ref().and_then(|response| header(response, "ratelimit"));
    let left = field.map(|field| field.split(";r=").nth(1).unwrap()[..1].parse().unwrap());
    assert_eq!(left, told(door, refund, end), "{cell}: {field:?}");
    if let Some(response) = response {
        let read = axum::body::to_bytes(response.into_body(), 1 << 20).await;
        assert_eq!(read.is_err(), end == End::BodyBreaks, "{cell}");
    }
    // Closing waits for the refunds that go on in the background.
    limiter.close().await;
    let left = other.peek(&policy(), "192.0.2.1", 0).await.unwrap().remaining();
    assert_eq!(LIMIT - left, charged(door, refund, end), "{cell}");
}

fn cells() -> impl Iterator<Item = (Door, Refund, End)> {
    DOORS.into_iter().flat_map(|door| {
        let cells = REFUNDS.into_iter().flat_map(|refund| ENDS.map(|end| (refund, end)));
        cells.map(move |(refund, end)| (door, refund, end))
    })
}

#[tokio::test]
async fn in_memory() {
    for (door, refund, end) in cells() {
        let clock = ManualClock::new();
        let backend = Arc::new(MemoryBackend::builder().clock(clock).build());
        let other = Limiter::new(Arc::clone(&backend));
        check(door, refund, end, Limiter::new(backend), &other).await;
    }
}

#[tokio::test]
async fn on_redis() {
    let server = RedisServer::start();
    for (number, (door, refund, end)) in cells().enumerate() {
        let limiter = || {
            let backend = RedisBackend::builder(&server.url()).key_prefix(format!("cell-{number}"));
            let backend = backend.deadline(std::time::Duration::from_secs(20)).build().unwrap();
            Limiter::builder(backend).local_tier(LocalTier::none()).build()
        };
        check(door, refund, end, limiter(), &limiter()).await;
    }
}
